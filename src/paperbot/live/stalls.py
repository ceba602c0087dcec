"""Measures how long the event loop is blocked; meanwhile no bar is taken and no command is answered."""

import asyncio
from collections.abc import Callable

from paperbot.ports import Clock

BEAT_S = 0.02
WINDOW_S = 60.0


class StallWatch:
    """A heartbeat every 20 ms that measures its own delay. `excused_s`: a running total of seconds that do not count,
    such as waits for a commit.
    """

    def __init__(self, clock: Clock, excused_s: Callable[[], float]) -> None:
        self._clock, self._excused_s = clock, excused_s
        self._before = self._worst = 0.0
        self._since_s = clock.monotonic_s()

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            began_s, excused_s = self._clock.monotonic_s(), self._excused_s()
            await asyncio.sleep(BEAT_S)
            passed_s = self._clock.monotonic_s() - began_s
            self._worst = max(self._worst, passed_s - BEAT_S - (self._excused_s() - excused_s))

    @property
    def longest_s(self) -> float:
        """The longest stall of the last one to two minutes, in seconds."""
        now_s = self._clock.monotonic_s()
        if now_s - self._since_s >= WINDOW_S:
            self._before, self._worst, self._since_s = self._worst, 0.0, now_s
        return max(self._before, self._worst)
