"""Feeds answers from outside the core between slices: those of Python strategies and the advisor."""

from collections.abc import Callable, Sequence

import numpy as np

from paperbot.engine.slices import Rows, Slices
from paperbot.events import NO_SIGNALS, Bars, Events
from paperbot.ports import Asker

Feed = Callable[[Events, int, int], None]
"""Feeds the events from one index up to another."""


class Interleaver:
    """Feeds bars slice by slice, and after each slice the askers' answers, in the askers' order.

    An asker sees the state directly after the slice, never a later one.
    """

    def __init__(self, askers: Sequence[Asker]) -> None:
        self._askers = tuple(askers)
        self._slices = Slices()

    def run(self, bars: Bars, feed: Feed) -> None:
        """Feed bars and the answers to their slices. The next call completes an unfinished slice at the end."""
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
        """Collect all answers to one slice before any is fed, so that no asker sees the effects of another's answer."""
        if len(self._askers) == 1:
            return self._askers[0].ask(rows)
        answers = [asker.ask(rows) for asker in self._askers]
        return Events(np.concatenate([events for events in answers if len(events)] or [NO_SIGNALS]))
