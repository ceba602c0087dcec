"""The account over time: its opening, its days, peak and drawdown, and the kill switch.

`docs/fills.md` §6 states the rules. There is one kill switch per account: while it is tripped, the gate accepts only
reduce-only orders, and only RESUME lifts it.
"""

from paperbot.core.ledger import drawdown_ppb, revalue, write_row
from paperbot.core.numeric import UP, kernel, ppb
from paperbot.core.orders import end, is_flat
from paperbot.core.outputs import emit_halt
from paperbot.core.sizing import leave
from paperbot.core.types import DAY_NS, NOBODY, Code, HaltReason, OutputKind, Record, Role, World


@kernel
def _floor(reference: int, share: int) -> int:
    """The equity at or below which a loss rule trips; -1, which no equity reaches, if the rule is off."""
    return reference - ppb(reference, share, UP) if share > 0 and reference > 0 else -1


@kernel
def _rebase_day(w: World) -> None:
    account = w.account
    account["day_reference"] = account["equity"]
    account["day_floor"] = _floor(account["equity"], w.risk["daily_loss_ppb"])


@kernel
def _rebase_risk_peak(w: World) -> None:
    account = w.account
    account["risk_peak"] = account["equity"]
    account["peak_floor"] = _floor(account["equity"], w.risk["max_drawdown_ppb"])


@kernel
def _rebase_peak(w: World) -> None:
    account = w.account
    account["peak"] = account["equity"]
    account["trough"] = account["equity"]


@kernel
def _open_valued(w: World) -> None:
    """Start all figures from the first valued equity."""
    w.account["start_equity"] = w.account["equity"]
    _rebase_day(w)
    _rebase_risk_peak(w)
    _rebase_peak(w)


@kernel
def _end_of_day(ts: int) -> int:
    """The end of the UTC day that a slice closing at `ts` belongs to; a close at midnight belongs to the day before."""
    return ((ts - 1) // DAY_NS + 1) * DAY_NS


@kernel
def open_books(w: World, bar: Record) -> None:
    """Write the opening row, before the first bar that counts."""
    account = w.account
    account["started"] = 1
    account["day_end_ts"] = _end_of_day(bar["close_ts"])
    every = w.risk["ledger_every_ns"]
    account["next_row_ts"] = (bar["open_ts"] // every + 1) * every
    revalue(w)
    if account["valued"] != 0:
        _open_valued(w)
    write_row(w, bar["open_ts"], 1)


@kernel
def close_day(w: World) -> None:
    """Write a row for the last slice, unless it has one; called at the first bar of a new day and at the end."""
    account = w.account
    if account["slices"] > 0 and account["last_row_ts"] != w.market["clock_ts"]:
        write_row(w, w.market["clock_ts"], 0)


@kernel
def _is_exposed(w: World) -> bool:
    """Whether any position is not flat."""
    n_symbols = w.risk["n_symbols"]
    for strategy in range(w.risk["n_strategies"]):
        for symbol in range(n_symbols):
            if not is_flat(w, strategy * n_symbols + symbol, symbol):
                return True
    return False


@kernel(inline=True)
def update_equity(w: World, ts: int) -> None:
    """Update the day figures, then equity, peak and drawdown; called at END_OF_SLICE."""
    account = w.account
    was_valued = account["valued"] != 0
    if ts > account["day_end_ts"]:
        account["day_end_ts"] = _end_of_day(ts)
        if was_valued:
            _rebase_day(w)
    revalue(w)
    account["slices"] += 1
    if account["holdings"] > 0 and _is_exposed(w):
        account["exposed_slices"] += 1
    if account["valued"] == 0:
        return
    if not was_valued:
        _open_valued(w)
    if account["equity"] > account["risk_peak"]:
        _rebase_risk_peak(w)
        if account["equity"] > account["peak"]:
            _rebase_peak(w)
    elif account["equity"] < account["trough"]:
        account["trough"] = account["equity"]
        drawdown = drawdown_ppb(account)
        account["max_drawdown_ppb"] = max(account["max_drawdown_ppb"], drawdown)


@kernel(inline=True)
def check_losses(w: World, ts: int) -> None:
    """Trip the kill switch if the day's loss or the drawdown has reached its cap."""
    account = w.account
    if account["valued"] == 0 or account["halted"] != 0:
        return
    if account["equity"] <= account["day_floor"]:
        trip(w, ts, HaltReason.DAILY_LOSS, account["day_reference"])
    elif account["equity"] <= account["peak_floor"]:
        trip(w, ts, HaltReason.MAX_DRAWDOWN, account["risk_peak"])


@kernel
def _next_entry(w: World, order_id: int) -> int:
    """The slot of the open entry with the lowest id above `order_id` in any symbol, or NOBODY."""
    best = NOBODY
    for symbol in range(w.risk["n_symbols"]):
        slot = w.chains[symbol]["head"]
        while slot != NOBODY:
            order = w.orders[slot]
            if order["role"] == Role.ENTRY and order["id"] > order_id:
                if best == NOBODY or order["id"] < w.orders[best]["id"]:
                    best = slot
            slot = order["next"]
    return best


@kernel
def trip(w: World, ts: int, reason: int, reference: int) -> None:
    """Halt trading: end open entries, keep protective orders, and flatten if configured. Ignored while halted."""
    account = w.account
    if account["halted"] != 0:
        return
    account["halted"] = reason
    account["trips"] += 1
    account["row_due"] = 1
    emit_halt(w, OutputKind.HALT, ts, reason, reference)
    order_id = 0
    slot = _next_entry(w, order_id)
    while slot != NOBODY:
        order_id = w.orders[slot]["id"]
        end(w, slot, Code.KILLSWITCH, ts)
        slot = _next_entry(w, order_id)
    if w.risk["flatten_on_trip"] == 0:
        return
    n_symbols = w.risk["n_symbols"]
    for symbol in range(n_symbols):
        for strategy in range(w.risk["n_strategies"]):
            index = strategy * n_symbols + symbol
            if not is_flat(w, index, symbol) and w.positions[index]["exits"] == 0:
                leave(w, ts, strategy, symbol, Role.FLATTEN)


@kernel
def resume(w: World, ts: int) -> None:
    """Lift a halt. The loss rules restart from the current equity; the reported peak and drawdown do not."""
    account = w.account
    if account["halted"] == 0:
        return
    reason = account["halted"]
    account["halted"] = 0
    account["row_due"] = 1
    if account["valued"] != 0:
        _rebase_day(w)
        _rebase_risk_peak(w)
    emit_halt(w, OutputKind.RESUME, ts, reason, account["day_reference"])


@kernel(inline=True)
def row_if_due(w: World, ts: int) -> None:
    """Write a ledger row at the end of a slice if a fill, a halt, a resume or `ledger.every` asks for one."""
    account = w.account
    if ts >= account["next_row_ts"]:
        every = w.risk["ledger_every_ns"]
        account["next_row_ts"] = (ts // every + 1) * every
        account["row_due"] = 1
    if account["row_due"] != 0:
        account["row_due"] = 0
        write_row(w, ts, 0)
