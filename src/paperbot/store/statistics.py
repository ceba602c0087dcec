"""Statistics of a run from its output records: round trips, and the sums behind the summary and the pages.

They do not depend on how a run is cut into calls. The formulas are in `figures.py`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.core.fields import of_kind
from paperbot.events import Records
from paperbot.figures import Returns, returns_of
from paperbot.names import Names
from paperbot.store.starved import Starved

_SUMS = ("realized", "fees", "account", "bought", "paid", "sold", "received")

TRIP = np.dtype(
    [(name, np.int64) for name in ("strategy", "symbol", "fills", "entry_ts", "exit_ts", "role", *_SUMS)],
)
"""A round trip, flat to flat. Times in ns UTC; `role`: of its last fill; `realized` (before fees), `fees`, `paid` and
`received` in the quote's minor unit, `bought` and `sold` in the base's, `account`: the net result in the account's.
"""


class RoundTrips:
    """Tracks the round trips of each strategy and symbol. A trip ends with a sale that leaves less than one step."""

    def __init__(self, names: Names) -> None:
        self._n_symbols = len(names.symbols)
        self._steps = np.array(names.steps, dtype=np.int64)
        self._open = np.zeros(len(names.strategies) * self._n_symbols, dtype=TRIP)

    def add(self, fills: Records) -> Records:
        """The trips (TRIP) that these fills (OUT_FILL) complete, in the order of their ends."""
        if len(fills) == 0:
            return self._open[:0]
        pair = fills["strategy"].astype(np.int64) * self._n_symbols + fills["symbol"]
        order = np.argsort(pair, kind="stable")
        pair, fills = pair[order], fills[order]
        is_sale = fills["side"] == t.Side.SELL
        ends = is_sale & (fills["position"] < self._steps[fills["symbol"]])
        starts_pair = np.append(True, pair[1:] != pair[:-1])
        first = np.flatnonzero(starts_pair | np.append(False, ends[:-1]))
        last = np.append(first[1:], len(pair)) - 1
        trips = self._summed(fills, is_sale, first, last)
        going_on = starts_pair[first] & (self._open["fills"][pair[first]] > 0)
        begun = self._open[pair[first[going_on]]]
        for name in ("fills", *_SUMS):
            trips[name][going_on] += begun[name]
        trips["entry_ts"][going_on] = begun["entry_ts"]
        closed = ends[last]
        self._open[pair[first]] = np.zeros(1, dtype=TRIP)
        self._open[pair[first[~closed]]] = trips[~closed]
        completed: Records = trips[closed][np.argsort(order[last[closed]])]
        return completed

    def begun(self) -> Records:
        """The trips (TRIP) that are still open."""
        begun: Records = self._open[self._open["fills"] > 0]
        return begun

    @staticmethod
    def _summed(
        fills: Records, is_sale: NDArray[np.bool_], first: NDArray[np.int64], last: NDArray[np.int64]
    ) -> Records:
        """One TRIP for each stretch of fills from `first` to `last`."""
        bought, sold = np.where(is_sale, 0, fills["quantity"]), np.where(is_sale, fills["quantity"], 0)
        paid, received = np.where(is_sale, 0, fills["notional"]), np.where(is_sale, fills["notional"], 0)
        account = fills["realized_account"] - fills["fee_account"]
        trips = np.zeros(len(first), dtype=TRIP)
        columns = (fills["realized"], fills["fee_quote"], account, bought, paid, sold, received)
        for name, column in zip(_SUMS, columns, strict=True):
            trips[name] = np.add.reduceat(column, first)
        trips["strategy"], trips["symbol"] = fills["strategy"][first], fills["symbol"][first]
        trips["fills"] = last - first + 1
        trips["entry_ts"], trips["exit_ts"], trips["role"] = fills["ts"][first], fills["ts"][last], fills["role"][last]
        return trips


@dataclass
class Trades:
    """Sums and extremes over completed round trips. `shares`, `best` and `worst` are fractions of what was paid."""

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
        for share in shares.tolist():  # One by one, so that the sum does not depend on how the trips are cut.
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
    """Collects the figures of the summary from output records, in bounded memory (one number per day) and without a
    loop over records.

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
        """The number of fills of all strategies and symbols."""
        return int(self._fills.sum())

    @property
    def round_trips(self) -> int:
        """The number of completed round trips."""
        return int(self._round_trips.sum())

    @property
    def wins(self) -> int:
        """The number of completed round trips with a profit, net of fees."""
        return int(self._wins.sum())

    def begun(self) -> Records:
        """The round trips (TRIP) that are still open."""
        return self._trips.begun()

    def equity_before(self, ts: int) -> int | None:
        """The last equity before the UTC day of `ts` (ns UTC), or None."""
        days = [day for day in self.day_equity if day < (ts - 1) // t.DAY_NS]
        return self.day_equity[max(days)] if days else None

    def groups(self, by: Literal["symbol", "strategy"]) -> dict[str, Group]:
        """The figures of each symbol or strategy with a fill, by name."""
        n_symbols = len(self.names.symbols)
        groups: dict[str, Group] = {}
        for pair in np.flatnonzero(self._fills).tolist():
            strategy, symbol = divmod(pair, n_symbols)
            name = self.names.symbols[symbol] if by == "symbol" else self.names.strategies[strategy]
            quote = self.names.assets[self.names.quotes[symbol]]
            group = groups.setdefault(name, Group())
            group.fills += int(self._fills[pair])
            group.round_trips += int(self._round_trips[pair])
            group.wins += int(self._wins[pair])
            group.fees[quote] += int(self._fees[pair])
            group.pnl[quote] += int(self._pnl[pair])
        return groups

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
        """The value bought and sold, divided by the mean daily equity; None if a traded quote has no fixed rate."""
        factors = [1.0 if rate is None else rate for rate in rates]
        unknown = any(rate is None and traded > 0 for rate, traded in zip(rates, self._traded.tolist(), strict=False))
        equities = list(self.day_equity.values()) or [start_equity]
        mean = sum(equities) / len(equities)
        if unknown or mean <= 0 or len(rates) != len(self._traded):
            return None
        return float(sum(rate * traded for rate, traded in zip(factors, self._traded.tolist(), strict=True)) / mean)

    def halted_share(self) -> float:
        """The share of the run's time that was spent halted."""
        span = self.last_ts - self.first_ts
        since = self.last_ts - self.halted_since if self.halted_since else 0
        return (self.halted_ns + since) / span if span > 0 else 0.0
