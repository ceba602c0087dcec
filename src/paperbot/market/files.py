"""Recorded bars from Parquet and CSV files, read in batches so that memory does not grow with their length.

Known layouts: a header with the usual names (see `_ALIASES`) and times as epoch seconds, milliseconds, microseconds,
nanoseconds or ISO 8601; and the header-less kline files of Binance's public archive. Other kinds of market data are
recognised and refused by name.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from paperbot.errors import DataError
from paperbot.market.candles import Columns

BATCH_ROWS = 1 << 17

_ALIASES = {
    "open_ts": (
        "ts",
        "time",
        "timestamp",
        "date",
        "datetime",
        "open_time",
        "opentime",
        "open_ts",
        "start",
        "t",
        "unix",
    ),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price"),
    "volume": ("volume", "v", "vol", "base_volume", "volume_base", "amount"),
}
_ARCHIVE = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time"),
    *("quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)
_NS_PER_UNIT = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))


class BarFile:
    """One file of bars. Raises DataError, with the file's name, for anything that cannot be read as bars."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise DataError(f"{path}: there is no such file")
        if path.stat().st_size == 0:
            raise DataError(f"{path}: is empty")
        self._is_parquet = _starts_with(path, b"PAR1")
        if not self._is_parquet and _starts_with(path, b"\x1f\x8b"):
            raise DataError(f"{path}: is a gzip file (a raw feed?); bars are read from Parquet or CSV")

    def batches(self) -> Iterator[Columns]:
        """The bars in file order, at most BATCH_ROWS at a time."""
        rows = 0
        try:
            for batch in self._parquet() if self._is_parquet else self._csv():
                columns = self._columns(batch, rows)
                rows += len(columns)
                for at in range(0, len(columns), BATCH_ROWS):
                    yield _cut(columns, at, at + BATCH_ROWS)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            kind = "Parquet" if self._is_parquet else "CSV"
            raise DataError(f"{self.path}: cannot be read as {kind}: {_first_sentence(error)}") from None
        if rows == 0:
            raise DataError(f"{self.path}: holds no rows")

    def _parquet(self) -> Iterator[Any]:
        with pq.ParquetFile(self.path) as file:
            names = self._pick(file.schema_arrow.names)
            # One row group at a time: over several, pyarrow keeps what it has read.
            for group in range(file.num_row_groups):
                yield from file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=list(names.values()))

    def _csv(self) -> Iterator[Any]:
        with self.path.open("rb") as head:
            first = next(csv.reader([head.readline(1 << 16).decode("utf-8-sig").strip()]), [""])
        has_header = not first[0].replace(".", "").isdigit()
        if not has_header and len(first) != len(_ARCHIVE):
            raise DataError(
                f"{self.path}: has no header and {len(first)} columns; a kline file without header has {len(_ARCHIVE)}"
            )
        names = self._pick(first if has_header else list(_ARCHIVE))
        floats = {names[key]: pa.float64() for key in names if key != "open_ts"}
        yield from pc.open_csv(
            self.path,
            read_options=pc.ReadOptions(column_names=None if has_header else list(_ARCHIVE), block_size=1 << 23),
            convert_options=pc.ConvertOptions(include_columns=list(names.values()), column_types=floats),
        )

    def _pick(self, present: list[str]) -> dict[str, str]:
        """Which of the file's columns is which."""
        by_lower = {name.strip().lower(): name for name in present}
        if len(by_lower) < len(present):
            raise DataError(f"{self.path}: has two columns of one name: {', '.join(present)}")
        picked: dict[str, str] = {}
        for key, aliases in _ALIASES.items():
            found = next((by_lower[alias] for alias in aliases if alias in by_lower), None)
            if found is None:
                kind = _other_kind(set(by_lower))
                if kind:
                    raise DataError(f"{self.path}: holds {kind}, not bars")
                raise DataError(
                    f"{self.path}: no column for {key} (one of {', '.join(aliases)}); it has {', '.join(present)}"
                )
            picked[key] = found
        return picked

    def _columns(self, batch: Any, rows: int) -> Columns:
        names = self._pick(batch.schema.names)
        values: dict[str, NDArray[np.float64]] = {}
        for key in ("open", "high", "low", "close", "volume"):
            column = batch.column(names[key])
            if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
                raise DataError(f"{self.path}: column {names[key]} is {column.type}, not a number")
            values[key] = np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        return Columns(open_ts=self._times(batch.column(names["open_ts"]), names["open_ts"], rows), **values)

    def _times(self, column: Any, name: str, rows: int) -> NDArray[np.int64]:
        if column.null_count:
            at = int(np.argmax(np.asarray(column.is_null().to_numpy(zero_copy_only=False))))
            raise DataError(f"{self.path}: row {rows + at + 1}: {name} is empty")
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = _parse_times(column)
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            as_ns = column.cast(pa.timestamp("ns")).cast(pa.int64())
            times: NDArray[np.int64] = np.asarray(as_ns.to_numpy(zero_copy_only=False), dtype=np.int64)
            return times
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise DataError(f"{self.path}: column {name} is {column.type}, not a time")
        numbers = np.asarray(column.to_numpy(zero_copy_only=False))
        if len(numbers) == 0:
            return numbers.astype(np.int64)
        unit = epoch_unit_ns(float(numbers[0]))
        if numbers.dtype.kind == "f":
            rounded: NDArray[np.int64] = np.rint(numbers * unit).astype(np.int64)
            return rounded
        scaled: NDArray[np.int64] = numbers.astype(np.int64) * unit
        return scaled


def epoch_unit_ns(first: float) -> int:
    """Nanoseconds per unit of an epoch number, told by its magnitude (right for 1973 to 5138 in seconds)."""
    return next((unit for limit, unit in _NS_PER_UNIT if abs(first) < limit), 1)


def _other_kind(names: set[str]) -> str:
    """What else the columns may hold, in words."""
    if {"bid_open", "ask_open"} & names or {"bid", "ask"} <= names:
        return "quotes"
    if {"dividend", "split"} & names:
        return "corporate actions"
    if "price" in names and names & {"qty", "quantity", "size", "amount"}:
        return "trades"
    return ""


def _parse_times(column: Any) -> Any:
    """ISO 8601 text, with a zone or without one (then UTC)."""
    try:
        return column.cast(pa.timestamp("ns", tz="UTC"))
    except pa.ArrowInvalid:
        return column.cast(pa.timestamp("ns"))


def _cut(columns: Columns, start: int, stop: int) -> Columns:
    return Columns(
        *(getattr(columns, name)[start:stop] for name in ("open_ts", "open", "high", "low", "close", "volume"))
    )


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _first_sentence(error: Exception) -> str:
    return " ".join(str(error).split()).split(". ")[0]


TRADE_COLUMNS = ("ts", "price", "qty", "is_buyer_maker", "trade_id")


def read_trades(path: Path) -> tuple[Any, ...] | None:
    """The columns of a Parquet file of trades (`ts` in ms UTC), None when it is a file of something else.

    Raises DataError when there is no such file, or no trade in it.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    if not _starts_with(path, b"PAR1") or not set(TRADE_COLUMNS) <= set(pq.read_schema(path).names):
        return None
    table = pq.read_table(path, columns=list(TRADE_COLUMNS))
    if table.num_rows == 0:
        raise DataError(f"{path}: holds no trade")
    return tuple(table[name].to_numpy(zero_copy_only=False) for name in TRADE_COLUMNS)
