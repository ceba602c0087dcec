"""Merges the bars of all sources into slices. All ordering of bars happens here, for replay and live alike.

A slice is all bars with the same `close_ts`. Its bars are ordered by (timeframe, symbol id), and the last one carries
END_OF_SLICE.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from paperbot.core import types as t
from paperbot.events import Bars, as_bars, joined, no_bars

_FOREVER = np.iinfo(np.int64).max


class Merger:
    """Holds back each source's bars until every other source has advanced past that time.

    `timeframes_ns`: by symbol id; part of the sort key.
    """

    def __init__(self, timeframes_ns: Sequence[int]) -> None:
        self._timeframes_ns = np.array(timeframes_ns, dtype=np.int64)
        self._waiting: list[Bars] = [no_bars() for _ in timeframes_ns]
        self._advanced_to = [-1 for _ in timeframes_ns]

    def push(self, symbol: int, events: Bars) -> None:
        """Add the next bars of a symbol, later than all its earlier ones."""
        if len(events):
            waiting = self._waiting[symbol]
            self._waiting[symbol] = joined([waiting, events]) if len(waiting) else events
            self._advanced_to[symbol] = int(events["close_ts"][-1])

    def advance(self, symbol: int, close_ts: int) -> None:
        """Declare that no further bar of the symbol will close at or before this time."""
        self._advanced_to[symbol] = max(self._advanced_to[symbol], close_ts)

    def close(self, symbol: int) -> None:
        """Declare that the symbol has no further bars."""
        self._advanced_to[symbol] = _FOREVER

    @property
    def watermark(self) -> int:
        """The closing time (ns UTC) up to which every source has advanced; -1 at the start."""
        return min(self._advanced_to)

    @property
    def slowest(self) -> int:
        """The symbol whose source has advanced least."""
        return self._advanced_to.index(min(self._advanced_to))

    @property
    def is_closed(self) -> bool:
        """Whether all sources are closed."""
        return min(self._advanced_to) == _FOREVER

    def release(self) -> Bars:
        """Return and remove all complete slices, in order and with END_OF_SLICE set."""
        watermark = self.watermark
        ready = []
        for symbol, waiting in enumerate(self._waiting):
            count = int(np.searchsorted(waiting["close_ts"], watermark, side="right"))
            if count:
                ready.append(as_bars(waiting[:count]))
                self._waiting[symbol] = as_bars(waiting[count:])
        if not ready:
            return no_bars()
        if len(ready) == 1:
            events = as_bars(ready[0].copy())
            events["flags"] |= t.BarFlag.END_OF_SLICE
            return events
        events = joined(ready)
        order = np.lexsort((events["symbol"], self._timeframes_ns[events["symbol"]], events["close_ts"]))
        events = as_bars(events[order])
        is_last = np.append(events["close_ts"][1:] != events["close_ts"][:-1], True)
        events["flags"][is_last] |= t.BarFlag.END_OF_SLICE
        return events


def merge(sources: Sequence[Iterator[Bars]], timeframes_ns: Sequence[int]) -> Iterator[Bars]:
    """Merge sources, one per symbol id; yields batches of complete slices."""
    merger = Merger(timeframes_ns)
    while not merger.is_closed:
        symbol = merger.slowest
        batch = next(sources[symbol], None)
        if batch is None:
            merger.close(symbol)
        else:
            merger.push(symbol, batch)
        events = merger.release()
        if len(events):
            yield events
