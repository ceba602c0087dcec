"""How a live session begins: what was asked for, which session that means, and what was found."""

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
    """What `paperbot run` was asked for. `until_ns`: stop after the slice that closes then; `new`: start afresh;
    `trusted`: run strategy code of the journal wherever it is from.
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
    """Where sessions are kept."""
    return out / "sessions"


def open_or_create(request: LiveRequest, plan: Plan, clock: SystemClock) -> Session:
    """The session to go on with, or a new one. Raises StateError, CommandError."""
    root = sessions_root(request.out)
    if request.session is not None:
        check_name(request.session)
        if not request.new and not (root / request.session).is_dir():
            known = ", ".join(session_names(root)) or "none"
            raise CommandError(
                f"--session {request.session}: there is no such session (there are: {known}); with --new it is made"
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
    """One line about what was found, and a message where something was wrong."""
    found = session.recovered
    if found.is_new:
        observers.log.info(
            "session_started", session=session.name, carried_from=found.carried_from, left_behind=found.left_behind
        )
        notifier.tell("session_start", f"session {session.name} has started")
        return
    observers.log.info(
        "session_recovered",
        session=session.name,
        inputs=found.inputs,
        snapshot=found.snapshot,
        replayed=found.replayed,
        seconds=round(found.seconds, 3),
    )
    notifier.tell("recovery", f"session {session.name} goes on after {found.inputs} inputs")
    if found.quarantined is not None:
        observers.log.error("journal_quarantined", inputs=found.quarantined, folder=str(session.folder / "quarantine"))


def chosen_session(out: Path, name: str | None) -> tuple[Path, str]:
    """(root, name) of the session that is meant. Raises CommandError when there is none."""
    root = sessions_root(out)
    chosen = name or current_session(root)
    if chosen is None:
        raise CommandError(f"{root}: there is no session yet; paperbot run makes one")
    if not (root / chosen).is_dir():
        known = ", ".join(session_names(root)) or "none"
        raise CommandError(f"{root}: there is no session {chosen} (there are: {known})")
    return root, chosen
