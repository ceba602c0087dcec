"""Builds longer bars from shorter ones as a venue does: aligned to UTC, complete bars only."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from paperbot.clock import format_ts
from paperbot.errors import ConfigError, DataError
from paperbot.events import Bars, as_bars, joined, no_bars
from paperbot.timeframe import DAY_NS, Timeframe

_MONDAY_NS, _WEEK_NS = 4 * DAY_NS, 7 * DAY_NS


def check_resample(short: Timeframe, long: Timeframe) -> None:
    """Raises ConfigError unless bars of `long` can be built from bars of `short`."""
    if short.months or short.zone or long.zone:
        why = "only bars of a fixed length, or 1M, can be built, and only from bars of a fixed length"
        raise ConfigError(f"cannot build {long.text} bars from {short.text} bars: {why}")
    whole = DAY_NS if long.months else long.ns
    if whole % short.ns or long.ns <= short.ns:
        raise ConfigError(f"{long.text} is not a whole multiple of {short.text}")


class Resampler:
    """Builds bars of the timeframe `long`.

    The first and the last bar are dropped if the data covers them only in part. A missing short bar in between
    counts as a time without trades.
    """

    def __init__(self, source: str, long: Timeframe) -> None:
        self._source, self._long = source, long

    def bars(self, batches: Iterator[Bars]) -> Iterator[Bars]:
        """Yield the long bars (BAR_EVENT). Raises DataError if a short bar crosses the boundary of a long one."""
        waiting = no_bars()
        partial_start: int | None = None  # Start of the incomplete first bar; -1: the first bar is complete.
        for batch in batches:
            events = joined([waiting, batch])
            start = self._starts(events["open_ts"])
            if partial_start is None and len(events):
                partial_start = int(start[0]) if start[0] != events["open_ts"][0] else -1
            events, start = as_bars(events[start != partial_start]), start[start != partial_start]
            if len(events) == 0:
                continue
            is_last = start == start[-1]
            waiting = as_bars(events[is_last])
            if not is_last.all():
                yield self._built(as_bars(events[~is_last]), start[~is_last])
        if len(waiting):
            start = self._starts(waiting["open_ts"])
            if waiting["close_ts"][-1] == self._long.closes(start)[-1]:
                yield self._built(waiting, start)

    def _starts(self, open_ts: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._long.months:
            months = open_ts.astype("datetime64[ns]").astype("datetime64[M]")
            return months.astype("datetime64[ns]").astype(np.int64)
        offset = _MONDAY_NS if self._long.ns % _WEEK_NS == 0 else 0
        return (open_ts - offset) // self._long.ns * self._long.ns + offset

    def _built(self, events: Bars, start: NDArray[np.int64]) -> Bars:
        first = np.flatnonzero(np.append(True, start[1:] != start[:-1]))
        last = np.append(first[1:], len(events)) - 1
        bars = as_bars(events[first].copy())
        bars["open_ts"], bars["close_ts"] = start[first], self._long.closes(start[first])
        wide = np.flatnonzero(events["close_ts"][last] > bars["close_ts"])
        if len(wide):
            at = format_ts(int(events["open_ts"][last[wide[0]]]))
            raise DataError(f"{self._source}: the bar of {at} crosses the boundary between two {self._long.text} bars")
        bars["high"] = np.maximum.reduceat(events["high"], first)
        bars["low"] = np.minimum.reduceat(events["low"], first)
        bars["close"] = events["close"][last]
        bars["volume"] = np.add.reduceat(events["volume"], first)
        return bars
