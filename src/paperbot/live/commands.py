"""What may be asked of a session: commands as types, as a line of JSON, and as the events that they become."""

import json
from dataclasses import dataclass

from paperbot import events
from paperbot.core import types as t
from paperbot.errors import CommandError, did_you_mean


@dataclass(frozen=True)
class Halt:
    """Stop all trading but exits."""

    reason: t.HaltReason = t.HaltReason.MANUAL


@dataclass(frozen=True)
class Resume:
    """Lift a halt."""


@dataclass(frozen=True)
class Stop:
    """End the process in order."""


@dataclass(frozen=True)
class Status:
    """Say how the session stands."""


Command = Halt | Resume | Stop | Status

WORDS: dict[str, Command] = {"halt": Halt(), "resume": Resume(), "stop": Stop(), "status": Status()}
"""Commands as people type them."""


def encode(word: str) -> bytes:
    """A command as a line for the session's socket."""
    return json.dumps({"command": word}).encode() + b"\n"


def decode(line: bytes) -> Command:
    """A line from the socket. Raises CommandError for anything that is no command."""
    try:
        word = json.loads(line)["command"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CommandError('expected an object such as {"command": "status"}') from None
    if not isinstance(word, str) or word not in WORDS:
        raise CommandError(f"unknown command {word}; there are: {', '.join(WORDS)}{did_you_mean(str(word), WORDS)}")
    return WORDS[word]


def events_of(command: Halt | Resume, ts: int) -> events.Controls:
    """What the core is told. `ts`: ns UTC, not before the core's clock."""
    return events.halt(ts, command.reason) if isinstance(command, Halt) else events.resume(ts)
