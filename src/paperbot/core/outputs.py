"""The stream of output records: the only way out of the core."""

from paperbot.core.numeric import kernel
from paperbot.core.types import NOBODY, Record, World


@kernel
def emit(w: World, kind: int, ts: int, symbol: int, strategy: int, code: int) -> int:
    """Append a record with its head filled in and the rest zero; returns its index. `run` has checked the room."""
    index = w.cursor[0]
    w.cursor[0] = index + 1
    w.out_head[index] = w.blank[0]
    account = w.account
    account["seq"] += 1
    head = w.out_head[index]
    head["seq"] = account["seq"]
    head["ts"] = ts
    head["kind"] = kind
    head["symbol"] = symbol
    head["strategy"] = strategy
    head["code"] = code
    return index


@kernel
def emit_order(w: World, kind: int, ts: int, order: Record, code: int, atr: int) -> None:
    """Report an order that the gate accepted (ORDER) or refused (BLOCKED)."""
    out = w.out_order[emit(w, kind, ts, order["symbol"], order["strategy"], code)]
    out["order_id"] = order["id"]
    out["parent"] = order["parent"]
    out["quantity"] = order["quantity"]
    out["limit_price"] = order["limit_price"]
    out["stop_price"] = order["stop_price"]
    out["expires_ts"] = order["expires_ts"]
    out["locked"] = order["locked"]
    out["stop_distance"] = order["stop_distance"]
    out["target_distance"] = order["target_distance"]
    out["atr"] = atr
    out["side"] = order["side"]
    out["order_type"] = order["order_type"]
    out["time_in_force"] = order["time_in_force"]
    out["role"] = order["role"]
    out["flags"] = order["flags"]


@kernel
def emit_end(w: World, kind: int, ts: int, order: Record, code: int, released: int) -> None:
    """Report an order's new quantity (ORDER_CHANGE) or its end (ORDER_END)."""
    out = w.out_end[emit(w, kind, ts, order["symbol"], order["strategy"], code)]
    out["order_id"] = order["id"]
    out["parent"] = order["parent"]
    out["quantity"] = order["quantity"]
    out["filled"] = order["filled"]
    out["released"] = released


@kernel
def emit_halt(w: World, kind: int, ts: int, reason: int, reference: int) -> None:
    """Report that the kill switch has tripped (HALT), or that the halt was lifted (RESUME)."""
    account = w.account
    out = w.out_halt[emit(w, kind, ts, NOBODY, NOBODY, reason)]
    out["reason"] = reason
    out["equity"] = account["equity"]
    out["reference"] = reference
    out["trips"] = account["trips"]
