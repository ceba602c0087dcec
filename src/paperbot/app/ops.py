"""What can be asked of sessions from outside: list, status, halt and resume, verify, replay, export, health."""

import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paperbot.app import control
from paperbot.app.artifacts import Outcome, finish, write_artifacts, write_session_bars
from paperbot.app.earnings import with_history
from paperbot.app.inspect import Keeper, inspect_session, refuse_damaged
from paperbot.app.recorder import names_of
from paperbot.app.session import (
    OUTPUTS,
    control_event,
    current_session,
    open_session,
    opening_runner,
    session_names,
)
from paperbot.app.start import chosen_session, sessions_root
from paperbot.app.status import status_of
from paperbot.app.venuelink import live_configuration, live_plan
from paperbot.clock import SystemClock, format_ts
from paperbot.config import ConfigFiles
from paperbot.core import types as t
from paperbot.engine.books import unbalanced
from paperbot.engine.planrecord import decode_plan
from paperbot.engine.runner import Runner
from paperbot.environment import Environment, credential_names, secret
from paperbot.errors import CommandError, OutputError, PaperbotError, StateError
from paperbot.ports import Records
from paperbot.store.journal import Journal, is_locked
from paperbot.store.outputs import read_outputs
from paperbot.store.parquet import Artifacts
from paperbot.store.report import Statistics

FREE_BYTES = 200 << 20


def list_sessions(out: Path) -> list[dict[str, Any]]:
    """Every session: its inputs, when it began, whether it runs, and what took its place."""
    root = sessions_root(out)
    rows = []
    for folder in (root / name for name in session_names(root)):
        with Journal(folder, read_only=True) as journal:
            first = next(iter(journal.rows()), None)
            rows.append(
                {
                    "session": folder.name,
                    "current": folder.name == current_session(root),
                    "running": is_locked(folder),
                    "inputs": journal.seq,
                    "began": format_ts(first.received_ts)[:19] + "Z" if first else None,
                    "closed_by": journal.meta("closed_by"),
                }
            )
    return rows


def session_status(out: Path, name: str | None) -> dict[str, Any]:
    """The status of a session, from the process that runs it, or else from its files."""
    root, chosen = chosen_session(out, name)
    if is_locked(root / chosen):
        answer = control.ask(root / chosen, "status")
    else:
        session = inspect_session(root, chosen)
        try:
            answer = {**status_of(session), "running": False}
        finally:
            session.close()
    return answer if "error" in answer else with_history(answer, root / chosen)


def command_session(out: Path, name: str | None, command: str) -> dict[str, Any]:
    """Halt or resume: through the process that runs the session, or else in its journal. Durable when it returns."""
    root, chosen = chosen_session(out, name)
    if is_locked(root / chosen):
        answer = control.ask(root / chosen, command)
    else:
        with Journal(root / chosen, read_only=True) as journal:
            refuse_damaged(journal, chosen)
        session = open_session(root, chosen, None, SystemClock())
        try:
            kind = t.EventKind.HALT if command == "halt" else t.EventKind.RESUME
            reason = t.HaltReason.MANUAL if command == "halt" else t.HaltReason.NONE
            session.commit(control_event(kind, session.runner, reason), "command")
            session.save()
            answer = {**status_of(session), "running": False}
        finally:
            session.close()
    return answer if "error" in answer else with_history(answer, root / chosen)


@dataclass(frozen=True)
class Rerun:
    """A session that was run again from its journal."""

    runner: Runner
    records: Records
    inputs: int
    digest: str


def rerun(root: Path, name: str) -> Rerun:
    """Run a session again from its journal alone: no network, no strategy code but what the journal holds.

    Raises StateError at the first input whose link does not fit.
    """
    with Journal(root / name, read_only=True) as journal:
        refuse_damaged(journal, name)
        where = str(journal.path)
        keeper = Keeper()
        runner: Runner | None = None
        waiting: list[bytes] = []

        def feed() -> None:
            if runner is not None and waiting:
                runner.feed(np.frombuffer(b"".join(waiting), dtype=t.BAR_EVENT))
            waiting.clear()

        for row in journal.rows():
            params = row.params
            if params is None:
                waiting.append(row.content)
            elif runner is None:
                runner = opening_runner(root / name, decode_plan(params, where), [keeper], chunk=0)
            else:
                feed()
                runner.go_on_with(decode_plan(params, where))
        if runner is None:
            raise StateError(f"{where}: begins with no parameters")
        feed()
        records = np.concatenate(keeper.kept) if keeper.kept else np.zeros(0, dtype=t.OUT_HEAD)
        return Rerun(runner, records, journal.seq, runner.digest.final(runner.machine.state))


def replay_session(out: Path, name: str | None, to: Path) -> dict[str, Any]:
    """Run a session again and write its artifacts to another folder."""
    root, chosen = chosen_session(out, name)
    again = rerun(root, chosen)
    plan = again.runner.plan
    names = names_of(plan)
    statistics = Statistics(names)
    with Artifacts(to, names) as artifacts, Journal(root / chosen, read_only=True) as journal:
        artifacts.add(again.records)
        statistics.add(again.records)
        finish(artifacts, Outcome(chosen, plan, again.runner.machine.account, again.digest), statistics, journal)
    return {"session": chosen, "inputs": again.inputs, "digest": again.digest, "out": str(to)}


def verify(out: Path, name: str | None) -> dict[str, Any]:
    """Check a session: the chain, what came out of it, the digest, and that money adds up.

    Raises StateError that says what does not fit.
    """
    root, chosen = chosen_session(out, name)
    if is_locked(root / chosen):
        raise StateError(f"{root / chosen}: is running; verify it when it is stopped")
    again = rerun(root, chosen)
    given = again.records.tobytes()
    path = root / chosen / OUTPUTS
    known = b"".join(one.tobytes() for one in read_outputs(path))
    if known != given[: len(known)]:  # It may be shorter: what was written last is lost when the power fails.
        raise StateError(f"session {chosen}: {path} is not what the journal gives")
    session = inspect_session(root, chosen)
    try:
        digest = session.digest()
        if digest != again.digest:
            raise StateError(f"session {chosen}: recovers to the digest {digest}, but its journal gives {again.digest}")
        wrong = unbalanced(session.runner.plan, session.runner.machine.state)
        if wrong:
            raise StateError(f"session {chosen}: the books of {', '.join(wrong)} do not add up")
        return {"session": chosen, "inputs": again.inputs, "outputs": len(again.records), "digest": digest}
    finally:
        session.close()


def repair(out: Path, name: str | None) -> dict[str, Any]:
    """Mend a session whose journal does not fit its chain: what does not is taken out of the way, and the session
    halts (`journal`). Derived files are written anew. Raises PaperbotError.
    """
    root, chosen = chosen_session(out, name)
    session = open_session(root, chosen, None, SystemClock())
    try:
        session.save()
        found = session.recovered
        return {
            "session": chosen,
            "inputs": session.journal.seq,
            "taken_out": found.quarantined or 0,
            "halted": status_of(session)["halted"],
            "digest": session.digest(),
        }
    finally:
        session.close()


def export(out: Path, name: str | None, to: Path) -> dict[str, Any]:
    """Write a session's artifacts to a folder, whether it runs or not."""
    root, chosen = chosen_session(out, name)
    if is_locked(root / chosen):
        raise CommandError(f"session {chosen} is running; it writes its artifacts itself, to {out}")
    session = inspect_session(root, chosen)
    try:
        statistics = write_artifacts(to, session)
        bars = write_session_bars(to / "bars", session)
        figures = {"fills": statistics.fills, "orders": statistics.orders, "bars": bars}
        return {"session": chosen, **figures, "out": str(to)}
    finally:
        session.close()


# ---- health
def doctor(
    environment: Environment, config: Path | None, out: Path, overrides: Sequence[dict[str, Any]] = ()
) -> list[tuple[str, bool, str]]:
    """(what, whether it is well, in words) for clock, disk, port, configuration, credentials and journal."""
    found: list[tuple[str, bool, str]] = []

    def check(what: str, test: Any) -> Any:
        try:
            words = test()
        except (PaperbotError, OSError) as error:
            found.append((what, False, str(error)))
            return None
        found.append((what, True, str(words)))
        return words

    check("clock", lambda: format_ts(SystemClock.now_ns())[:19] + "Z")
    check("disk", lambda: _disk(out))
    check("port", lambda: _port(environment))
    configuration = check("configuration", lambda: _configuration(config, overrides))
    if configuration is not None:
        check("credentials", lambda: _credentials(config, overrides))
    check("journal", lambda: _journal(out))
    return found


def _disk(out: Path) -> str:
    folder = next(path for path in (out, *out.resolve().parents) if path.exists())
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder}: cannot be written")
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise OutputError(f"{folder}: only {free >> 20} MiB are free")
    return f"{free >> 20} MiB free in {folder}"


def _port(environment: Environment) -> str:
    place = f"{environment.metrics_host}:{environment.prometheus_port}"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((environment.metrics_host, environment.prometheus_port))
        except OSError as error:
            raise OutputError(f"{place}: {error.strerror}; PROMETHEUS_PORT chooses another one") from None
    return f"{place} is free" if environment.prometheus_port else "any free one (PROMETHEUS_PORT=0)"


def _configuration(config: Path | None, overrides: Sequence[dict[str, Any]]) -> str:
    plan = live_plan(live_configuration(ConfigFiles(config), overrides))
    return f"{len(plan.symbols)} symbols, {len(plan.strategies)} strategies"


def _credentials(config: Path | None, overrides: Sequence[dict[str, Any]]) -> str:
    settings = live_configuration(ConfigFiles(config), overrides).settings
    if settings.feed.market_data == "mainnet":
        return "none needed for public market data"
    missing = [name for name in credential_names(settings.exchange, settings.environment) if secret(name) is None]
    if missing:
        raise StateError(f"missing: {', '.join(missing)}")
    return "there"


def _journal(out: Path) -> str:
    root = sessions_root(out)
    name = current_session(root)
    if name is None:
        return "no session yet"
    with Journal(root / name, read_only=True) as journal:
        broken = journal.first_break()
        if broken is not None:
            raise StateError(f"session {name}: input {broken} does not fit")
        state = "running" if is_locked(root / name) else "stopped"
        return f"session {name}: {journal.seq} inputs, {state}"
