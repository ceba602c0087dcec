"""How a command ends: SIGTERM and Ctrl-C close everything on the way out."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from paperbot.clock import SystemClock
from paperbot.events import Events, Records

LOOKED_EVERY_S = 0.1


TERMINATED = 143
"""Exit code of a process that SIGTERM ended, as shells count it."""


class Stopper:
    """A watcher that ends the run at its next call once SIGTERM has come: an exit that is raised in the middle of a
    callback is ignored by the interpreter, and then this is what remembers it.
    """

    told = False

    def events(self, events: Events) -> None:
        """Before each call of the core."""
        del events
        if self.told:
            sys.exit(TERMINATED)

    def records(self, records: Records) -> None:
        """What came out is none of its business."""


@contextmanager
def terminable() -> Iterator[Stopper]:
    """SIGTERM ends the run as Ctrl-C does: everything on the way out is closed. The stopper is to watch the run."""
    stopper = Stopper()

    def stop(*_: object) -> None:
        stopper.told = True
        sys.exit(TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stopper
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def holding(seconds: float) -> Iterator[None]:
    """From here on Ctrl-C and SIGTERM only end the hold, which begins when the block is left.

    It polls: the kernel may deliver a signal to another thread. Python then runs the handler in the main thread, but
    only once that is awake, so a single long wait would ignore the signal.
    """
    told = threading.Event()
    before = {number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
        end_s = SystemClock.monotonic_s() + seconds
        while not told.is_set() and (left_s := end_s - SystemClock.monotonic_s()) > 0:
            time.sleep(min(left_s, LOOKED_EVERY_S))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
