"""Errors that a user can cause and fix: each has a one-sentence message and exit code 2.

PaperbotError
├── ConfigError     a key, value or file of the configuration: at start, before anything else happens
├── CommandError    command-line arguments that contradict each other or cannot be met
├── DataError       market data that contradicts itself or cannot be read
├── StrategyError   a user's strategy that does not load or compile, raises, or returns an invalid answer
├── StateError      saved state that is damaged, from a newer version, or from another run
└── OutputError     results that cannot be written (disk full, no permission)

A programmer's mistake is an assertion, never one of these.
"""

import difflib
from collections.abc import Iterable


class PaperbotError(Exception):
    """Base of all errors that a user can fix; `str(error)` is the whole message."""


class ConfigError(PaperbotError):
    """Raised for a wrong key or value in a configuration file or option; `mistakes` has one sentence for each."""

    def __init__(self, *mistakes: str) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class CommandError(PaperbotError):
    """Raised when a command's arguments are invalid or do not fit together."""


class DataError(PaperbotError):
    """Raised when market data cannot be used; the message names file, row and value."""


class StrategyError(PaperbotError):
    """Raised when a user's strategy fails; at run time the message names strategy, symbol and bar time."""


class StateError(PaperbotError):
    """Raised when saved state cannot be used; the state is left untouched."""


class OutputError(PaperbotError):
    """Raised when a result cannot be written; an earlier result is left untouched."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word: the closest known word, or all known words if there are few. Starts with a space."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f" (did you mean {near[0]}?)"
    return f" (known: {', '.join(names)})" if 0 < len(names) <= 12 else ""  # noqa: PLR2004
