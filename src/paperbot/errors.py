"""What can go wrong through a caller's mistake, each with one clear sentence and exit code 2.

PaperbotError
├── ConfigError     a key, value or file of the configuration: at start, before anything else happens
├── CommandError    a command line that asks for something impossible
├── DataError       market data that contradicts itself or is of another kind
├── StrategyError   a user's strategy that does not load, compile or answer properly
├── StateError      saved state that is damaged, of a newer version, or of another run
└── OutputError     results that cannot be written (disk full, no permission)

A programmer's mistake is an assertion, never one of these.
"""

import difflib
from collections.abc import Iterable


class PaperbotError(Exception):
    """Base of all errors that a user can mend; `str(error)` is the whole message."""


class ConfigError(PaperbotError):
    """You meet it when a configuration file or option has a wrong key or value; `mistakes` has a sentence for each."""

    def __init__(self, *mistakes: str) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class CommandError(PaperbotError):
    """You meet it when a command's arguments do not fit together."""


class DataError(PaperbotError):
    """You meet it when a data file cannot be used as it is; the message names file, row and value."""


class StrategyError(PaperbotError):
    """You meet it when your own strategy fails; the message names strategy, symbol and bar time."""


class StateError(PaperbotError):
    """You meet it when saved state cannot be used as it is; it is left as it was."""


class OutputError(PaperbotError):
    """You meet it when a result cannot be written; what was there before is untouched."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word: the nearest known one, or all of them when there are few; starts with a space."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f" (did you mean {near[0]}?)"
    return f" (known: {', '.join(names)})" if 0 < len(names) <= 12 else ""  # noqa: PLR2004
