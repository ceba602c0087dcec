"""Where figures are computed. Sums run over blocks of output records, and do not depend on how a run is cut.

Ratios follow empyrical: returns are those between the last equities of UTC days, and a figure is annualised by the
mean time between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.names import Names

Records = NDArray[np.void]

_SUMS = ("realized", "fees", "account", "bought", "paid", "sold", "received")

TRIP = np.dtype(
    [(name, np.int64) for name in ("strategy", "symbol", "fills", "entry_ts", "exit_ts", "role", *_SUMS)],
)
"""A round trip, flat to flat. Times in ns UTC; `role`: of its last fill; `realized` (before fees), `fees`, `paid` and
`received` in the quote's minor unit, `bought` and `sold` in the base's, `account`: net result in the account's.
"""


class RoundTrips:
    """Follows each pair of strategy and symbol from flat to flat: a trip ends with a sale that leaves less than a
    step.
    """

    def __init__(self, names: Names) -> None:
        self._n_symbols = len(names.symbols)
        self._steps = np.array(names.steps, dtype=np.int64)
        self._open = np.zeros(len(names.strategies) * self._n_symbols, dtype=TRIP)

    def add(self, fills: Records) -> Records:
        """The trips (TRIP) that these fills (OUT_FILL) complete, in the order in which they end."""
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
        """The trips (TRIP) that have begun and not ended."""
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


DAYS_A_YEAR = 365
MIN_RETURNS = 10


@dataclass(frozen=True)
class Returns:
    """Relative changes of equity, and the mean time between them, in days; `days` 0 where there is none."""

    values: tuple[float, ...]
    days: float

    @property
    def a_year(self) -> float:
        """How many of them a year has."""
        return DAYS_A_YEAR / self.days if self.days else 0.0


def returns_of(start: float, days: Sequence[int], equities: Sequence[float]) -> Returns:
    """The returns from `start` over the last equities of days (ascending day numbers). The first return is as long as
    the others usually are.
    """
    before = [start, *equities[:-1]] if len(equities) else []
    values = [after / earlier - 1.0 for earlier, after in zip(before, equities, strict=True) if earlier > 0]
    if len(days) < 2:  # noqa: PLR2004
        return Returns(tuple(values), 1.0 if len(days) else 0.0)
    usual = float(np.median(np.diff(days)))
    return Returns(tuple(values), (days[-1] - days[0] + usual) / len(days))


def sharpe(returns: Returns) -> float | None:
    """Mean / sample deviation of the returns x sqrt(returns a year); None under 10 returns or without change.

    Source: empyrical.sharpe_ratio with a risk-free rate of 0.
    """
    values = returns.values
    if len(values) < MIN_RETURNS:
        return None
    mean = sum(values) / len(values)
    deviation = sqrt(sum((one - mean) ** 2 for one in values) / (len(values) - 1))
    return mean / deviation * sqrt(returns.a_year) if deviation > 0 else None


def sortino(returns: Returns) -> float | None:
    """Mean / root mean square of the negative returns (over all of them) x sqrt(returns a year); None under 10 returns
    or without a loss.

    Source: empyrical.sortino_ratio with a required return of 0.
    """
    values = returns.values
    if len(values) < MIN_RETURNS:
        return None
    downside = sqrt(sum(min(one, 0.0) ** 2 for one in values) / len(values))
    return sum(values) / len(values) / downside * sqrt(returns.a_year) if downside > 0 else None


def cagr(start: float, end: float, seconds: float) -> float | None:
    """Compound annual growth rate, as a share: (end / start) ^ (a year / time) - 1; None under a day, or for a total
    loss.
    """
    years = seconds / (86_400.0 * DAYS_A_YEAR)
    if start <= 0 or end <= 0 or seconds < 86_400.0:  # noqa: PLR2004
        return None
    try:
        return float((end / start) ** (1.0 / years) - 1.0)
    except OverflowError:
        return None


def calmar(growth: float | None, max_drawdown: float) -> float | None:
    """Compound annual growth / largest drawdown, both shares; None without a drawdown.

    Source: empyrical.calmar_ratio.
    """
    return growth / max_drawdown if growth is not None and max_drawdown > 0 else None
