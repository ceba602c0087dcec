"""The rsi job's rule as a compiled strategy: long below 30, flat above 55."""

from paperbot.strategy import FLAT, HOLD, LONG, compiled

FEATURES = ["rsi(14)"]
PARAMS = {"oversold": 30.0, "recovered": 55.0}


@compiled
def on_bar(ts, bar, features, params, memory, held, target):
    if features[0] < params[0]:
        return LONG
    if features[0] > params[1]:
        return FLAT
    return HOLD
