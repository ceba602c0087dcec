"""The one place that orders events: all sources' bars into slices. Replay and live both go through it.

A slice is all bars with one `close_ts`; within it the order is (timeframe, symbol id), and its last bar carries
END_OF_SLICE.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from paperbot.core import types as t
from paperbot.events import Bars, as_bars, joined, no_bars

_FOREVER = np.iinfo(np.int64).max


class Merger:
    """Holds back each source's bars until every other source has advanced past that time.

    `timeframes_ns` by symbol id is part of a bar's key.
    """

    def __init__(self, timeframes_ns: Sequence[int]) -> None:
        self._timeframes_ns = np.array(timeframes_ns, dtype=np.int64)
        self._waiting: list[Bars] = [no_bars() for _ in timeframes_ns]
        self._advanced_to = [-1 for _ in timeframes_ns]

    def push(self, symbol: int, events: Bars) -> None:
        """Add the next bars of a symbol, later than all before."""
        if len(events):
            waiting = self._waiting[symbol]
            self._waiting[symbol] = joined([waiting, events]) if len(waiting) else events
            self._advanced_to[symbol] = int(events["close_ts"][-1])

    def advance(self, symbol: int, close_ts: int) -> None:
        """No further bar of the symbol will close at or before this time."""
        self._advanced_to[symbol] = max(self._advanced_to[symbol], close_ts)

    def close(self, symbol: int) -> None:
        """No further bar of the symbol will come."""
        self._advanced_to[symbol] = _FOREVER

    @property
    def watermark(self) -> int:
        """Every source has advanced past this time (a closing time, ns UTC); -1 at the start."""
        return min(self._advanced_to)

    @property
    def slowest(self) -> int:
        """The symbol that holds the others back."""
        return self._advanced_to.index(min(self._advanced_to))

    @property
    def is_closed(self) -> bool:
        """Whether no further bar will come at all."""
        return min(self._advanced_to) == _FOREVER

    def release(self) -> Bars:
        """All complete slices, in order and flagged."""
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
    """K-way merge of sources by symbol id: batches of complete slices."""
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
