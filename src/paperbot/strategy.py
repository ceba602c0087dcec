"""The names that a strategy file imports. See `docs/strategies.md` for an example of each kind.

A compiled strategy is a function marked with `@compiled`, in the part of Python that Numba understands:

    @compiled
    def on_bar(ts, bar, features, params, memory, held, target):
        ...

`ts`: closing time, int, ns UTC. `bar`: float64[5], open, high, low, close in the quote and volume. `features`: float64,
in the order of FEATURES. `params`: float64, in the order of PARAMS. `memory`: float64[MEMORY], separate for each
symbol, zero at the start and kept from bar to bar. `held`: quantity held in the base. `target`: last answer's sign.

A Python strategy is a class named Strategy with `on_bar(self, bar)`. For each symbol, one object is created with
`Strategy(params)`, where `params` is a dict. It can use all of Python, but runs at Python's speed.

Both return LONG, FLAT, SHORT, HOLD (no change), or a number between 0 and 1: long with that strength.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from paperbot.core import codes

LONG = 1.0
FLAT = 0.0
SHORT = -1.0
HOLD = codes.HOLD

F = TypeVar("F", bound=Callable[..., Any])

COMPILED_MARK = "_paperbot_compiled"


def compiled(function: F) -> F:
    """Mark a function as a compiled strategy. Called directly, it still runs as plain Python."""
    setattr(function, COMPILED_MARK, True)
    return function


class Bar(NamedTuple):
    """What a Python strategy receives after each bar of its symbol.

    Prices are in the quote, `held` is in the base, and times are ns UTC. `volume` is in the venue's unit, `target` is
    the sign of the last answer, and `features` are in the order of FEATURES.
    """

    symbol: str
    open_ts: int
    close_ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    held: float
    target: int
    features: tuple[float, ...]
