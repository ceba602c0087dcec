"""Recovers a session's durable state: the last good snapshot, then the journal's tail."""

from collections.abc import Iterable
from pathlib import Path

from paperbot.core import types as t
from paperbot.engine.params import Plan
from paperbot.engine.planrecord import decode_plan
from paperbot.engine.snapshot import Snapshot, decode, encode, restore
from paperbot.engine.userland import PythonDesk
from paperbot.errors import PaperbotError, StateError
from paperbot.events import Bars, Signals, decoded, halt
from paperbot.failpoint import fail_point
from paperbot.live import trust
from paperbot.live.identity import check_fixed_part, check_name
from paperbot.live.session import (
    ANSWERED,
    OUTPUTS,
    Recovered,
    Session,
    Writer,
    create_session,
    inputs_of,
    opening_runner,
    params_input,
    snapshots_in,
)
from paperbot.ports import Clock
from paperbot.store.journal import Input, Journal, Lock, Row
from paperbot.store.outputs import OutputLog

QUARANTINED = "quarantined"


def open_session(root: Path, name: str, plan: Plan | None, clock: Clock, *, trusted: bool = False) -> Session:
    """Open a session in its durable state: the last good snapshot, then the journal's tail.

    `plan`: from the current configuration, journaled as this start's parameters; None: keep the old parameters. Raises
    StateError for files that cannot be read, CommandError for a plan that changes a fixed setting. `trusted`: see
    `trust.check`.
    """
    check_name(name)
    folder = root / name
    if not folder.is_dir():
        raise StateError(f"{folder}: the session does not exist")
    lock = Lock(folder)
    journal = None
    try:
        began = clock.monotonic_s()
        journal = Journal(folder)
        trust.check(journal, name, plan, trusted=trusted)
        session = _recover(name, folder, lock, journal, plan, clock)
        session.recovered.seconds = clock.monotonic_s() - began
    except PaperbotError:
        if journal is not None:
            journal.close()
        lock.free()
        raise
    return session


def _recover(name: str, folder: Path, lock: Lock, journal: Journal, plan: Plan | None, clock: Clock) -> Session:
    where = str(journal.path)
    recovered = Recovered(inputs=journal.seq)
    snapshot, seq = last_good(folder, journal)
    outputs = OutputLog(folder / OUTPUTS)
    # A snapshot does not hold a Python strategy's memory, so the strategy must see every slice again.
    needs_all = plan is not None and bool(plan.python_strategies)
    if snapshot is None or needs_all or not outputs.cut(int(snapshot.header["extra"]["outputs"])):
        snapshot, seq = None, 0
        outputs.cut(0)
    broken = journal.first_break(seq)
    if broken is not None:
        _quarantine(folder, journal, broken, clock)
    recovered.quarantined = int(journal.meta(QUARANTINED) or 0) or None
    first = plan_at(journal, 1, where)
    in_force = plan_at(journal, seq, where) if snapshot else first
    if plan is not None:
        check_fixed_part(first, plan, name)
    runner = opening_runner(folder, in_force, [Writer(outputs)])
    if snapshot is not None:
        restore(snapshot, runner, where)
    session = Session(name, folder, lock, journal, outputs, runner, clock, recovered=recovered)
    if plan is not None and plan.python_strategies:
        session.python = PythonDesk(plan.python_strategies, plan, runner.machine)
    recovered.snapshot = seq if snapshot is not None else 0
    unanswered = feed_tail(session, journal.rows(recovered.snapshot), where)
    if plan is not None:
        journal.append([params_input(plan, clock.now_ns())])
        runner.go_on_with(plan)
    if unanswered is not None and session.python is not None:
        session.answer(unanswered)
    if recovered.quarantined is not None:
        halted = halt(int(runner.machine.market["clock_ts"]), t.HaltReason.JOURNAL)
        journal.append(inputs_of(halted, "recovery", clock.now_ns()), meta={QUARANTINED: ""})
        runner.feed(halted)
    return session


def _quarantine(folder: Path, journal: Journal, first: int, clock: Clock) -> None:
    """Move the journal's tail from row `first` on to the quarantine, with the snapshots that contain it. The same
    transaction notes that a halt is due, so that the halt cannot be lost.
    """
    where = folder / "quarantine" / str(clock.now_ns())
    count = int(journal.meta(QUARANTINED) or 0) + journal.seq - first + 1
    journal.quarantine(first, where, {QUARANTINED: str(count)})
    fail_point("session.after_quarantine")
    for snapshot in snapshots_in(folder):
        if int(snapshot.stem) >= first:
            snapshot.replace(where / snapshot.name)


def feed_tail(session: Session, rows: Iterable[Row], where: str) -> Signals | None:
    """Feed the rest of the journal. Returns the Python strategies' answers to the last slice if none are journaled."""
    answers: Signals | None = None
    answered = int(session.journal.meta(ANSWERED) or 0)
    for row in rows:
        session.recovered.replayed += 1
        params = row.params
        if params is not None:
            if row.seq > 1:
                session.runner.go_on_with(decode_plan(params, where))
            continue
        event = decoded(row.content)
        session.runner.feed(event)
        if session.python is None or event["kind"][0] != t.EventKind.BAR:
            continue
        for _, bars in session.slices.add(Bars(event)):
            if bars is not None:
                signals = session.python.ask(bars)
                answers = signals if row.seq > answered else None
    return answers


def last_good(folder: Path, journal: Journal) -> tuple[Snapshot | None, int]:
    """The newest intact snapshot of this journal, and its row; (None, 0) without one."""
    for path in reversed(snapshots_in(folder)):
        try:
            snapshot = decode(path.read_bytes(), str(path))
        except StateError:
            continue  # A damaged snapshot only costs time: the journal has everything.
        extra = snapshot.header["extra"]
        link = journal.link_at(int(extra["seq"]))
        if link is not None and link.hex() == extra["h"]:
            return snapshot, int(extra["seq"])
    return None, 0


def plan_at(journal: Journal, seq: int, where: str) -> Plan:
    """The parameters in force after row `seq`."""
    params = journal.params_at(seq)
    if params is None:
        raise StateError(f"{where}: does not begin with parameters")
    return decode_plan(params, where)


def core_of(root: Path, name: str) -> str:
    """The fingerprint of the core that created a session. Raises StateError."""
    with Journal(root / name, read_only=True) as journal:
        return journal.meta("core") or ""


def carry_session(
    root: Path, old: str, name: str, plan: Plan, clock: Clock, *, trusted: bool = False
) -> Session:
    """Close a session of another core at its last durable input, and create a new one with its balances, positions,
    orders, halts and day figures. Inputs after the old session's last snapshot are copied to the new one.
    """
    lock = Lock(root / old)
    try:
        with Journal(root / old) as journal:
            trust.check(journal, old, plan, trusted=trusted)
            snapshot, seq = last_good(root / old, journal)
            first = plan_at(journal, 1, str(journal.path))
            check_fixed_part(first, plan, old, carried=True)
            if snapshot is None:  # Use the old session's opening, never the configured balances.
                opening = opening_runner(root / old, first, [])
                snapshot = decode(encode(opening, {"seq": 0}), str(root / old))
            rows = [row for row in journal.rows(seq) if row.params is None]
            inputs = [Input(row.content, row.received_ts, "carried") for row in rows]
            session = create_session(root, name, plan, clock, snapshot, inputs)
            session.recovered.carried_from = old
            journal.set_meta("closed_by", name)
    finally:
        lock.free()
    return session
