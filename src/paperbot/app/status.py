"""What a session holds and does, for `paperbot status`: from its state and its last output records."""

from typing import Any

from paperbot.app.recorder import names_of
from paperbot.app.session import Session
from paperbot.clock import format_ts
from paperbot.core import types as t
from paperbot.engine.preview import view_of
from paperbot.store.outputs import read_backwards
from paperbot.telemetry import lines

LAST_BLOCKED = 10


def status_of(session: Session) -> dict[str, Any]:
    """Positions, open orders, halts, why the last ten orders were blocked, and how the journal is doing."""
    plan, machine = session.runner.plan, session.runner.machine
    names = names_of(plan)
    view = view_of(plan, names, machine)
    orders = [one for one in machine.state.orders if one["id"] > 0]
    blocked = []
    for records in read_backwards(session.outputs.path):
        for record in reversed(records[records["kind"] == t.OutputKind.BLOCKED]):
            fields = lines.order(record.reshape(1).view(t.OUT_ORDER)[0], names)
            blocked.append({"reason": t.Code(int(record["code"])).name.lower(), **fields})
        if len(blocked) >= LAST_BLOCKED:
            break
    return {
        "session": session.name,
        "last_slice": format_ts(view.ts) if view.ts else None,
        "currency": view.currency,
        "equity": view.equity,
        "drawdown": view.drawdown,
        "halted": view.halted,
        "trips": int(machine.account["trips"]),
        "positions": view.as_fields()["positions"],
        "open_orders": [lines.open_order(one, names) for one in sorted(orders, key=lambda one: int(one["id"]))],
        "last_blocked": blocked[:LAST_BLOCKED],
        "journal": {"inputs": session.journal.seq, "outputs": session.outputs.count, "folder": str(session.folder)},
        "digest": session.digest(),
    }
