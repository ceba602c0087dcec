"""Results by day, week and month, from the columns of a run's tables."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperbot.figures import change_pct
from paperbot.store.results import Columns, Results


def _days(ts: NDArray[Any]) -> NDArray[Any]:
    """The UTC day of each time; midnight belongs to the day that it ends."""
    return (ts - MOMENT).astype("datetime64[D]")


def _sum(values: NDArray[Any]) -> float:
    return float(np.nansum(values)) if len(values) else 0.0


def by_day(results: Results) -> Columns:
    """One row per UTC day with a ledger row: `day`, `close` (equity at its end, NaN if not valued), `equity` (change
    since the last known equity), `fees` (account currency) and `fills` (their number).
    """
    ledger = results.ledger
    rows = slice(1, None)  # The opening row is at the beginning of the first day.
    days = _days(ledger["ts"][rows])
    last = np.flatnonzero(np.append(days[1:] != days[:-1], True)) if len(days) else np.zeros(0, dtype=np.int64)
    close, before = [], start_equity(ledger)
    change = []
    for begin, end in pairwise([0, *(last + 1).tolist()]):
        within = ledger["equity"][rows][begin:end]
        valued = within[~np.isnan(within)]
        close.append(float(valued[-1]) if len(valued) else np.nan)
        change.append(close[-1] - before if len(valued) else np.nan)
        before = close[-1] if len(valued) else before
    filled = np.searchsorted(_days(results.trades["ts"]), days[last], side="right")
    return {
        "day": days[last],
        "close": np.array(close),
        "equity": np.array(change),
        "fees": np.diff(ledger["fees"][rows][last], prepend=0.0),
        "fills": np.diff(filled, prepend=0),
    }


def start_equity(ledger: Columns) -> float:
    """The equity at the start: that of the first valued row, less the profit, loss, fees and revaluation up to it. NaN
    if no row is valued.
    """
    valued = np.flatnonzero(~np.isnan(ledger["equity"]))
    if len(valued) == 0:
        return np.nan
    equity, realized, unrealized, fees, revaluation = (
        float(ledger[name][valued[0]])
        for name in ("equity", "realized_pnl", "unrealized_pnl", "fees", "fx_revaluation")
    )
    return equity - realized - unrealized + fees - revaluation


PERIODS = ("day", "week", "month")


def by_period(results: Results, period: str) -> list[dict[str, Any]]:
    """One row for each `day`, `week` (named by its Monday) or `month` (`PERIODS`, UTC) with a ledger row, oldest first.

    `trades`, `won`: round trips that ended in the period; `fills`, `fees`; `profit`: the change of equity, including
    unrealized profit; `profit_pct`: the same in percent of the equity before; `equity`: at the end. Money is in the
    account currency, and None if not valued.
    """
    days = by_day(results)
    label = _periods(days["day"], period)
    closed = _periods(_days(results.round_trips["exit_ts"]), period)
    won = results.round_trips["pnl_minor"] > 0
    rows = []
    for start in np.unique(label):
        mine, ended = label == start, closed == start
        close, change = days["close"][mine], days["equity"][mine]
        valued = np.flatnonzero(~np.isnan(close))
        equity = float(close[valued[-1]]) if len(valued) else None
        profit = float(np.nansum(change)) if len(valued) else None
        before = equity - profit if equity is not None and profit is not None else 0.0
        rows.append(
            {
                period: str(start),
                "trades": int(np.count_nonzero(ended)),
                "won": int(np.count_nonzero(won[ended])),
                "fills": int(days["fills"][mine].sum()),
                "fees": _sum(days["fees"][mine]),
                "profit": profit,
                "profit_pct": change_pct(equity, before) if before > 0 else None,
                "equity": equity,
            }
        )
    return rows


def _periods(days: NDArray[Any], period: str) -> NDArray[Any]:
    """The period of each day (datetime64[D]): the day itself, its week's Monday, or its month."""
    if period == "month":
        return days.astype("datetime64[M]")
    if period == "week":
        return days - (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday.
    return days


MOMENT = np.timedelta64(1, "ns")
