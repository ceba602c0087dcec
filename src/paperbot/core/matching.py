"""Decides which open orders a bar of their symbol reaches, phase by phase (`docs/fills.md` §4).

Assumptions, also stated there:
- Of the path inside a bar only open, high and low are known; if their order matters, the worse one is assumed.
- All orders of the symbol together may take only a share of the bar's volume.
- A touch is not a fill: a resting limit order needs a trade one tick beyond its limit.

Matching on trades and the order book will be further phases of the same step.
"""

from paperbot.core.execution import bar_capacity, end_if_immediate, execute
from paperbot.core.numeric import kernel
from paperbot.core.orders import after, end, is_leg
from paperbot.core.types import NOBODY, Code, Liquidity, OrderFlag, OrderType, Record, Role, Side, TimeInForce, World


@kernel
def _takes_part(w: World, order: Record, bar: Record) -> bool:
    if is_leg(order):
        # The pair rests at the venue as soon as its entry fills: no latency.
        return bar["open_ts"] >= order["created_ts"]
    return bar["open_ts"] >= order["created_ts"] + w.symbol_params[order["symbol"]]["latency_ns"]


@kernel
def _trigger(w: World, slot: int, ts: int) -> None:
    """Turn a stop into a market order; a protective stop also ends the rest of its entry."""
    order = w.orders[slot]
    order["flags"] |= OrderFlag.TRIGGERED
    if order["parent_slot"] != NOBODY:
        end(w, order["parent_slot"], Code.STOPPED, ts)


@kernel
def _at_open(w: World, bar: Record, slot: int, cap: int) -> int:
    """Match one order with the open (phase 1); returns the remaining cap."""
    order = w.orders[slot]
    ts = bar["close_ts"]
    buy = order["side"] == Side.BUY
    opening = bar["open"]
    kind = order["order_type"]
    if kind == OrderType.MARKET or (order["flags"] & OrderFlag.TRIGGERED) != 0:
        return execute(w, bar, slot, opening, Liquidity.TAKER, cap)
    if kind == OrderType.STOP:
        if _passes_stop(order, opening):
            _trigger(w, slot, ts)
            return execute(w, bar, slot, opening, Liquidity.TAKER, cap)
        return cap
    limit = order["limit_price"]
    if order["bars"] == 0:
        if opening <= limit if buy else opening >= limit:
            if (order["flags"] & OrderFlag.POST_ONLY) != 0:
                end(w, slot, Code.WOULD_TAKE, ts)
                return cap
            return execute(w, bar, slot, opening, Liquidity.TAKER, cap)
        end_if_immediate(w, slot, ts)
        return cap
    if _trades_through(w, order, opening):
        return execute(w, bar, slot, limit, Liquidity.MAKER, cap)
    return cap


@kernel
def _passes_stop(order: Record, price: int) -> bool:
    """Whether a trade at the price would have triggered a stop."""
    return price >= order["stop_price"] if order["side"] == Side.BUY else price <= order["stop_price"]


@kernel
def _reaches_stop(order: Record, bar: Record) -> bool:
    """Whether any price of the bar would have triggered a stop."""
    return _passes_stop(order, bar["high"]) if order["side"] == Side.BUY else _passes_stop(order, bar["low"])


@kernel
def _trades_through(w: World, order: Record, price: int) -> bool:
    """Whether a trade at the price would have filled a resting limit order."""
    params = w.symbol_params[order["symbol"]]
    beyond = 0 if params["touch_fills"] != 0 else params["tick"]
    if order["side"] == Side.BUY:
        return price <= order["limit_price"] - beyond
    return price >= order["limit_price"] + beyond


@kernel
def _inside(w: World, bar: Record, slot: int, stops: bool, cap: int) -> int:  # noqa: FBT001
    """Match one order that the open did not reach, in phase 2 (stops) or 3 (limits); returns the remaining cap."""
    order = w.orders[slot]
    buy = order["side"] == Side.BUY
    if stops:
        if order["order_type"] != OrderType.STOP or (order["flags"] & OrderFlag.TRIGGERED) != 0:
            return cap
        if _reaches_stop(order, bar):
            _trigger(w, slot, bar["close_ts"])
            return execute(w, bar, slot, order["stop_price"], Liquidity.TAKER, cap)
        return cap
    if order["order_type"] != OrderType.LIMIT or _was_reached_at_open(w, order, bar):
        return cap
    if _trades_through(w, order, bar["low"] if buy else bar["high"]):
        return execute(w, bar, slot, order["limit_price"], Liquidity.MAKER, cap)
    return cap


@kernel
def _was_reached_at_open(w: World, order: Record, bar: Record) -> bool:
    if order["bars"] == 0:
        if order["side"] == Side.BUY:
            return bar["open"] <= order["limit_price"]
        return bar["open"] >= order["limit_price"]
    return _trades_through(w, order, bar["open"])


@kernel
def _expire(w: World, bar: Record, symbol: int) -> None:
    slot = w.chains[symbol]["head"]
    while slot != NOBODY:
        order = w.orders[slot]
        following = order["next"]
        if order["time_in_force"] == TimeInForce.GTD and bar["close_ts"] > order["expires_ts"]:
            end(w, slot, Code.EXPIRED, bar["close_ts"])
        slot = following


@kernel
def _grow_older(w: World, bar: Record, symbol: int, newest: int) -> None:
    """Count the bar for the orders that took part, and end entries that waited too long (phase 5)."""
    timeout = w.risk["entry_timeout_bars"]
    slot = w.chains[symbol]["head"]
    while slot != NOBODY:
        order = w.orders[slot]
        following = order["next"]
        order["fresh"] = 0
        if order["id"] < newest and _takes_part(w, order, bar):
            order["bars"] += 1
            if order["role"] == Role.ENTRY and 0 < timeout <= order["bars"]:
                end(w, slot, Code.ENTRY_TIMEOUT, bar["close_ts"])
        slot = following


@kernel
def _is_quiet(w: World, order: Record, bar: Record) -> bool:
    """Whether the bar leaves an order unchanged: it does not expire, and no phase reaches it."""
    if order["time_in_force"] == TimeInForce.GTD and bar["close_ts"] > order["expires_ts"]:
        return False
    if not _takes_part(w, order, bar):
        return True
    if order["order_type"] == OrderType.STOP:
        if (order["flags"] & OrderFlag.TRIGGERED) != 0 or _passes_stop(order, bar["open"]):
            return False
        return not _reaches_stop(order, bar)
    if order["order_type"] == OrderType.MARKET or order["bars"] == 0:
        return False
    if _trades_through(w, order, bar["open"]):
        return False
    return not _trades_through(w, order, bar["low"] if order["side"] == Side.BUY else bar["high"])


@kernel
def _all_quiet(w: World, bar: Record, symbol: int) -> bool:
    slot = w.chains[symbol]["head"]
    while slot != NOBODY:
        if not _is_quiet(w, w.orders[slot], bar):
            return False
        slot = w.orders[slot]["next"]
    return True


@kernel
def match_bar(w: World, bar: Record, symbol: int) -> None:
    """Match all open orders of the symbol with its bar, phase by phase, in each by ascending id."""
    newest = w.account["next_order_id"]
    if not _all_quiet(w, bar, symbol):
        _match_phases(w, bar, symbol, newest)
    _grow_older(w, bar, symbol, newest)


@kernel
def _match_phases(w: World, bar: Record, symbol: int, newest: int) -> None:
    params = w.symbol_params[symbol]
    cap = bar_capacity(params, bar)
    _expire(w, bar, symbol)
    for phase in range(1, 4):
        slot = w.chains[symbol]["head"]
        while slot != NOBODY and w.orders[slot]["id"] < newest:
            order = w.orders[slot]
            order_id = order["id"]
            following = order["next"]
            seq = w.account["seq"]
            if _takes_part(w, order, bar):
                cap = _at_open(w, bar, slot, cap) if phase == 1 else _inside(w, bar, slot, phase == 2, cap)
            # Without a new output record, no order ended or was placed, so the next order is still the next.
            slot = following if w.account["seq"] == seq else after(w, symbol, order_id)
    slot = after(w, symbol, newest - 1)
    while slot != NOBODY:
        order = w.orders[slot]
        order_id = order["id"]
        if order["role"] == Role.STOP and bar["low"] <= order["stop_price"]:
            _trigger(w, slot, bar["close_ts"])
            cap = execute(w, bar, slot, min(order["stop_price"], bar["open"]), Liquidity.TAKER, cap)
        slot = after(w, symbol, order_id)
