"""Answers from outside the core, between slices: Python strategies and advice go through here."""

from collections.abc import Callable, Sequence

import numpy as np

from paperbot.core import types as t
from paperbot.ports import Asker, Records

NOTHING = np.zeros(0, dtype=t.BAR_EVENT)
_END_OF_SLICE = int(t.BarFlag.END_OF_SLICE)
_WARMUP = int(t.BarFlag.WARMUP)

Feed = Callable[[Records, int, int], None]
"""Feeds the events from one index up to another."""


class Interleaver:
    """Feeds bars slice by slice, each followed by what the askers answer to it, in the askers' order.

    An asker sees the state as it stands after the slice, never anything later.
    """

    def __init__(self, askers: Sequence[Asker]) -> None:
        self._askers = tuple(askers)
        self._slice: list[tuple[object, ...]] = []
        self._counts = False

    def run(self, events: Records, feed: Feed) -> None:
        """Feed these bars and the answers to them. An unfinished slice at their end is completed by the next call."""
        rows = events.tolist()
        flags = events["flags"]
        ends = (np.flatnonzero(flags & _END_OF_SLICE) + 1).tolist()
        is_counting = ((flags & _WARMUP) == 0).tolist()
        start = 0
        for stop in ends:
            feed(events, start, stop)
            bars = rows[start:stop]
            counts = True in is_counting[start:stop]
            if self._slice:
                bars, self._slice = self._slice + bars, []
                counts, self._counts = counts or self._counts, False
            start = stop
            if counts:
                answers = self._ask(bars)
                if len(answers):
                    feed(answers, 0, len(answers))
        if start < len(rows):
            feed(events, start, len(rows))
            self._slice += rows[start:]
            self._counts = self._counts or True in is_counting[start:]

    def _ask(self, bars: list[tuple[object, ...]]) -> Records:
        """All answers to one slice: nobody sees what another's answer has led to."""
        if len(self._askers) == 1:
            return self._askers[0].ask(bars)
        answers = [asker.ask(bars) for asker in self._askers]
        return np.concatenate([one for one in answers if len(one)] or [NOTHING])
