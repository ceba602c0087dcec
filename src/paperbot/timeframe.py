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
CLOCK_CHANGE_NS = HOUR_NS
"""How much longer than usual a bar may be when its zone's clock is set back."""

IRREGULAR = 0.05
"""Share of steps that may be off the usual one: bars were cut short by an outage."""
FEW = 20


@dataclass(frozen=True)
class Timeframe:
    """`ns`: its length, or the longest that a calendar unit may have; `text`: `5m`, `1w`, `1M`, `1d@America/New_York`.

    `months`: 1 for calendar months, else 0; `zone`: whose clock the bars keep to, empty for that of UTC.
    """

    ns: int
    text: str
    months: int = 0
    zone: str = ""

    def closes(self, open_ts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Closing times (ns UTC) of bars that open then."""
        if self.zone:
            return np.array([self._local_close(int(ts)) for ts in open_ts], dtype=np.int64)
        if self.months:
            months = open_ts.astype("datetime64[ns]").astype("datetime64[M]") + 1
            return months.astype("datetime64[ns]").astype(np.int64)
        return open_ts + self.ns

    def misplaced(self, open_ts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which bars cannot open then: a month's that do not open with it."""
        if not self.months:
            return np.zeros(len(open_ts), dtype=np.bool_)
        if self.zone:
            local = [datetime.fromtimestamp(int(ts) / NS, ZoneInfo(self.zone)) for ts in open_ts]
            return np.array([(one.day, one.hour, one.minute) != (1, 0, 0) for one in local], dtype=np.bool_)
        months = open_ts.astype("datetime64[ns]").astype("datetime64[M]").astype("datetime64[ns]")
        return np.asarray(months.astype(np.int64) != open_ts)

    def _local_close(self, ts: int) -> int:
        local = datetime.fromtimestamp(ts / NS, UTC).astimezone(ZoneInfo(self.zone))
        after = datetime(local.year, local.month, local.day, local.hour, local.minute, tzinfo=local.tzinfo)
        if self.months:
            after = after.replace(year=after.year + after.month // 12, month=after.month % 12 + 1)
        else:
            after += timedelta(seconds=(self.ns - CLOCK_CHANGE_NS) // NS)
        return round(after.timestamp()) * NS


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def parse_timeframe(text: str) -> Timeframe:
    """`15s`, `5m`, `4h`, `1d`, `1w`, `1M`; hours, days, weeks and months by a zone's clock: `4h@ZONE`, `1M@ZONE`.

    Raises ValueError for anything else.
    """
    length, at, zone = text.partition("@")
    if not at:
        return Timeframe(LONGEST_MONTH_NS, text, months=1) if text == "1M" else fixed(duration_s(text) * NS)
    if not is_zone(zone):
        raise ValueError(f"{zone!r} is not a time zone, such as America/New_York")
    if length == "1M":
        return Timeframe(LONGEST_MONTH_NS + CLOCK_CHANGE_NS, text, months=1, zone=zone)
    ns = duration_s(length) * NS
    if ns % (2 * HOUR_NS):
        raise ValueError(f"{text!r}: only bars of whole two hours or more depend on a zone's clock")
    return Timeframe(ns + CLOCK_CHANGE_NS, text, zone=zone)


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
        raise ConfigError(_clock_change(fixed(common)))
    if close_ts is None and int((steps % common != 0).sum()) > IRREGULAR * len(steps):
        raise ConfigError("its bars are not equally far apart; give their length with --timeframe")
    return fixed(common)


def _clock_change(timeframe: Timeframe) -> str:
    zoned = f"--timeframe {timeframe.text}@America/New_York"
    return f"some of its bars are an hour shorter (a clock change?); give their zone, such as {zoned}"


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
    if timeframe.ns > HOUR_NS and timeframe.ns - CLOCK_CHANGE_NS in values:
        raise ConfigError(_clock_change(timeframe))
    # A bar that overlaps one of the usual length is refused, or reported, by its row.
    if timeframe.ns != usual_ns and int((steps < timeframe.ns).sum()) > IRREGULAR * len(steps):
        hint = f"; replay builds such bars with --resample {timeframe.text}" if timeframe.ns % usual_ns == 0 else ""
        raise ConfigError(f"its bars are {usual} apart: as bars of {timeframe.text} they would overlap{hint}")
    if timeframe.ns not in values and int(values[0]) % timeframe.ns == 0 and len(steps) > FEW:
        raise ConfigError(f"its bars are {usual} apart, and none is {timeframe.text} after the one before")
