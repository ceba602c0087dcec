"""Whose strategy code may run: what this user has run from files of their own, and what they say they trust.

A journal holds the source of its compiled strategies, so that a session runs again from its journal alone. Running a
session that came from somebody else would therefore run their code. What a session has run from the configuration's
files is remembered by its hash, outside of any folder that could come with a session.
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
    """Where the hashes are kept, one a line: in the user's state folder ($XDG_STATE_HOME, else ~/.local/state)."""
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
    """Note source that the user has run from files of their own. Where it cannot be noted, --trust is needed later."""
    new = {_hash(source) for source in sources} - _remembered()
    if not new:
        return
    with contextlib.suppress(OSError, RuntimeError):  # Such as a system user without a home.
        path = memory_file()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in sorted(new)))


def sources_in(journal: Journal) -> dict[str, str]:
    """The source of each compiled strategy in a journal, by name; the last one where it has changed."""
    return {name: source for params in journal.all_params() for name, source in sources_of(params)}


def check(journal: Journal, session: str, plan: Plan | None = None, *, trusted: bool = False) -> None:
    """Raises CommandError for a journal with strategy code that has not come from files of this user.

    `plan`: made from the user's configuration; its code is theirs, and is remembered.
    """
    own = [one.path.read_text(encoding="utf-8") for one in plan.compiled_strategies.values()] if plan else []
    remember(own)
    if trusted:
        return
    known = {_hash(source) for source in own} | _remembered()
    strange = {
        name for params in journal.all_params() for name, source in sources_of(params) if _hash(source) not in known
    }
    if strange:
        names = ", ".join(sorted(strange))
        raise CommandError(
            f"session {session}: its journal holds code (strategy {names}) that was never run here from a file of"
            f" yours; read it with paperbot session code {session}, and repeat this with --trust to run it"
        )


def code(journal: Journal) -> list[dict[str, Any]]:
    """Each compiled strategy's name and source."""
    return [{"strategy": name, "source": source} for name, source in sources_in(journal).items()]
