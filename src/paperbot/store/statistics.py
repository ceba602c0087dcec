"""Where figures are computed. Sums run over blocks of output records, and do not depend on how a run is cut."""

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
