"""Fills an order that a bar has reached: quantity, price, and the effects on other orders (`docs/fills.md` §4 and §5).

Takers pay slippage and the taker fee; a maker is filled exactly at its limit.
"""

from paperbot.core.ledger import largest_payable, post_fill
from paperbot.core.numeric import DOWN, OVERFLOW, UP, kernel, mul_div, ppb, round_down, round_up, saturated, to_integer
from paperbot.core.orders import after, end, is_leg, legs, position_index
from paperbot.core.outputs import emit_end
from paperbot.core.risk import place_leg
from paperbot.core.types import (
    NOBODY,
    PPB,
    Code,
    Liquidity,
    OrderType,
    OutputKind,
    Record,
    Role,
    Side,
    SlippageModel,
    TimeInForce,
    World,
)


@kernel
def bar_capacity(params: Record, bar: Record) -> int:
    """The quantity that all orders together may take from the bar, in base minor units and whole steps."""
    unit = params["base_unit"]
    if params["volume_in_quote"] != 0:
        unit = params["quote_unit"]
    volume = saturated(to_integer(bar["volume"] * unit))
    if params["volume_in_quote"] != 0:
        volume = saturated(mul_div(volume, params["scale"], bar["high"], DOWN))
    return round_down(ppb(volume, params["liquidity_ppb"], DOWN), params["step"])


@kernel
def taker_price(w: World, order: Record, reference: int) -> int:
    """The taker's price: the reference plus slippage, rounded to the tick against the taker.

    Returns OVERFLOW beyond 2^62, and 0 for a sale below one tick, because one tick could be better than the reference.
    """
    params = w.symbol_params[order["symbol"]]
    buy = order["side"] == Side.BUY
    atr = w.symbols[order["symbol"]]["atr"]
    sign = 1 if buy else -1
    if params["slippage_model"] == SlippageModel.ATR_SCALED and atr > 0:
        away = ppb(atr, params["atr_slippage_ppb"], UP)
        if away == OVERFLOW:
            return OVERFLOW
        price = reference + sign * away
    else:
        price = ppb(reference, PPB + sign * params["slippage_ppb"], UP if buy else DOWN)
        if price == OVERFLOW:
            return OVERFLOW
    tick = params["tick"]
    price = max(round_up(price, tick), tick) if buy else round_down(max(price, 0), tick)
    if order["order_type"] == OrderType.LIMIT:
        price = min(price, order["limit_price"]) if buy else max(price, order["limit_price"])
    return price


@kernel
def _shrink_leg(w: World, slot: int, by: int, code: int, ts: int) -> None:
    """Reduce a protective order by a quantity, and end it if nothing is left of it."""
    order = w.orders[slot]
    order["quantity"] -= min(by, order["quantity"] - order["filled"])
    if order["quantity"] == order["filled"]:
        end(w, slot, code, ts)
        return
    emit_end(w, OutputKind.ORDER_CHANGE, ts, order, Code.NONE, 0)


@kernel
def _grow_leg(w: World, slot: int, by: int, ts: int) -> None:
    order = w.orders[slot]
    order["quantity"] += by
    order["fresh"] += by
    emit_end(w, OutputKind.ORDER_CHANGE, ts, order, Code.NONE, 0)


@kernel
def _protect(w: World, slot: int, quantity: int, price: int, ts: int) -> None:
    """Place the protective pair of an entry's first fill, or grow the existing pair."""
    entry = w.orders[slot]
    if legs(entry) == 0:
        return
    tick = w.symbol_params[entry["symbol"]]["tick"]
    if entry["stop_slot"] != NOBODY or entry["target_slot"] != NOBODY:
        if entry["stop_slot"] != NOBODY:
            _grow_leg(w, entry["stop_slot"], quantity, ts)
        if entry["target_slot"] != NOBODY:
            _grow_leg(w, entry["target_slot"], quantity, ts)
        return
    if entry["stop_distance"] > 0:
        stop = max(round_down(max(price - entry["stop_distance"], 0), tick), tick)
        entry["stop_slot"] = place_leg(w, ts, slot, quantity, stop, Role.STOP)
    if entry["target_distance"] > 0:
        target = round_up(price + entry["target_distance"], tick)
        entry["target_slot"] = place_leg(w, ts, slot, quantity, target, Role.TARGET)
    if entry["stop_slot"] != NOBODY and entry["target_slot"] != NOBODY:
        w.orders[entry["stop_slot"]]["target_slot"] = entry["target_slot"]
        w.orders[entry["target_slot"]]["stop_slot"] = entry["stop_slot"]


@kernel
def _leads_pair(order: Record) -> bool:
    """Whether this leg represents its pair: the stop does, or the target of a pair without a stop."""
    return order["role"] == Role.STOP or (order["role"] == Role.TARGET and order["stop_slot"] == NOBODY)


@kernel
def _fit_pairs(w: World, strategy: int, symbol: int, ts: int) -> None:
    """Shrink the strategy's pairs, oldest first, until they cover no more than the position."""
    index = strategy * w.risk["n_symbols"] + symbol
    excess = -round_down(w.positions[index]["quantity"], w.symbol_params[symbol]["step"])
    slot = w.chains[symbol]["head"]
    while slot != NOBODY:
        order = w.orders[slot]
        if order["strategy"] == strategy and _leads_pair(order):
            excess += order["quantity"] - order["filled"]
        slot = order["next"]
    slot = w.chains[symbol]["head"]
    while slot != NOBODY and excess > 0:
        order = w.orders[slot]
        order_id = order["id"]
        if order["strategy"] == strategy and _leads_pair(order):
            by = min(excess, order["quantity"] - order["filled"])
            excess -= by
            if by == 0:
                slot = order["next"]
                continue
            sibling = order["target_slot"] if order["role"] == Role.STOP else NOBODY
            _shrink_leg(w, slot, by, Code.POSITION_CLOSED, ts)
            if sibling != NOBODY:
                _shrink_leg(w, sibling, by, Code.POSITION_CLOSED, ts)
        slot = after(w, symbol, order_id)


@kernel
def _follow_up(w: World, slot: int, quantity: int, price: int, ts: int) -> None:
    """Apply a fill's effects to other orders: pairs grow, siblings shrink, and an entry whose leg filled ends."""
    order = w.orders[slot]
    if order["role"] == Role.ENTRY:
        _protect(w, slot, quantity, price, ts)
    elif is_leg(order):
        if order["role"] == Role.STOP:
            position = w.positions[position_index(w, order)]
            position["cooldown_until"] = w.symbols[order["symbol"]]["bars"] + 1 + w.risk["cooldown_bars"]
        sibling = order["target_slot"] if order["role"] == Role.STOP else order["stop_slot"]
        if sibling != NOBODY:
            _shrink_leg(w, sibling, quantity, Code.OCO, ts)
        if order["parent_slot"] != NOBODY:
            end(w, order["parent_slot"], Code.OCO, ts)
    _fit_pairs(w, order["strategy"], order["symbol"], ts)


@kernel
def end_if_immediate(w: World, slot: int, ts: int) -> None:
    """End an IOC or FOK order, which does not wait for another bar."""
    if w.orders[slot]["time_in_force"] == TimeInForce.IOC:
        end(w, slot, Code.IOC, ts)
    elif w.orders[slot]["time_in_force"] == TimeInForce.FOK:
        end(w, slot, Code.FOK, ts)


@kernel
def _settle(w: World, slot: int, short: bool, ts: int) -> None:  # noqa: FBT001
    """End an order after its turn if it is filled, its funds are short or it is IOC."""
    order = w.orders[slot]
    if order["id"] == 0:
        return
    if order["filled"] == order["quantity"]:
        end(w, slot, Code.FILLED, ts)
    elif short:
        end(w, slot, Code.FUNDS_AT_FILL, ts)
    elif order["time_in_force"] == TimeInForce.IOC:
        end(w, slot, Code.IOC, ts)


@kernel
def execute(  # noqa: C901
    w: World, bar: Record, slot: int, reference: int, liquidity: int, cap: int
) -> int:
    """Fill as much as possible of an order that was reached, and end it if it is done; returns the remaining cap."""
    order = w.orders[slot]
    ts = bar["close_ts"]
    params = w.symbol_params[order["symbol"]]
    if cap == 0:
        end_if_immediate(w, slot, ts)
        return cap
    rest = order["quantity"] - order["filled"]
    if order["role"] == Role.TARGET:
        # What the entry bought in this bar waits for the next: the target price may have traded before the entry.
        rest = max(rest - order["fresh"], 0)
        if rest == 0:
            return cap
    quantity = min(rest, cap)
    price = order["limit_price"] if liquidity == Liquidity.MAKER else taker_price(w, order, reference)
    if price == OVERFLOW:
        end(w, slot, Code.OVERFLOW, ts)
        return cap
    short = False
    if order["side"] == Side.SELL:
        held = round_down(w.positions[position_index(w, order)]["quantity"], params["step"])
        if held == 0:
            end(w, slot, Code.POSITION_CLOSED, ts)
            return cap
        if price == 0:
            end_if_immediate(w, slot, ts)
            return cap
        quantity = min(quantity, held)
    else:
        paid = largest_payable(w, order, quantity, price, liquidity)
        short = paid < quantity
        quantity = paid
    if order["time_in_force"] == TimeInForce.FOK and quantity < rest:
        end(w, slot, Code.FOK, ts)
        return cap
    if quantity > 0:
        if not post_fill(w, bar, slot, quantity, price, reference, liquidity):
            end(w, slot, Code.OVERFLOW, ts)
            return cap
        _follow_up(w, slot, quantity, price, ts)
    _settle(w, slot, short, ts)
    return cap - quantity
