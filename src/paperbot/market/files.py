"""Reads bar files of any known layout as columns. This is the only place that interprets a layout.

`market/layouts.py` has the layouts, `market/sheets.py` the containers, `market/times.py` the times.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from paperbot.errors import CommandError, ConfigError, DataError, did_you_mean
from paperbot.market.arrays import recognised
from paperbot.market.candles import Columns
from paperbot.market.headers import layout_of_names, layout_without_header, plain_name, volume_columns
from paperbot.market.layouts import (
    PRICES,
    ROLES,
    Layout,
)
from paperbot.market.numbers import Numbers
from paperbot.market.sheets import BATCH_ROWS, Sheet, open_sheet
from paperbot.market.times import EXPECTED, BadTimeError, epochs, times_of_stamps, times_of_text
from paperbot.market.volumes import Volumes, is_money, is_quote
from paperbot.symbols import OTHER_NAMES, split_symbol, understood
from paperbot.timeframe import DAY_NS, NS

DECIDED_ROWS = 5_000
_SYMBOL_NAMES = ("symbol", "ticker", "pair", "instrument", "asset_id", "market")
ARCHIVE_TURNOVER = 7
_FINAL = ("confirm", "complete", "is_closed", "is_final")
_FINAL_WORDS = {"1": True, "true": True, "0": False, "false": False}
_PIECES_OR_MONEY = {"volumen", "umsatz", "vol"}


@dataclass(frozen=True)
class Reading:
    """The user's options for a file: column names by role, time format, time zone, and the unit of its volume."""

    columns: Mapping[str, str] = field(default_factory=dict)
    time_format: str | None = None
    timezone: str | None = None
    volume_unit: str | None = None


def parse_columns(text: str | None) -> dict[str, str]:
    """Parse `open_ts=Datum,volume=Umsatz` into column names by role. Raises CommandError."""
    chosen: dict[str, str] = {}
    for part in text.split(",") if text else ():
        role, equals, name = part.partition("=")
        if not equals or not name.strip() or role.strip() not in ROLES:
            raise CommandError(f"--columns {part[:60]}: expected ROLE=NAME, where ROLE is one of {', '.join(ROLES)}")
        if role.strip() in chosen or name.strip() in chosen.values():
            raise CommandError(f"--columns {part[:60]}: this role or column is given twice")
        chosen[role.strip()] = name.strip()
    return chosen


class BarFile:
    """One file of bars. Raises DataError, with the file's name, for anything that cannot be read as bars.

    `volume_unit`: `base`, `quote`, or None if neither the file nor the user says; `notes`: remarks for the user.
    """

    def __init__(self, path: Path, reading: Reading | None = None) -> None:
        self.path = path
        self._reading = reading or Reading()
        try:
            self._sheet = open_sheet(path, told=bool(self._reading.columns))
            self.layout, self._places = self._recognised(self._sheet)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: cannot be read: {_first_sentence(error)}") from None
        self.notes = list(self._sheet.notes)
        self.volume_unit: str | None = {"base": "base", "two": "base", "quote": "quote"}.get(self.layout.volume)
        self.volume_unit = self._reading.volume_unit or self.volume_unit
        self._volumes = Volumes(str(path), self._sheet.names, self._volume_places(), self._shown)
        if len(self._volumes.places) > 1 and self._reading.volume_unit == "quote":
            shown = " and ".join(map(self._shown, self._volumes.places[:2]))
            raise DataError(f"{path}: {shown} may be the volume; choose the one in quote with --columns volume=NAME")
        if len(self._volumes.places) == 1 and self._reading.volume_unit is None:
            self._infer_unit(self._sheet.names[self._volumes.places[0]])
        self.numbers = Numbers(str(path), for_people=self.layout.thousands)
        self.numbers.decimals = self._sheet.written
        self._symbol: str | None = None
        self._left_out = self._unfinished = 0

    def _infer_unit(self, name: str) -> None:
        """Set `volume_unit` from the name of the only volume column; None if the name leaves it open."""
        if is_quote(name):  # Chosen by the user against the layout: its unit is unknown.
            self.volume_unit = None if "volume" in self._reading.columns else "quote"
        elif is_money(name) or (self.layout.volume == "two" and name in _PIECES_OR_MONEY):
            self.volume_unit = None

    # ---- which column is which
    def _recognised(self, sheet: Sheet) -> tuple[Layout, dict[str, list[int]]]:
        chosen = {role: self._chosen(sheet, role, name) for role, name in self._reading.columns.items()}
        if sheet.arrays:
            return recognised(self.path, sheet, chosen)
        layout = layout_of_names(sheet.names)
        if layout.refused:
            raise DataError(f"{self.path}: {layout.refused}")
        if not sheet.header:
            first = next(sheet.batches()).slice(0, 1).to_pylist()[0]
            layout = layout_without_header(list(first.values())) or layout
        places = self._by_layout(sheet, layout, chosen) | chosen
        self._refuse_twice(places)
        kind = _other_kind(set(sheet.names))
        for role in ("open_ts", *PRICES):
            if role not in places:
                if kind:
                    raise DataError(f"{self.path}: holds {kind}, not bars")
                has = ", ".join(sheet.header or sheet.names)[:120]
                raise DataError(f"{self.path}: no column for {role}; give it with --columns {role}=NAME; it has {has}")
        return layout, places

    def _by_layout(self, sheet: Sheet, layout: Layout, chosen: Mapping[str, list[int]]) -> dict[str, list[int]]:
        """Return the columns of the roles that the user has not chosen, by the layout's names."""
        places: dict[str, list[int]] = {}
        for role, names in (*layout.columns.items(), ("final", _FINAL)):
            if role not in chosen:
                columns = next((at for name in names if (at := self._placed(sheet, name)) is not None), None)
                places |= {role: columns} if columns is not None else {}
        if "open_ts" not in places and sheet.names[:1] == [""]:
            places["open_ts"] = [0]  # An unnamed first column is the index that pandas writes.
        return places

    def _refuse_twice(self, places: Mapping[str, list[int]]) -> None:
        roles = ("open_ts", *PRICES, "volume")
        used = [(place, role) for role in roles for place in places.get(role, ())]
        for place, role in used:
            other = next((second for at, second in used if at == place and second != role), None)
            if other:
                raise DataError(f"{self.path}: {role} and {other} cannot be the same column (--columns)")

    def _chosen(self, sheet: Sheet, role: str, name: str) -> list[int]:
        names = sheet.header or sheet.names
        exact = [index for index, column in enumerate(names) if column.strip() == name]
        matches = exact or [index for index, column in enumerate(sheet.names) if column == plain_name(name)]
        if not matches and name.isdigit() and int(name) < len(names):
            return [int(name)]
        if not matches and role == "open_ts" and " " in name:  # A date and a time.
            return [place for part in name.split() for place in self._chosen(sheet, role, part)]
        if len(matches) != 1:
            hint = did_you_mean(name, names)[:120]
            why = f"has two columns named {name[:60]}" if matches else f"has no column {name[:60]}{hint}"
            raise DataError(f"{self.path}: {why} (--columns {role}=…)")
        return matches

    def _placed(self, sheet: Sheet, name: str) -> list[int] | None:
        places = []
        for part in name.split(" "):
            matches = [index for index, column in enumerate(sheet.names) if column == part]
            if not matches:
                return None
            if len(matches) > 1 and len(part) == 1 and sheet.header:  # Binance's `t` and `T`: open and close.
                matches = [index for index in matches if sheet.header[index].strip() == part] or matches
            if len(matches) > 1:
                raise DataError(f"{self.path}: has two columns named {self._sheet_name(sheet, matches[0])}")
            places += matches
        return places

    @staticmethod
    def _sheet_name(sheet: Sheet, place: int) -> str:
        return (sheet.header[place] if sheet.header else f"column {place}")[:60]

    def _shown(self, place: int) -> str:
        return self._sheet_name(self._sheet, place)

    def _volume_places(self) -> list[int]:
        """Return the column that the user chose or the layout fixes, or all columns that may be the volume."""
        if "volume" in self._reading.columns:
            return self._places["volume"]
        if self.layout.name == "binance_archive":  # In coin-margined futures the first one counts contracts.
            return [*self._places["volume"], ARCHIVE_TURNOVER]
        if not self._sheet.header:
            return self._places.get("volume", [])
        named = volume_columns(self._sheet.names)
        places = [index for index, name in enumerate(self._sheet.names) if name in named]
        if self.layout.volume in {"quote", "unsaid"}:
            places = self._places.get("volume", places)[:1]
        if not places:
            shown = ", ".join(self._sheet.header)[:100]
            why = "no column for volume, and orders cannot fill without one; give it with --columns volume=NAME"
            raise DataError(f"{self.path}: {why}; it has {shown}")
        return places

    # ---- rows
    def batches(self) -> Iterator[Columns]:
        """Yield the bars, oldest first, at most BATCH_ROWS at a time. A newest-first file is read completely first."""
        read = self._in_order(self._read())
        rows = 0
        for columns in read:
            rows += len(columns)
            for at in range(0, len(columns), BATCH_ROWS):
                yield columns.cut(at, at + BATCH_ROWS)
        if rows == 0:
            raise DataError(f"{self.path}: holds no rows")
        if self._left_out:
            self.notes.append(f"rows without prices left out: {self._left_out}")
        if self._unfinished:
            self.notes.append(f"unfinished bars left out: {self._unfinished}")

    def _read(self) -> Iterator[Columns]:
        rows = 0
        try:
            for batch in self._sheet.batches():
                columns = self._columns(batch, rows)
                rows += batch.num_rows
                if len(columns):
                    yield columns
        except (pa.ArrowException, OSError, UnicodeError) as error:
            raise DataError(f"{self.path}: cannot be read as {self._sheet.kind}: {_first_sentence(error)}") from None

    def _in_order(self, read: Iterator[Columns]) -> Iterator[Columns]:
        """Return the batches oldest first; a newest-first file is reversed."""
        first = next(read, None)
        if first is None:
            return iter(())
        ends = int(first.open_ts[0]), int(first.open_ts[-1])
        if ends[0] <= ends[1]:
            return chain([first], read)
        self.notes.append("newest first: reversed")
        return iter([Columns.join([first, *read]).cut(None, None, -1)])

    def _columns(self, batch: Any, rows: int) -> Columns:
        everything = np.arange(rows + 1, rows + batch.num_rows + 1)
        priced = [batch.column(self._places[role][0]) for role in PRICES]
        if rows == 0:
            self.numbers.decide([*priced, *(batch.column(place) for place in self._volumes.places)])
        if rows < DECIDED_ROWS:
            for column in priced:
                self.numbers.note_decimals(column.slice(0, DECIDED_ROWS - rows))
        self._check_symbol(batch, rows)
        prices = {role: self.numbers.read(part, role, everything) for role, part in zip(PRICES, priced, strict=True)}
        if rows == 0 and not self._sheet.header and not self._reading.columns:
            self._refuse_other_order(prices)
        if self.layout.scaled and all((values == np.rint(values)).all() for values in prices.values()):
            raise DataError(f"{self.path}: all prices are whole numbers; Lean stores them x 10000: divide them")
        priced_rows = ~np.all([np.isnan(values) for values in prices.values()], axis=0)
        kept = priced_rows & self._final(batch, everything)
        if not kept.all():
            self._left_out += int((~priced_rows).sum())
            self._unfinished += int((priced_rows & ~kept).sum())
            batch = batch.filter(pa.array(kept))
            prices = {role: values[kept] for role, values in prices.items()}
        row = rows + np.flatnonzero(kept) + 1
        if len(row) == 0:
            empty = np.zeros(0)
            return Columns(np.zeros(0, dtype=np.int64), empty, empty, empty, empty, empty, row=row)
        open_ts = self._opens(batch, row)
        raw = [self.numbers.read(batch.column(place), "volume", row) for place in self._volumes.places]
        volume = self._volumes.base(raw, prices["low"], prices["high"], row)
        opening, high, low, close = prices.values()
        return Columns(open_ts, opening, high, low, close, volume, self._closes(batch, row), row)

    def _refuse_other_order(self, prices: Mapping[str, NDArray[np.float64]]) -> None:
        """Raise DataError unless most rows of a file without names fit the order open, high, low, close."""
        opening, high, low, close = (prices[role] for role in PRICES)
        wrong = (high < np.maximum(opening, close)) | (low > np.minimum(opening, close))
        if 2 * int(wrong.sum()) > len(wrong):
            order = "such as --columns open_ts=0,open=4,high=3,low=2,close=1,volume=5"
            raise DataError(f"{self.path}: its columns are not time, open, high, low, close; give their order, {order}")

    def _final(self, batch: Any, row: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows are final bars; all of them if the file does not say."""
        if "final" not in self._places:
            return np.ones(len(row), dtype=bool)
        place = self._places["final"][0]
        words = [str(cell).strip().lower() for cell in batch.column(place).to_pylist()]
        flags = [_FINAL_WORDS.get(word) for word in words]
        if None in flags:
            at = flags.index(None)
            cell = f"{self._shown(place)} = {words[at][:60]}"
            raise DataError(f"{self.path}: row {row[at]}: {cell} is not valid; allowed: 1 or true (final), 0 or false")
        return np.array(flags, dtype=bool)

    def check_symbol(self, asked: str) -> None:
        """Raises DataError if the symbol in the rows read so far is not `asked` (BASE/QUOTE)."""
        if self._symbol is None:
            return
        base = split_symbol(asked)[0]
        try:
            in_file: str | None = understood(self._symbol)[0]
        except ConfigError:
            in_file = None
        names = [base, *(other for other, usual in OTHER_NAMES.items() if usual == base)]
        same = split_symbol(in_file)[0] == base if in_file else any(name in self._symbol.upper() for name in names)
        if not same:
            hint = f"; use {in_file}" if in_file else ""
            raise DataError(f"{self.path}: row 1: its symbol is {self._symbol[:40]}, not {asked}{hint}")

    def _check_symbol(self, batch: Any, rows: int) -> None:
        """Raise DataError if the file holds several symbols."""
        place = next((at for at, name in enumerate(self._sheet.names) if name in _SYMBOL_NAMES), None)
        if place is None or batch.num_rows == 0:
            return
        values = batch.column(place)
        if self._symbol is None:
            self._symbol = str(values[0].as_py())
        others = [value.as_py() for value in pc.unique(values) if str(value.as_py()) != self._symbol]
        if others:
            at = next(index for index, value in enumerate(values) if value.as_py() == others[0])
            held = f"{self._symbol} and {others[0]}"[:80]
            raise DataError(f"{self.path}: row {rows + at + 1}: holds several symbols ({held}); split it by symbol")

    def _opens(self, batch: Any, row: NDArray[np.int64]) -> NDArray[np.int64]:
        open_ts = self._times(batch, "open_ts", row)
        if self.layout.label == "day_end":
            open_ts = open_ts // DAY_NS * DAY_NS
        if self.layout.zone is None and self._reading.timezone is None and (open_ts % DAY_NS != 0).any():
            raise DataError(f"{self.path}: {self.layout.title.partition(':')[0]}'s times have no zone; give --timezone")
        return open_ts

    def _closes(self, batch: Any, row: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the file's closing times or None; a close such as 59.999 s is rounded up to the full second."""
        if "close_ts" not in self._places:
            return None
        try:
            closes = self._times(batch, "close_ts", row)
        except DataError:
            if "close_ts" in self._reading.columns:
                raise
            return None  # The column means something else; it is not needed.
        for unit_ns, span_ns in ((1, NS), (1_000, NS), (1_000_000, NS), (NS, 60 * NS)):
            is_last = (closes % span_ns != 0) & ((closes + unit_ns) % span_ns == 0)
            closes = np.where(is_last, closes + unit_ns, closes)
        return closes

    def _times(self, batch: Any, role: str, row: NDArray[np.int64]) -> NDArray[np.int64]:
        places = self._places[role]
        column = batch.column(places[0])
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        user_format = self._reading.time_format if role == "open_ts" else None
        forced = user_format is not None
        formats: Sequence[str] = self.layout.formats if user_format is None else (user_format,)
        zone = self._reading.timezone or (self.layout.zone if self.layout.zone != "UTC" else None)
        try:
            if column.null_count:
                _refuse_empty(column)
            if len(places) > 1 and not pa.types.is_string(column.type):
                shown = " and ".join(map(self._shown, places))
                raise DataError(f"{self.path}: {shown} have different types; write date and time in one column")
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                text = column.cast(pa.string())
                if len(places) > 1:
                    text = pc.binary_join_element_wise(text, batch.column(places[1]).cast(pa.string()), " ")
                return times_of_text(text, formats, zone, forced=forced)
            if user_format is not None and pa.types.is_integer(column.type):
                return times_of_text(column.cast(pa.string()), formats, zone, forced=True)
            if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
                naive = pa.types.is_date(column.type) or column.type.tz is None
                stamps = column.cast(pa.timestamp("ns") if naive else pa.timestamp("ns", tz="UTC"))
                return times_of_stamps(stamps, zone if naive else None)
            if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
                return epochs(np.asarray(column.to_numpy(zero_copy_only=False)))
        except BadTimeError as error:
            value = " ".join(_shown_cell(batch.column(place), error.index) for place in places)[:60]
            raise DataError(
                f"{self.path}: row {row[error.index]}: {self._shown(places[0])} = {value} {error.why}"
            ) from None
        raise DataError(f"{self.path}: column {self._shown(places[0])} is {column.type}, not {EXPECTED}")


def _other_kind(names: set[str]) -> str:
    """Return what the columns hold if they are not bars, or an empty string."""
    if {"bid_open", "ask_open"} & names or {"bid", "ask"} <= names:
        return "quotes"
    if {"dividend", "split"} & names:
        return "corporate actions"
    if "price" in names and names & {"qty", "quantity", "size", "amount"}:
        return "trades"
    return ""


def _shown_cell(column: Any, index: int) -> str:
    cell = column.slice(index, 1)
    is_time = pa.types.is_timestamp(column.type)
    return str((cell.cast(pa.string()) if is_time else cell)[0].as_py())


def _refuse_empty(column: Any) -> None:
    raise BadTimeError(int(np.argmax(np.asarray(column.is_null()))), "is empty")


def _first_sentence(error: Exception) -> str:
    return " ".join(str(error).split()).split(". ")[0][:160]
