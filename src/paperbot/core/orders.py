"""The open orders: slots of one table, linked in a chain for each symbol, by ascending id.

Only the gate (`risk.py`) adds an order, and only `end` removes one, so that every lock is released and no link to a
freed slot remains.
"""

from paperbot.core.numeric import LIMIT, OVERFLOW, kernel
from paperbot.core.oracle import position_value
from paperbot.core.outputs import emit_end, emit_order
from paperbot.core.types import NOBODY, Code, OrderType, OutputKind, Record, Role, TimeInForce, World


@kernel
def has_own_slot(role: int) -> bool:
    """Whether orders of this role have slots of their own, outside the capacity, because nothing may stop an exit."""
    return role == Role.EXIT or role == Role.FLATTEN


@kernel
def legs(order: Record) -> int:
    """Number of protective orders that an entry asks for."""
    return (1 if order["stop_distance"] > 0 else 0) + (1 if order["target_distance"] > 0 else 0)


@kernel
def is_leg(order: Record) -> bool:
    """Whether the order is a leg of a protective pair. An open entry reserves a slot for each leg not placed yet."""
    return order["role"] == Role.STOP or order["role"] == Role.TARGET


@kernel
def largest_quantity(params: Record, at_market: bool) -> int:  # noqa: FBT001
    """The largest quantity of one order (LOT_SIZE), and `at_market` also by MARKET_LOT_SIZE."""
    largest = params["max_quantity"] if params["max_quantity"] > 0 else LIMIT - 1
    if at_market and params["max_market_quantity"] > 0:
        largest = min(largest, params["max_market_quantity"])
    return largest


@kernel
def position_index(w: World, order: Record) -> int:
    """Index of the position of the order's strategy and symbol."""
    return order["strategy"] * w.risk["n_symbols"] + order["symbol"]


@kernel(inline=True)
def is_flat(w: World, index: int, symbol: int) -> bool:
    """Whether a position in the symbol is smaller than one step, or dust that is still too small to sell."""
    position = w.positions[index]
    return position["quantity"] < w.symbol_params[symbol]["step"] or (
        position["dust"] != 0 and _is_dust(w, position, symbol)
    )


@kernel
def _is_dust(w: World, position: Record, symbol: int) -> bool:
    params = w.symbol_params[symbol]
    value = position_value(w, position, symbol)
    return position["quantity"] < params["min_quantity"] or (value != OVERFLOW and value < params["min_notional"])


@kernel
def new_draft(w: World, ts: int, symbol: int, strategy: int, side: int, role: int) -> Record:
    """Reset the draft to a market order without a quantity; the caller fills it in before `submit`."""
    draft = w.draft
    draft["id"] = 0
    draft["parent"] = 0
    draft["created_ts"] = ts
    draft["expires_ts"] = 0
    draft["quantity"] = 0
    draft["filled"] = 0
    draft["limit_price"] = 0
    draft["stop_price"] = 0
    draft["locked"] = 0
    draft["stop_distance"] = 0
    draft["target_distance"] = 0
    draft["bars"] = 0
    draft["fresh"] = 0
    draft["stop_slot"] = NOBODY
    draft["target_slot"] = NOBODY
    draft["parent_slot"] = NOBODY
    draft["symbol"] = symbol
    draft["strategy"] = strategy
    draft["flags"] = 0
    draft["side"] = side
    draft["order_type"] = OrderType.MARKET
    draft["time_in_force"] = TimeInForce.GTC
    draft["role"] = role
    return draft


@kernel
def insert(w: World, ts: int, atr: int) -> int:
    """Copy the approved draft into a free slot, give it an id, append it to its chain, report it; returns the slot."""
    account = w.account
    slot = account["free_slot"]
    account["free_slot"] = w.orders[slot]["next"]
    w.orders[slot] = w.draft
    order = w.orders[slot]
    order["id"] = account["next_order_id"]
    account["next_order_id"] += 1
    chain = w.chains[order["symbol"]]
    order["previous"] = chain["tail"]
    order["next"] = NOBODY
    if chain["tail"] == NOBODY:
        chain["head"] = slot
    else:
        w.orders[chain["tail"]]["next"] = slot
    chain["tail"] = slot
    chain["orders"] += 1
    position = w.positions[position_index(w, order)]
    if order["role"] == Role.ENTRY:
        account["entry_orders"] += 1
        account["reserved_orders"] += legs(order)
        position["entries"] += 1
    elif is_leg(order):
        account["reserved_orders"] -= 1
    if has_own_slot(order["role"]):
        account["exit_orders"] += 1
        position["exits"] += 1
    account["open_orders"] += 1
    emit_order(w, OutputKind.ORDER, ts, order, Code.NONE, atr)
    return slot


@kernel
def _unlink(w: World, slot: int) -> None:
    """Remove all links to the slot from the order's parent, legs and sibling."""
    order = w.orders[slot]
    if order["parent_slot"] != NOBODY:
        parent = w.orders[order["parent_slot"]]
        if parent["stop_slot"] == slot:
            parent["stop_slot"] = NOBODY
        if parent["target_slot"] == slot:
            parent["target_slot"] = NOBODY
    if order["role"] == Role.ENTRY:
        if order["stop_slot"] != NOBODY:
            w.orders[order["stop_slot"]]["parent_slot"] = NOBODY
        if order["target_slot"] != NOBODY:
            w.orders[order["target_slot"]]["parent_slot"] = NOBODY
    elif order["stop_slot"] != NOBODY:
        w.orders[order["stop_slot"]]["target_slot"] = NOBODY
    elif order["target_slot"] != NOBODY:
        w.orders[order["target_slot"]]["stop_slot"] = NOBODY


@kernel
def end(w: World, slot: int, code: int, ts: int) -> None:
    """End an order: release its lock (within a slice: at the end of it), report the end, and free the slot."""
    account = w.account
    order = w.orders[slot]
    released = order["locked"]
    if released > 0:
        quote = w.assets[w.symbol_params[order["symbol"]]["quote"]]
        order["locked"] = 0
        if w.market["slice_ts"] > w.market["clock_ts"]:
            quote["arriving"] += released
            w.account["arrivals"] = 1
        else:
            quote["locked"] -= released
            quote["free"] += released
    emit_end(w, OutputKind.ORDER_END, ts, order, code, released)
    position = w.positions[position_index(w, order)]
    if order["role"] == Role.ENTRY:
        account["entry_orders"] -= 1
        position["entries"] -= 1
        placed = (1 if order["stop_slot"] != NOBODY else 0) + (1 if order["target_slot"] != NOBODY else 0)
        account["reserved_orders"] -= legs(order) - placed
    elif is_leg(order) and order["parent_slot"] != NOBODY:
        account["reserved_orders"] += 1
    if has_own_slot(order["role"]):
        account["exit_orders"] -= 1
        position["exits"] -= 1
    account["open_orders"] -= 1
    _unlink(w, slot)
    chain = w.chains[order["symbol"]]
    if order["previous"] == NOBODY:
        chain["head"] = order["next"]
    else:
        w.orders[order["previous"]]["next"] = order["next"]
    if order["next"] == NOBODY:
        chain["tail"] = order["previous"]
    else:
        w.orders[order["next"]]["previous"] = order["previous"]
    chain["orders"] -= 1
    order["id"] = 0
    order["next"] = account["free_slot"]
    account["free_slot"] = slot


@kernel
def after(w: World, symbol: int, order_id: int) -> int:
    """The slot of the symbol's first open order with a higher id, or NOBODY.

    Fills end and place orders, so a loop over the chain must call this again after each fill.
    """
    slot = w.chains[symbol]["head"]
    while slot != NOBODY and w.orders[slot]["id"] <= order_id:
        slot = w.orders[slot]["next"]
    return slot


@kernel
def end_role(w: World, strategy: int, symbol: int, role: int, code: int, ts: int) -> None:
    """End a strategy's open orders of one role in one symbol, by ascending id."""
    slot = w.chains[symbol]["head"]
    while slot != NOBODY:
        order = w.orders[slot]
        following = order["next"]
        if order["role"] == role and order["strategy"] == strategy:
            end(w, slot, code, ts)
        slot = following
