"""What a strategy file imports. See `docs/strategies.md` for an example of each kind.

A compiled strategy is a function marked with `@compiled`, in the part of Python that Numba understands:

    @compiled
    def on_bar(ts, bar, features, params, memory, held, target):
        ...

`ts`: closing time, int, ns UTC. `bar`: float64[5], open, high, low, close in the quote and volume. `features`: float64,
in the order of FEATURES. `params`: float64, in the order of PARAMS. `memory`: float64[MEMORY], zero at the start, its
own for each symbol and kept from bar to bar. `held`: quantity held in the base. `target`: its last answer's sign.

A Python strategy is a class named Strategy with `on_bar(self, bar)`; one object for each symbol is made with
`Strategy(params)`, `params` a dict. It may do anything that Python can, at Python's speed.

Both answer LONG, FLAT, SHORT, HOLD (no change), or a strength between 0 and 1 for a long of that strength.
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
    """Mark a function as a strategy to be compiled; called directly it stays plain Python."""
    setattr(function, COMPILED_MARK, True)
    return function


class Bar(NamedTuple):
    """What a Python strategy sees after each bar of its symbol.

    Prices in the quote, volume as the venue counts it, `held` in the base; `target` is the last answer's sign;
    `features` in the order of FEATURES; times in ns UTC.
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
