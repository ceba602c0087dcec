"""The border that every bar crosses: what contradicts itself is refused, what is odd passes as it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from paperbot.clock import format_ts
from paperbot.core import types as t
from paperbot.errors import DataError

Floats = NDArray[np.float64]
Records = NDArray[np.void]

_LARGEST_VOLUME = 1e18
_LARGEST_MOVE = 1e-4
_FINER = 1e-9
_COARSE = 1e-3
"""Shares of a price: what rounding to `price_decimals` may move it by, what counts as finer than they are where they
were taken from the data, and the largest tick that is only typical of a venue.
"""
_LARGEST_PRICE = float(1 << 60)


@dataclass(frozen=True)
class Columns:
    """Bars as they were read: open times in ns UTC, prices in the quote, volume as the source counts it."""

    open_ts: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        """Number of bars."""
        return len(self.open_ts)


@dataclass(frozen=True)
class Grid:
    """What a symbol's data prices must fit.

    `is_observed`: the decimals were taken from the data's first rows. `typical_tick`, `typical_step` (in the quote and
    the base, 0: none): rules that are only typical of the venue's symbols, with the file and pattern that they are from
    in `origin`; `min_notional` in the quote.
    """

    price_decimals: int
    is_observed: bool = False
    typical_tick: float = 0.0
    typical_step: float = 0.0
    min_notional: float = 0.0
    origin: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Checker:
    """Turns columns into bar events, row by row consistent, over all batches of one source.

    `source` is named in errors; rows count from 1 over all batches.
    """

    source: str
    symbol_id: int
    timeframe_ns: int
    grid: Grid
    rows: int = 0
    last_open_ts: int = -1

    def events(self, columns: Columns) -> Records:
        """BAR_EVENTs of a batch, without flags. Raises DataError that names row and value."""
        self._check(columns)
        events = np.zeros(len(columns), dtype=t.BAR_EVENT)
        events["kind"] = t.EventKind.BAR
        events["symbol"] = self.symbol_id
        events["open_ts"] = columns.open_ts
        events["close_ts"] = columns.open_ts + self.timeframe_ns
        for name in ("open", "high", "low", "close"):
            events[name] = np.rint(getattr(columns, name) * 10.0**self.grid.price_decimals)
        events["volume"] = columns.volume
        self.rows += len(columns)
        if len(columns):
            self.last_open_ts = int(columns.open_ts[-1])
        return events

    def _check(self, columns: Columns) -> None:
        grid, decimals = self.grid, self.grid.price_decimals
        unit = 10.0**decimals
        for name in ("open", "high", "low", "close", "volume"):
            self._refuse(~np.isfinite(getattr(columns, name)), columns, name, "is not a finite number")
        for name in ("open", "high", "low", "close"):
            values = getattr(columns, name)
            self._refuse(values <= 0, columns, name, "must be above 0")
            self._refuse(values * unit >= _LARGEST_PRICE, columns, name, f"is too large at {decimals} price_decimals")
            moved = np.abs(np.rint(values * unit) / unit - values)
            finer = f"is finer than {decimals} decimals; give more with --set execution.price_decimals="
            self._refuse(moved > values * (_FINER if grid.is_observed else _LARGEST_MOVE), columns, name, finer)
        self._refuse(columns.volume < 0, columns, "volume", "must not be negative")
        self._refuse(columns.volume >= _LARGEST_VOLUME, columns, "volume", "is too large")
        self._refuse(columns.high < columns.low, columns, "high", "is below the low")
        for name in ("open", "close"):
            values = getattr(columns, name)
            self._refuse((values > columns.high) | (values < columns.low), columns, name, "is outside of low to high")
        self._check_typical_rules(columns)
        before = np.concatenate(([self.last_open_ts], columns.open_ts[:-1])).astype(np.int64)[: len(columns)]
        self._refuse(columns.open_ts == before, columns, "open_ts", "is a duplicate of the row before")
        self._refuse(columns.open_ts < before, columns, "open_ts", "goes back in time")

    def _check_typical_rules(self, columns: Columns) -> None:
        grid = self.grid
        if grid.typical_tick:
            why = f"is too low for a tick_size of {grid.typical_tick:g}, which is only typical"
            wanted = f" ({grid.origin['tick_size']}); give the symbol's own with --set execution.tick_size="
            self._refuse(grid.typical_tick > _COARSE * columns.low, columns, "low", why + wanted)
        if grid.typical_step and grid.min_notional:
            why = f"is too high for a step_size of {grid.typical_step:g}, which is only typical"
            wanted = f" ({grid.origin['step_size']}); give the symbol's own with --set execution.step_size="
            self._refuse(grid.typical_step * columns.high > grid.min_notional, columns, "high", why + wanted)

    def _refuse(self, wrong: NDArray[np.bool_], columns: Columns, name: str, why: str) -> None:
        if wrong.any():
            at = int(np.argmax(wrong))
            value = getattr(columns, name)[at]
            shown = format_ts(int(value)) if name == "open_ts" else repr(float(value))
            when = "" if name == "open_ts" else f" ({format_ts(int(columns.open_ts[at]))})"
            raise DataError(f"{self.source}: row {self.rows + at + 1}{when}: {name} = {shown} {why}")


def commonest_step_ns(open_ts: NDArray[np.int64]) -> int:
    """The commonest difference of the first 1,000 open times (the smallest of several); 0 with fewer than two."""
    steps = np.diff(open_ts[:1000])
    if len(steps) == 0:
        return 0
    values, counts = np.unique(steps, return_counts=True)
    return int(values[np.argmax(counts)])
