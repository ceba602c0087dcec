"""Decides which strategy code of a journal may run: code that the user has run from their own files, or trusts.

A journal holds the source of its compiled strategies, so that a session can be run again from its journal alone.
Running somebody else's session would therefore run their code. The hashes of strategies that the user has run from
configured files are kept outside the session folders, so that they cannot come with a session.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from paperbot.engine.params import Plan
from paperbot.engine.planrecord import sources_of
from paperbot.errors import CommandError
from paperbot.store.journal import Journal


def memory_file() -> Path:
    """The file of hashes, one per line, in the user's state folder ($XDG_STATE_HOME, else ~/.local/state)."""
    chosen = os.environ.get("XDG_STATE_HOME")
    return (Path(chosen) if chosen else Path.home() / ".local/state") / "paperbot/strategies"


def _hash(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()


def _remembered() -> set[str]:
    try:
        return set(memory_file().read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError, RuntimeError):
        return set()


def remember(sources: Iterable[str]) -> None:
    """Remember source that the user has run from their own files. If this fails, --trust is needed later."""
    new = {_hash(source) for source in sources} - _remembered()
    if not new:
        return
    with contextlib.suppress(OSError, RuntimeError):  # For example, a system user without a home.
        path = memory_file()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in sorted(new)))


def check(journal: Journal, session: str, plan: Plan | None = None, *, trusted: bool = False) -> None:
    """Raises CommandError for a journal with strategy code that the user has never run from their own files.

    `plan`: from the user's configuration; its strategies are remembered as the user's own.
    """
    strategies = plan.compiled_strategies.values() if plan else []
    own = [strategy.path.read_text(encoding="utf-8") for strategy in strategies]
    remember(own)
    if trusted:
        return
    allowed = {_hash(source) for source in own} | _remembered()
    untrusted = {
        name for params in journal.all_params() for name, source in sources_of(params) if _hash(source) not in allowed
    }
    if untrusted:
        names = ", ".join(sorted(untrusted))
        raise CommandError(
            f"session {session}: its journal holds code (strategy {names}) that you have not run from your own files;"
            f" read it with paperbot session code {session}, then run it with --trust"
        )


def code(journal: Journal) -> list[dict[str, Any]]:
    """Return name and source of each compiled strategy in a journal; of a source that changed, the last one."""
    latest = {name: source for params in journal.all_params() for name, source in sources_of(params)}
    return [{"strategy": name, "source": source} for name, source in latest.items()]
