"""The summary of a run: the figures that people compare, from what the core reported."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.core.records import of_kind
from paperbot.names import Names
from paperbot.store.statistics import RoundTrips

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
        pairs = len(names.strategies) * len(names.symbols)
        self._fills, self._fees, self._pnl, self._round_trips, self._wins = np.zeros((5, pairs), dtype=np.int64)
        self._trips = RoundTrips(names)

    def add(self, records: Records) -> None:
        """Count output records, in their order."""
        kinds = records["kind"]
        self.orders += int(np.count_nonzero(kinds == t.OutputKind.ORDER))
        codes, counts = np.unique(records["code"][kinds == t.OutputKind.BLOCKED], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            self.blocked[t.Code(code).name.lower()] += count
        self._add_fills(of_kind(records, t.OutputKind.FILL, t.OUT_FILL))
        self._add_rows(of_kind(records, t.OutputKind.LEDGER, t.OUT_LEDGER))

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
        np.add.at(self._fees, pair, fills["fee_quote"])
        np.add.at(self._pnl, pair, pnl)
        self._add_round_trips(self._trips.add(fills))

    def _add_round_trips(self, trips: Records) -> None:
        pair = trips["strategy"] * len(self.names.symbols) + trips["symbol"]
        np.add.at(self._round_trips, pair, 1)
        np.add.at(self._wins, pair, (trips["realized"] > trips["fees"]).astype(np.int64))
        account = trips["account"]
        self.gained += int(account[account > 0].sum())
        self.lost -= int(account[account < 0].sum())

    def _add_rows(self, rows: Records) -> None:
        valued = np.flatnonzero(rows["valued"])
        valued = valued[rows["code"][valued] != 1]  # The opening row.
        days = (rows["ts"][valued] - 1) // t.DAY_NS
        last = np.flatnonzero(np.append(days[1:] != days[:-1], True)) if len(days) else np.zeros(0, dtype=np.int64)
        self.day_equity.update(zip(days[last].tolist(), rows["equity"][valued[last]].tolist(), strict=True))
        if len(rows):
            self.last_ledger = rows[-1:].copy()

    def sharpe(self, market: str, start_equity: int) -> float | None:
        """The ratio of daily equity, the opening one being day 0."""
        equities = [start_equity, *(self.day_equity[day] for day in sorted(self.day_equity))]
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
    # The core's own first valuation: the first valued row is later where a coin is held, and as late as rows are rare.
    start = int(account["start_equity"]) if valued else None
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
        "sharpe": statistics.sharpe(market, start or 0),
        "profit_factor": statistics.gained / statistics.lost if statistics.lost > 0 else None,
        "win_rate_pct": 100.0 * statistics.wins / trips if trips else None,
        "exposure_pct": 100.0 * int(account["exposed_slices"]) / slices if slices else None,
        "halted": t.HaltReason(int(account["halted"])).name.lower(),
        "blocked": dict(sorted(statistics.blocked.items())),
    }
