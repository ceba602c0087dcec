"""Reports what is odd in a file of bars and changes nothing. `docs/data.md` explains each finding."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from paperbot.clock import format_ts
from paperbot.market.candles import Columns
from paperbot.timeframe import DAY_NS, Timeframe

LINE_BARS = 6
SPLITS = tuple(range(2, 21))
SPLIT_TOLERANCE = 0.03
EXAMPLES = 3


@dataclass
class Finding:
    """One kind of oddity: its count, its first places in the file, and further detail."""

    kind: str
    count: int = 0
    examples: list[str] = field(default_factory=list)
    detail: str = ""


@dataclass
class FileCheck:
    """Checks a file batch by batch; it keeps the last bars of the previous batch."""

    timeframe: Timeframe
    price_decimals: int
    rows: int = 0
    missing: int = 0
    longest: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)
    _tail: Columns | None = None

    def add(self, columns: Columns) -> None:
        """Check the next batch."""
        new = len(columns)
        joined = Columns.join([self._tail, columns]) if self._tail is not None else columns
        first = len(joined) - new
        self._steps(joined, first)
        self._rows(joined, first)
        self._lines(joined, first)
        self.rows += new
        keep = max(len(joined) - LINE_BARS, 0)
        self._tail = joined.cut(keep, None)

    def finish(self, written_ns: int) -> list[Finding]:
        """Return all findings, sorted by kind. `written_ns`: the file's modification time, ns UTC."""
        if self.missing:
            self.findings["gap"].detail = f"{self.missing} bars missing, at most {self.longest} in a row"
        if self._tail is not None and int(self.timeframe.closes(self._tail.open_ts[-1:])[0]) > written_ns:
            self._note("unfinished last bar", [format_ts(int(self._tail.open_ts[-1]))])
        return [self.findings[kind] for kind in sorted(self.findings)]

    def _note(self, kind: str, where: Iterable[str]) -> None:
        finding = self.findings.setdefault(kind, Finding(kind))
        for text in where:
            finding.count += 1
            if len(finding.examples) < EXAMPLES:
                finding.examples.append(text)

    def _note_rows(self, kind: str, wrong: NDArray[np.bool_], columns: Columns, first: int) -> None:
        rows = np.flatnonzero(wrong)
        rows = rows[rows >= first]
        if len(rows):
            finding = self.findings.setdefault(kind, Finding(kind))
            finding.count += len(rows)
            for row in rows[: EXAMPLES - len(finding.examples)]:
                number = self.rows + row - first + 1 if columns.row is None else columns.row[row]
                finding.examples.append(f"row {number} ({format_ts(int(columns.open_ts[row]))})")

    def _steps(self, columns: Columns, first: int) -> None:
        closes = self.timeframe.closes(columns.open_ts)
        steps = np.diff(columns.open_ts, prepend=columns.open_ts[:1] - self.timeframe.ns)
        beyond = columns.open_ts - np.concatenate((columns.open_ts[:1], closes[:-1]))
        is_new = np.arange(len(steps)) >= first
        gaps = is_new & (beyond > 0)
        self._note_rows("gap", gaps, columns, first)
        if gaps.any():
            holes = -(-beyond[gaps] // self.timeframe.ns)
            self.missing += int(holes.sum())
            self.longest = max(self.longest, int(holes.max()))
        self._note_rows("duplicate time", steps == 0, columns, first)
        self._note_rows("time goes back", steps < 0, columns, first)
        self._note_rows("overlap with the bar before", (steps > 0) & (beyond < 0), columns, first)
        misplaced = self.timeframe.misplaced(columns.open_ts)
        self._note_rows("does not open on the first of a month", misplaced, columns, first)
        if columns.close_ts is not None and not (self.timeframe.months or self.timeframe.zone):
            self._note_rows("close does not match the timeframe", columns.close_ts != closes, columns, first)
        if self.timeframe.ns <= DAY_NS:
            self._note_rows("off the timeframe's grid", columns.open_ts % self.timeframe.ns != 0, columns, first)

    def _rows(self, columns: Columns, first: int) -> None:
        opening, high, low, close = columns.open, columns.high, columns.low, columns.close
        prices = (opening, high, low, close)
        finite = np.all([np.isfinite(values) for values in (*prices, columns.volume)], axis=0)
        self._note_rows("not a finite number", ~finite, columns, first)
        self._note_rows("price not above 0", np.any([values <= 0 for values in prices], axis=0), columns, first)
        outside = (high < low) | (opening > high) | (opening < low) | (close > high) | (close < low)
        self._note_rows("prices contradict each other", outside, columns, first)
        self._note_rows("negative volume", columns.volume < 0, columns, first)
        still = columns.volume == 0
        self._note_rows("zero volume with moving prices", still & (high > low), columns, first)
        self._note_rows("flat bar without volume", still & (high == low), columns, first)
        unit = 10.0**self.price_decimals
        # A computed float may differ from its decimal in the last bits.
        in_units = [values * unit for values in prices]
        fits = np.all(
            [np.abs(units - np.rint(units)) <= np.maximum(1e-4, units * 1e-15) for units in in_units], axis=0
        )
        self._note_rows(f"price finer than {self.price_decimals} decimals", ~fits & finite, columns, first)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = opening[1:] / close[:-1]
        looks_split = np.zeros(len(columns), dtype=np.bool_)
        for times in SPLITS:
            for factor in (float(times), 1.0 / times):
                looks_split[1:] |= np.abs(ratio / factor - 1.0) < SPLIT_TOLERANCE
        self._note_rows("looks like a split", looks_split, columns, first)

    def _lines(self, columns: Columns, first: int) -> None:
        """Note runs of at least LINE_BARS closes on a rising or falling straight line: probably interpolated."""
        step = np.diff(columns.close)
        bend = np.abs(np.diff(step)) <= 1e-9 * np.abs(columns.close[2:])
        straight = np.zeros(len(columns), dtype=np.int64)
        straight[2:] = bend & (np.abs(step[1:]) > 1e-12 * np.abs(columns.close[2:]))
        run = 0
        for row, is_straight in enumerate(straight.tolist()):
            run = run + 1 if is_straight else 0
            if run == LINE_BARS - 2 and row >= first:
                start = format_ts(int(columns.open_ts[row - LINE_BARS + 1]))
                self._note("straight line", [f"from {start}"])
