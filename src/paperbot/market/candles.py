"""The check that every bar passes: contradictory bars are refused, odd but possible ones are accepted unchanged."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperbot.clock import format_ts
from paperbot.errors import DataError
from paperbot.events import Bars, blank_bars
from paperbot.timeframe import Timeframe

Floats = NDArray[np.float64]

_LARGEST_VOLUME = 1e18
_LARGEST_MOVE = 1e-4
_FINER = 1e-9
_COARSE = 1e-3
"""Shares of a price: the largest move by rounding to `price_decimals`; the same when the decimals come from the data;
the largest tick that a venue's typical rules may set.
"""
LARGEST_PRICE = float(1 << 60)


@dataclass(frozen=True)
class Columns:
    """Bars as read: open times in ns UTC, prices in the quote, volume in the source's own unit.

    `close_ts`: closing times if the source has them, ns UTC; `row`: row numbers in the file, from 1.
    """

    open_ts: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    close_ts: NDArray[np.int64] | None = None
    row: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Number of bars."""
        return len(self.open_ts)

    def cut(self, start: int | None, stop: int | None, step: int | None = None) -> "Columns":
        """A slice of the bars."""
        values: Iterator[Any] = (getattr(self, name) for name in self.__dataclass_fields__)
        cut: Any = (None if value is None else value[start:stop:step] for value in values)
        return Columns(*cut)

    @staticmethod
    def join(parts: Sequence["Columns"]) -> "Columns":
        """Concatenate several parts in order."""
        columns: Iterator[Any] = zip(
            *([getattr(part, name) for name in part.__dataclass_fields__] for part in parts), strict=True
        )
        joined: Any = (None if any(part is None for part in values) else np.concatenate(values) for values in columns)
        return Columns(*joined)


@dataclass(frozen=True)
class Grid:
    """The decimals and rules that a symbol's data is checked against.

    `is_observed`: the decimals were taken from the data's first rows. `typical_tick` (in the quote), `typical_step` (in
    the base; 0: none): rules that are typical of the venue but not this symbol's own; `origin` names the file and
    pattern that set them. `min_notional` in the quote.
    """

    price_decimals: int
    is_observed: bool = False
    typical_tick: float = 0.0
    typical_step: float = 0.0
    min_notional: float = 0.0
    origin: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Checker:
    """Checks columns and turns them into bar events, across all batches of one source.

    `source` is named in errors; rows are numbered from 1 across all batches.
    """

    source: str
    symbol_id: int
    timeframe: Timeframe
    grid: Grid
    rows: int = 0
    last_open_ts: int = np.iinfo(np.int64).min
    last_close_ts: int = np.iinfo(np.int64).min
    overlapped: bool = False

    def events(self, columns: Columns) -> Bars:
        """Return the BAR_EVENTs of a batch, without flags. Raises DataError, which names row and value."""
        self._check(columns)
        closes = self._closes(columns)
        events = blank_bars(self.symbol_id, len(columns))
        events["open_ts"] = columns.open_ts
        events["close_ts"] = closes
        for name in ("open", "high", "low", "close"):
            events[name] = np.rint(getattr(columns, name) * 10.0**self.grid.price_decimals)
        events["volume"] = columns.volume
        self.rows += len(columns)
        if len(columns):
            self.last_open_ts, self.last_close_ts = int(columns.open_ts[-1]), int(closes[-1])
        return events

    def _closes(self, columns: Columns) -> NDArray[np.int64]:
        """Return the closes that follow from the timeframe; for months and local time, the file's own if it has any.

        Raises DataError if opens or closes contradict the timeframe.
        """
        text = self.timeframe.text
        not_first = f"is not the first of a month, as bars of {text} require"
        self._refuse(self.timeframe.misplaced(columns.open_ts), columns, "open_ts", not_first)
        closes = self.timeframe.closes(columns.open_ts)
        ended = np.concatenate(([self.last_close_ts], closes[:-1])).astype(np.int64)[: len(columns)]
        # Venues cut single bars short at an outage. Two overlaps in a row mean that the bars have a different length.
        overlaps = columns.open_ts < ended
        twice = overlaps & np.concatenate(([self.overlapped], overlaps[:-1]))[: len(columns)]
        why = f"is before the end of the previous row, a bar of {text}, for the second time in a row; see --timeframe"
        self._refuse(twice, columns, "open_ts", why)
        self.overlapped = bool(overlaps[-1]) if len(columns) else self.overlapped
        in_file = columns.close_ts
        if in_file is None:
            return closes
        self._refuse(in_file <= columns.open_ts, columns, "close_ts", "is not after the open")
        if self.timeframe.months or self.timeframe.zone:
            return in_file
        wrong = in_file != closes
        self._refuse(wrong, columns, "close_ts", f"is not the close of a bar of {text}; see --timeframe")
        return closes

    @np.errstate(over="ignore", invalid="ignore")
    def _check(self, columns: Columns) -> None:
        grid, decimals = self.grid, self.grid.price_decimals
        unit = 10.0**decimals
        for name in ("open", "high", "low", "close", "volume"):
            values = getattr(columns, name)
            self._refuse(np.isnan(values), columns, name, "is missing")
            self._refuse(np.isinf(values), columns, name, "is not a finite number")
        too_large = f"is too large for {decimals} price_decimals; give fewer with --set execution.price_decimals="
        for name in ("open", "high", "low", "close"):
            values = getattr(columns, name)
            self._refuse(values <= 0, columns, name, "must be above 0")
            self._refuse(values * unit >= LARGEST_PRICE, columns, name, too_large)
            moved = np.abs(np.rint(values * unit) / unit - values)
            finer = f"is finer than {decimals} decimals; give more with --set execution.price_decimals="
            self._refuse(moved > values * (_FINER if grid.is_observed else _LARGEST_MOVE), columns, name, finer)
        self._refuse(columns.volume < 0, columns, "volume", "must not be negative")
        self._refuse(columns.volume >= _LARGEST_VOLUME, columns, "volume", "is too large")
        self._refuse(columns.high < columns.low, columns, "high", "is below the low")
        for name in ("open", "close"):
            values = getattr(columns, name)
            self._refuse((values > columns.high) | (values < columns.low), columns, name, "is not between low and high")
        self._refuse(columns.open_ts < 0, columns, "open_ts", "is before 1970")
        self._check_typical_rules(columns)
        before = np.concatenate(([self.last_open_ts], columns.open_ts[:-1])).astype(np.int64)[: len(columns)]
        self._refuse(columns.open_ts == before, columns, "open_ts", "repeats the time of the previous row")
        self._refuse(columns.open_ts < before, columns, "open_ts", "is before the time of the previous row")

    def _check_typical_rules(self, columns: Columns) -> None:
        grid = self.grid
        if grid.typical_tick:
            why = f"is too low for a tick_size of {grid.typical_tick:g}, which is only typical of the venue"
            fix = f" ({grid.origin['tick_size']}); give the symbol's own with --set execution.tick_size="
            self._refuse(grid.typical_tick > _COARSE * columns.low, columns, "low", why + fix)
        if grid.typical_step and grid.min_notional:
            why = f"is too high for a step_size of {grid.typical_step:g}, which is only typical of the venue"
            fix = f" ({grid.origin['step_size']}); give the symbol's own with --set execution.step_size="
            self._refuse(grid.typical_step * columns.high > grid.min_notional, columns, "high", why + fix)

    def _refuse(self, wrong: NDArray[np.bool_], columns: Columns, name: str, why: str) -> None:
        if wrong.any():
            at = int(np.argmax(wrong))
            value = getattr(columns, name)[at]
            shown = format_ts(int(value)) if name.endswith("_ts") else repr(float(value))
            when = "" if name == "open_ts" else f" ({format_ts(int(columns.open_ts[at]))})"
            row = self.rows + at + 1 if columns.row is None else int(columns.row[at])
            raise DataError(f"{self.source}: row {row}{when}: {name} = {shown} {why}")
