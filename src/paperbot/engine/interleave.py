"""Answers from outside the core, between slices: Python strategies and advice go through here."""

from collections.abc import Callable, Sequence

import numpy as np

from paperbot.core import types as t
from paperbot.ports import Asker, Records

NOTHING = np.zeros(0, dtype=t.BAR_EVENT)
_END_OF_SLICE = int(t.BarFlag.END_OF_SLICE)
_WARMUP = int(t.BarFlag.WARMUP)


class Interleaver:
    """Feeds bars slice by slice, each followed by what the askers answered to it, in the askers' order.

    An asker sees the state as it stands after the slice, never anything later.
    """

    def __init__(self, askers: Sequence[Asker]) -> None:
        self._askers = tuple(askers)
        self._answers = NOTHING
        self._slice: list[tuple[object, ...]] = []
        self._counts = False

    def run(self, events: Records, feed: Callable[[Records], None]) -> None:
        """Feed these bars. The answers to the last slice wait for the next call, or for `finish`."""
        rows = events.tolist()
        flags = events["flags"].tolist()
        start = 0
        for at, flag in enumerate(flags):
            is_end = flag & _END_OF_SLICE
            self._counts = self._counts or not flag & _WARMUP
            if not is_end and at + 1 < len(flags):
                continue
            part = events[start : at + 1]
            feed(np.concatenate((self._answers, part)) if len(self._answers) else part)
            self._answers = NOTHING
            self._slice += rows[start : at + 1]
            start = at + 1
            if is_end:
                bars, self._slice = self._slice, []
                counts, self._counts = self._counts, False
                if counts:
                    self._answers = self._ask(bars)

    def _ask(self, bars: list[tuple[object, ...]]) -> Records:
        if len(self._askers) == 1:
            return self._askers[0].ask(bars)
        answers = [asker.ask(bars) for asker in self._askers]
        return np.concatenate([one for one in answers if len(one)] or [NOTHING])

    @property
    def is_waiting(self) -> bool:
        """Whether answers wait for the next call."""
        return len(self._answers) > 0

    def finish(self, feed: Callable[[Records], None]) -> None:
        """Feed the answers to the last slice."""
        if len(self._answers):
            feed(self._answers)
            self._answers = NOTHING
