"""Opens a file in any supported container (CSV, Parquet, Feather, JSON) as column names and batches of raw rows.

Text stays text here; other modules interpret the values.
"""

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.feather as pf
import pyarrow.parquet as pq

from paperbot.errors import DataError
from paperbot.market.headers import layout_without_header, plain_name
from paperbot.market.unpack import HEAD_BYTES, head_of, unpacked
from paperbot.names import WRITTEN_DECIMALS

BATCH_ROWS = 1 << 17
MAX_JSON = MAX_PACKED = 512 << 20
SEPARATORS = ";\t,|"
FEWEST_FIELDS = 5
LOOKED_AT = 12
_WORDS = ("bars", "candles", "results", "result", "data", "list", "ohlc", "Data", "klines", "rows")


@dataclass
class Sheet:
    """A file's columns and rows.

    `names`: plain column names by position, empty ones included. `header`: the names as written; empty without a
    header. `kind`: the container, for messages. `batches`: a call reads the file from the start. `arrays`: JSON arrays
    without names. `written`: the prices' decimals in the original file, if recorded.
    """

    names: list[str]
    header: list[str]
    kind: str
    batches: Callable[[], Iterator[Any]]
    notes: list[str] = field(default_factory=list)
    arrays: bool = False
    written: int | None = None


def open_sheet(path: Path, *, told: bool = False) -> Sheet:
    """Open a file; `told`: the user named its columns. Raises DataError if it cannot be read as a table."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty")
    head = head_of(path)
    if head.startswith((b"PAR1", b"ARROW1")):
        source = _content(path, head)
        return _parquet(source) if head[:4] == b"PAR1" else _feather(source)
    text, encoding = _decoded(head, path)
    if text.lstrip()[:1] in {"[", "{"}:
        return _json(path, encoding)
    return _csv(path, text, encoding, told=told)


def _content(path: Path, head: bytes) -> Any:
    """Return the path, or for a packed file its content: tables are read from the end, so this must fit in memory."""
    with path.open("rb") as file:
        if file.read(2) == head[:2]:
            return path
    with unpacked(path) as stream:
        content = stream.read(MAX_PACKED + 1)
    if len(content) > MAX_PACKED:
        raise DataError(f"{path}: unpacks to more than {MAX_PACKED >> 20} MB; unpack it first")
    return pa.BufferReader(content)


def _parquet(source: Any) -> Sheet:
    with pq.ParquetFile(source) as file:
        names = file.schema_arrow.names
        written = (file.metadata.metadata or {}).get(WRITTEN_DECIMALS.encode(), b"")

    def batches() -> Iterator[Any]:
        with pq.ParquetFile(source) as file:
            # One row group at a time: across several, pyarrow keeps what it has read in memory.
            for group in range(file.num_row_groups):
                yield from file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group])

    decimals = int(written) if written.isdigit() else None
    return Sheet([plain_name(name) for name in names], names, "Parquet", batches, written=decimals)


def _feather(source: Any) -> Sheet:
    table = pf.read_table(source)
    names = table.column_names
    return Sheet([plain_name(name) for name in names], names, "Feather", lambda: iter(table.to_batches(BATCH_ROWS)))


def _decoded(head: bytes, path: Path) -> tuple[str, str]:
    encoding = "utf-16" if head[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    if b"\0" in head and encoding != "utf-16":
        raise DataError(f"{path}: is neither text, Parquet nor Feather")
    for name in (encoding, "cp1252"):
        try:
            # The head may end inside a character.
            return codecs.getincrementaldecoder(name)().decode(head, final=len(head) < HEAD_BYTES), name
        except UnicodeDecodeError:
            continue
    raise DataError(f"{path}: is neither text, Parquet nor Feather")


# ---- CSV -------------------------------------------------------------------------------------------------------------
def _csv(path: Path, text: str, encoding: str, *, told: bool) -> Sheet:
    lines = text.splitlines()
    if any('{"' in line for line in lines[:2]):
        raise DataError(f"{path}: holds messages, not bars")
    if len(text) >= HEAD_BYTES // 2 and len(lines) > 1:
        lines.pop()  # The last line may be cut off.
    filled = [line for line in lines if line.strip()][: LOOKED_AT + 1]
    separator = _separator(filled)
    rows = [next(csv.reader([line], delimiter=separator), [""]) for line in lines[: 4 * LOOKED_AT]]
    skip, header, width = _header(rows, path, told=told)
    columns = [f"c{index}" for index in range(width)]

    ragged: list[int] = []

    def note_ragged(row: Any) -> str:
        ragged.append(row.actual_columns)
        return "skip"

    def batches() -> Iterator[Any]:
        ragged.clear()
        with unpacked(path) as stream:
            for batch in pc.open_csv(
                pa.PythonFile(stream, mode="r"),
                read_options=pc.ReadOptions(
                    column_names=columns, skip_rows=skip, block_size=1 << 22, encoding=encoding.removesuffix("-sig")
                ),
                parse_options=pc.ParseOptions(delimiter=separator, invalid_row_handler=note_ragged),
                convert_options=pc.ConvertOptions(
                    column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False, check_utf8=True
                ),
            ):
                if ragged:
                    break
                yield batch
        if ragged:
            raise DataError(f"{path}: {_ragged_row(path, encoding, separator, skip, width)}")

    names = [plain_name(name) for name in header] if header else [str(index) for index in range(width)]
    if header and _is_yfinance(rows[max(skip - 3, 0) : skip]):
        names = _yfinance_names(rows[skip - 3 : skip], path)
    return Sheet(names, header, "CSV", batches)


def _ragged_row(path: Path, encoding: str, separator: str, skip: int, width: int) -> str:
    """Describe the first row with a wrong number of fields; Arrow does not report it."""
    with unpacked(path) as stream:
        rows = csv.reader(io.TextIOWrapper(stream, encoding=encoding, newline=""), delimiter=separator)
        filled = (row for index, row in enumerate(rows) if index >= skip and row)
        for number, row in enumerate(filled, 1):
            if len(row) != width:
                return f"row {number} has {len(row)} fields, not {width}"
    return f"a row does not have {width} fields"


def _separator(lines: list[str]) -> str:
    """Return the separator that gives the most lines the same number of fields, at least FEWEST_FIELDS."""

    def score(separator: str) -> tuple[int, int]:
        widths = [len(next(csv.reader([line], delimiter=separator), [])) for line in lines]
        width = max(widths, key=lambda count: (widths.count(count), count), default=0)
        return (widths.count(width) if width >= FEWEST_FIELDS else 0, width)

    best = max(SEPARATORS, key=lambda mark: (score(mark)[0], -SEPARATORS.index(mark)))
    return best if score(best)[0] else ","


def _is_value(cell: str) -> bool:
    """Whether a cell starts with a digit, as numbers and times do, or is empty in one of the usual ways."""
    return cell.strip().strip("$")[:1].isdigit() or cell.strip().lower() in {"nan", "null", "-", "n/a"}


def _header(rows: list[list[str]], path: Path, *, told: bool) -> tuple[int, list[str], int]:
    """Return (lines to skip, header names or an empty list, number of columns)."""
    at = next((index for index, row in enumerate(rows) if len(row) >= FEWEST_FIELDS), None)
    if at is None:
        shown = next((row for row in rows if any(row)), [""])
        raise DataError(
            f"{path}: is not a table of bars: its first line is {','.join(shown)[:60]!r}; allowed separators: , ; tab |"
        )
    first = rows[at]
    if sum(map(_is_value, first)) < len(first) // 2:
        after = at + 1
        if after + 1 < len(rows) and _is_yfinance(rows[at : at + 3]):
            after += 2
        return after, first, len(first)
    if not told and layout_without_header(first) is None:
        raise DataError(
            f"{path}: has no header, and its {len(first)} columns are not a known layout; give their meaning, such as"
            " --columns open_ts=0,open=1,high=2,low=3,close=4,volume=5"
        )
    return at, [], len(first)


def _is_yfinance(rows: list[list[str]]) -> bool:
    if len(rows) < 3:  # noqa: PLR2004
        return False
    heads = {row[0].strip() for row in rows[:2] if row}
    return heads == {"Price", "Ticker"} and rows[2][:1] in (["Date"], ["Datetime"]) and not any(rows[2][1:])


def _yfinance_names(rows: list[list[str]], path: Path) -> list[str]:
    prices, tickers = (rows[0], rows[1]) if rows[0][0].strip() == "Price" else (rows[1], rows[0])
    symbols = sorted(set(tickers[1:]))
    if len(symbols) > 1:
        raise DataError(f"{path}: holds several symbols: {', '.join(symbols)[:80]}; split it by symbol")
    return ["yfinance_date", *(plain_name(name) for name in prices[1:])]


# ---- JSON ------------------------------------------------------------------------------------------------------------
def _json(path: Path, encoding: str) -> Sheet:
    with unpacked(path) as stream:
        content = stream.read(MAX_JSON + 1)
    if len(content) > MAX_JSON:
        raise DataError(f"{path}: is larger than {MAX_JSON >> 20} MB of JSON; convert it to CSV or Parquet")
    tree = _loaded(content, encoding, path)
    notes: list[str] = []
    records = _rows_in(tree, path, notes, 0)
    if not records:
        raise DataError(f"{path}: holds no rows")
    is_objects = isinstance(records[0], dict)
    header = [str(key) for key in records[0]] if is_objects else [str(index) for index in range(len(records[0]))]
    rows = []
    for number, row in enumerate(records, 1):
        if type(row) is not type(records[0]) or (not is_objects and len(row) != len(header)):
            raise DataError(f"{path}: row {number}: does not have the form of the first row")
        rows.append([row.get(key) for key in header] if is_objects else row)
    columns = [pa.array(map(_cell, column), type=pa.string()) for column in zip(*rows, strict=True)]
    table = pa.table(columns, names=[f"c{index}" for index in range(len(header))])
    names = [plain_name(name) for name in header] if is_objects else header
    shown = header if is_objects else []
    return Sheet(names, shown, "JSON", lambda: iter(table.to_batches(BATCH_ROWS)), notes=notes, arrays=not is_objects)


def _loaded(content: bytes, encoding: str, path: Path) -> Any:
    """Parse one JSON value, or one per line. Numbers stay text. Raises DataError."""
    load = partial(json.loads, parse_float=str, parse_int=str, parse_constant=str)
    try:
        text = content.decode(encoding)
        try:
            return load(text)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data":
                raise
            return [load(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError, UnicodeDecodeError):
        raise DataError(f"{path}: is not valid JSON, neither as a whole nor line by line") from None


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else ("" if value is None or isinstance(value, list | dict) else str(value))


def _rows_in(tree: Any, path: Path, notes: list[str], depth: int) -> list[Any]:
    """Find the list of bars in the answer of an API. Raises DataError if there is none."""
    if isinstance(tree, list):
        is_rows = bool(tree) and isinstance(tree[0], list | dict)
        if tree and not is_rows:
            raise DataError(f"{path}: is a list of {type(tree[0]).__name__} values, not of bars")
        return tree
    if not isinstance(tree, dict) or depth > 3:  # noqa: PLR2004
        raise DataError(f"{path}: holds no list of bars")
    if isinstance(tree.get("columns"), list) and isinstance(tree.get("data"), list):  # pandas, orient="split".
        names = [str(name) for name in tree["columns"]]
        return [dict(zip(names, row, strict=False)) for row in tree["data"] if isinstance(row, list)]
    by_column = _rows_of_columns(tree)
    if by_column:
        return by_column
    if tree.get("next_page_token"):
        notes.append("the file has a next_page_token: it is only one page of the bars")
    for word in _WORDS:
        if isinstance(tree.get(word), list | dict) and tree[word]:
            return _rows_in(tree[word], path, notes, depth + 1)
    lists = {key: value for key, value in tree.items() if isinstance(value, list) and value}
    if len(lists) > 1:
        raise DataError(f"{path}: holds several symbols: {', '.join(map(str, lists))[:80]}; split it by symbol")
    return _rows_in(next(iter(lists.values()), None), path, notes, depth + 1)


def _rows_of_columns(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an answer with one list or one table per column, or an empty list.

    Lists: `{"t": […], "o": […]}`. Tables by index, as pandas writes them: `{"open": {"0": …}}`; the index becomes the
    first column, without a name.
    """
    columns = {name: value for name, value in tree.items() if isinstance(value, list)}
    tables = {name: value for name, value in tree.items() if isinstance(value, dict)}
    if {"open", "o"} & set(map(plain_name, columns)) and len({len(column) for column in columns.values()}) == 1:
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if {"open", "o"} & set(map(plain_name, tables)) and len({tuple(table) for table in tables.values()}) == 1:
        index = next(iter(tables.values()))
        return [{"": key, **{name: table[key] for name, table in tables.items()}} for key in index]
    return []
