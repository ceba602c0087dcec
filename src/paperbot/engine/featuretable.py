"""Which features a run computes: each once, only those in use, and how long they warm up."""

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.events import Records

_WILDER_WARMUP = 10
_ROUND = {t.FeatureKind.VWAP: 0, t.FeatureKind.VOLATILITY: 1, t.FeatureKind.ZSCORE: 3}
_ROUND_OF_MOST = 2
"""A feature that is read comes first and its reader last, with the others' work between them: the z-score is a chain of
divisions behind the VWAP's, and next to each other they kept the processor waiting (65 ns a bar for five features
against 51).
"""


def needs_of(features: Records, slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bars until all features of a row of slots count; 0 for a row of nobody. Shape (n, m) to (n,)."""
    bars = np.append(features["needs"], 0)  # NOBODY is -1, the last place.
    return np.asarray(bars[slots].max(axis=1, initial=0))


class FeatureTable:
    """The features in use, each once; a slot is an index into it."""

    def __init__(self) -> None:
        self.rows: list[tuple[t.FeatureKind, int, int, int, int]] = []
        self.ring_size = 0

    def slot(self, kind: t.FeatureKind, window: int = 1) -> int:
        """The slot of a feature, added (with what it reads) when it is not there yet."""
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
        """Put the features into the order that takes the least time; returns the new slot of each old one."""
        order = sorted(range(len(self.rows)), key=lambda slot: _ROUND.get(self.rows[slot][0], _ROUND_OF_MOST))
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        rows = [self.rows[slot] for slot in order]
        self.rows = [(*row[:3], int(place[row[3]]) if row[3] != t.NOBODY else row[3], row[4]) for row in rows]
        return place

    def array(self) -> Records:
        """FEATURE_PARAMS."""
        return np.array(self.rows, dtype=t.FEATURE_PARAMS)

    def warmup_bars(self, timeframe_ns: int) -> int:
        """Bars until every value is what a longer history would give, or as near as Wilder's smoothing gets."""
        bars = 0
        for kind, window, _, _, needs in self.rows:
            bars = max(bars, needs)
            if kind in {t.FeatureKind.RSI, t.FeatureKind.ATR, t.FeatureKind.EMA}:
                bars = max(bars, _WILDER_WARMUP * window)
            if kind == t.FeatureKind.VWAP:
                bars = max(bars, -(-int(t.DAY_NS) // timeframe_ns))
        return bars
