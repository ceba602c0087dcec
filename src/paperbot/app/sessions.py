"""Commands about sessions: list, status, halt and resume, repair, export, strategy code."""

from pathlib import Path
from typing import Any, Literal

from paperbot.clock import SystemClock, format_ts
from paperbot.errors import CommandError
from paperbot.live import commands, socket, trust
from paperbot.live.artifacts import write_artifacts, write_session_bars
from paperbot.live.earnings import with_history
from paperbot.live.inspect import inspect_session, refuse_damaged
from paperbot.live.recovery import open_session
from paperbot.live.session import current_session, session_names
from paperbot.live.start import chosen_session, sessions_root
from paperbot.live.status import status_of
from paperbot.store.journal import Journal, is_locked


def list_sessions(out: Path) -> list[dict[str, Any]]:
    """All sessions: inputs, start, whether they are running, and the session that carried them over."""
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


def session_status(out: Path, name: str | None, *, trusted: bool = False) -> dict[str, Any]:
    """The status of a session, from the process that runs it or else from its files."""
    root, chosen = chosen_session(out, name)
    if is_locked(root / chosen):
        answer = socket.ask(root / chosen, "status")
    else:
        session = inspect_session(root, chosen, trusted=trusted)
        try:
            answer = {**status_of(session), "running": False}
        finally:
            session.close()
    return answer if "error" in answer else with_history(answer, root / chosen)


def command_session(
    out: Path, name: str | None, word: Literal["halt", "resume"], *, trusted: bool = False
) -> dict[str, Any]:
    """Halt or resume a session, through the process that runs it or else in its journal. Durable on return."""
    root, chosen = chosen_session(out, name)
    command = commands.Halt() if word == "halt" else commands.Resume()
    if is_locked(root / chosen):
        answer = socket.ask(root / chosen, word)
    else:
        with Journal(root / chosen, read_only=True) as journal:
            refuse_damaged(journal, chosen)
        session = open_session(root, chosen, None, SystemClock(), trusted=trusted)
        try:
            ts = int(session.runner.machine.market["clock_ts"])
            session.commit(commands.events_of(command, ts), "command")
            session.save()
            answer = {**status_of(session), "running": False}
        finally:
            session.close()
    return answer if "error" in answer else with_history(answer, root / chosen)


def repair(out: Path, name: str | None, *, trusted: bool = False) -> dict[str, Any]:
    """Repair a session whose journal breaks its hash chain: the broken tail is quarantined, and the session halts
    (`journal`). Derived files are rewritten. Raises PaperbotError.
    """
    root, chosen = chosen_session(out, name)
    session = open_session(root, chosen, None, SystemClock(), trusted=trusted)
    try:
        session.save()
        return {
            "session": chosen,
            "inputs": session.journal.seq,
            "taken_out": session.recovered.quarantined or 0,
            "halted": status_of(session)["halted"],
            "digest": session.digest(),
        }
    finally:
        session.close()


def export(out: Path, name: str | None, to: Path, *, trusted: bool = False) -> dict[str, Any]:
    """Write a stopped session's artifacts to a folder. Raises PaperbotError; also for a session that is running."""
    root, chosen = chosen_session(out, name)
    if is_locked(root / chosen):
        raise CommandError(f"session {chosen} is running; it writes its own artifacts to {out}")
    session = inspect_session(root, chosen, trusted=trusted)
    try:
        statistics = write_artifacts(to, session)
        bars = write_session_bars(to / "bars", session)
        figures = {"fills": statistics.fills, "orders": statistics.orders, "bars": bars}
        return {"session": chosen, **figures, "out": str(to)}
    finally:
        session.close()


def strategy_code(out: Path, name: str | None) -> list[dict[str, Any]]:
    """The name and source of each compiled strategy in a session's journal, without running it."""
    root, chosen = chosen_session(out, name)
    with Journal(root / chosen, read_only=True) as journal:
        return trust.code(journal)
