"""Finds strategies whose entries were blocked by a shared cap while other strategies held positions."""

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.core.fields import of_kind
from paperbot.names import Names

Records = NDArray[np.void]

SHARED = (t.Code.MAX_POSITION_VALUE, t.Code.GROSS_EXPOSURE, t.Code.MAX_OPEN_POSITIONS, t.Code.FUNDS)
"""The caps that all strategies share. The first counts one symbol only, the last one quote only."""


class Kept(TypedDict):
    """How one strategy's entries were blocked."""

    entries: int
    """Entries sent to the gate, accepted or not."""
    blocked: int
    """Entries blocked by a shared cap while another strategy held a position that the cap counts."""
    by: dict[str, int]
    """`blocked`, split by the cap's block code."""
    holders: list[str]
    """The strategies that held those positions."""


class Starved:
    """Tracks which strategies hold which symbols, and counts the entries that a shared cap blocked meanwhile. It does
    not loop over records, and does not depend on how a run is cut into calls.
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
        """Count refused orders. `at`, `fills_at`: the positions of orders and fills among all records."""
        holds_after = fills["position"] >= self._steps[fills["symbol"]]
        rivals = np.zeros((len(self._names.strategies), len(orders)), dtype=bool)
        ever_held = self._holds.copy()
        ever_held[fills["strategy"], fills["symbol"]] = True
        for strategy, symbol in np.argwhere(ever_held).tolist():
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
        """The strategies with at least one blocked entry, by name."""
        names = self._names.strategies
        return {
            names[strategy]: Kept(
                entries=int(self._entries[strategy]),
                blocked=int(self._blocked[strategy].sum()),
                by={c.name.lower(): int(n) for c, n in zip(SHARED, self._blocked[strategy], strict=True) if n},
                holders=[name for name, held in zip(names, self._holders[strategy], strict=True) if held],
            )
            for strategy in np.flatnonzero(self._blocked.any(axis=1)).tolist()
        }


def starved_in_words(starved: Mapping[str, Kept]) -> list[str]:
    """One sentence for each strategy in `starved`."""
    return [
        f"strategy {name}: {kept['blocked']:,} of {kept['entries']:,} entries were blocked by"
        f" {', '.join(kept['by'])}, which all strategies share, while {' and '.join(kept['holders'])} held positions"
        for name, kept in starved.items()
    ]
