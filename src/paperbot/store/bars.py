"""Bars as Parquet files in the layout that replay reads. Each write replaces the whole file."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from paperbot.errors import DataError
from paperbot.names import WRITTEN_DECIMALS
from paperbot.store.durable import write_whole

COLUMNS = ("open", "high", "low", "close", "volume")
_SCHEMA = pa.schema([("ts", pa.int64()), *((name, pa.float64()) for name in COLUMNS)])


class BarStore:
    """The fetched bars of one file. Raises DataError for an existing file that `data fetch` did not write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tables = []
        if path.exists():
            try:
                table = pq.read_table(path)
            except (OSError, pa.ArrowException) as error:
                raise DataError(f"{path}: cannot be read as Parquet: {error}") from None
            if not table.schema.equals(_SCHEMA):
                raise DataError(f"{path}: was not written by paperbot data fetch; choose another --out")
            self._tables.append(table)
        self.count = sum(table.num_rows for table in self._tables)

    @property
    def last_ms(self) -> int | None:
        """The open of the last bar in ms UTC, or None."""
        return self._tables[-1]["ts"][-1].as_py() if self.count else None

    def add(self, rows: list[list[Any]]) -> None:
        """Append later bars: rows of the open in ms UTC, then open, high, low, close and volume as numbers or text.

        Raises DataError for a row that cannot be parsed.
        """
        try:
            columns = [[row[0] for row in rows], *([float(row[k]) for row in rows] for k in range(1, 6))]
        except (TypeError, ValueError, IndexError):
            raise DataError(f"{self.path}: the venue sent a row that cannot be read as a bar") from None
        self._tables.append(pa.Table.from_arrays([pa.array(column) for column in columns], schema=_SCHEMA))
        self.count += len(rows)

    def write(self) -> None:
        """Write all bars. Raises OutputError and leaves the old file unchanged."""
        sink = io.BytesIO()
        whole = pa.concat_tables(self._tables) if self._tables else _SCHEMA.empty_table()
        pq.write_table(whole, sink, compression="zstd", store_schema=False)
        write_whole(self.path, sink.getvalue())


def write_bars(
    path: Path,
    open_ts: NDArray[np.int64],
    values: Mapping[str, NDArray[np.float64]],
    close_ts: NDArray[np.int64] | None = None,
    price_decimals: int = 0,
) -> None:
    """Write bars as Paperbot's own Parquet: `ts` (ms UTC where that is exact, else ns), the columns in `values`, and
    `close_time` if `close_ts` is given. `price_decimals`: the decimals of the prices as text, 0 if unknown.

    Raises OutputError and leaves the old file unchanged.
    """
    columns = {"ts": _times(open_ts), **{name: pa.array(array) for name, array in values.items()}}
    if close_ts is not None:
        columns["close_time"] = _times(close_ts)
    sink = io.BytesIO()
    table = pa.table(columns)
    with pq.ParquetWriter(sink, table.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(table)
        if price_decimals:
            writer.add_key_value_metadata({WRITTEN_DECIMALS: str(price_decimals)})
    write_whole(path, sink.getvalue())


def write_bar_events(path: Path, events: NDArray[np.void], price_decimals: int) -> None:
    """Write the bars (BAR_EVENT) of one symbol as `write_bars` does. Their volume counts the base."""
    values = {name: events[name] / 10**price_decimals for name in COLUMNS[:4]} | {"volume": events["volume"]}
    write_bars(path, events["open_ts"], values)


def _times(values: NDArray[np.int64]) -> Any:
    milli_ns = 1_000_000
    exact = bool((values % milli_ns == 0).all())
    return pa.array(values // milli_ns if exact else values)
