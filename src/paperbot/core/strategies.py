"""The strategies that run inside the core: the built-in ones, and users' compiled ones.

A strategy receives its features, the last bar, its position and its last target, and answers LONG, FLAT or SHORT. It
keeps its last target while one of its features is warming up.
"""

from typing import Any

import numpy as np

from paperbot.core.ledger import stop_run
from paperbot.core.numeric import JIT, kernel
from paperbot.core.types import (
    FRAME_ANSWER,
    FRAME_HEAD,
    FRAME_HELD,
    FRAME_TARGET,
    HOLD,
    NOBODY,
    Fault,
    Record,
    StrategyKind,
    Target,
    World,
)

if JIT:
    from paperbot.core.pointer import call_strategy
else:
    from paperbot.core.plain import call_strategy

LARGEST = 9.0

LONG: Any = np.int64(Target.LONG)
FLAT: Any = np.int64(Target.FLAT)
SHORT: Any = np.int64(Target.SHORT)


@kernel(inline=True)
def _feature(w: World, symbol: int, slot: int) -> int:
    return w.features[symbol * w.risk["n_features"] + slot]["value"]


@kernel(inline=True)
def is_ready(w: World, params: Record, symbol: int) -> bool:
    """Whether all features of the strategy have seen enough bars. All have the same count, so the first one decides."""
    slot = params["feature"][0]
    return slot == NOBODY or w.features[symbol * w.risk["n_features"] + slot]["count"] >= params["needs"]


@kernel(inline=True)
def _mean_reversion(w: World, params: Record, symbol: int, target: int) -> int:
    """Go long when the z-score is at `enter` or below, and flat when it is back at `leave` or above."""
    z = _feature(w, symbol, params["feature"][0])
    if target != LONG:
        return LONG if z <= params["value"][0] else FLAT
    return FLAT if z >= params["value"][1] else LONG


@kernel(inline=True)
def _sma_cross(w: World, params: Record, symbol: int) -> int:
    """Stay long while the fast mean is above the slow one."""
    fast = _feature(w, symbol, params["feature"][0])
    slow = _feature(w, symbol, params["feature"][1])
    return LONG if fast > slow else FLAT


@kernel(inline=True)
def _momentum(w: World, params: Record, symbol: int, target: int) -> int:
    """Be long while the close is above its trend, from an RSI of `enter` or above until one of `leave` or below."""
    rsi = _feature(w, symbol, params["feature"][0])
    trend = _feature(w, symbol, params["feature"][1])
    above = w.symbols[symbol]["last_close"] / w.symbol_params[symbol]["price_unit"] > trend
    if target != LONG:
        return LONG if above and rsi >= params["value"][0] else FLAT
    return LONG if above and rsi > params["value"][1] else FLAT


@kernel(inline=True)
def _pattern_follower(w: World, params: Record, symbol: int, target: int) -> int:
    """Go long on a pattern of `enter` and flat on one of `leave`; `leave` takes precedence."""
    mask = w.symbols[symbol]["patterns"]
    if (mask & params["leave_mask"]) != 0:
        return FLAT
    return LONG if (mask & params["enter_mask"]) != 0 else target


@kernel
def _compiled(w: World, strategy: int, symbol: int, target: int, ts: int) -> int:
    """Call a user's compiled strategy. Its frame: open, high, low, close, volume, held, target, then its features."""
    params = w.strategy_params[strategy]
    last = w.symbols[symbol]
    unit = w.symbol_params[symbol]["price_unit"]
    w.frame[0] = last["last_open"] / unit
    w.frame[1] = last["last_high"] / unit
    w.frame[2] = last["last_low"] / unit
    w.frame[3] = last["last_close"] / unit
    w.frame[4] = last["last_volume"]
    held = w.positions[strategy * w.risk["n_symbols"] + symbol]["quantity"]
    w.frame[FRAME_HELD] = held / w.symbol_params[symbol]["base_unit"]
    w.frame[FRAME_TARGET] = float(target)
    for k in range(len(params["feature"])):
        slot = params["feature"][k]
        w.frame[FRAME_HEAD + k] = _feature(w, symbol, slot) if slot != NOBODY else 0.0
    memory = params["scratch_at"] + symbol * params["scratch"]
    failed = call_strategy(w, params["address"], ts, strategy, memory)
    answer = w.frame[FRAME_ANSWER]
    if failed != 0:
        stop_run(w, Fault.STRATEGY_RAISED, symbol, strategy)
        return target
    if not (-LARGEST <= answer <= LARGEST):
        stop_run(w, Fault.STRATEGY_NOT_FINITE, symbol, strategy)
        return target
    if answer == HOLD:
        return target
    return LONG if answer > 0.0 else (SHORT if answer < 0.0 else FLAT)


@kernel(inline=True)
def decide(w: World, strategy: int, symbol: int, target: int, ts: int) -> int:
    """Decide the strategy's target for a symbol, given its last target."""
    params = w.strategy_params[strategy]
    kind = params["kind"]
    if kind == StrategyKind.EXTERNAL or not is_ready(w, params, symbol):
        return target
    if kind == StrategyKind.SMA_CROSS:
        return _sma_cross(w, params, symbol)
    if kind == StrategyKind.MEAN_REVERSION:
        return _mean_reversion(w, params, symbol, target)
    if kind == StrategyKind.MOMENTUM:
        return _momentum(w, params, symbol, target)
    if kind == StrategyKind.PATTERN:
        return _pattern_follower(w, params, symbol, target)
    return _compiled(w, strategy, symbol, target, ts)


@kernel
def strength(w: World, strategy: int, symbol: int) -> float:
    """Compute the strength of a new signal, 0 to 1.

    Mean reversion: 0.5 at the threshold, 1 at twice the threshold. SMA cross: distance of the means, in percent of the
    slow one. Momentum: distance of the RSI from 50, as a share of 50. Compiled: the size of the answer.
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
    elif kind == StrategyKind.MOMENTUM:
        score = abs(_feature(w, symbol, params["feature"][0]) - 50.0) / 50.0
    elif kind == StrategyKind.COMPILED:
        score = abs(w.frame[FRAME_ANSWER])
    return min(score, 1.0)
