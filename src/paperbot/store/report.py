"""The summary of a run: the figures that people compare, from what the core reported."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.names import Names
from paperbot.store.tables import Row

Records = NDArray[np.void]

MIN_DAYS_FOR_SHARPE = 10
DAYS_A_YEAR = {"crypto": 365, "stocks": 252}


@dataclass
class Group:
    """Figures of one symbol or one strategy, in the quote currency of its fills."""

    fills: int = 0
    round_trips: int = 0
    wins: int = 0
    fees: dict[str, int] = field(default_factory=Counter)
    pnl: dict[str, int] = field(default_factory=Counter)


@dataclass
class Statistics:
    """Collects what the summary needs, record by record, in bounded memory (one number a day)."""

    names: Names
    orders: int = 0
    blocked: Counter[str] = field(default_factory=Counter)
    fills: int = 0
    round_trips: int = 0
    wins: int = 0
    gained: int = 0
    lost: int = 0
    start_equity: int | None = None
    last_ledger: Records | None = None
    by_symbol: dict[str, Group] = field(default_factory=dict)
    by_strategy: dict[str, Group] = field(default_factory=dict)
    day_equity: dict[int, int] = field(default_factory=dict)

    def add(self, records: Records, round_trips: Iterable[Row]) -> None:
        """Count output records, and the round trips that they completed."""
        kinds = records["kind"]
        self.orders += int(np.count_nonzero(kinds == t.OutputKind.ORDER))
        for code in records["code"][kinds == t.OutputKind.BLOCKED].tolist():
            self.blocked[t.Code(code).name.lower()] += 1
        self._add_fills(records[kinds == t.OutputKind.FILL].view(t.OUT_FILL))
        self._add_rows(records[kinds == t.OutputKind.LEDGER].view(t.OUT_LEDGER))
        for trip in round_trips:
            self._add_round_trip(trip)

    def _groups(self, symbol: str, strategy: str) -> tuple[Group, Group]:
        return self.by_symbol.setdefault(symbol, Group()), self.by_strategy.setdefault(strategy, Group())

    def _add_fills(self, fills: Records) -> None:
        self.fills += len(fills)
        for fill in fills:
            quote = self.names.assets[self.names.quotes[int(fill["symbol"])]]
            symbol, strategy = self.names.symbols[int(fill["symbol"])], self.names.strategies[int(fill["strategy"])]
            for group in self._groups(symbol, strategy):
                group.fills += 1
                group.fees[quote] += int(fill["fee_quote"])
                group.pnl[quote] += int(fill["realized"]) - int(fill["fee_quote"])

    def _add_rows(self, rows: Records) -> None:
        valued = rows[rows["valued"] != 0]
        opening = valued["code"] == 1
        if len(valued) and self.start_equity is None:
            self.start_equity = int(valued["equity"][0])
        valued = valued[~opening]
        for day, equity in zip(((valued["ts"] - 1) // t.DAY_NS).tolist(), valued["equity"].tolist(), strict=True):
            self.day_equity[day] = equity
        if len(rows):
            self.last_ledger = rows[-1:].copy()

    def _add_round_trip(self, trip: Row) -> None:
        self.round_trips += 1
        won = trip["pnl_minor"] > 0
        self.wins += won
        self.gained += max(trip["pnl_account_minor"], 0)
        self.lost += max(-trip["pnl_account_minor"], 0)
        for group in self._groups(trip["symbol"], trip["strategy"]):
            group.round_trips += 1
            group.wins += won

    def sharpe(self, market: str) -> float | None:
        """The ratio of daily equity, the opening one being day 0."""
        equities = [self.start_equity or 0, *(self.day_equity[day] for day in sorted(self.day_equity))]
        return sharpe(equities, DAYS_A_YEAR[market])


def sharpe(equities: Sequence[float], days_a_year: int) -> float | None:
    """Mean / sample deviation of daily equity returns x sqrt(days a year); None under 10 days or without change."""
    returns = [after / before - 1.0 for before, after in pairwise(equities) if before > 0]
    if len(returns) < MIN_DAYS_FOR_SHARPE:
        return None
    mean = sum(returns) / len(returns)
    deviation = sqrt(sum((one - mean) ** 2 for one in returns) / (len(returns) - 1))
    return mean / deviation * sqrt(days_a_year) if deviation > 0 else None


def summarize(statistics: Statistics, account: np.void, market: str, buy_and_hold: dict[str, float]) -> dict[str, Any]:
    """One flat object, as `--json` prints it; what is not defined is None. `account`: the core's record at the end."""
    unit = statistics.names.account_unit()
    row = statistics.last_ledger
    valued = row is not None and bool(row["valued"][0])
    equity = int(row["equity"][0]) if row is not None and valued else None
    start = statistics.start_equity
    slices = int(account["slices"])
    trips = statistics.round_trips
    return {
        "currency": statistics.names.currency,
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
        "max_drawdown_pct": int(account["max_drawdown_ppb"]) / 1e7 if valued else None,
        "sharpe": statistics.sharpe(market),
        "profit_factor": statistics.gained / statistics.lost if statistics.lost > 0 else None,
        "win_rate_pct": 100.0 * statistics.wins / trips if trips else None,
        "exposure_pct": 100.0 * int(account["exposed_slices"]) / slices if slices else None,
        "halted": t.HaltReason(int(account["halted"])).name.lower(),
        "blocked": dict(sorted(statistics.blocked.items())),
    }
