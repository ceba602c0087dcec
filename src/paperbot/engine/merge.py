"""The one place that orders events: all sources' bars into slices. Replay and live both go through it.

A slice is all bars with one `close_ts`; within it the order is (timeframe, symbol id), and its last bar carries
END_OF_SLICE.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t

Records = NDArray[np.void]

_EMPTY = np.zeros(0, dtype=t.BAR_EVENT)
_FOREVER = np.iinfo(np.int64).max


class Merger:
    """Holds back each source's bars until every other source has spoken for that time.

    `timeframes_ns` by symbol id is part of a bar's key.
    """

    def __init__(self, timeframes_ns: Sequence[int]) -> None:
        self._timeframes_ns = np.array(timeframes_ns, dtype=np.int64)
        self._waiting: list[Records] = [_EMPTY for _ in timeframes_ns]
        self._spoken_for = [-1 for _ in timeframes_ns]

    def push(self, symbol: int, events: Records) -> None:
        """Add the next bars of a symbol, later than all before."""
        if len(events):
            waiting = self._waiting[symbol]
            self._waiting[symbol] = np.concatenate((waiting, events)) if len(waiting) else events
            self._spoken_for[symbol] = int(events["close_ts"][-1])

    def speak(self, symbol: int, close_ts: int) -> None:
        """No further bar of the symbol will close at or before this time."""
        self._spoken_for[symbol] = max(self._spoken_for[symbol], close_ts)

    def close(self, symbol: int) -> None:
        """No further bar of the symbol will come."""
        self._spoken_for[symbol] = _FOREVER

    @property
    def watermark(self) -> int:
        """Every source has spoken for the time up to this one (a closing time, ns UTC); -1 at the start."""
        return min(self._spoken_for)

    @property
    def hungriest(self) -> int:
        """The symbol that holds the others back."""
        return self._spoken_for.index(min(self._spoken_for))

    @property
    def is_closed(self) -> bool:
        """Whether no further bar will come at all."""
        return min(self._spoken_for) == _FOREVER

    def release(self) -> Records:
        """All complete slices, in order and flagged."""
        watermark = self.watermark
        ready = []
        for symbol, waiting in enumerate(self._waiting):
            count = int(np.searchsorted(waiting["close_ts"], watermark, side="right"))
            if count:
                ready.append(waiting[:count])
                self._waiting[symbol] = waiting[count:]
        if not ready:
            return _EMPTY
        if len(ready) == 1:
            events = ready[0].copy()
            events["flags"] |= t.BarFlag.END_OF_SLICE
            return events
        events = np.concatenate(ready)
        order = np.lexsort((events["symbol"], self._timeframes_ns[events["symbol"]], events["close_ts"]))
        events = events[order]
        is_last = np.append(events["close_ts"][1:] != events["close_ts"][:-1], True)
        events["flags"][is_last] |= t.BarFlag.END_OF_SLICE
        return events


def merge(sources: Sequence[Iterator[Records]], timeframes_ns: Sequence[int]) -> Iterator[Records]:
    """K-way merge of sources by symbol id: batches of complete slices."""
    merger = Merger(timeframes_ns)
    while not merger.is_closed:
        symbol = merger.hungriest
        batch = next(sources[symbol], None)
        if batch is None:
            merger.close(symbol)
        else:
            merger.push(symbol, batch)
        events = merger.release()
        if len(events):
            yield events
