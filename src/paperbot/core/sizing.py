"""Turns signals into orders: sizes entries and exits, which then go through the gate like any other order."""

from paperbot.core.numeric import DOWN, EVEN, OVERFLOW, UP, kernel, mul_div, ppb, round_down, saturated
from paperbot.core.oracle import from_account, notional, priced
from paperbot.core.orders import largest_quantity, new_draft
from paperbot.core.outputs import emit_order
from paperbot.core.risk import LARGEST, held_in_symbol, submit
from paperbot.core.types import Code, OrderFlag, OutputKind, Role, Side, Sizing, Target, World


@kernel
def _raw_size(w: World, symbol: int, equity_quote: int) -> int:
    """The quantity by the sizing rule, before any cap and below 2^62; -1 if the rule lacks the ATR."""
    risk = w.risk
    params = w.symbol_params[symbol]
    close = w.symbols[symbol]["last_close"]
    if risk["sizing"] == Sizing.FIXED_QUOTE:
        return saturated(mul_div(params["fixed_quote"], params["scale"], close, DOWN))
    if risk["sizing"] == Sizing.FIXED_FRACTION:
        budget = saturated(ppb(equity_quote, risk["fraction_ppb"], DOWN))
        return saturated(mul_div(budget, params["scale"], close, DOWN))
    distance = saturated(ppb(w.symbols[symbol]["atr"], risk["atr_stop_ppb"], UP))
    if distance <= 0:
        return -1
    budget = saturated(ppb(equity_quote, risk["risk_ppb"], DOWN))
    return saturated(mul_div(budget, params["scale"], distance, DOWN))


@kernel
def _size(w: World, symbol: int) -> tuple[int, int]:
    """Size an entry by signal; returns (quantity, code). Values that are only upper bounds saturate."""
    risk = w.risk
    params = w.symbol_params[symbol]
    close = w.symbols[symbol]["last_close"]
    if w.account["valued"] == 0 or close == 0 or not priced(w, params["quote"]):
        return 0, Code.NO_PRICE
    equity_quote = from_account(w, params["quote"], max(w.account["equity"], 0), DOWN)
    if equity_quote == OVERFLOW:
        return 0, Code.OVERFLOW
    quantity = _raw_size(w, symbol, equity_quote)
    if quantity < 0:
        return 0, Code.NO_PRICE
    if risk["max_position_ppb"] > 0:
        held = held_in_symbol(w, symbol)
        if held == OVERFLOW:
            return 0, Code.OVERFLOW
        limit = saturated(ppb(equity_quote, risk["max_position_ppb"], DOWN))
        if limit <= held:
            return 0, Code.MAX_POSITION_VALUE
        quantity = min(quantity, saturated(mul_div(limit - held, params["scale"], close, DOWN)))
    return min(quantity, largest_quantity(params, at_market=True)), Code.NONE


@kernel
def enter(w: World, ts: int, strategy: int, symbol: int, max_quantity: int) -> int:
    """Size a long signal, with at most `max_quantity` if that is above 0, and submit it as a market order."""
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
    if code != Code.OVERFLOW and w.market["catching_up"] != 0:
        code = Code.CATCHING_UP
    if code != Code.OVERFLOW and w.account["halted"] != 0:
        code = Code.KILLSWITCH
    emit_order(w, OutputKind.BLOCKED, ts, draft, code, atr)
    return code


@kernel
def leave(w: World, ts: int, strategy: int, symbol: int, role: int) -> int:
    """Submit a reduce-only market sell of a whole position, or of the largest quantity that one order may have.

    If it is refused or covers only a part, the exit is due: `leave_again` sends it as soon as it can pass. A position
    that is too small to sell becomes dust.
    """
    index = strategy * w.risk["n_symbols"] + symbol
    position = w.positions[index]
    params = w.symbol_params[symbol]
    draft = new_draft(w, ts, symbol, strategy, Side.SELL, role)
    whole = round_down(position["quantity"], params["step"])
    draft["quantity"] = round_down(min(whole, largest_quantity(params, at_market=True)), params["step"])
    draft["flags"] = OrderFlag.REDUCE_ONLY
    is_part = draft["quantity"] < whole
    code = submit(w, ts)
    if code == Code.MIN_NOTIONAL or code == Code.MIN_QUANTITY:
        position["dust"] = 1
    if code == Code.NONE and not is_part:
        position["exit_due"] = 0
    elif position["exit_due"] != Role.EXIT:
        position["exit_due"] = role
    return code


@kernel
def leave_again(w: World, ts: int, strategy: int, symbol: int) -> None:
    """Submit a due exit, unless one is open already, it is no longer wanted, or it would be refused again."""
    position = w.positions[strategy * w.risk["n_symbols"] + symbol]
    role = position["exit_due"]
    wanted = w.account["halted"] != 0 if role == Role.FLATTEN else position["target"] != Target.LONG
    if position["exits"] > 0 or not wanted:
        return
    params = w.symbol_params[symbol]
    quantity = round_down(min(position["quantity"], largest_quantity(params, at_market=True)), params["step"])
    if 0 < quantity < LARGEST and quantity >= params["min_quantity"]:
        # OVERFLOW is below any minimum, so a value out of range is refused like one that is too small.
        if notional(w, symbol, quantity, w.symbols[symbol]["last_close"], EVEN) >= params["min_notional"]:
            leave(w, ts, strategy, symbol, role)
