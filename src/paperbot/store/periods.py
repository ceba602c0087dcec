"""Results by day, week and month, from the columns of a run's tables."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperbot.figures import change_pct
from paperbot.store.results import Columns, Results


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
                "profit_pct": change_pct(equity, before) if before > 0 else None,
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


MOMENT = np.timedelta64(1, "ns")
