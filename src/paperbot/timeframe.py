"""How long a bar lasts: a fixed time, or a calendar unit whose close the calendar gives."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from paperbot.errors import ConfigError
from paperbot.knobs import duration_s

NS = 1_000_000_000
DAY_NS = 86_400 * NS
LONGEST_MONTH_NS = 31 * DAY_NS
HOUR_NS = 3_600 * NS
IRREGULAR = 0.05
"""Share of steps that may be off the usual one: bars were cut short by an outage."""
FEW = 20


@dataclass(frozen=True)
class Timeframe:
    """`ns`: its length, or the longest that a calendar unit may have; `text`: `5m`, `1w`, `1M`, `1d@America/New_York`.

    `months`: 1 for calendar months, else 0; `zone`: of local days, empty for others.
    """

    ns: int
    text: str
    months: int = 0
    zone: str = ""

    def closes(self, open_ts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Closing times (ns UTC) of bars that open then."""
        if self.months:
            months = open_ts.astype("datetime64[ns]").astype("datetime64[M]") + 1
            return months.astype("datetime64[ns]").astype(np.int64)
        if self.zone:
            return np.array([_next_day(int(ts), self.zone) for ts in open_ts], dtype=np.int64)
        return open_ts + self.ns


def _next_day(ts: int, zone: str) -> int:
    local = datetime.fromtimestamp(ts / NS, UTC).astimezone(ZoneInfo(zone))
    after = datetime(local.year, local.month, local.day, local.hour, local.minute, tzinfo=local.tzinfo)
    return round((after + timedelta(days=1)).timestamp()) * NS


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def parse_timeframe(text: str) -> Timeframe:
    """`15s`, `5m`, `4h`, `1d`, `1w`, `1M`, `1d@ZONE`. Raises ValueError for anything else."""
    if text == "1M":
        return Timeframe(LONGEST_MONTH_NS, text, months=1)
    if text.startswith("1d@"):
        if not is_zone(text[3:]):
            raise ValueError(f"{text[3:]!r} is not a time zone, such as America/New_York")
        return Timeframe(DAY_NS + 3600 * NS, text, zone=text[3:])
    return fixed(duration_s(text) * NS)


def fixed(ns: int) -> Timeframe:
    """A timeframe of a fixed length."""
    for unit, size in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if ns % (size * NS) == 0 and (unit != "w" or ns == size * NS):
            return Timeframe(ns, f"{ns // (size * NS)}{unit}")
    return Timeframe(ns, f"{ns / NS:g}s")


def told_by(open_ts: NDArray[np.int64], close_ts: NDArray[np.int64] | None) -> Timeframe | None:
    """The timeframe of a file's first bars: months where all open on the first of one, else the commonest step.

    `close_ts`: closes that the file itself gives. None with too few bars. Raises ConfigError for days of 23, 24 and 25
    hours, which need their zone.
    """
    opens = open_ts[:1000]
    steps = np.diff(opens)
    if close_ts is not None and len(opens):
        steps = close_ts[:1000] - opens
    steps = steps[steps > 0]
    if len(steps) == 0:
        return None
    months = opens.astype("datetime64[ns]").astype("datetime64[M]")
    if (months.astype("datetime64[ns]").astype(np.int64) == opens).all() and steps.min() >= 28 * DAY_NS:
        if int(np.diff(months.astype(np.int64)).min(initial=12)) > 1:
            raise ConfigError("its bars are more than a month apart; quarters and years are not supported")
        return Timeframe(LONGEST_MONTH_NS, "1M", months=1)
    if steps.min() >= 28 * DAY_NS and steps.max() <= 31 * DAY_NS and len(np.unique(steps)) > 1:
        raise ConfigError("its bars are 28 to 31 days apart, but do not open on the first of a month; label them by it")
    values, counts = np.unique(steps, return_counts=True)
    common = int(values[np.argmax(counts)])
    hours = {int(step) // (3600 * NS) for step in values if int(step) % (3600 * NS) == 0}
    if close_ts is None and common == DAY_NS and hours & {23, 25}:
        raise ConfigError("its days have 23, 24 and 25 hours; give their zone, such as --timeframe 1d@America/New_York")
    if close_ts is None and common > HOUR_NS and common - HOUR_NS in values:
        raise ConfigError("some of its bars are an hour shorter (a clock change?); give times in UTC")
    if close_ts is None and int((steps % common != 0).sum()) > IRREGULAR * len(steps):
        raise ConfigError("its bars are not equally far apart; give their length with --timeframe")
    return fixed(common)


def check_declared(timeframe: Timeframe, open_ts: NDArray[np.int64]) -> None:
    """Raises ConfigError for a timeframe that a file's first bars contradict: longer than their steps, or a length that
    none of them has.
    """
    steps = np.diff(open_ts[:1000])
    steps = steps[steps > 0]
    if len(steps) == 0 or timeframe.months or timeframe.zone:
        return
    values, counts = np.unique(steps, return_counts=True)
    usual_ns = int(values[np.argmax(counts)])
    usual = fixed(usual_ns).text
    # A bar that overlaps one of the usual length is refused, or reported, by its row.
    if timeframe.ns != usual_ns and int((steps < timeframe.ns).sum()) > IRREGULAR * len(steps):
        hint = f"; replay builds such bars with --resample {timeframe.text}" if timeframe.ns % usual_ns == 0 else ""
        raise ConfigError(f"its bars are {usual} apart: as bars of {timeframe.text} they would overlap{hint}")
    if timeframe.ns not in values and int(values[0]) % timeframe.ns == 0 and len(steps) > FEW:
        raise ConfigError(f"its bars are {usual} apart, and none is {timeframe.text} after the one before")
