"""Streaming features of one symbol: updated once per bar, in constant memory, identical in replay and live.

The state of a feature is one FEATURE record and, if it has a window, a ring buffer. A rolling sum is rebuilt from its
ring once per window, so that rounding errors do not accumulate. The value counts after `needs` bars; until then it is
0, never NaN.

Prices are floats in the quote. Formulas and their sources: TA-Lib's `ta_RSI.c`, `ta_ATR.c`, `ta_EMA.c` (the first
value is a simple mean, then Wilder's or exponential smoothing); the other formulas are in the functions' docstrings.
"""

from math import sqrt

from paperbot.core.numeric import OVERFLOW, kernel, to_integer
from paperbot.core.types import DAY_NS, NOBODY, Array, FeatureKind, Record, World


@kernel(inline=True)
def _sma(f: Record, rings: Array, at: int, window: int, price: float) -> None:
    """Mean of the last `window` closes."""
    slot = at + f["at"]
    f["a"] += price - rings[slot]
    rings[slot] = price
    f["at"] += 1
    if f["at"] == window:
        f["at"] = 0
        total = 0.0
        for k in range(at, at + window):
            total += rings[k]
        f["a"] = total
    if f["count"] >= window:
        f["value"] = f["a"] / window


@kernel(inline=True)
def _ema(f: Record, window: int, price: float) -> None:
    """Exponential mean with 2 / (window + 1), seeded by the mean of the first `window` closes."""
    if f["count"] <= window:
        f["a"] += price
        if f["count"] == window:
            f["value"] = f["a"] / window
    else:
        f["value"] += (price - f["value"]) * (2.0 / (window + 1))


@kernel(inline=True)
def _rsi(f: Record, window: int, price: float) -> None:
    """Wilder's relative strength index: 100 * gain / (gain + loss); 0 if the price did not move."""
    change = price - f["c"]
    f["c"] = price
    if f["count"] == 1:
        return
    gain = max(0.0, change)
    loss = -change if change < 0.0 else 0.0
    if f["count"] <= window + 1:
        f["a"] += gain
        f["b"] += loss
        if f["count"] <= window:
            return
        f["a"] /= window
        f["b"] /= window
    else:
        f["a"] = (f["a"] * (window - 1) + gain) / window
        f["b"] = (f["b"] * (window - 1) + loss) / window
    moved = f["a"] + f["b"]
    f["value"] = 100.0 * (f["a"] / moved) if moved > 0.0 else 0.0


@kernel(inline=True)
def _atr(f: Record, window: int, high: float, low: float, close: float) -> None:
    """Wilder's average of the true range; the first bar has no true range."""
    before = f["c"]
    f["c"] = close
    if f["count"] == 1:
        return
    true_range = high - low
    true_range = max(true_range, abs(before - high))
    true_range = max(true_range, abs(before - low))
    if f["count"] <= window + 1:
        f["a"] += true_range
        if f["count"] == window + 1:
            f["value"] = f["a"] / window
    else:
        f["value"] = (f["value"] * (window - 1) + true_range) / window


@kernel(inline=True)
def _vwap(f: Record, day: float, typical: float, volume: float) -> None:
    """Mean of the typical price in the UTC day, weighted by base volume; the typical price while there is no volume."""
    if f["c"] != day:
        f["a"] = 0.0
        f["b"] = 0.0
        f["c"] = day
    f["a"] += typical * volume
    f["b"] += volume
    f["value"] = f["a"] / f["b"] if f["b"] > 0.0 else typical


@kernel(inline=True)
def _deviation(f: Record, rings: Array, at: int, window: int, x: float) -> float:
    """Population deviation of the last `window` values, by Welford's update for a sliding window.

    `f.d` counts repeated values: a window of equal values must have deviation exactly 0, but the running sums would
    leave rounding noise, by which the z-score would divide.
    """
    f["d"] = f["d"] + 1.0 if x == f["c"] else 0.0
    f["c"] = x
    slot = at + f["at"]
    if f["count"] <= window:
        delta = x - f["a"]
        f["a"] += delta / f["count"]
        f["b"] += delta * (x - f["a"])
    else:
        old = rings[slot]
        mean = f["a"]
        f["a"] += (x - old) / window
        f["b"] += (x - old) * (x - f["a"] + old - mean)
    rings[slot] = x
    f["at"] += 1
    if f["at"] == window:
        f["at"] = 0
        _rebuild_deviation(f, rings, at, window)
    if f["count"] < window or f["d"] >= window - 1.0 or f["b"] <= 0.0:
        return 0.0
    return sqrt(f["b"] / window)


@kernel
def _rebuild_deviation(f: Record, rings: Array, at: int, window: int) -> None:
    mean = 0.0
    for k in range(at, at + window):
        mean += rings[k]
    mean /= window
    squares = 0.0
    for k in range(at, at + window):
        away = rings[k] - mean
        squares += away * away
    f["a"] = mean
    f["b"] = squares


@kernel(inline=True)
def _zscore(f: Record, rings: Array, at: int, window: int, distance: float) -> None:
    """Distance (close - VWAP) / population deviation of the last `window` distances; 0 if the deviation is 0."""
    spread = _deviation(f, rings, at, window, distance)
    f["value"] = distance / spread if spread > 0.0 else 0.0


@kernel(inline=True)
def _volatility(f: Record, rings: Array, at: int, window: int, price: float) -> None:
    """Population deviation of the last `window` simple returns, per bar."""
    before = f["e"]
    f["e"] = price
    if f["count"] == 1:
        return
    f["count"] -= 1
    f["value"] = _deviation(f, rings, at, window, price / before - 1.0)
    f["count"] += 1


@kernel(inline=True)
def update_features(w: World, bar: Record, symbol: int) -> None:
    """Advance every feature of the symbol by one bar, in table order, in which a source precedes its reader."""
    params = w.symbol_params[symbol]
    unit = params["price_unit"]
    close = bar["close"] / unit
    first = symbol * w.risk["n_features"]
    block = symbol * w.risk["ring_size"]
    for k in range(w.risk["n_features"]):
        f = w.features[first + k]
        p = w.feature_params[k]
        kind = p["kind"]
        window = p["window"]
        at = block + p["ring"]
        f["count"] += 1
        if kind == FeatureKind.SMA:
            _sma(f, w.rings, at, window, close)
        elif kind == FeatureKind.ZSCORE:
            _zscore(f, w.rings, at, window, close - w.features[first + p["source"]]["value"])
        elif kind == FeatureKind.VWAP:
            typical = (bar["high"] / unit + bar["low"] / unit + close) / 3.0
            volume = bar["volume"]
            if params["volume_in_quote"] != 0:
                volume /= typical
            _vwap(f, float((bar["close_ts"] - 1) // DAY_NS), typical, volume)
        elif kind == FeatureKind.ATR:
            _atr(f, window, bar["high"] / unit, bar["low"] / unit, close)
        elif kind == FeatureKind.RSI:
            _rsi(f, window, close)
        elif kind == FeatureKind.VOLATILITY:
            _volatility(f, w.rings, at, window, close)
        elif kind == FeatureKind.EMA:
            _ema(f, window, close)
    _publish_atr(w, symbol, first, unit)


@kernel(inline=True)
def _publish_atr(w: World, symbol: int, first: int, unit: float) -> None:
    """Store the ATR in whole price units, the only form used for money; it stays 0 during warm-up."""
    slot = w.risk["atr_feature"]
    if slot == NOBODY:
        return
    f = w.features[first + slot]
    if f["count"] >= w.feature_params[slot]["needs"]:
        atr = to_integer(f["value"] * unit)
        w.symbols[symbol]["atr"] = 0 if atr == OVERFLOW else atr
