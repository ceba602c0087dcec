"""The summary of a run: the figures that people compare, from what the core reported."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from paperbot.clock import format_ts
from paperbot.core import types as t
from paperbot.core.fields import of_kind
from paperbot.names import Names
from paperbot.store.starved import Starved
from paperbot.store.statistics import Returns, RoundTrips, cagr, calmar, returns_of, sharpe, sortino

Records = NDArray[np.void]

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
    "expectancy": "expectancy, a trade",
    "avg_trade_pct": "average trade %",
    "best_trade_pct": "best trade %",
    "worst_trade_pct": "worst trade %",
    "exposure_pct": "exposure %",
    "turnover": "turnover, x equity",
}
"""How people call the figures of `summarize`, in the order in which they read them."""


@dataclass
class Trades:
    """What completed round trips were like: sums over them, and extremes. Shares are of what was paid."""

    count: int = 0
    net: int = 0
    shares: float = 0.0
    best: float = -inf
    worst: float = inf
    duration_ns: int = 0
    longest_ns: int = 0

    def add(self, trips: Records) -> None:
        """Count completed round trips (TRIP)."""
        if len(trips) == 0:
            return
        paid = trips["paid"]
        shares = (trips["realized"] - trips["fees"])[paid > 0] / paid[paid > 0]
        durations = trips["exit_ts"] - trips["entry_ts"]
        self.count += len(trips)
        self.net += int(trips["account"].sum())
        for share in shares.tolist():  # One after the other: a sum must not depend on how the trips are cut.
            self.shares += share
        self.best = max(self.best, float(shares.max(initial=-inf)))
        self.worst = min(self.worst, float(shares.min(initial=inf)))
        self.duration_ns += int(durations.sum())
        self.longest_ns = max(self.longest_ns, int(durations.max()))


@dataclass
class Group:
    """Figures of one symbol or one strategy, in the quote currency of its fills."""

    fills: int = 0
    round_trips: int = 0
    wins: int = 0
    fees: dict[str, int] = field(default_factory=Counter)
    pnl: dict[str, int] = field(default_factory=Counter)


class Statistics:
    """Collects what the summary needs from output records, in bounded memory (one number a day) and without a loop
    over records.

    Sums are kept for each pair of strategy and symbol: `fills`, `round_trips`, `wins`, and in minor units of the quote
    `fees` and `pnl` (net of fees). `gained` and `lost`: round trips in minor units of the account's currency.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self.orders = 0
        self.blocked: Counter[str] = Counter()
        self.gained = 0
        self.lost = 0
        self.last_ledger: Records | None = None
        self.day_equity: dict[int, int] = {}
        self.first_ts = self.last_ts = 0
        self.halts: list[tuple[int, int]] = []
        self.halted_ns = self.halted_since = 0
        self.trades = Trades()
        pairs = len(names.strategies) * len(names.symbols)
        self._fills, self._fees, self._pnl, self._round_trips, self._wins = np.zeros((5, pairs), dtype=np.int64)
        self._trips = RoundTrips(names)
        self._traded = np.zeros(len(names.symbols))
        self.starved = Starved(names)

    def add(self, records: Records) -> None:
        """Count output records, in their order."""
        kinds = records["kind"]
        self.orders += int(np.count_nonzero(kinds == t.OutputKind.ORDER))
        codes, counts = np.unique(records["code"][kinds == t.OutputKind.BLOCKED], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            self.blocked[t.Code(code).name.lower()] += count
        self.starved.add(records)
        self._add_fills(of_kind(records, t.OutputKind.FILL, t.OUT_FILL))
        self._add_rows(of_kind(records, t.OutputKind.LEDGER, t.OUT_LEDGER))
        for record in records[(kinds == t.OutputKind.HALT) | (kinds == t.OutputKind.RESUME)]:
            self._add_halt(record)

    @property
    def fills(self) -> int:
        """Of all strategies and symbols."""
        return int(self._fills.sum())

    @property
    def round_trips(self) -> int:
        """Completed, flat to flat."""
        return int(self._round_trips.sum())

    @property
    def wins(self) -> int:
        """Round trips that gained, net of fees."""
        return int(self._wins.sum())

    def begun(self) -> Records:
        """The round trips (TRIP) that have begun and not ended."""
        return self._trips.begun()

    def equity_before(self, ts: int) -> int | None:
        """The last equity of an earlier day than that in which `ts` (ns UTC) lies, None when there was none."""
        days = [day for day in self.day_equity if day < (ts - 1) // t.DAY_NS]
        return self.day_equity[max(days)] if days else None

    def groups(self, by: Literal["symbol", "strategy"]) -> dict[str, Group]:
        """Figures by name, of those that have a fill."""
        n_symbols = len(self.names.symbols)
        found: dict[str, Group] = {}
        for pair in np.flatnonzero(self._fills).tolist():
            strategy, symbol = divmod(pair, n_symbols)
            name = self.names.symbols[symbol] if by == "symbol" else self.names.strategies[strategy]
            quote = self.names.assets[self.names.quotes[symbol]]
            group = found.setdefault(name, Group())
            group.fills += int(self._fills[pair])
            group.round_trips += int(self._round_trips[pair])
            group.wins += int(self._wins[pair])
            group.fees[quote] += int(self._fees[pair])
            group.pnl[quote] += int(self._pnl[pair])
        return found

    def _add_fills(self, fills: Records) -> None:
        if len(fills) == 0:
            return
        pair = fills["strategy"].astype(np.int64) * len(self.names.symbols) + fills["symbol"]
        pnl = fills["realized"] - fills["fee_quote"]
        np.add.at(self._fills, pair, 1)
        np.add.at(self._traded, fills["symbol"], fills["notional"].astype(np.float64))
        np.add.at(self._fees, pair, fills["fee_quote"])
        np.add.at(self._pnl, pair, pnl)
        self._add_round_trips(self._trips.add(fills))

    def _add_round_trips(self, trips: Records) -> None:
        pair = trips["strategy"] * len(self.names.symbols) + trips["symbol"]
        np.add.at(self._round_trips, pair, 1)
        np.add.at(self._wins, pair, (trips["realized"] > trips["fees"]).astype(np.int64))
        self.trades.add(trips)
        account = trips["account"]
        self.gained += int(account[account > 0].sum())
        self.lost -= int(account[account < 0].sum())

    def _add_halt(self, record: np.void) -> None:
        ts = int(record["ts"])
        if record["kind"] == t.OutputKind.HALT:
            self.halts.append((ts, int(record["code"])))
            self.halted_since = ts
        elif self.halted_since:
            self.halted_ns += ts - self.halted_since
            self.halted_since = 0

    def _add_rows(self, rows: Records) -> None:
        valued = np.flatnonzero(rows["valued"])
        valued = valued[rows["code"][valued] != 1]  # The opening row.
        days = (rows["ts"][valued] - 1) // t.DAY_NS
        last = np.flatnonzero(np.append(days[1:] != days[:-1], True)) if len(days) else np.zeros(0, dtype=np.int64)
        self.day_equity.update(zip(days[last].tolist(), rows["equity"][valued[last]].tolist(), strict=True))
        if len(rows):
            self.first_ts = self.first_ts or int(rows["ts"][0])
            self.last_ts = int(rows["ts"][-1])
            self.last_ledger = rows[-1:].copy()

    def returns(self, start_equity: int) -> Returns:
        """The returns of daily equity; the opening equity comes first."""
        days = sorted(self.day_equity)
        return returns_of(start_equity, days, [self.day_equity[day] for day in days])

    def turnover(self, rates: Sequence[float | None], start_equity: int) -> float | None:
        """What was traded, bought and sold, over the mean of daily equity; None where a quote has no fixed rate."""
        rate = [1.0 if one is None else one for one in rates]
        unknown = any(one is None and traded > 0 for one, traded in zip(rates, self._traded.tolist(), strict=False))
        equities = list(self.day_equity.values()) or [start_equity]
        mean = sum(equities) / len(equities)
        if unknown or mean <= 0 or len(rates) != len(self._traded):
            return None
        return float(sum(one * traded for one, traded in zip(rate, self._traded.tolist(), strict=True)) / mean)

    def halted_share(self) -> float:
        """How much of the run was spent halted."""
        span = self.last_ts - self.first_ts
        since = self.last_ts - self.halted_since if self.halted_since else 0
        return (self.halted_ns + since) / span if span > 0 else 0.0


def summarize(
    statistics: Statistics, account: np.void, buy_and_hold: dict[str, float], rates: Sequence[float | None] = ()
) -> dict[str, Any]:
    """One flat object, as `--json` prints it; what is not defined is None. `account`: the core's record at the end;
    `rates`: by symbol, what a minor unit of its quote is always worth in the account's, None where that changes.
    """
    unit = statistics.names.account_unit()
    row = statistics.last_ledger
    valued = row is not None and bool(row["valued"][0])
    equity = int(row["equity"][0]) if row is not None and valued else None
    # The core's own first valuation: the first valued row is later where a coin is held, and as late as rows are rare.
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
        "return_pct": 100.0 * (equity / start - 1.0) if equity is not None and start else None,
        "buy_and_hold_pct": sum(buy_and_hold.values()) / len(buy_and_hold) if buy_and_hold else None,
        "max_drawdown_pct": 100.0 * drawdown if valued else None,
        "cagr_pct": _percent(growth),
        "sharpe": sharpe(returns),
        "sortino": sortino(returns),
        "calmar": calmar(growth, drawdown),
        "returns": len(returns.values),
        "return_days": returns.days,
        "returns_a_year": returns.a_year,
        "profit_factor": statistics.gained / statistics.lost if statistics.lost > 0 else None,
        "win_rate_pct": 100.0 * statistics.wins / trips if trips else None,
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
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share


def halts_in_words(summary: Mapping[str, Any]) -> str:
    """When the kill switch tripped first, why, and how much of the run was spent halted."""
    if not summary["halts"]:
        return str(summary["halted"])
    first = f"{summary['first_halt_reason']} at {summary['first_halt'][:16].replace('T', ' ')}"
    return f"{first}; halted {summary['halted_pct']:.1f} % of the run"
