"""Which strategies were kept out by a cap that all strategies share, while others held what it allows."""

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.core.fields import of_kind
from paperbot.names import Names

Records = NDArray[np.void]

SHARED = (t.Code.MAX_POSITION_VALUE, t.Code.GROSS_EXPOSURE, t.Code.MAX_OPEN_POSITIONS, t.Code.FUNDS)
"""The caps that strategies share by what they hold. The first counts one symbol, the last one quote."""


class Kept(TypedDict):
    """What happened to one strategy's entries."""

    entries: int
    """Sent to the gate, accepted or not."""
    blocked: int
    """Refused by a shared cap while another strategy held something that the cap counts."""
    by: dict[str, int]
    """`blocked` by the cap's code."""
    holders: list[str]
    """Strategies that held something then."""


class Starved:
    """Follows who holds what, and counts the entries that a shared cap refused meanwhile; without a loop over records,
    and independent of how a run is cut.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._steps = np.array(names.steps, dtype=np.int64)
        self._quotes = np.array(names.quotes, dtype=np.int64)
        self._holds = np.zeros((len(names.strategies), len(names.symbols)), dtype=bool)
        self._entries = np.zeros(len(names.strategies), dtype=np.int64)
        self._blocked = np.zeros((len(names.strategies), len(SHARED)), dtype=np.int64)
        self._holders = np.zeros((len(names.strategies),) * 2, dtype=bool)

    def add(self, records: Records) -> None:
        """Count output records, in their order."""
        if len(self._names.strategies) < 2:  # noqa: PLR2004
            return
        kinds = records["kind"]
        at = np.flatnonzero((kinds == t.OutputKind.ORDER) | (kinds == t.OutputKind.BLOCKED))
        orders = records[at].view(t.OUT_ORDER)
        is_entry = (orders["role"] == t.Role.ENTRY) & (orders["strategy"] >= 0)
        is_entry &= (orders["strategy"] < len(self._names.strategies)) & (orders["symbol"] < len(self._names.symbols))
        np.add.at(self._entries, orders["strategy"][is_entry], 1)
        refused = is_entry & (orders["kind"] == t.OutputKind.BLOCKED) & np.isin(orders["code"], SHARED)
        fills = of_kind(records, t.OutputKind.FILL, t.OUT_FILL)
        self._count(orders[refused], at[refused], fills, np.flatnonzero(kinds == t.OutputKind.FILL))

    def _count(self, orders: Records, at: NDArray[Any], fills: Records, fills_at: NDArray[Any]) -> None:
        """`at`, `fills_at`: where the refused orders and the fills stand among all records."""
        holds_after = fills["position"] >= self._steps[fills["symbol"]]
        rivals = np.zeros((len(self._names.strategies), len(orders)), dtype=bool)
        known = self._holds.copy()
        known[fills["strategy"], fills["symbol"]] = True
        for strategy, symbol in np.argwhere(known).tolist():
            mine = (fills["strategy"] == strategy) & (fills["symbol"] == symbol)
            states = np.append(self._holds[strategy, symbol], holds_after[mine])
            self._holds[strategy, symbol] = states[-1]
            counts = (orders["code"] != t.Code.MAX_POSITION_VALUE) | (orders["symbol"] == symbol)
            counts &= (orders["code"] != t.Code.FUNDS) | (self._quotes[orders["symbol"]] == self._quotes[symbol])
            counts &= orders["strategy"] != strategy
            rivals[strategy] |= counts & states[np.searchsorted(fills_at[mine], at)]
        starved = rivals.any(axis=0)
        for place, code in enumerate(SHARED):
            np.add.at(self._blocked[:, place], orders["strategy"][starved & (orders["code"] == code)], 1)
        for strategy, rival in enumerate(rivals):
            self._holders[orders["strategy"][rival], strategy] = True

    def found(self) -> dict[str, Kept]:
        """By strategy, those that were kept out at least once."""
        names = self._names.strategies
        return {
            names[one]: Kept(
                entries=int(self._entries[one]),
                blocked=int(self._blocked[one].sum()),
                by={c.name.lower(): int(n) for c, n in zip(SHARED, self._blocked[one], strict=True) if n},
                holders=[name for name, held in zip(names, self._holders[one], strict=True) if held],
            )
            for one in np.flatnonzero(self._blocked.any(axis=1)).tolist()
        }


def starved_in_words(starved: Mapping[str, Kept]) -> list[str]:
    """A sentence for each strategy that was kept out."""
    return [
        f"strategy {name}: {kept['blocked']:,} of {kept['entries']:,} entries blocked by {', '.join(kept['by'])}, a cap"
        f" that strategies share, while {' and '.join(kept['holders'])} held"
        for name, kept in starved.items()
    ]
