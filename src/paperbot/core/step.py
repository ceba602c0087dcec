"""The whole path of an event: the only code that changes the state. It is pure: no clock, no randomness, no I/O."""

import numpy as np

from paperbot.core import types as t
from paperbot.core.account import check_losses, close_day, open_books, resume, row_if_due, trip, update_equity
from paperbot.core.features import update_features
from paperbot.core.ledger import settle, stop_run
from paperbot.core.matching import match_bar
from paperbot.core.numeric import EVEN, JIT, bridge, kernel, to_integer
from paperbot.core.oracle import affordable, priced, to_account, worth
from paperbot.core.orders import end, end_role, is_flat, is_leg, new_draft
from paperbot.core.outputs import emit, emit_order
from paperbot.core.patterns import find_patterns
from paperbot.core.risk import submit
from paperbot.core.sizing import enter, leave, leave_again
from paperbot.core.strategies import decide, strength
from paperbot.core.types import Record, World


@kernel(inline=True)
def step(w: World, index: int) -> None:
    """Advance the state by one event."""
    bar = w.bars[index]
    kind = bar["kind"]
    if kind == t.EventKind.BAR:
        _on_bar(w, bar)
    elif kind != t.EventKind.END and w.control_events[index]["ts"] < w.market["clock_ts"]:
        stop_run(w, t.Fault.TIME_WENT_BACK, t.NOBODY, t.NOBODY)
    elif kind == t.EventKind.SIGNAL:
        _on_signal(w, w.signal_events[index])
    elif kind == t.EventKind.ORDER:
        _on_order(w, w.order_events[index])
    elif kind == t.EventKind.CANCEL:
        _on_cancel(w, w.control_events[index])
    elif kind == t.EventKind.HALT:
        trip(w, w.control_events[index]["ts"], w.control_events[index]["reason"], 0)
    elif kind == t.EventKind.RESUME:
        resume(w, w.control_events[index]["ts"])
    elif kind == t.EventKind.END:
        close_day(w)
    else:
        stop_run(w, t.Fault.BAD_EVENT, t.NOBODY, t.NOBODY)


@kernel(inline=True)
def _on_bar(w: World, bar: Record) -> None:
    """Match the bar with the account's open orders, then update the market part.

    At the end of the slice, value the account and let the strategies decide.
    """
    market = w.market
    symbol = np.int64(bar["symbol"])
    if not 0 <= symbol < w.risk["n_symbols"]:
        stop_run(w, t.Fault.BAD_EVENT, t.NOBODY, t.NOBODY)
        return
    if bar["close_ts"] < market["slice_ts"] or bar["close_ts"] <= w.symbols[symbol]["last_close_ts"]:
        stop_run(w, t.Fault.TIME_WENT_BACK, symbol, t.NOBODY)
        return
    market["slice_ts"] = bar["close_ts"]
    market["catching_up"] = 1 if (bar["flags"] & t.BarFlag.CATCH_UP) != 0 else 0
    counts = (bar["flags"] & t.BarFlag.WARMUP) == 0
    if counts:
        _meet(w, bar, symbol)
        _join_slice(w, symbol)
    _observe(w, bar, symbol, counts)
    # A slice counts if any of its bars counts: the last one may be a longer bar that is still warm-up.
    if (bar["flags"] & t.BarFlag.END_OF_SLICE) != 0 and market["slice_symbols"] > 0:
        _end_slice(w, bar["close_ts"])


@kernel(inline=True)
def _meet(w: World, bar: Record, symbol: int) -> None:
    """Apply a bar to the account: write an opening or day row if due, and fill open orders."""
    account = w.account
    if account["started"] == 0:
        open_books(w, bar)
    elif bar["close_ts"] > account["day_end_ts"] and w.market["slice_symbols"] == 0:
        close_day(w)
    if w.chains[symbol]["orders"] > 0:
        match_bar(w, bar, symbol)


@kernel(inline=True)
def _observe(w: World, bar: Record, symbol: int, counts: bool) -> None:  # noqa: FBT001
    """Apply a bar to the market part: prices, features and patterns, the same for every account."""
    last = w.symbols[symbol]
    last["last_open"] = bar["open"]
    last["last_high"] = bar["high"]
    last["last_low"] = bar["low"]
    last["last_volume"] = bar["volume"]
    last["last_close"] = bar["close"]
    last["last_close_ts"] = bar["close_ts"]
    last["bars"] += 1
    update_features(w, bar, symbol)
    if w.risk["pattern_mask"] != 0:
        find_patterns(w, bar, symbol, counts)
    if not counts:
        last["oracle_close"] = bar["close"]


@kernel(inline=True)
def _join_slice(w: World, symbol: int) -> None:
    """Add a symbol to the slice, in id order; bars of different timeframes may arrive in another order."""
    market = w.market
    at = market["slice_symbols"]
    while at > 0 and w.slice_symbols[at - 1] > symbol:
        w.slice_symbols[at] = w.slice_symbols[at - 1]
        at -= 1
    w.slice_symbols[at] = symbol
    market["slice_symbols"] += 1


@kernel(inline=True)
def _end_slice(w: World, ts: int) -> None:
    """Advance the clock and the oracle's closes, then value the account and let the strategies decide."""
    market = w.market
    market["clock_ts"] = ts
    for k in range(market["slice_symbols"]):
        last = w.symbols[w.slice_symbols[k]]
        last["oracle_close"] = last["last_close"]
    _judge(w, ts)
    market["slice_symbols"] = 0


@kernel(inline=True)
def _judge(w: World, ts: int) -> None:
    """Value the account, check the loss rules and run the strategies. All bars of the slice have been processed."""
    settle(w)
    update_equity(w, ts)
    check_losses(w, ts)
    n_symbols = w.risk["n_symbols"]
    for k in range(w.market["slice_symbols"]):
        symbol = w.slice_symbols[k]
        for strategy in range(w.risk["n_strategies"]):
            index = strategy * n_symbols + symbol
            if w.enabled[index] != 0:
                before = w.positions[index]["target"]
                target = decide(w, strategy, symbol, before, ts)
                if target != before:
                    score = to_integer(strength(w, strategy, symbol) * t.PPB)
                    _take_target(w, ts, strategy, symbol, target, score, 0)
                elif w.positions[index]["exit_due"] != 0:
                    leave_again(w, ts, strategy, symbol)
    row_if_due(w, ts)


@kernel
def _take_target(w: World, ts: int, strategy: int, symbol: int, target: int, score: int, max_quantity: int) -> None:
    """Report a changed target, and end and submit orders accordingly."""
    index = strategy * w.risk["n_symbols"] + symbol
    position = w.positions[index]
    position["target"] = target
    _emit_signal(w, ts, strategy, symbol, target, score)
    if target == t.Target.LONG:
        if w.account["halted"] == 0:
            end_role(w, strategy, symbol, t.Role.EXIT, t.Code.SUPERSEDED, ts)
        if position["exit_due"] == t.Role.EXIT:
            position["exit_due"] = 0
        if is_flat(w, index, symbol) and position["entries"] == 0:
            enter(w, ts, strategy, symbol, max_quantity)
        return
    if target == t.Target.SHORT and is_flat(w, index, symbol) and position["entries"] == 0:
        draft = new_draft(w, ts, symbol, strategy, t.Side.SELL, t.Role.EXIT)
        emit_order(w, t.OutputKind.BLOCKED, ts, draft, t.Code.SHORT_NOT_ALLOWED, w.symbols[symbol]["atr"])
        return
    end_role(w, strategy, symbol, t.Role.ENTRY, t.Code.SUPERSEDED, ts)
    if not is_flat(w, index, symbol) and position["exits"] == 0:
        leave(w, ts, strategy, symbol, t.Role.EXIT)


@kernel
def _emit_signal(w: World, ts: int, strategy: int, symbol: int, target: int, score: int) -> None:
    last = w.symbols[symbol]
    out = w.out_signal[emit(w, t.OutputKind.SIGNAL, ts, symbol, strategy, t.Code.NONE)]
    out["strength_ppb"] = score
    out["target"] = target
    out["atr"] = last["atr"]
    out["close"] = last["last_close"]
    params = w.strategy_params[strategy]
    first = symbol * w.risk["n_features"]
    if params["feature"][0] != t.NOBODY:
        out["value_0"] = w.features[first + params["feature"][0]]["value"]
        if params["feature"][1] != t.NOBODY:
            out["value_1"] = w.features[first + params["feature"][1]]["value"]
            if params["feature"][2] != t.NOBODY:
                out["value_2"] = w.features[first + params["feature"][2]]["value"]


@kernel
def _trades(w: World, strategy: int, symbol: int) -> bool:
    """Whether the strategy and the symbol exist and the strategy trades the symbol."""
    if not (0 <= strategy < w.risk["n_strategies"] and 0 <= symbol < w.risk["n_symbols"]):
        return False
    return w.enabled[strategy * w.risk["n_symbols"] + symbol] != 0


@kernel
def _on_signal(w: World, event: Record) -> None:
    """Apply a target from outside if it differs from the strategy's last one."""
    strategy, symbol = np.int64(event["strategy"]), np.int64(event["symbol"])
    if not _trades(w, strategy, symbol):
        stop_run(w, t.Fault.BAD_EVENT, symbol, strategy)
        return
    target = np.int64(event["target"])
    if not -1 <= target <= 1 or event["max_quantity"] < 0:
        stop_run(w, t.Fault.BAD_EVENT, symbol, strategy)
        return
    if target != w.positions[strategy * w.risk["n_symbols"] + symbol]["target"]:
        _take_target(w, event["ts"], strategy, symbol, target, event["strength_ppb"], event["max_quantity"])


@kernel
def _on_order(w: World, event: Record) -> None:
    role = t.Role.ENTRY if event["side"] == t.Side.BUY else t.Role.REDUCE
    symbol, strategy = np.int64(event["symbol"]), np.int64(event["strategy"])
    draft = new_draft(w, event["ts"], symbol, strategy, t.Side.BUY, role)
    draft["side"] = event["side"]
    draft["quantity"] = event["quantity"]
    draft["limit_price"] = event["limit_price"]
    draft["stop_price"] = event["stop_price"]
    draft["expires_ts"] = event["expires_ts"]
    draft["stop_distance"] = event["stop_distance"]
    draft["target_distance"] = event["target_distance"]
    draft["flags"] = event["flags"]
    draft["order_type"] = event["order_type"]
    draft["time_in_force"] = event["time_in_force"]
    submit(w, event["ts"])


@kernel
def _on_cancel(w: World, event: Record) -> None:
    for slot in range(len(w.orders)):
        if w.orders[slot]["id"] == event["order_id"] and event["order_id"] > 0:
            sibling = w.orders[slot]["stop_slot"]
            if sibling == t.NOBODY:
                sibling = w.orders[slot]["target_slot"]
            is_pair = is_leg(w.orders[slot]) and sibling != t.NOBODY
            end(w, slot, t.Code.CANCELLED, event["ts"])
            if is_pair:
                end(w, sibling, t.Code.CANCELLED, event["ts"])
            return


@kernel
def run(w: World, count: int, room: int) -> int:
    """Step through `count` events; returns how many were processed.

    Stops before an event if the output buffer has less than `room` free records, and after an event that failed the
    run; never inside an event.
    """
    for index in range(count):
        if len(w.out_head) - w.cursor[0] < room:
            return index
        step(w, index)
        if w.market["fault"] != t.Fault.NONE:
            return index
    return count


@kernel
def value_of(w: World, asset: int, amount: int) -> int:
    """Convert an amount to the account currency (minor units, half to even); NOBODY without a price.

    Changes nothing.
    """
    return to_account(w, asset, amount, EVEN) if priced(w, asset) else t.NOBODY


if JIT:
    from paperbot.core.pointer import world_at

    @bridge
    def advance(table: int, count: int, room: int) -> int:
        """Call `run` on the world whose table of addresses and lengths (`world.SLOTS`) is at the address `table`."""
        return run(world_at(table), count, room)  # type: ignore[call-arg]

    @bridge
    def value_at(table: int, asset: int, amount: int) -> int:
        """Call `value_of` on the world at `table`."""
        return value_of(world_at(table), asset, amount)  # type: ignore[call-arg]

    @bridge
    def worth_at(table: int, symbol: int, quantity: int) -> int:
        """Call `worth` on the world at `table`."""
        return worth(world_at(table), symbol, quantity)  # type: ignore[call-arg]

    @bridge
    def affordable_at(table: int, symbol: int, amount: int) -> int:
        """Call `affordable` on the world at `table`."""
        return affordable(world_at(table), symbol, amount)  # type: ignore[call-arg]
