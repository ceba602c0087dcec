"""The start of a live session: its request, the choice of the session, and the report of its recovery."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paperbot.clock import SystemClock, format_ts
from paperbot.engine.params import Plan
from paperbot.engine.snapshot import identity
from paperbot.environment import Environment
from paperbot.errors import CommandError
from paperbot.live.identity import check_name
from paperbot.live.observers import Observers
from paperbot.live.recovery import carry_session, core_of, open_session
from paperbot.live.session import Session, create_session, current_session, session_names
from paperbot.telemetry.notify import Notifier

Tree = dict[str, Any]


@dataclass(frozen=True)
class LiveRequest:
    """The options of `paperbot run`. `until_ns`: stop after the slice that closes then; `new`: start a new session;
    `trusted`: run the journal's strategy code even if it is not the user's own.
    """

    environment: Environment
    config: Path | None = None
    out: Path = Path("data")
    overrides: Sequence[Tree] = ()
    cash: Sequence[str] = ()
    session: str | None = None
    new: bool = False
    duration_s: float | None = None
    until_ns: int | None = None
    trusted: bool = False


def sessions_root(out: Path) -> Path:
    """The folder of the sessions."""
    return out / "sessions"


def open_or_create(request: LiveRequest, plan: Plan, clock: SystemClock) -> Session:
    """Open the named or current session, or create one. Raises StateError, CommandError."""
    root = sessions_root(request.out)
    if request.session is not None:
        check_name(request.session)
        if not request.new and not (root / request.session).is_dir():
            existing = ", ".join(session_names(root)) or "none"
            raise CommandError(
                f"--session {request.session}: the session does not exist (existing: {existing}); create it with --new"
            )
    current = request.session or current_session(root)
    fresh = request.session or format_ts(clock.now_ns())[:19].replace(":", "").replace("-", "")
    if request.new or current is None or not (root / current).is_dir():
        before = current_session(root)
        session = create_session(root, fresh, plan, clock)
        session.recovered.left_behind = before
        return session
    if core_of(root, current) != identity(plan)["core"]:
        return carry_session(root, current, f"{current}-carried", plan, clock, trusted=request.trusted)
    return open_session(root, current, plan, clock, trusted=request.trusted)


def tell_start(session: Session, observers: Observers, notifier: Notifier) -> None:
    """Log how the session was started or recovered, and notify about it."""
    report = session.recovered
    if report.is_new:
        observers.log.info(
            "session_started", session=session.name, carried_from=report.carried_from, left_behind=report.left_behind
        )
        notifier.tell("session_start", f"session {session.name} has started")
        return
    observers.log.info(
        "session_recovered",
        session=session.name,
        inputs=report.inputs,
        snapshot=report.snapshot,
        replayed=report.replayed,
        seconds=round(report.seconds, 3),
    )
    notifier.tell("recovery", f"session {session.name} has recovered after {report.inputs} inputs")
    if report.quarantined is not None:
        observers.log.error("journal_quarantined", inputs=report.quarantined, folder=str(session.folder / "quarantine"))


def chosen_session(out: Path, name: str | None) -> tuple[Path, str]:
    """(root, name) of the named or current session. Raises CommandError when it does not exist."""
    root = sessions_root(out)
    chosen = name or current_session(root)
    if chosen is None:
        raise CommandError(f"{root}: no session yet; start one with paperbot run")
    if not (root / chosen).is_dir():
        existing = ", ".join(session_names(root)) or "none"
        raise CommandError(f"{root}: session {chosen} does not exist (existing: {existing})")
    return root, chosen
