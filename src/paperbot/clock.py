"""The one place that reads a clock. Inside the engine time is the events' own; out here it measures and waits."""

import time
from datetime import UTC, datetime

import numpy as np

from paperbot.errors import CommandError


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


def parse_time(text: str | None, option: str) -> int | None:
    """A time of the command line in ns UTC. Raises CommandError."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} {text}: expected a time such as 2024-01-31 or 2024-01-31T12:00:00") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return round(moment.timestamp() * 1000) * 1_000_000
