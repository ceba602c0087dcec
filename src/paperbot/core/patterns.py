"""Candlestick patterns of one symbol, in integers, so that no pattern depends on rounding.

The definitions and averages are TA-Lib's (`ta_CDLENGULFING.c`, `ta_CDLHAMMER.c`,
`ta_CDLSHOOTINGSTAR.c`, `ta_CDLDOJI.c` and the default candle settings in `ta_global.c`): a body is short below the
mean body of the previous ten bars; a shadow is very short, and a body is a doji's, below a tenth of their mean range;
near means within a fifth of the mean range of five bars.
"""

from paperbot.core.numeric import kernel
from paperbot.core.outputs import emit
from paperbot.core.types import NOBODY, Code, OutputKind, Pattern, Record, World

_PERIOD = 10
_NEAR = 5
_PATTERNS = len(Pattern)


@kernel
def _engulfing(bar: Record, before: Record) -> int:
    opening, close = bar["open"], bar["close"]
    if close >= opening and before["close"] < before["open"]:
        if (close >= before["open"] and opening < before["close"]) or (
            close > before["open"] and opening <= before["close"]
        ):
            return 1 << Pattern.ENGULFING_BULLISH
    if close < opening and before["close"] >= before["open"]:
        if (opening >= before["close"] and close < before["open"]) or (
            opening > before["close"] and close <= before["open"]
        ):
            return 1 << Pattern.ENGULFING_BEARISH
    return 0


@kernel
def _shadowed(bar: Record, before: Record) -> int:
    """Detect hammer and shooting star: a short body at one end of a long shadow."""
    top = max(bar["open"], bar["close"])
    bottom = min(bar["open"], bar["close"])
    body = top - bottom
    upper = bar["high"] - top
    lower = bottom - bar["low"]
    if body * _PERIOD >= before["body_sum"]:
        return 0
    mask = 0
    if lower > body and upper * 10 * _PERIOD < before["range_sum"]:
        near = 0
        for back in range(2, 2 + _NEAR):
            near += before["ranges"][(before["count"] - back) % _PERIOD]
        if (bottom - before["low"]) * 5 * _NEAR <= near:
            mask |= 1 << Pattern.HAMMER
    if upper > body and lower * 10 * _PERIOD < before["range_sum"]:
        if bottom > max(before["open"], before["close"]):
            mask |= 1 << Pattern.SHOOTING_STAR
    return mask


@kernel
def _remember(before: Record, bar: Record) -> None:
    slot = before["count"] % _PERIOD
    body = abs(bar["close"] - bar["open"])
    size = bar["high"] - bar["low"]
    before["body_sum"] += body - before["bodies"][slot]
    before["range_sum"] += size - before["ranges"][slot]
    before["bodies"][slot] = body
    before["ranges"][slot] = size
    before["open"] = bar["open"]
    before["low"] = bar["low"]
    before["close"] = bar["close"]
    before["count"] += 1


@kernel
def find_patterns(w: World, bar: Record, symbol: int, report: bool) -> None:  # noqa: FBT001
    """Detect the bar's patterns and store them for the strategies; if `report`, also emit a record for each."""
    before = w.candles[symbol]
    mask = 0
    if before["count"] >= 2:
        mask |= _engulfing(bar, before)
    if before["count"] >= _PERIOD and abs(bar["close"] - bar["open"]) * 10 * _PERIOD <= before["range_sum"]:
        mask |= 1 << Pattern.DOJI
    if before["count"] > _PERIOD:
        mask |= _shadowed(bar, before)
    _remember(before, bar)
    mask &= w.risk["pattern_mask"]
    w.symbols[symbol]["patterns"] = mask
    if report and mask != 0:
        for pattern in range(_PATTERNS):
            if (mask >> pattern) & 1 != 0:
                _emit_pattern(w, bar, symbol, pattern)


@kernel
def _emit_pattern(w: World, bar: Record, symbol: int, pattern: int) -> None:
    out = w.out_pattern[emit(w, OutputKind.PATTERN, bar["close_ts"], symbol, NOBODY, Code.NONE)]
    out["pattern"] = pattern
    bullish = pattern == Pattern.ENGULFING_BULLISH or pattern == Pattern.HAMMER
    bearish = pattern == Pattern.ENGULFING_BEARISH or pattern == Pattern.SHOOTING_STAR
    out["direction"] = (1 if bullish else 0) - (1 if bearish else 0)
    out["close"] = bar["close"]
    slot = w.risk["rsi_feature"]
    if slot != NOBODY:
        rsi = w.features[symbol * w.risk["n_features"] + slot]
        if rsi["count"] >= w.feature_params[slot]["needs"]:
            out["rsi_ready"] = 1
            out["rsi"] = rsi["value"]
