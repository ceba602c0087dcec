"""A seeded market for demos, tests and benchmarks: the same bars on every machine.

It has regimes of drift and volatility, clustered volatility (a GARCH(1,1) recursion), and volume that follows
volatility. It uses only the core's integer hash and + - x / sqrt, so that a run's digest is the same everywhere.
"""

from collections.abc import Iterator
from math import sqrt
from typing import Any

import numpy as np

from paperbot.core.numeric import hash64, kernel
from paperbot.core.types import Array
from paperbot.events import Bars, blank_bars

START_NS = 1_704_067_200_000_000_000
"""2024-01-01T00:00:00Z, the start of every synthetic market."""

_BATCH = 1 << 16
_UNIT = float(1 << 53)
_REGIME_BARS = 360
_START_PRICES = {"BTC": 0.05, "ETH": 0.5, "BNB": 1.0}
_START_PRICE = 1000.0


@kernel
def _uniform(seed: int, sequence: int, salt: int) -> float:
    return hash64(seed, sequence, salt) / _UNIT


@kernel
def _bell(seed: int, sequence: int, salt: int) -> float:
    """Return nearly normal noise with mean 0 and standard deviation 1: the sum of four uniforms."""
    total = -2.0
    for k in range(4):
        total += _uniform(seed, sequence, salt + k)
    return total * sqrt(3.0)


@kernel(python=True)
def _fill(events: Array, seed: int, first: int, timeframe_ns: int, tick: int, tick_price: int, state: Array) -> None:
    """Fill `events` with bars first, first + 1, … of one market; `state`: (price, variance), kept across batches."""
    price: Any = state[0]
    variance: Any = state[1]
    for k in range(len(events)):
        sequence = first + k
        regime = sequence // _REGIME_BARS
        drift = (_uniform(seed, regime, 101) - 0.5) * 2.0e-4
        level = 2.0e-7 + 1.8e-6 * _uniform(seed, regime, 102) * _uniform(seed, regime, 103)
        shock = sqrt(variance) * _bell(seed, sequence, 1)
        variance = 0.05 * level + 0.10 * shock * shock + 0.85 * variance
        spread = sqrt(variance)
        gap = 0.1 * spread * _bell(seed, sequence, 21)
        opening: Any = max(np.int64(price * (1.0 + gap) / tick_price + 0.5), 4)
        price = max(price * (1.0 + drift + shock), 4.0 * tick_price)
        closing: Any = max(np.int64(price / tick_price + 0.5), 4)
        reach = spread * price / tick_price
        high = max(opening, closing) + np.int64(reach * _uniform(seed, sequence, 11))
        low = max(min(opening, closing) - np.int64(reach * _uniform(seed, sequence, 12)), 1)
        bar = events[k]
        bar["open_ts"] = START_NS + sequence * timeframe_ns
        bar["close_ts"] = bar["open_ts"] + timeframe_ns
        bar["open"] = opening * tick
        bar["high"] = high * tick
        bar["low"] = low * tick
        bar["close"] = closing * tick
        busy = (0.2 + _uniform(seed, sequence, 13)) * (0.3 + variance / level)
        bar["volume"] = np.int64(busy * 20_000_000.0 / price) / 1000.0
    state[0], state[1] = price, variance


def synthetic_bars(
    symbol: str, symbol_id: int, seed: int, bars: int, timeframe_ns: int, tick: int, price_unit: float
) -> Iterator[Bars]:
    """Yield BAR_EVENTs of `symbol` in batches. `tick`: in price units; `price_unit`: price units per quote."""
    quote = symbol.partition("/")[2]
    salted = seed * 1_000_003 + sum(letter * 31**k % 65_521 for k, letter in enumerate(symbol.encode()))
    state = np.array([_START_PRICES.get(quote, _START_PRICE), 4.0e-7])
    for first in range(0, bars, _BATCH):
        events = blank_bars(symbol_id, min(_BATCH, bars - first))
        _fill(events, salted, first, timeframe_ns, tick, tick / price_unit, state)
        yield events
