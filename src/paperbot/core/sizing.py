"""From a signal to an order: how much an entry buys, what an exit sells. Both go through the gate like any order."""

from paperbot.core.book import new_draft
from paperbot.core.numeric import DOWN, OVERFLOW, UP, kernel, mul_div, ppb
from paperbot.core.oracle import from_account, priced
from paperbot.core.outputs import emit_order
from paperbot.core.risk import held_in_symbol, submit
from paperbot.core.types import Code, OrderFlag, OutputKind, Role, Side, Sizing, World


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
        held = held_in_symbol(w, symbol)
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
def enter(w: World, ts: int, strategy: int, symbol: int, max_quantity: int) -> int:
    """Size a long signal, at most `max_quantity` if that is above 0, and send it through the gate as a market order."""
    draft = new_draft(w, ts, symbol, strategy, Side.BUY, Role.ENTRY)
    quantity, code = _size(w, symbol)
    if max_quantity > 0:
        quantity = min(quantity, max_quantity)
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
    if code != Code.OVERFLOW and w.account["catching_up"] != 0:
        code = Code.CATCHING_UP
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
