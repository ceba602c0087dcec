"""The risk gate. Every order passes it once, including a user's; nothing else can place an order.

- Rules are checked in the order of the table in `docs/fills.md` §2; the first that fails blocks the order.
- A reduce-only order is checked against the format rules only: no risk rule may stop an exit.
"""

from typing import Any

from paperbot.core.numeric import DOWN, EVEN, LIMIT, OVERFLOW, UP, kernel, mul_div, ppb, round_down, round_up, saturated
from paperbot.core.oracle import from_account, notional, position_value, priced, to_account
from paperbot.core.orders import has_own_slot, insert, is_flat, largest_quantity, legs, new_draft, position_index
from paperbot.core.outputs import emit_order
from paperbot.core.types import (
    NOBODY,
    PPB,
    Code,
    FeeAsset,
    OrderFlag,
    OrderType,
    OutputKind,
    Record,
    Role,
    Side,
    TimeInForce,
    World,
)

LARGEST: Any = LIMIT >> 2
_KNOWN_FLAGS = int(OrderFlag.POST_ONLY | OrderFlag.REDUCE_ONLY)


@kernel
def is_reduce_only(order: Record) -> bool:
    """Whether the order may only make a position smaller."""
    return (order["flags"] & OrderFlag.REDUCE_ONLY) != 0


@kernel
def gate_price(w: World, draft: Record) -> int:
    """The price that the rules check: the limit, the stop price, or the last close."""
    if draft["order_type"] == OrderType.LIMIT:
        return draft["limit_price"]
    if draft["order_type"] == OrderType.STOP:
        return draft["stop_price"]
    return w.symbols[draft["symbol"]]["last_close"]


@kernel
def _exists(w: World, draft: Record) -> bool:
    return 0 <= draft["symbol"] < w.risk["n_symbols"] and 0 <= draft["strategy"] < w.risk["n_strategies"]


@kernel
def _is_beyond(draft: Record) -> bool:
    """Whether a number is so large that rounding it could exceed int64."""
    return (
        draft["quantity"] >= LARGEST
        or draft["limit_price"] >= LARGEST
        or draft["stop_price"] >= LARGEST
        or draft["stop_distance"] >= LARGEST
        or draft["target_distance"] >= LARGEST
    )


@kernel
def _normalise(w: World, draft: Record) -> None:
    """Round prices to the tick and the quantity to the step; cut a reduce-only order to the position."""
    params = w.symbol_params[draft["symbol"]]
    buy = draft["side"] == Side.BUY
    if draft["limit_price"] > 0:
        rounded = round_down(draft["limit_price"], params["tick"])
        if not buy:
            rounded = round_up(draft["limit_price"], params["tick"])
        draft["limit_price"] = rounded
    if draft["stop_price"] > 0:
        rounded = round_up(draft["stop_price"], params["tick"])
        if not buy:
            rounded = round_down(draft["stop_price"], params["tick"])
        draft["stop_price"] = rounded
    if draft["quantity"] > 0:
        draft["quantity"] = round_down(draft["quantity"], params["step"])
    if is_reduce_only(draft) and not buy:
        held = round_down(w.positions[position_index(w, draft)]["quantity"], params["step"])
        if 0 < held < draft["quantity"]:
            draft["quantity"] = held


@kernel
def _is_well_formed(draft: Record) -> bool:
    if (draft["flags"] & ~_KNOWN_FLAGS) != 0:
        return False
    kind = draft["order_type"]
    tif = draft["time_in_force"]
    if draft["side"] != Side.BUY and draft["side"] != Side.SELL:
        return False
    if kind < OrderType.MARKET or kind > OrderType.STOP or tif < TimeInForce.GTC or tif > TimeInForce.GTD:
        return False
    immediate = tif == TimeInForce.IOC or tif == TimeInForce.FOK
    if (draft["flags"] & OrderFlag.POST_ONLY) != 0 and (kind != OrderType.LIMIT or immediate):
        return False
    if kind == OrderType.STOP and immediate:
        return False
    if tif == TimeInForce.GTD and draft["expires_ts"] <= draft["created_ts"]:
        return False
    if draft["stop_distance"] < 0 or draft["target_distance"] < 0:
        return False
    if is_reduce_only(draft) and draft["side"] == Side.BUY:
        return False
    return draft["side"] == Side.BUY or legs(draft) == 0


@kernel
def _money_format(w: World, draft: Record) -> int:
    """Check min_notional and overflow, and set the lock of a buy; returns the block code or NONE."""
    params = w.symbol_params[draft["symbol"]]
    price = gate_price(w, draft)
    if price > 0:
        value = notional(w, draft["symbol"], draft["quantity"], price, EVEN)
        if value == OVERFLOW:
            return Code.OVERFLOW
        if value < params["min_notional"]:
            return Code.MIN_NOTIONAL
        if draft["stop_distance"] > 0:
            stop = max(price - draft["stop_distance"], params["tick"])
            if notional(w, draft["symbol"], draft["quantity"], stop, EVEN) < params["min_notional"]:
                return Code.MIN_NOTIONAL
    if draft["side"] == Side.BUY:
        lock = lock_for(w, draft)
        if lock == OVERFLOW:
            return Code.OVERFLOW
        draft["locked"] = lock
    return Code.NONE


@kernel
def lock_for(w: World, draft: Record) -> int:
    """The quote that a buy locks: its cost at the last close plus a margin and the taker fee; or OVERFLOW."""
    close = w.symbols[draft["symbol"]]["last_close"]
    value = notional(w, draft["symbol"], draft["quantity"], close, EVEN)
    if value == OVERFLOW:
        return OVERFLOW
    padded = ppb(value, PPB + w.risk["funds_margin_ppb"], UP)
    if padded == OVERFLOW:
        return OVERFLOW
    fee = ppb(padded, w.symbol_params[draft["symbol"]]["taker_ppb"], UP)
    return OVERFLOW if fee == OVERFLOW else padded + fee


@kernel
def _format_rule(w: World, draft: Record) -> int:  # noqa: C901
    params = w.symbol_params[draft["symbol"]]
    if not _is_well_formed(draft):
        return Code.INVALID_ORDER
    if draft["order_type"] == OrderType.LIMIT and draft["limit_price"] <= 0:
        return Code.INVALID_PRICE
    if draft["order_type"] == OrderType.STOP and draft["stop_price"] <= 0:
        return Code.INVALID_PRICE
    if draft["quantity"] <= 0:
        return Code.BELOW_STEP
    if draft["quantity"] < params["min_quantity"]:
        return Code.MIN_QUANTITY
    at_market = draft["order_type"] != OrderType.LIMIT or draft["stop_distance"] > 0
    if draft["quantity"] > largest_quantity(params, at_market):
        return Code.MAX_QUANTITY
    code = _money_format(w, draft)
    if code != Code.NONE:
        return code
    if draft["side"] == Side.SELL:
        held = w.positions[position_index(w, draft)]["quantity"]
        if not is_reduce_only(draft) and draft["quantity"] > held:
            return Code.SHORT_NOT_ALLOWED
        if is_reduce_only(draft) and held < params["step"]:
            return Code.REDUCE_ONLY
    if not has_own_slot(draft["role"]):
        account = w.account
        used = account["open_orders"] - account["exit_orders"] + account["reserved_orders"]
        if used + 1 + legs(draft) > w.risk["order_capacity"]:
            return Code.CAPACITY
    return Code.NONE


@kernel
def _has_prices(w: World, draft: Record) -> bool:
    if w.symbols[draft["symbol"]]["last_close"] == 0 or w.account["valued"] == 0:
        return False
    params = w.symbol_params[draft["symbol"]]
    if not priced(w, params["quote"]):
        return False
    fee_asset = params["fee_asset"]
    if fee_asset == FeeAsset.RECEIVED:
        fee_asset = params["base"]
    return fee_asset == FeeAsset.QUOTE or priced(w, fee_asset)


@kernel
def _pace_rule(w: World, draft: Record, ts: int) -> int:
    """Check the rules about time: staleness, cooldown (entries only) and order rate."""
    risk = w.risk
    symbol = w.symbols[draft["symbol"]]
    stale_ns = w.symbol_params[draft["symbol"]]["stale_ns"]
    if stale_ns > 0 and ts - symbol["last_close_ts"] > stale_ns:
        return Code.STALE
    if draft["side"] == Side.BUY and symbol["bars"] < w.positions[position_index(w, draft)]["cooldown_until"]:
        return Code.COOLDOWN
    account = w.account
    if risk["rate_orders"] > 0 and account["rate_count"] >= risk["rate_orders"]:
        if w.rate_ts[account["rate_next"]] > ts - risk["rate_window_ns"]:
            return Code.ORDER_RATE
    return Code.NONE


@kernel
def _breaks_collar(w: World, draft: Record) -> bool:
    collar = w.risk["collar_ppb"]
    if collar == 0 or draft["order_type"] == OrderType.MARKET:
        return False
    close = w.symbols[draft["symbol"]]["last_close"]
    away = abs(gate_price(w, draft) - close)
    # Equivalent to away * 10^9 > collar * close, but as a quotient: that product could overflow.
    share = mul_div(away, PPB, close, UP)
    return share == OVERFLOW or share > collar


@kernel
def _entries_value(w: World, symbol: int) -> int:
    """The value of all unfilled entries of the symbol at the last close, in the quote; OVERFLOW beyond 2^62."""
    total = 0
    slot = w.chains[symbol]["head"]
    while slot != NOBODY:
        order = w.orders[slot]
        if order["role"] == Role.ENTRY:
            rest = order["quantity"] - order["filled"]
            value = notional(w, symbol, rest, w.symbols[symbol]["last_close"], EVEN)
            if value == OVERFLOW:
                return OVERFLOW
            total += value
        slot = order["next"]
    return total


@kernel
def held_in_symbol(w: World, symbol: int) -> int:
    """The value of all positions and unfilled entries of the symbol at the last close, in the quote; or OVERFLOW."""
    risk = w.risk
    total = _entries_value(w, symbol)
    for strategy in range(risk["n_strategies"]):
        value = position_value(w, w.positions[strategy * risk["n_symbols"] + symbol], symbol)
        if value == OVERFLOW or total == OVERFLOW:
            return OVERFLOW
        total += value
    return total


@kernel
def _exposure(w: World) -> int:
    """The value of all positions and unfilled entries in the account currency, or OVERFLOW."""
    total = w.account["gross"]
    for symbol in range(w.risk["n_symbols"]):
        if w.chains[symbol]["orders"] > 0:
            value = to_account(w, w.symbol_params[symbol]["quote"], _entries_value(w, symbol), EVEN)
            if value == OVERFLOW:
                return OVERFLOW
            total += value
    return total


@kernel
def _size_rule(w: World, draft: Record) -> int:
    """Check the rules about size: value held in one symbol, and gross exposure."""
    risk = w.risk
    equity = w.account["equity"]
    quote = w.symbol_params[draft["symbol"]]["quote"]
    value = notional(w, draft["symbol"], draft["quantity"], w.symbols[draft["symbol"]]["last_close"], EVEN)
    if value == OVERFLOW:
        return Code.OVERFLOW
    if risk["max_position_ppb"] > 0:
        equity_quote = from_account(w, quote, equity, DOWN)
        held = held_in_symbol(w, draft["symbol"])
        if equity_quote == OVERFLOW or held == OVERFLOW:
            return Code.OVERFLOW
        if held + value > saturated(ppb(equity_quote, risk["max_position_ppb"], DOWN)):
            return Code.MAX_POSITION_VALUE
    if risk["gross_ppb"] > 0:
        in_account = to_account(w, quote, value, EVEN)
        exposure = _exposure(w)
        if in_account == OVERFLOW or exposure == OVERFLOW:
            return Code.OVERFLOW
        if exposure + in_account > saturated(ppb(equity, risk["gross_ppb"], DOWN)):
            return Code.GROSS_EXPOSURE
    return Code.NONE


@kernel
def _engaged_positions(w: World) -> int:
    """Number of positions that are not flat or have an open entry."""
    count = 0
    n_symbols = w.risk["n_symbols"]
    for strategy in range(w.risk["n_strategies"]):
        for symbol in range(n_symbols):
            index = strategy * n_symbols + symbol
            if not is_flat(w, index, symbol) or w.positions[index]["entries"] > 0:
                count += 1
    return count


@kernel
def _risk_rule(w: World, draft: Record, ts: int) -> int:  # noqa: C901
    account = w.account
    risk = w.risk
    buy = draft["side"] == Side.BUY
    if account["halted"] != 0:
        return Code.KILLSWITCH
    if w.market["catching_up"] != 0:
        return Code.CATCHING_UP
    if not _has_prices(w, draft):
        return Code.NO_PRICE
    code = _pace_rule(w, draft, ts)
    if code != Code.NONE:
        return code
    if _breaks_collar(w, draft):
        return Code.PRICE_COLLAR
    if buy:
        code = _size_rule(w, draft)
        if code != Code.NONE:
            return code
        index = position_index(w, draft)
        fresh = is_flat(w, index, draft["symbol"]) and w.positions[index]["entries"] == 0
        if fresh and risk["max_open_positions"] > 0 and _engaged_positions(w) >= risk["max_open_positions"]:
            return Code.MAX_OPEN_POSITIONS
    if risk["max_open_orders"] > 0 and account["entry_orders"] >= risk["max_open_orders"]:
        return Code.MAX_OPEN_ORDERS
    if buy and draft["locked"] > w.assets[w.symbol_params[draft["symbol"]]["quote"]]["free"]:
        return Code.FUNDS
    return Code.NONE


@kernel
def _count_for_rate(w: World, ts: int) -> None:
    limit = w.risk["rate_orders"]
    if limit == 0:
        return
    account = w.account
    w.rate_ts[account["rate_next"]] = ts
    account["rate_next"] = (account["rate_next"] + 1) % limit
    if account["rate_count"] < limit:
        account["rate_count"] += 1


@kernel
def submit(w: World, ts: int) -> int:
    """Check the draft, then place it or report why it is blocked. Returns the block code, NONE if it was placed."""
    draft = w.draft
    atr = 0
    code = Code.UNKNOWN_SYMBOL
    if _exists(w, draft) and _is_beyond(draft):
        code = Code.OVERFLOW
    elif _exists(w, draft):
        atr = w.symbols[draft["symbol"]]["atr"]
        _normalise(w, draft)
        if w.enabled[position_index(w, draft)] != 0:
            code = _format_rule(w, draft)
        if code == Code.NONE and not is_reduce_only(draft):
            code = _risk_rule(w, draft, ts)
    if code != Code.NONE:
        draft["locked"] = 0
        emit_order(w, OutputKind.BLOCKED, ts, draft, code, atr)
        return code
    if draft["locked"] > 0:
        quote = w.assets[w.symbol_params[draft["symbol"]]["quote"]]
        quote["free"] -= draft["locked"]
        quote["locked"] += draft["locked"]
    if not is_reduce_only(draft):
        _count_for_rate(w, ts)
    insert(w, ts, atr)
    return Code.NONE


@kernel
def place_leg(w: World, ts: int, entry_slot: int, quantity: int, price: int, role: int) -> int:
    """Place one leg of an approved entry's protective pair.

    The gate approved the pair together with its entry, so a leg can no longer be refused.
    """
    entry = w.orders[entry_slot]
    symbol = entry["symbol"]
    draft = new_draft(w, ts, symbol, entry["strategy"], Side.SELL, role)
    draft["parent"] = entry["id"]
    draft["parent_slot"] = entry_slot
    draft["quantity"] = quantity
    draft["flags"] = OrderFlag.REDUCE_ONLY
    draft["bars"] = 1
    if role == Role.STOP:
        draft["order_type"] = OrderType.STOP
        draft["stop_price"] = price
    else:
        draft["order_type"] = OrderType.LIMIT
        draft["limit_price"] = price
    return insert(w, ts, w.symbols[symbol]["atr"])
