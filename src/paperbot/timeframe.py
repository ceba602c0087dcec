"""Timeframes: the length of a bar, either a fixed time or a calendar unit whose close depends on the calendar."""

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
"""How much longer a bar can be than usual when its zone's clock is set back."""

IRREGULAR = 0.05
"""Share of steps that may differ from the usual one, because an outage cut bars short."""
FEW = 20


@dataclass(frozen=True)
class Timeframe:
    """The length of a bar.

    `ns`: its length, or the longest possible one of a calendar unit. `text`: its name, such as `5m`, `1w`, `1M` or
    `1d@America/New_York`. `months`: 1 for calendar months, else 0. `zone`: the time zone of the bars, empty for UTC.
    """

    ns: int
    text: str
    months: int = 0
    zone: str = ""

    def closes(self, open_ts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Closing times of the bars that open at `open_ts`, both in ns UTC."""
        if self.zone:
            return np.array([self._local_close(int(ts)) for ts in open_ts], dtype=np.int64)
        if self.months:
            months = open_ts.astype("datetime64[ns]").astype("datetime64[M]") + 1
            return months.astype("datetime64[ns]").astype(np.int64)
        return open_ts + self.ns

    def misplaced(self, open_ts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which bars open at an impossible time: monthly bars that do not open on the first of a month."""
        if not self.months:
            return np.zeros(len(open_ts), dtype=np.bool_)
        if self.zone:
            local = [datetime.fromtimestamp(int(ts) / NS, ZoneInfo(self.zone)) for ts in open_ts]
            return np.array([(at.day, at.hour, at.minute) != (1, 0, 0) for at in local], dtype=np.bool_)
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
    """Whether a time zone of this name exists."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def parse_timeframe(text: str) -> Timeframe:
    """Parse `15s`, `5m`, `4h`, `1d`, `1w` or `1M`; with `@ZONE`, hours to months follow that zone's clock.

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
        raise ValueError(f"{text!r}: a time zone is for bars of whole two hours or longer; leave it out")
    return Timeframe(ns + CLOCK_CHANGE_NS, text, zone=zone)


def fixed(ns: int) -> Timeframe:
    """The timeframe of a fixed length in ns."""
    for unit, size in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if ns % (size * NS) == 0 and (unit != "w" or ns == size * NS):
            return Timeframe(ns, f"{ns // (size * NS)}{unit}")
    return Timeframe(ns, f"{ns / NS:g}s")


def told_by(open_ts: NDArray[np.int64], close_ts: NDArray[np.int64] | None) -> Timeframe | None:
    """Derive the timeframe from the first bars: months if all open on the first of a month, else the commonest step.

    `close_ts`: closing times, if the file has them. Returns None with too few bars. Raises ConfigError for bars whose
    spacing is irregular or depends on a time zone that is not given.
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
        raise ConfigError("its bars are 28 to 31 days apart; monthly bars must open on the first of a month")
    values, counts = np.unique(steps, return_counts=True)
    common = int(values[np.argmax(counts)])
    hours = {int(step) // (3600 * NS) for step in values if int(step) % (3600 * NS) == 0}
    if close_ts is None and common == DAY_NS and hours & {23, 25}:
        raise ConfigError("its days have 23, 24 and 25 hours; give their zone, such as --timeframe 1d@America/New_York")
    if close_ts is None and common > HOUR_NS and common - HOUR_NS in values:
        raise ConfigError(_clock_change(fixed(common)))
    if close_ts is None and int((steps % common != 0).sum()) > IRREGULAR * len(steps):
        raise ConfigError("its bars are not evenly spaced; give their length with --timeframe")
    return fixed(common)


def _clock_change(timeframe: Timeframe) -> str:
    zoned = f"--timeframe {timeframe.text}@America/New_York"
    return f"some of its bars are an hour shorter (a clock change?); give their zone, such as {zoned}"


def check_declared(timeframe: Timeframe, open_ts: NDArray[np.int64]) -> None:
    """Check a declared timeframe against the first bars of a file.

    Raises ConfigError if the bars would overlap, or if no two of them are that far apart.
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
    # A few bars that overlap their neighbours are refused, or reported, later and by row.
    if timeframe.ns != usual_ns and int((steps < timeframe.ns).sum()) > IRREGULAR * len(steps):
        hint = f"; replay builds such bars with --resample {timeframe.text}" if timeframe.ns % usual_ns == 0 else ""
        raise ConfigError(f"its bars are {usual} apart: as bars of {timeframe.text} they would overlap{hint}")
    if timeframe.ns not in values and int(values[0]) % timeframe.ns == 0 and len(steps) > FEW:
        raise ConfigError(f"its bars are {usual} apart; no two are {timeframe.text} apart")
