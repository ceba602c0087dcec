"""Answers from outside the core, between slices: Python strategies and advice go through here."""

from collections.abc import Callable, Sequence

import numpy as np

from paperbot.engine.slices import Rows, Slices
from paperbot.events import NO_SIGNALS, Bars, Events
from paperbot.ports import Asker

Feed = Callable[[Events, int, int], None]
"""Feeds the events from one index up to another."""


class Interleaver:
    """Feeds bars slice by slice, each followed by what the askers answer to it, in the askers' order.

    An asker sees the state as it stands after the slice, never anything later.
    """

    def __init__(self, askers: Sequence[Asker]) -> None:
        self._askers = tuple(askers)
        self._slices = Slices()

    def run(self, bars: Bars, feed: Feed) -> None:
        """Feed these bars and the answers to them. An unfinished slice at their end is completed by the next call."""
        start = 0
        for stop, rows in self._slices.add(bars):
            feed(bars, start, stop)
            start = stop
            if rows is not None:
                answers = self._ask(rows)
                if len(answers):
                    feed(answers, 0, len(answers))
        if start < len(bars):
            feed(bars, start, len(bars))

    def _ask(self, rows: Rows) -> Events:
        """All answers to one slice: nobody sees what another's answer has led to."""
        if len(self._askers) == 1:
            return self._askers[0].ask(rows)
        answers = [asker.ask(rows) for asker in self._askers]
        return Events(np.concatenate([one for one in answers if len(one)] or [NO_SIGNALS]))
