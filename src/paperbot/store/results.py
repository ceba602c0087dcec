"""A run's artifacts, read back: columns as numpy arrays, and sums of rows for people."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
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
from paperbot.store.report import LABELS
from paperbot.store.statistics import RoundTrips
from paperbot.store.tables import SCHEMAS, OrderTracker, replayed, tables_of

Columns = dict[str, NDArray[Any]]
Records = NDArray[np.void]
MADE_BY = "a demo, a replay or a session writes it"
MOMENT = np.timedelta64(1, "ns")
USED = {
    "trades": "ts symbol order_id strategy side qty price fee fee_asset role liquidity",
    "ledger": "ts equity drawdown realized_pnl unrealized_pnl fees fx_revaluation open_positions",
    "orders": "order_id",
    "round_trips": "symbol strategy entry_ts exit_ts duration_s reason qty entry_price exit_price pnl return_pct quote"
    " pnl_account_minor pnl_minor",
    "blocked": "code",
    "candles": "symbol open_ts width_s open high low close volume",
}
"""The columns that are read; a long run's others would only fill memory."""


@dataclass(frozen=True)
class Results:
    """The tables of one run, as far as `USED` reads them, and `run.json`. Times are datetime64[ns] in UTC, text is
    object and `?` where it is null, a null number is NaN.
    """

    trades: Columns
    ledger: Columns
    orders: Columns
    round_trips: Columns
    blocked: Columns
    candles: Columns
    summary: dict[str, Any]


def read_results(folder: Path) -> Results:
    """Read what a run left in a folder. Raises DataError for a file that is missing, or none of ours."""
    tables = {name: _read(folder / f"{name}.parquet", columns.split()) for name, columns in USED.items()}
    return Results(**tables, summary=_read_summary(folder / RUN_FILE))


def results_of(batches: Iterable[Records], names: Names) -> Results:
    """The same from output records, as far as they go; without candles and summary."""
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
        raise DataError(f"{path}: is not there; {MADE_BY}") from None
    except (OSError, ValueError):
        summary = None
    if not isinstance(summary, dict) or not {"digest", *LABELS} <= summary.keys():
        raise DataError(f"{path}: is not a run's, or an older version's")
    return summary


def _read(path: Path, columns: list[str]) -> Columns:
    if not path.is_file():
        raise DataError(f"{path}: is not there; {MADE_BY}")
    try:
        missing = next((name for name in columns if name not in pq.read_schema(path).names), None)
        table = pq.read_table(path, columns=None if missing else columns)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: is no Parquet file: {str(error).splitlines()[0]}") from None
    if missing:
        raise DataError(f"{path}: lacks the column {missing}; it is not a run's, or an older version's")
    schema = {**SCHEMAS, "candles": CANDLES}[path.stem]
    try:
        return {name: column_of(table[name], schema.field(name).type) for name in columns}
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(f"{path}: is not a run's: {str(error).splitlines()[0]}") from None


def candles_of(table: Any) -> Columns:
    """The columns of a CANDLES table."""
    return {field.name: column_of(table[field.name], field.type) for field in CANDLES}


def column_of(column: Any, kind: Any) -> NDArray[Any]:
    """A column as an array: see `Results`."""
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


def _days(ts: NDArray[Any]) -> NDArray[Any]:
    """The UTC day that a time belongs to; midnight ends a day."""
    return (ts - MOMENT).astype("datetime64[D]")


def _sum(values: NDArray[Any]) -> float:
    return float(np.nansum(values)) if len(values) else 0.0


def by_day(results: Results) -> Columns:
    """Per UTC day with a ledger row: `day`, equity at its end (`close`, NaN while something had no price) and its
    change since it was last known (`equity`), `fees` (account currency), number of `fills`.
    """
    ledger = results.ledger
    rows = slice(1, None)  # The opening row stands at the beginning of the first day.
    days = _days(ledger["ts"][rows])
    last = np.flatnonzero(np.append(days[1:] != days[:-1], True)) if len(days) else np.zeros(0, dtype=np.int64)
    close, before = [], start_equity(ledger)
    change = []
    for begin, end in pairwise([0, *(last + 1).tolist()]):
        within = ledger["equity"][rows][begin:end]
        known = within[~np.isnan(within)]
        close.append(float(known[-1]) if len(known) else np.nan)
        change.append(close[-1] - before if len(known) else np.nan)
        before = close[-1] if len(known) else before
    filled = np.searchsorted(_days(results.trades["ts"]), days[last], side="right")
    return {
        "day": days[last],
        "close": np.array(close),
        "equity": np.array(change),
        "fees": np.diff(ledger["fees"][rows][last], prepend=0.0),
        "fills": np.diff(filled, prepend=0),
    }


def start_equity(ledger: Columns) -> float:
    """The first equity that there was, which lies before the first valued row where rows are rare: every such row says
    what came to it since. NaN where none has a value.
    """
    known = np.flatnonzero(~np.isnan(ledger["equity"]))
    if len(known) == 0:
        return np.nan
    equity, realized, unrealized, fees, revaluation = (
        float(ledger[name][known[0]]) for name in ("equity", "realized_pnl", "unrealized_pnl", "fees", "fx_revaluation")
    )
    return equity - realized - unrealized + fees - revaluation


PERIODS = ("day", "week", "month")


def by_period(results: Results, period: str) -> list[dict[str, Any]]:
    """A row for each `day`, `week` (from its Monday) or `month` (`PERIODS`, UTC) with a ledger row, the oldest first.

    `trades`, `won`: round trips that ended in it; `fills`, `fees`; `profit`: the change of equity, with what is not
    realized, and `profit_pct` of the equity before; `equity`: at its end. Money is in the account's currency; None
    while something held had no price.
    """
    days = by_day(results)
    label = _periods(days["day"], period)
    closed = _periods(_days(results.round_trips["exit_ts"]), period)
    won = results.round_trips["pnl_minor"] > 0
    rows = []
    for each in np.unique(label):
        mine, ended = label == each, closed == each
        close, change = days["close"][mine], days["equity"][mine]
        known = np.flatnonzero(~np.isnan(close))
        equity = float(close[known[-1]]) if len(known) else None
        profit = float(np.nansum(change)) if len(known) else None
        before = equity - profit if equity is not None and profit is not None else 0.0
        rows.append(
            {
                period: str(each),
                "trades": int(np.count_nonzero(ended)),
                "won": int(np.count_nonzero(won[ended])),
                "fills": int(days["fills"][mine].sum()),
                "fees": _sum(days["fees"][mine]),
                "profit": profit,
                "profit_pct": 100.0 * profit / before if profit is not None and before > 0 else None,
                "equity": equity,
            }
        )
    return rows


def _periods(days: NDArray[Any], period: str) -> NDArray[Any]:
    """The first day of the week, or the month, that each day (datetime64[D]) lies in."""
    if period == "month":
        return days.astype("datetime64[M]")
    if period == "week":
        return days - (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday.
    return days


def by_group(results: Results, column: str) -> list[dict[str, Any]]:
    """A row for each `symbol` or `strategy`: fills, round trips, wins, and net PnL and fees by quote asset."""
    trades, trips = results.trades, results.round_trips
    rows = []
    for name in sorted({*trades[column], *trips[column]}):
        mine, closed = trades[column] == name, trips[column] == name
        pnl = trips["pnl"][closed]
        quotes = trips["quote"][closed]
        rows.append(
            {
                column: name,
                "fills": int(np.count_nonzero(mine)),
                "round trips": int(np.count_nonzero(closed)),
                "wins": int(np.count_nonzero(pnl > 0)),
                "PnL of round trips": {quote: _sum(pnl[quotes == quote]) for quote in sorted(set(quotes))},
                "fees": {
                    asset: _sum(trades["fee"][mine & (trades["fee_asset"] == asset)])
                    for asset in sorted(set(trades["fee_asset"][mine]))
                },
            }
        )
    return rows


def blocked_by_code(results: Results) -> dict[str, int]:
    """How many orders each rule refused, most first."""
    codes, counts = np.unique(results.blocked["code"].astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {str(codes[i]): int(counts[i]) for i in order}


def thinned(values: NDArray[Any], most: int) -> NDArray[np.int64]:
    """Positions of at most about `most` rows that keep a line's look: the lowest and highest of each stretch.

    `values`: float64, NaN allowed.
    """
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), most // 2 + 1).astype(np.int64)
    kept = {0, len(values) - 1}
    for start, stop in pairwise(edges.tolist()):
        part = values[start:stop]
        if np.isnan(part).all():
            kept.add(start)
        else:
            kept |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
    return np.array(sorted(kept), dtype=np.int64)
