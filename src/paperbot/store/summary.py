"""The summary of a run: its figures, computed from the core's records."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from paperbot.clock import format_ts
from paperbot.core import types as t
from paperbot.figures import cagr, calmar, change_pct, profit_factor, sharpe, sortino, win_rate_pct
from paperbot.names import Names
from paperbot.store.statistics import Statistics

LABELS = {
    "orders": "orders",
    "fills": "fills",
    "round_trips": "round trips",
    "fees": "fees",
    "realized_pnl": "realized PnL, before fees",
    "net_pnl": "realized PnL, net of fees",
    "unrealized_pnl": "unrealized PnL",
    "start_equity": "start equity",
    "equity": "equity",
    "return_pct": "return %",
    "buy_and_hold_pct": "buy and hold %",
    "max_drawdown_pct": "max drawdown %",
    "cagr_pct": "CAGR %",
    "sharpe": "Sharpe",
    "sortino": "Sortino",
    "calmar": "Calmar",
    "profit_factor": "profit factor",
    "win_rate_pct": "win rate %",
    "expectancy": "expectancy per trade",
    "avg_trade_pct": "average trade %",
    "best_trade_pct": "best trade %",
    "worst_trade_pct": "worst trade %",
    "exposure_pct": "exposure %",
    "turnover": "turnover, x equity",
}
"""The labels of the figures of `summarize`, in the order of display."""


def summarize(
    statistics: Statistics, account: np.void, buy_and_hold: dict[str, float], rates: Sequence[float | None] = ()
) -> dict[str, Any]:
    """The summary as one flat object, as `--json` prints it; an undefined figure is None. `account`: the core's record
    at the end; `rates`: by symbol, the fixed value of its quote's minor unit in the account's, None where it varies.
    """
    unit = statistics.names.account_unit()
    row = statistics.last_ledger
    valued = row is not None and bool(row["valued"][0])
    equity = int(row["equity"][0]) if row is not None and valued else None
    # The core's first valuation. The first valued row can be later: if a held coin had no price, or if rows are rare.
    start = int(account["start_equity"]) if valued else None
    slices = int(account["slices"])
    trips = statistics.round_trips
    returns = statistics.returns(start or 0)
    seconds = (statistics.last_ts - statistics.first_ts) / 1e9
    growth = cagr(start or 0, equity or 0, seconds)
    drawdown = int(account["max_drawdown_ppb"]) / 1e9
    trades = statistics.trades
    return {
        "currency": statistics.names.currency,
        "first": format_ts(statistics.first_ts) if row is not None else None,
        "last": format_ts(statistics.last_ts) if row is not None else None,
        "days": seconds / 86_400.0,
        "orders": statistics.orders,
        "fills": statistics.fills,
        "round_trips": trips,
        "fees": int(account["fees"]) / unit,
        "realized_pnl": int(account["realized"]) / unit,
        "net_pnl": (int(account["realized"]) - int(account["fees"])) / unit,
        "unrealized_pnl": int(account["unrealized"]) / unit if valued else None,
        "start_equity": start / unit if start is not None else None,
        "equity": equity / unit if equity is not None else None,
        "return_pct": change_pct(equity, start),
        "buy_and_hold_pct": sum(buy_and_hold.values()) / len(buy_and_hold) if buy_and_hold else None,
        "max_drawdown_pct": 100.0 * drawdown if valued else None,
        "cagr_pct": _percent(growth),
        "sharpe": sharpe(returns),
        "sortino": sortino(returns),
        "calmar": calmar(growth, drawdown),
        "returns": len(returns.values),
        "return_days": returns.days,
        "returns_a_year": returns.a_year,
        "profit_factor": profit_factor(statistics.gained, statistics.lost),
        "win_rate_pct": win_rate_pct(statistics.wins, trips),
        "expectancy": trades.net / trades.count / unit if trips else None,
        "avg_trade_pct": _percent(trades.shares / trips) if trips else None,
        "best_trade_pct": _percent(trades.best) if trips else None,
        "worst_trade_pct": _percent(trades.worst) if trips else None,
        "avg_trade_s": trades.duration_ns / trips / 1e9 if trips else None,
        "longest_trade_s": trades.longest_ns / 1e9 if trips else None,
        "exposure_pct": 100.0 * int(account["exposed_slices"]) / slices if slices else None,
        "turnover": statistics.turnover(rates, start or 0),
        "halted": t.HaltReason(int(account["halted"])).name.lower(),
        "halts": len(statistics.halts),
        "first_halt": format_ts(statistics.halts[0][0]) if statistics.halts else None,
        "first_halt_reason": t.HaltReason(statistics.halts[0][1]).name.lower() if statistics.halts else None,
        "halted_pct": 100.0 * statistics.halted_share(),
        "blocked": dict(sorted(statistics.blocked.items())),
        "starved": statistics.starved.found(),
        "by_symbol": _groups(statistics, "symbol"),
        "by_strategy": _groups(statistics, "strategy"),
    }


def _groups(statistics: Statistics, by: Literal["symbol", "strategy"]) -> list[dict[str, Any]]:
    """A row for each symbol or strategy with a fill; `fees` and `net_pnl` by quote asset, in whole units."""
    names = statistics.names
    return [
        {
            by: name,
            "fills": group.fills,
            "round_trips": group.round_trips,
            "wins": group.wins,
            "fees": _whole(group.fees, names),
            "net_pnl": _whole(group.pnl, names),
        }
        for name, group in sorted(statistics.groups(by).items())
    ]


def _whole(amounts: Mapping[str, int], names: Names) -> dict[str, float]:
    decimals = names.asset_decimals
    return {asset: amount / 10.0 ** decimals[names.assets.index(asset)] for asset, amount in sorted(amounts.items())}


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share


def halts_in_words(summary: Mapping[str, Any]) -> str:
    """When and why the kill switch first tripped, and the share of the run that was spent halted."""
    if not summary["halts"]:
        return str(summary["halted"])
    first = f"{summary['first_halt_reason']} at {summary['first_halt'][:16].replace('T', ' ')}"
    return f"{first}; halted {summary['halted_pct']:.1f} % of the run"
