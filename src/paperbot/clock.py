"""The one place that reads a clock. Inside the engine time is the events' own; out here it measures and waits."""

import time

import numpy as np


class SystemClock:
    """The machine's clocks."""

    @staticmethod
    def now_ns() -> int:
        """Wall time, ns UTC."""
        return time.time_ns()

    @staticmethod
    def monotonic_s() -> float:
        """A time that only goes on, in seconds; differences of it are durations."""
        return time.monotonic()


def format_ts(ts: int) -> str:
    """Nanoseconds UTC as ISO 8601, with only as many digits as it has."""
    text = np.datetime_as_string(np.datetime64(ts, "ns"), unit="ns")
    seconds, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    return f"{seconds}.{fraction}Z" if fraction else f"{seconds}Z"
