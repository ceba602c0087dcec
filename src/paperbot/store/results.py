"""A run's artifacts, read back: columns as numpy arrays, and sums of rows for people."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from paperbot.errors import DataError
from paperbot.store.statistics import Returns, returns_of, sharpe
from paperbot.store.tables import SCHEMAS

Columns = dict[str, NDArray[Any]]
MOMENT = np.timedelta64(1, "ns")
USED = {
    "trades": "ts symbol order_id strategy side qty price fee fee_asset role liquidity",
    "ledger": "ts equity drawdown realized_pnl unrealized_pnl fees fx_revaluation open_positions",
    "orders": "order_id",
    "round_trips": "symbol strategy entry_ts exit_ts duration_s reason qty entry_price exit_price pnl return_pct quote"
    " pnl_account_minor pnl_minor",
    "blocked": "code",
}
"""The columns that are read; a long run's others would only fill memory."""


@dataclass(frozen=True)
class Results:
    """The tables of one run, as far as `USED` reads them. Times are datetime64[ns] in UTC, text is object and `?` where
    it is null, a null number is NaN.
    """

    trades: Columns
    ledger: Columns
    orders: Columns
    round_trips: Columns
    blocked: Columns


def read_results(folder: Path) -> Results:
    """Read what a run left in a folder. Raises DataError for a file that is missing, or none of ours."""
    return Results(**{name: _read(folder / f"{name}.parquet", columns.split()) for name, columns in USED.items()})


def _read(path: Path, columns: list[str]) -> Columns:
    if not path.is_file():
        raise DataError(f"{path}: is not there; a demo, a replay or a session writes it")
    try:
        missing = next((name for name in columns if name not in pq.read_schema(path).names), None)
        table = pq.read_table(path, columns=None if missing else columns)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: is no Parquet file: {str(error).splitlines()[0]}") from None
    if missing:
        raise DataError(f"{path}: lacks the column {missing}; it is not a run's, or an older version's")
    schema = SCHEMAS[path.stem]
    try:
        return {name: _column(table[name], schema.field(name).type) for name in columns}
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(f"{path}: is not a run's: {str(error).splitlines()[0]}") from None


def _column(column: Any, kind: Any) -> NDArray[Any]:
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


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _sum(values: NDArray[Any]) -> float:
    return float(np.nansum(values)) if len(values) else 0.0


def statistics(results: Results) -> dict[str, float | int | str | None]:
    """The figures that people compare, from the rows, as the summary has them; what is not defined is None. Money is
    in the account's currency.

    The first row is the opening one. The largest drawdown is that of a row: between two of them it may be deeper.
    """
    ledger, trips = results.ledger, results.round_trips
    known = ~np.isnan(ledger["equity"])
    equity = ledger["equity"][known]
    start = _start(ledger) if len(equity) else None
    last = float(ledger["equity"][-1]) if len(known) and known[-1] else None
    pnl, pnl_account = trips["pnl_minor"], trips["pnl_account_minor"]
    realized = float(ledger["realized_pnl"][-1]) if len(known) else 0.0
    fees = float(ledger["fees"][-1]) if len(known) else 0.0
    return {
        "first": moment(ledger["ts"][0]) if len(known) else None,
        "last": moment(ledger["ts"][-1]) if len(known) else None,
        "start equity": start,
        "equity": last,
        "return, %": 100.0 * (last / start - 1.0) if last is not None and start else None,
        "largest drawdown, %": 100.0 * float(np.nanmax(ledger["drawdown"])) if len(equity) else None,
        "Sharpe": sharpe(_returns(results, start)) if start is not None else None,
        "realized PnL": realized,
        "fees": fees,
        "net PnL": realized - fees,
        "orders": len(results.orders["order_id"]),
        "blocked orders": len(results.blocked["code"]),
        "fills": len(results.trades["order_id"]),
        "round trips": len(pnl),
        "win rate, %": _percent(_ratio(int(np.count_nonzero(pnl > 0)), len(pnl))),
        "profit factor": _ratio(float(pnl_account[pnl_account > 0].sum()), -float(pnl_account[pnl_account < 0].sum())),
        "open positions": int(ledger["open_positions"][-1]) if len(known) else 0,
    }


def _returns(results: Results, start: float) -> Returns:
    days = by_day(results)
    known = ~np.isnan(days["close"])
    numbers = days["day"][known].astype("datetime64[D]").astype(np.int64)
    return returns_of(start, numbers.tolist(), days["close"][known].tolist())


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share


def by_day(results: Results) -> Columns:
    """Per UTC day with a ledger row: `day`, equity at its end (`close`, NaN while something had no price) and its
    change since it was last known (`equity`), `fees` (account currency), number of `fills`.
    """
    ledger = results.ledger
    rows = slice(1, None)  # The opening row stands at the beginning of the first day.
    days = _days(ledger["ts"][rows])
    last = np.flatnonzero(np.append(days[1:] != days[:-1], True)) if len(days) else np.zeros(0, dtype=np.int64)
    close, before = [], _start(ledger)
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


def _start(ledger: Columns) -> float:
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
