"""The one gate. Every order passes it once, a user's command included, and nothing else puts an order into the book.

- Rules are asked in the order of `Code`; the first that fails blocks the order and is reported with its code.
- A reduce-only order passes the format rules and no other: no rule about risk may stop an exit.
- `docs/fills.md` §2 states each rule.
"""

from paperbot.core.book import has_own_slot, insert, is_flat, legs, position_index
from paperbot.core.numeric import DOWN, EVEN, OVERFLOW, UP, kernel, mul_div, ppb, round_down, round_up
from paperbot.core.oracle import from_account, notional, position_value, priced, to_account
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
    Sizing,
    TimeInForce,
    World,
)


@kernel
def new_draft(w: World, ts: int, symbol: int, strategy: int, side: int, role: int) -> Record:
    """A market order with everything else at rest, for the caller to fill in before `submit`."""
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
def is_reduce_only(order: Record) -> bool:
    """Whether the order may only make a position smaller."""
    return (order["flags"] & OrderFlag.REDUCE_ONLY) != 0


@kernel
def gate_price(w: World, draft: Record) -> int:
    """The price that the rules judge: limit, stop, or the last close."""
    if draft["order_type"] == OrderType.LIMIT:
        return draft["limit_price"]
    if draft["order_type"] == OrderType.STOP:
        return draft["stop_price"]
    return w.symbols[draft["symbol"]]["last_close"]


@kernel
def _exists(w: World, draft: Record) -> bool:
    return 0 <= draft["symbol"] < w.risk["n_symbols"] and 0 <= draft["strategy"] < w.risk["n_strategies"]


@kernel
def _normalise(w: World, draft: Record) -> None:
    """Put prices on the tick and the quantity on the step; cut a reduce-only order to what there is."""
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
    """min_notional and overflow; fills in the lock of a buy."""
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
    """What a buy locks of the quote: its cost at the last close with a margin, and the fee; or OVERFLOW."""
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
    """Rules about when: staleness, cooldown (entries), order rate."""
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
    # Compared as a quotient so that the product of two large prices cannot overflow: away * 10^9 > collar * close.
    share = mul_div(away, PPB, close, UP)
    return share == OVERFLOW or share > collar


@kernel
def _entries_value(w: World, symbol: int) -> int:
    """Quote value of what the symbol's open entries may still buy, at the last close; OVERFLOW beyond 2^62."""
    total = 0
    slot = w.symbols[symbol]["head"]
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
def _held_in_symbol(w: World, symbol: int) -> int:
    """Quote value of all strategies' holdings of the symbol and of its open entries' rests, at the last close."""
    risk = w.risk
    total = _entries_value(w, symbol)
    for strategy in range(risk["n_strategies"]):
        value = position_value(w, strategy * risk["n_symbols"] + symbol)
        if value == OVERFLOW or total == OVERFLOW:
            return OVERFLOW
        total += value
    return total


@kernel
def _exposure(w: World) -> int:
    """Account value of all positions and of all open entries' rests, or OVERFLOW."""
    total = w.account["gross"]
    for symbol in range(w.risk["n_symbols"]):
        if w.symbols[symbol]["orders"] > 0:
            value = to_account(w, w.symbol_params[symbol]["quote"], _entries_value(w, symbol), EVEN)
            if value == OVERFLOW:
                return OVERFLOW
            total += value
    return total


@kernel
def _size_rule(w: World, draft: Record) -> int:
    """Rules about how much: value in one symbol, gross exposure."""
    risk = w.risk
    equity = w.account["equity"]
    quote = w.symbol_params[draft["symbol"]]["quote"]
    value = notional(w, draft["symbol"], draft["quantity"], w.symbols[draft["symbol"]]["last_close"], EVEN)
    in_account = to_account(w, quote, value, EVEN)
    equity_quote = from_account(w, quote, equity, DOWN)
    if in_account == OVERFLOW or equity_quote == OVERFLOW:
        return Code.OVERFLOW
    if risk["max_position_ppb"] > 0:
        held = _held_in_symbol(w, draft["symbol"])
        if held == OVERFLOW:
            return Code.OVERFLOW
        if held + value > ppb(equity_quote, risk["max_position_ppb"], DOWN):
            return Code.MAX_POSITION_VALUE
    if risk["gross_ppb"] > 0:
        exposure = _exposure(w)
        if exposure == OVERFLOW:
            return Code.OVERFLOW
        if exposure + in_account > ppb(equity, risk["gross_ppb"], DOWN):
            return Code.GROSS_EXPOSURE
    return Code.NONE


@kernel
def _engaged_positions(w: World) -> int:
    """How many (strategy, symbol) hold something or have an entry working."""
    count = 0
    for index in range(len(w.positions)):
        if not is_flat(w, index) or w.positions[index]["entries"] > 0:
            count += 1
    return count


@kernel
def _risk_rule(w: World, draft: Record, ts: int) -> int:
    account = w.account
    risk = w.risk
    buy = draft["side"] == Side.BUY
    if account["halted"] != 0:
        return Code.KILLSWITCH
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
        fresh = is_flat(w, index) and w.positions[index]["entries"] == 0
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
    """Judge the draft; place it or report why not. Returns the block's code, NONE when the order works now."""
    draft = w.draft
    atr = 0
    code = Code.UNKNOWN_SYMBOL
    if _exists(w, draft):
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
    """Place one leg of an approved entry's protective pair. The gate judged the pair together with its entry, so a leg
    can no longer be refused.
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


@kernel
def _raw_size(w: World, symbol: int, equity_quote: int) -> int:
    """The quantity that the sizing rule asks for, before any cap; OVERFLOW or, without an ATR, -1."""
    risk = w.risk
    params = w.symbol_params[symbol]
    close = w.symbols[symbol]["last_close"]
    if risk["sizing"] == Sizing.FIXED_QUOTE:
        return mul_div(params["fixed_quote"], params["scale"], close, DOWN)
    if risk["sizing"] == Sizing.FIXED_FRACTION:
        budget = ppb(equity_quote, risk["fraction_ppb"], DOWN)
        return OVERFLOW if budget == OVERFLOW else mul_div(budget, params["scale"], close, DOWN)
    distance = ppb(w.symbols[symbol]["atr"], risk["atr_stop_ppb"], UP)
    if distance == OVERFLOW:
        return OVERFLOW
    if distance <= 0:
        return -1
    budget = ppb(equity_quote, risk["risk_ppb"], DOWN)
    return OVERFLOW if budget == OVERFLOW else mul_div(budget, params["scale"], distance, DOWN)


@kernel
def _size(w: World, symbol: int) -> tuple[int, int]:
    """(quantity, code) of an entry by signal."""
    risk = w.risk
    params = w.symbol_params[symbol]
    close = w.symbols[symbol]["last_close"]
    if w.account["valued"] == 0 or close == 0 or not priced(w, params["quote"]):
        return 0, Code.NO_PRICE
    equity_quote = from_account(w, params["quote"], max(w.account["equity"], 0), DOWN)
    if equity_quote == OVERFLOW:
        return 0, Code.OVERFLOW
    quantity = _raw_size(w, symbol, equity_quote)
    if quantity == OVERFLOW:
        return 0, Code.OVERFLOW
    if quantity < 0:
        return 0, Code.NO_PRICE
    if risk["max_position_ppb"] > 0:
        held = _held_in_symbol(w, symbol)
        limit = ppb(equity_quote, risk["max_position_ppb"], DOWN)
        if held == OVERFLOW or limit == OVERFLOW:
            return 0, Code.OVERFLOW
        if limit <= held:
            return 0, Code.MAX_POSITION_VALUE
        room = mul_div(limit - held, params["scale"], close, DOWN)
        if room == OVERFLOW:
            return 0, Code.OVERFLOW
        quantity = min(quantity, room)
    return quantity, Code.NONE


@kernel
def enter(w: World, ts: int, strategy: int, symbol: int) -> int:
    """Size a long signal and send it through the gate as a market order."""
    draft = new_draft(w, ts, symbol, strategy, Side.BUY, Role.ENTRY)
    quantity, code = _size(w, symbol)
    atr = w.symbols[symbol]["atr"]
    stop_distance = ppb(atr, w.risk["atr_stop_ppb"], UP)
    target_distance = ppb(atr, w.risk["atr_target_ppb"], UP)
    if stop_distance == OVERFLOW or target_distance == OVERFLOW:
        code = Code.OVERFLOW
    draft["quantity"] = quantity
    if w.risk["attach_stop"] != 0:
        draft["stop_distance"] = max(stop_distance, 0)
    draft["target_distance"] = max(target_distance, 0)
    if code == Code.NONE:
        return submit(w, ts)
    if code != Code.OVERFLOW and w.account["halted"] != 0:
        code = Code.KILLSWITCH
    emit_order(w, OutputKind.BLOCKED, ts, draft, code, atr)
    return code


@kernel
def leave(w: World, ts: int, strategy: int, symbol: int, role: int) -> int:
    """Send a reduce-only market sell of a whole position; what is too small to be sold counts as dust from then on."""
    index = strategy * w.risk["n_symbols"] + symbol
    draft = new_draft(w, ts, symbol, strategy, Side.SELL, role)
    draft["quantity"] = w.positions[index]["quantity"]
    draft["flags"] = OrderFlag.REDUCE_ONLY
    code = submit(w, ts)
    if code == Code.MIN_NOTIONAL:
        w.positions[index]["dust"] = 1
    return code
