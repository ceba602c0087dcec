"""Collects the features that a run computes: only those in use, each once. Also computes their warm-up."""

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.events import Records

_WILDER_WARMUP = 10
_RANK = {t.FeatureKind.VWAP: 0, t.FeatureKind.VOLATILITY: 1, t.FeatureKind.ZSCORE: 3}
_RANK_OF_OTHERS = 2
"""Positions in the table: the VWAP first, its reader, the z-score, last, and all other features between them.

Both are chains of divisions, and the z-score depends on the VWAP: next to each other they stalled the processor (65 ns
per bar for five features, against 51).
"""


def needs_of(features: Records, slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bars until all features in a row of slots count; 0 for a row of NOBODY. Shape (n, m) to (n,)."""
    bars = np.append(features["needs"], 0)  # NOBODY is -1, the last index.
    return np.asarray(bars[slots].max(axis=1, initial=0))


class FeatureTable:
    """The features in use, each once; a slot is an index into the table."""

    def __init__(self) -> None:
        self.rows: list[tuple[t.FeatureKind, int, int, int, int]] = []
        self.ring_size = 0

    def slot(self, kind: t.FeatureKind, window: int = 1) -> int:
        """Return the slot of a feature; add the feature, and its source, if it is missing."""
        for index, row in enumerate(self.rows):
            if row[:2] == (kind, window):
                return index
        source = self.slot(t.FeatureKind.VWAP) if kind == t.FeatureKind.ZSCORE else -1
        has_ring = kind in {t.FeatureKind.SMA, t.FeatureKind.ZSCORE, t.FeatureKind.VOLATILITY}
        needs_one_more = kind in {t.FeatureKind.RSI, t.FeatureKind.ATR, t.FeatureKind.VOLATILITY}
        self.rows.append((kind, window, self.ring_size, source, window + 1 if needs_one_more else window))
        self.ring_size += window if has_ring else 0
        return len(self.rows) - 1

    def settle(self) -> NDArray[np.int64]:
        """Sort the features into the fastest order (see above); returns the new slot of each old slot."""
        order = sorted(range(len(self.rows)), key=lambda slot: _RANK.get(self.rows[slot][0], _RANK_OF_OTHERS))
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        rows = [self.rows[slot] for slot in order]
        self.rows = [(*row[:3], int(place[row[3]]) if row[3] != t.NOBODY else row[3], row[4]) for row in rows]
        return place

    def array(self) -> Records:
        """The table as FEATURE_PARAMS records."""
        return np.array(self.rows, dtype=t.FEATURE_PARAMS)

    def warmup_bars(self, timeframe_ns: int) -> int:
        """Bars until all values equal those of a longer history, or nearly so with exponential smoothing."""
        bars = 0
        for kind, window, _, _, needs in self.rows:
            bars = max(bars, needs)
            if kind in {t.FeatureKind.RSI, t.FeatureKind.ATR, t.FeatureKind.EMA}:
                bars = max(bars, _WILDER_WARMUP * window)
            if kind == t.FeatureKind.VWAP:
                bars = max(bars, -(-int(t.DAY_NS) // timeframe_ns))
        return bars
