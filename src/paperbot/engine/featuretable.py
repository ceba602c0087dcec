"""Which features a run computes: each once, only those in use, and how long they warm up."""

import numpy as np

from paperbot.core import types as t
from paperbot.engine.machine import Records

_WILDER_WARMUP = 10


class FeatureTable:
    """The features in use, each once; a slot is an index into it."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.ring_size = 0

    def slot(self, kind: t.FeatureKind, window: int = 1) -> int:
        """The slot of a feature, added (with what it reads) when it is not there yet."""
        for index, row in enumerate(self.rows):
            if row[:2] == (kind, window):
                return index
        source = self.slot(t.FeatureKind.VWAP) if kind == t.FeatureKind.ZSCORE else -1
        has_ring = kind in {t.FeatureKind.SMA, t.FeatureKind.ZSCORE, t.FeatureKind.VOLATILITY}
        needs_one_more = kind in {t.FeatureKind.RSI, t.FeatureKind.ATR, t.FeatureKind.VOLATILITY}
        self.rows.append((int(kind), window, self.ring_size, source, window + 1 if needs_one_more else window))
        self.ring_size += window if has_ring else 0
        return len(self.rows) - 1

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
