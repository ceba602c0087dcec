"""Which bars make up a slice, whether it counts, and so whether strategies are asked: one rule for all that feed bars.

A slice ends with the bar that carries END_OF_SLICE. It counts when at least one of its bars is no warm-up: the last
one may be a long bar that still warms up.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from paperbot.core import types as t
from paperbot.events import Bars

Rows = list[tuple[Any, ...]]
"""The bars of a slice, each bar's fields as a tuple."""

_END_OF_SLICE = int(t.BarFlag.END_OF_SLICE)
_WARMUP = int(t.BarFlag.WARMUP)


class Slices:
    """Puts bars together into slices, however the stream is cut into batches."""

    def __init__(self) -> None:
        self._rows: Rows = []
        self._counts = False

    def add(self, bars: Bars) -> Iterator[tuple[int, Rows | None]]:
        """For each slice that is complete with these bars: the index behind its last bar, and its bars if it counts.

        Bars behind the last slice wait for the next call.
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
