"""Groups bars into slices and decides whether a slice counts, that is, whether strategies are asked.

A slice ends with the bar that carries END_OF_SLICE. It counts if any of its bars counts: the last one may be a longer
bar that is still warm-up.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from paperbot.core import types as t
from paperbot.events import Bars

Rows = list[tuple[Any, ...]]
"""The bars of a slice, each as a tuple of its fields."""

_END_OF_SLICE = int(t.BarFlag.END_OF_SLICE)
_WARMUP = int(t.BarFlag.WARMUP)


class Slices:
    """Groups bars into slices, independent of how the stream is cut into batches."""

    def __init__(self) -> None:
        self._rows: Rows = []
        self._counts = False

    def add(self, bars: Bars) -> Iterator[tuple[int, Rows | None]]:
        """Yield, for each slice that these bars complete, the index after its last bar, and its bars or None.

        The bars are None if the slice does not count. Bars after the last complete slice are kept for the next call.
        """
        rows = bars.tolist()
        flags = bars["flags"]
        is_counting = ((flags & _WARMUP) == 0).tolist()
        start = 0
        for stop in (np.flatnonzero(flags & _END_OF_SLICE) + 1).tolist():
            whole, self._rows = self._rows + rows[start:stop], []
            counts, self._counts = self._counts or True in is_counting[start:stop], False
            start = stop
            yield stop, whole if counts else None
        self._rows += rows[start:]
        self._counts = self._counts or True in is_counting[start:]
