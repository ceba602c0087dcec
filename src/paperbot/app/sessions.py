"""What can be asked of sessions from outside: list, status, halt and resume, verify, replay, export, health."""

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


def session_status(out: Path, name: str | None, *, trusted: bool = False) -> dict[str, Any]:
    """The status of a session, from the process that runs it, or else from its files."""
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
    """Halt or resume: through the process that runs the session, or else in its journal. Durable when it returns."""
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
    """Mend a session whose journal does not fit its chain: what does not is taken out of the way, and the session
    halts (`journal`). Derived files are written anew. Raises PaperbotError.
    """
    root, chosen = chosen_session(out, name)
    session = open_session(root, chosen, None, SystemClock(), trusted=trusted)
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


def export(out: Path, name: str | None, to: Path, *, trusted: bool = False) -> dict[str, Any]:
    """Write a session's artifacts to a folder, whether it runs or not."""
    root, chosen = chosen_session(out, name)
    if is_locked(root / chosen):
        raise CommandError(f"session {chosen} is running; it writes its artifacts itself, to {out}")
    session = inspect_session(root, chosen, trusted=trusted)
    try:
        statistics = write_artifacts(to, session)
        bars = write_session_bars(to / "bars", session)
        figures = {"fills": statistics.fills, "orders": statistics.orders, "bars": bars}
        return {"session": chosen, **figures, "out": str(to)}
    finally:
        session.close()


# ---- health


def strategy_code(out: Path, name: str | None) -> list[dict[str, Any]]:
    """Name and source of each compiled strategy in a session's journal; nothing of it is run."""
    root, chosen = chosen_session(out, name)
    with Journal(root / chosen, read_only=True) as journal:
        return trust.code(journal)
