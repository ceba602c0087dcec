"""The only module that reads a clock, to measure and to wait. The engine takes its time from the events."""

import time
from datetime import UTC, datetime

import numpy as np

from paperbot.errors import CommandError


class SystemClock:
    """The operating system's clocks."""

    @staticmethod
    def now_ns() -> int:
        """Wall time, ns UTC."""
        return time.time_ns()

    @staticmethod
    def monotonic_s() -> float:
        """Seconds of a clock that never goes backwards; only differences are meaningful."""
        return time.monotonic()


def format_ts(ts: int) -> str:
    """Format nanoseconds UTC as ISO 8601, without trailing zeros in the fraction."""
    text = np.datetime_as_string(np.datetime64(ts, "ns"), unit="ns")
    seconds, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    return f"{seconds}.{fraction}Z" if fraction else f"{seconds}Z"


def parse_time(text: str | None, option: str) -> int | None:
    """Parse a command-line time into ns UTC; a time without a zone is UTC. Raises CommandError if it is invalid."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} {text}: expected a time such as 2024-01-31 or 2024-01-31T12:00:00") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return round(moment.timestamp() * 1000) * 1_000_000
