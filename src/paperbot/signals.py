"""Signal handling: SIGTERM and Ctrl-C end a command, and everything it has open is closed."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from paperbot.clock import SystemClock
from paperbot.events import Events, Records

POLL_EVERY_S = 0.1


TERMINATED = 143
"""Exit code of a process that SIGTERM ended, by shell convention (128 + 15)."""


class Stopper:
    """A watcher that ends the run at the next call of the core after SIGTERM.

    The interpreter ignores a SystemExit that is raised inside a callback, so the signal must be remembered here.
    """

    stopping = False

    def events(self, events: Events) -> None:
        """Exit if SIGTERM has arrived."""
        del events
        if self.stopping:
            sys.exit(TERMINATED)

    def records(self, records: Records) -> None:
        """Ignored."""


@contextmanager
def terminable() -> Iterator[Stopper]:
    """Let SIGTERM end the block with SystemExit, so that everything is closed. The stopper must watch the run."""
    stopper = Stopper()

    def stop(*_: object) -> None:
        stopper.stopping = True
        sys.exit(TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stopper
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def holding(seconds: float) -> Iterator[None]:
    """Hold for `seconds` after the block. Ctrl-C and SIGTERM, in the block too, only end the hold.

    It polls: the kernel may deliver a signal to another thread. Python then runs the handler in the main thread, but
    only once that is awake, so a single long wait would ignore the signal.
    """
    interrupted = threading.Event()
    before = {number: signal.signal(number, lambda *_: interrupted.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
        end_s = SystemClock.monotonic_s() + seconds
        while not interrupted.is_set() and (left_s := end_s - SystemClock.monotonic_s()) > 0:
            time.sleep(min(left_s, POLL_EVERY_S))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
