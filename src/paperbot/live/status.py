"""The status of a session, for `paperbot status`: from its state and its last output records."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from paperbot.clock import format_ts
from paperbot.core import types as t
from paperbot.core.fields import of_kind
from paperbot.engine.machine import Machine
from paperbot.engine.names import names_of
from paperbot.engine.params import Plan
from paperbot.engine.preview import view_of
from paperbot.events import Events, Records
from paperbot.live.session import Session
from paperbot.names import Names
from paperbot.telemetry import lines

LAST_BLOCKED = 10


class LastBlocked:
    """A watcher that keeps the output records of the last blocked orders, oldest first."""

    def __init__(self) -> None:
        self.kept: deque[np.void] = deque(maxlen=LAST_BLOCKED)

    def events(self, events: Events) -> None:
        """Ignored."""

    def records(self, records: Records) -> None:
        """Keep the blocked orders among these output records."""
        self.kept.extend(of_kind(records, t.OutputKind.BLOCKED, t.OUT_ORDER))


def last_blocked(session: Session) -> list[np.void]:
    """The output records of a session's last blocked orders, oldest first, read backwards from its files."""
    blocked: list[np.void] = []
    for records in session.outputs.backwards():
        blocked[:0] = of_kind(records, t.OutputKind.BLOCKED, t.OUT_ORDER)
        if len(blocked) >= LAST_BLOCKED:
            break
    return blocked[-LAST_BLOCKED:]


def status_of(session: Session, blocked: Iterable[np.void] | None = None) -> dict[str, Any]:
    """Positions, open orders, halts, why the last ten orders were blocked, and the journal's counts.

    `blocked`: their records, oldest first; by default they are read from the session's files.
    """
    plan, machine = session.runner.plan, session.runner.machine
    names = names_of(plan)
    view = view_of(plan, names, machine)
    orders = [order for order in machine.state.orders if order["id"] > 0]
    refused = [
        {"reason": t.Code(int(record["code"])).name.lower(), **lines.order(record, names)}
        for record in reversed(list(last_blocked(session) if blocked is None else blocked))
    ]
    held = np.flatnonzero(machine.state.positions["quantity"])
    start = int(machine.account["start_equity"])
    return {
        "session": session.name,
        "clock_ns": view.ts,
        "last_slice": format_ts(view.ts) if view.ts else None,
        "currency": view.currency,
        "start_equity": start / names.account_unit() if start else None,
        "equity": view.equity,
        "drawdown": view.drawdown,
        "halted": view.halted,
        "trips": int(machine.account["trips"]),
        "positions": [_position(index, plan, names, machine) for index in held.tolist()],
        "open_orders": [lines.open_order(order, names) for order in sorted(orders, key=lambda order: int(order["id"]))],
        "last_blocked": refused,
        "journal": {"inputs": session.journal.seq, "outputs": session.outputs.count, "folder": str(session.folder)},
        "digest": session.digest(),
    }


def _position(index: int, plan: Plan, names: Names, machine: Machine) -> dict[str, Any]:
    """What a strategy holds of a symbol. Prices and money in the symbol's quote; the stop is the nearest one."""
    strategy, symbol = divmod(int(index), len(plan.symbols))
    row, last = machine.state.positions[index], int(machine.state.symbols[symbol]["last_close"])
    quantity, cost = names.quantity(int(row["quantity"]), symbol), names.quote_amount(int(row["cost"]), symbol)
    price = names.price(last, symbol)
    stops = [
        int(leg["stop_price"])
        for leg in machine.state.orders
        if leg["id"] > 0 and leg["role"] == t.Role.STOP and leg["symbol"] == symbol and leg["strategy"] == strategy
    ]
    stop = names.price(max(stops), symbol) if stops else None
    return {
        "strategy": plan.strategies[strategy],
        "symbol": plan.symbols[symbol],
        "qty": quantity,
        "entry_price": cost / quantity,
        "last_price": price if last else None,
        "unrealized_pnl": quantity * price - cost if last else None,
        "unrealized_pct": 100.0 * (quantity * price / cost - 1.0) if last and cost else None,
        "quote": names.assets[names.quotes[symbol]],
        "stop_price": stop,
        "stop_distance_pct": 100.0 * (1.0 - stop / price) if stop is not None and last else None,
    }
