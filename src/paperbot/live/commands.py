"""The commands to a session: their types, their JSON lines, and their events."""

import json
from dataclasses import dataclass

from paperbot import events
from paperbot.core import types as t
from paperbot.errors import CommandError, did_you_mean


@dataclass(frozen=True)
class Halt:
    """Halt trading, except for exits."""

    reason: t.HaltReason = t.HaltReason.MANUAL


@dataclass(frozen=True)
class Resume:
    """Lift a halt."""


@dataclass(frozen=True)
class Stop:
    """Shut the process down cleanly."""


@dataclass(frozen=True)
class Status:
    """Report the session's status."""


Command = Halt | Resume | Stop | Status

WORDS: dict[str, Command] = {"halt": Halt(), "resume": Resume(), "stop": Stop(), "status": Status()}
"""The commands by name."""


def encode(word: str) -> bytes:
    """Encode a command as a line for the session's socket."""
    return json.dumps({"command": word}).encode() + b"\n"


def decode(line: bytes) -> Command:
    """Decode a line from the socket. Raises CommandError for a line that is not a command."""
    try:
        word = json.loads(line)["command"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CommandError('expected an object such as {"command": "status"}') from None
    if not isinstance(word, str) or word not in WORDS:
        hint = did_you_mean(str(word), WORDS)
        raise CommandError(f"unknown command {word}; expected one of {', '.join(WORDS)}{hint}")
    return WORDS[word]


def events_of(command: Halt | Resume, ts: int) -> events.Controls:
    """The event of a command. `ts`: ns UTC, not before the core's clock."""
    return events.halt(ts, command.reason) if isinstance(command, Halt) else events.resume(ts)
