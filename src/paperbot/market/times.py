"""Reads times in data files: epoch numbers in a unit recognised per value, and text in unambiguous formats.

A date (20200102) or a spreadsheet's day number is never read as an epoch: such numbers lie outside the four ranges of
seconds, milliseconds, microseconds and nanoseconds from 1990 to 2100.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

FIRST_S, LAST_S = 631_152_000, 4_102_444_800
"""1990-01-01 and 2100-01-01, in seconds."""

FIRST_DATE, LAST_DATE = 1_990_010_100, 2_101_010_100
"""1990 and 2101 as YYYYMMDDHH."""

_UNITS = ((1, 10**9), (10**3, 10**6), (10**6, 10**3), (10**9, 1))
"""(units per second, nanoseconds per unit)."""

_DIGITS = r"^\d+(\.\d*)?$"
_WHOLE = r"^\d{1,18}$"
_ISO = r"^\d{4}[-./]\d{1,2}[-./]\d{1,2}([ T]\d{1,2}:\d{2}(:\d{2}([.,]\d{1,9})?)?)?( ?(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?))?$"
_ZONED = r"(Z|UTC|GMT|[+-]\d{2}:?\d{2}|:\d{2}(\.\d+)?[+-]\d{2})$"
_DUKASCOPY = r"^(\d{2})\.(\d{2})\.(\d{4}) (\d{2}:\d{2}:\d{2}(?:\.\d+)?) GMT([+-]\d{4})$"
EXPECTED = "an epoch of 1990 to 2100 (s, ms, us or ns) or ISO 8601"
_SHAPES = (
    (r"^\d{8}$", "%Y%m%d"),
    (r"^\d{10}$", "%Y%m%d%H"),
    (r"^\d{12}$", "%Y%m%d%H%M"),
    (r"^\d{14}$", "%Y%m%d%H%M%S"),
    (r"^\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d{2}$", "%d/%m/%Y %H:%M' or '%m/%d/%Y %H:%M"),
    (r"^\d{1,2}/\d{1,2}/\d{4}$", "%d/%m/%Y' or '%m/%d/%Y"),
    (r"^\d{1,2}\.\d{1,2}\.\d{4}$", "%d.%m.%Y"),
    (r"^\d{1,2}\.\d{1,2}\.\d{4} \d{1,2}:\d{2}$", "%d.%m.%Y %H:%M"),
)


class BadTimeError(Exception):
    """A value cannot be read as a time: its index, and the reason to show after the value."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(why)
        self.index, self.why = index, why


def epochs(values: NDArray[Any]) -> NDArray[np.int64]:
    """Convert epochs to ns UTC; each value's size gives its unit. Raises BadTimeError outside 1990 to 2100."""
    result = np.zeros(len(values), dtype=np.int64)
    is_epoch = np.zeros(len(values), dtype=np.bool_)
    for per_second, unit_ns in _UNITS:
        fits = (values >= FIRST_S * per_second) & (values < LAST_S * per_second)
        if values.dtype.kind == "f":
            # A float64 of seconds is exact to the microsecond.
            result[fits] = np.rint(values[fits] * (1e6 / per_second)).astype(np.int64) * 1000
        else:
            result[fits] = values[fits].astype(np.int64) * unit_ns
        is_epoch |= fits
    is_epoch &= ~_may_be_dates(values)
    if not is_epoch.all():
        raise BadTimeError(int(np.argmin(is_epoch)), f"is not {EXPECTED}")
    return result


def _may_be_dates(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which numbers of 10 or 16 digits may be dates (YYYYMMDDHH…); as epochs they lie in 2033 to 2036."""
    may_be = np.zeros(len(values), dtype=np.bool_)
    for tail in (1, 10**6):
        inside = (values >= FIRST_DATE * tail) & (values < LAST_DATE * tail)
        number = (np.where(inside, values, 0) // tail).astype(np.int64)
        month, day, hour = number // 10**4 % 100, number // 100 % 100, number % 100
        may_be |= inside & (month % 13 > 0) & (month < 13) & (day % 32 > 0) & (day < 32) & (hour < 24)  # noqa: PLR2004
    return may_be


def times_of_text(column: Any, formats: Sequence[str], zone: str | None, *, forced: bool) -> NDArray[np.int64]:
    """Convert a column of text to ns UTC. Raises BadTimeError.

    `formats`: the layout's formats, or (`forced`) only the user's; `zone`: for times without a zone; None: UTC.
    """
    text = pc.replace_substring_regex(pc.utf8_trim_whitespace(column), _DUKASCOPY, r"\3-\2-\1 \4\5")
    first = text[0].as_py() or ""
    if not forced and not any(_compact(form) for form in formats) and re.match(_DIGITS, first):
        return _digits(text)
    if not forced and re.match(_ISO, first):
        return _converted(text, partial(_iso, zone=zone), f"is not {EXPECTED}")
    for form in formats:
        if _fits(first, form):
            why = f"is not in the format {form} of the first row"
            return _converted(text, partial(_formatted, form=form, zone=zone), why)
    if forced:
        raise BadTimeError(0, f"does not fit --time-format {formats[0]}")
    hint = next((f"; give --time-format '{shape}'" for pattern, shape in _SHAPES if re.match(pattern, first)), "")
    raise BadTimeError(0, f"is not {EXPECTED}{hint or '; give another format with --time-format'}")


def times_of_stamps(stamps: Any, zone: str | None) -> NDArray[np.int64]:
    """Convert a column of timestamps to ns UTC; `zone`: for those without a zone. Raises BadTimeError."""

    def convert(part: Any) -> NDArray[np.int64]:
        return _as_ns(_placed(part, zone))

    return _converted(stamps, convert, f"is not {EXPECTED}")


def _compact(form: str) -> bool:
    """Whether times in this format are digits only and could be mistaken for a number."""
    return not re.search(r"[^%YmdHMS]", form)


def _digits(text: Any) -> NDArray[np.int64]:
    is_number = np.asarray(pc.match_substring_regex(text, _DIGITS))
    if not is_number.all():
        raise BadTimeError(int(np.argmin(is_number)), "is not a number, unlike the first row")
    is_whole = np.asarray(pc.match_substring_regex(text, _WHOLE))
    result = np.zeros(len(text), dtype=np.int64)
    for mask, kind in ((is_whole, pa.int64()), (~is_whole, pa.float64())):
        at = np.flatnonzero(mask)
        if len(at):
            numbers = text.take(pa.array(at)).cast(kind).to_numpy(zero_copy_only=False)
            try:
                result[at] = epochs(numbers)
            except BadTimeError as error:
                index = int(at[error.index])
                shape = next((form for pattern, form in _SHAPES if re.match(pattern, text[index].as_py())), "")
                hint = f"; if it is a date, give --time-format {shape}" if shape else ""
                raise BadTimeError(index, error.why + hint) from None
    return result


def _iso(text: Any, zone: str | None) -> NDArray[np.int64]:
    for pattern, wanted in (
        (r"^(\d{4})[./](\d{1,2})[./](\d{1,2})", r"\1-\2-\3"),
        (r"^(\d{4})-(\d)-", r"\1-0\2-"),
        (r"^(\d{4}-\d{2})-(\d)([ T]|$)", r"\1-0\2\3"),
        (r"([ T])(\d):", r"\10\2:"),  # In a replacement, a group number has one digit.
    ):
        text = pc.replace_substring_regex(text, pattern, wanted)
    text = pc.replace_substring_regex(text, r" ?(UTC|GMT)$", "Z")
    text = pc.replace_substring_regex(pc.replace_substring(text, ",", "."), r" ([+-]\d{2}:?\d{2})$", r"\1")
    zoned = np.asarray(pc.match_substring_regex(text, _ZONED))
    is_date_only = np.asarray(pc.match_substring_regex(text, r"^\d{4}-\d{2}-\d{2}$"))
    if (zoned & ~is_date_only).all():
        return _as_ns(text.cast(pa.timestamp("ns", tz="UTC")))
    if zoned[~is_date_only].any():
        raise pa.ArrowInvalid("times with and without a zone")
    return _as_ns(_placed(text.cast(pa.timestamp("ns")), zone))


def _formatted(text: Any, form: str, zone: str | None) -> NDArray[np.int64]:
    if "%z" in form:
        return _as_ns(pc.strptime(text, format=form, unit="us").cast(pa.timestamp("ns", tz="UTC")))
    if "%f" in form:  # Arrow's strptime does not parse fractions.
        fraction = pc.replace_substring_regex(text, r"^.*\.(\d{1,9})[^.]*$", r"\1")
        whole = _formatted(pc.replace_substring_regex(text, r"\.\d{1,9}([^.]*)$", r"\1"), form.replace(".%f", ""), zone)
        parts = pc.utf8_rpad(fraction, 9, "0").cast(pa.int64()).to_numpy(zero_copy_only=False)
        return np.asarray(whole + parts, dtype=np.int64)
    stamps = pc.strptime(text, format=form, unit="s")
    _refuse_impossible_dates(text, stamps, form)
    return _as_ns(_placed(stamps.cast(pa.timestamp("ns")), zone))


def _refuse_impossible_dates(text: Any, stamps: Any, form: str) -> None:
    """Raise ValueError for an impossible date, such as 30 February, which Arrow reads as 1 March."""
    doubtful = pc.and_(pc.less_equal(pc.day(stamps), 3), pc.match_substring_regex(text, "29|30|31"))
    for value in text.filter(pc.fill_null(doubtful, fill_value=False)).to_pylist():
        datetime.strptime(value, form).replace(tzinfo=UTC)


def _placed(naive: Any, zone: str | None) -> Any:
    """Interpret times without a zone in `zone`, if given."""
    return pc.assume_timezone(naive, zone, ambiguous="raise", nonexistent="raise") if zone else naive


def _as_ns(times: Any) -> NDArray[np.int64]:
    if times.null_count:
        raise pa.ArrowInvalid("a value that is not a time")
    numbers: NDArray[np.int64] = np.asarray(times.cast(pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)
    refuse_impossible(numbers)
    return numbers


def refuse_impossible(numbers: NDArray[np.int64]) -> None:
    """Raise ArrowInvalid for times (ns UTC) outside 1900 to 2100 or in the first three days around 1970-01-01.

    Epochs stored with the wrong unit end up in those days.
    """
    if ((numbers < FIRST_YEAR_NS) | (numbers >= LAST_S * 10**9)).any():
        raise pa.ArrowInvalid("a time outside 1900 to 2100")
    if (np.abs(numbers) < 3 * 86_400 * 10**9).any():
        raise pa.ArrowInvalid("a time in the first days of 1970; it was probably written with the wrong unit")


FIRST_YEAR_NS = -2_208_988_800 * 10**9
"""1900-01-01."""


def _fits(first: str, form: str) -> bool:
    try:
        datetime.strptime(first, form).replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def _converted(text: Any, convert: Callable[[Any], NDArray[np.int64]], why: str) -> NDArray[np.int64]:
    """Convert all values. Raises BadTimeError for the first that cannot be converted, found by bisection."""
    try:
        return convert(text)
    except (pa.ArrowException, ValueError):
        start, stop = 0, len(text)
        while stop - start > 1:
            middle = (start + stop) // 2
            try:
                convert(text.slice(0, middle))
            except (pa.ArrowException, ValueError):
                stop = middle
            else:
                start = middle
        raise BadTimeError(start, _why_not(text, start, convert) or why) from None


def _why_not(text: Any, at: int, convert: Callable[[Any], NDArray[np.int64]]) -> str:
    """Return why a well-formed time cannot be converted; empty if its format is the problem."""
    try:
        convert(text.slice(at, 1))
    except (pa.ArrowException, ValueError) as error:
        words = str(error)
        if "ambiguous" in words:
            return "occurs twice in this zone, because the clock was set back; give times with their offset, or in UTC"
        if words.startswith("a time"):
            return f"is {words}"
        if "doesn't exist" in words:
            return "does not exist in this zone, because the clock was set forward; check --timezone"
        return ""
    return "has a zone and the times before it have none, or vice versa"
