"""The built-in strategies: what each wants to hold after a bar.

A strategy sees its features, its own last target and nothing else, and answers LONG, FLAT or SHORT. It answers its last
target while a feature of its warms up or when nothing speaks for a change.
"""

from typing import Any

import numpy as np

from paperbot.core.numeric import kernel
from paperbot.core.types import NOBODY, Record, StrategyKind, Target, World

LONG: Any = np.int64(Target.LONG)
FLAT: Any = np.int64(Target.FLAT)


@kernel(inline=True)
def _feature(w: World, symbol: int, slot: int) -> int:
    return w.features[symbol * w.risk["n_features"] + slot]["value"]


@kernel(inline=True)
def is_ready(w: World, params: Record, symbol: int) -> bool:
    """Whether all features that the strategy reads have seen enough bars."""
    first = symbol * w.risk["n_features"]
    for k in range(len(params["feature"])):
        slot = params["feature"][k]
        if slot == NOBODY:
            return True
        if w.features[first + slot]["count"] < w.feature_params[slot]["needs"]:
            return False
    return True


@kernel(inline=True)
def _mean_reversion(w: World, params: Record, symbol: int, target: int) -> int:
    """Long when the z-score falls to `enter` or below, flat when it is back at `leave` or above."""
    z = _feature(w, symbol, params["feature"][0])
    if target != LONG:
        return LONG if z <= params["value"][0] else FLAT
    return FLAT if z >= params["value"][1] else LONG


@kernel(inline=True)
def _sma_cross(w: World, params: Record, symbol: int) -> int:
    """Long while the fast mean is above the slow one."""
    fast = _feature(w, symbol, params["feature"][0])
    slow = _feature(w, symbol, params["feature"][1])
    return LONG if fast > slow else FLAT


@kernel(inline=True)
def decide(w: World, strategy: int, symbol: int, target: int) -> int:
    """The built-in strategy's target for a symbol, given its last one."""
    params = w.strategy_params[strategy]
    kind = params["kind"]
    if kind == StrategyKind.EXTERNAL or not is_ready(w, params, symbol):
        return target
    if kind == StrategyKind.SMA_CROSS:
        return _sma_cross(w, params, symbol)
    if kind == StrategyKind.MEAN_REVERSION:
        return _mean_reversion(w, params, symbol, target)
    return target


@kernel
def strength(w: World, strategy: int, symbol: int) -> float:
    """How strong a fresh signal is, 0 to 1: for mean reversion half at the threshold and 1 at twice of it, for the SMA
    cross the distance of the means in percent of price.
    """
    params = w.strategy_params[strategy]
    kind = params["kind"]
    score = 1.0
    if kind == StrategyKind.MEAN_REVERSION:
        z = _feature(w, symbol, params["feature"][0])
        score = abs(z) / (2.0 * abs(params["value"][0])) if params["value"][0] != 0.0 else 1.0
    elif kind == StrategyKind.SMA_CROSS:
        slow = _feature(w, symbol, params["feature"][1])
        fast = _feature(w, symbol, params["feature"][0])
        score = abs(fast - slow) / slow * 100.0 if slow > 0.0 else 1.0
    return min(score, 1.0)
