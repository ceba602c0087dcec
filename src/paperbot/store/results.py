"""Reads a run's artifacts back, as columns of numpy arrays."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from paperbot.errors import DataError
from paperbot.names import Names
from paperbot.store.chart import CANDLES
from paperbot.store.parquet import RUN_FILE
from paperbot.store.statistics import RoundTrips
from paperbot.store.summary import LABELS
from paperbot.store.tables import SCHEMAS, OrderTracker, replayed, tables_of

Columns = dict[str, NDArray[Any]]
Records = NDArray[np.void]
MADE_BY = "a demo, a replay or a session writes it"
USED = {
    "trades": "ts symbol order_id strategy side qty price fee fee_asset role liquidity",
    "ledger": "ts equity drawdown realized_pnl unrealized_pnl fees fx_revaluation open_positions",
    "orders": "order_id",
    "round_trips": "symbol strategy entry_ts exit_ts duration_s reason qty entry_price exit_price pnl return_pct quote"
    " pnl_account_minor pnl_minor",
    "blocked": "code",
    "candles": "symbol open_ts width_s open high low close volume",
}
"""The columns that are read. Skipping the others saves memory in long runs."""


@dataclass(frozen=True)
class Results:
    """The tables of one run (the columns in `USED`) and its `run.json`. Times are datetime64[ns] in UTC. Null text is
    `?`, and a null number is NaN.
    """

    trades: Columns
    ledger: Columns
    orders: Columns
    round_trips: Columns
    blocked: Columns
    candles: Columns
    summary: dict[str, Any]


def read_results(folder: Path) -> Results:
    """Read the files of a run from a folder. Raises DataError for a file that is missing or not a run's."""
    tables = {name: _read(folder / f"{name}.parquet", columns.split()) for name, columns in USED.items()}
    return Results(**tables, summary=_read_summary(folder / RUN_FILE))


def results_of(batches: Iterable[Records], names: Names) -> Results:
    """The results so far from output records, without candles and summary."""
    orders, round_trips = OrderTracker(names), RoundTrips(names)
    parts: dict[str, list[Any]] = {name: [schema.empty_table()] for name, schema in SCHEMAS.items()}
    for records in batches:
        for name, table in tables_of(records, names, orders, round_trips, replayed):
            parts[name].append(table.select(USED[name].split()))
    tables = {}
    for name, schema in SCHEMAS.items():
        columns = USED[name].split()
        whole = pa.concat_tables([parts[name][0].select(columns), *parts[name][1:]])
        tables[name] = {column: column_of(whole[column], schema.field(column).type) for column in columns}
    return Results(**tables, candles=candles_of(CANDLES.empty_table()), summary={})


def _read_summary(path: Path) -> dict[str, Any]:
    try:
        summary = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: does not exist; {MADE_BY}") from None
    except (OSError, ValueError):
        summary = None
    if not isinstance(summary, dict) or not {"digest", "by_symbol", "by_strategy", *LABELS} <= summary.keys():
        raise DataError(f"{path}: was not written by a run of this version")
    return summary


def _read(path: Path, columns: list[str]) -> Columns:
    if not path.is_file():
        raise DataError(f"{path}: does not exist; {MADE_BY}")
    try:
        missing = next((name for name in columns if name not in pq.read_schema(path).names), None)
        table = pq.read_table(path, columns=None if missing else columns)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    if missing:
        raise DataError(f"{path}: has no column {missing}; it was not written by a run of this version")
    schema = {**SCHEMAS, "candles": CANDLES}[path.stem]
    try:
        return {name: column_of(table[name], schema.field(name).type) for name in columns}
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(f"{path}: was not written by a run: {str(error).splitlines()[0]}") from None


def candles_of(table: Any) -> Columns:
    """The columns of a CANDLES table."""
    return {field.name: column_of(table[field.name], field.type) for field in CANDLES}


def column_of(column: Any, kind: Any) -> NDArray[Any]:
    """A column as an array, in the types of `Results`."""
    if pa.types.is_timestamp(kind):
        return np.asarray(column.cast(pa.timestamp("ns")).to_numpy())
    if pa.types.is_floating(kind):
        return np.asarray(column.to_numpy(), dtype=np.float64)
    if pa.types.is_string(kind):
        column = column.cast(pa.string()).fill_null("?")
    return np.asarray(column.to_numpy())


def moment(ts: Any) -> str:
    """A datetime64 for people, to the second."""
    return str(ts.astype("datetime64[s]")).replace("T", " ")
