"""A session run again from its journal: to check it, or to write its artifacts anew."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paperbot.core import types as t
from paperbot.engine.books import unbalanced
from paperbot.engine.names import names_of
from paperbot.engine.planrecord import decode_plan
from paperbot.engine.runner import Runner
from paperbot.errors import StateError
from paperbot.events import Records, decoded
from paperbot.live import trust
from paperbot.live.artifacts import Outcome, finish
from paperbot.live.inspect import Keeper, inspect_session, refuse_damaged
from paperbot.live.session import OUTPUTS, opening_runner
from paperbot.live.start import chosen_session
from paperbot.store.journal import Journal, is_locked
from paperbot.store.outputs import read_outputs
from paperbot.store.parquet import Artifacts
from paperbot.store.statistics import Statistics


@dataclass(frozen=True)
class Rerun:
    """A session that was run again from its journal."""

    runner: Runner
    records: Records
    inputs: int
    digest: str


def rerun(root: Path, name: str, *, trusted: bool = False) -> Rerun:
    """Run a session again from its journal alone: no network, no strategy code but what the journal holds.

    Raises StateError at the first input whose link does not fit.
    """
    with Journal(root / name, read_only=True) as journal:
        refuse_damaged(journal, name)
        trust.check(journal, name, trusted=trusted)
        where = str(journal.path)
        keeper = Keeper()
        runner: Runner | None = None
        waiting: list[bytes] = []

        def feed() -> None:
            if runner is not None and waiting:
                runner.feed(decoded(b"".join(waiting)))
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


def replay_session(out: Path, name: str | None, to: Path, *, trusted: bool = False) -> dict[str, Any]:
    """Run a session again and write its artifacts to another folder."""
    root, chosen = chosen_session(out, name)
    again = rerun(root, chosen, trusted=trusted)
    plan = again.runner.plan
    names = names_of(plan)
    statistics = Statistics(names)
    with Artifacts(to, names) as artifacts, Journal(root / chosen, read_only=True) as journal:
        artifacts.add(again.records)
        statistics.add(again.records)
        finish(artifacts, Outcome(chosen, plan, again.runner.machine.account, again.digest), statistics, journal)
    return {"session": chosen, "inputs": again.inputs, "digest": again.digest, "out": str(to)}


def verify(out: Path, name: str | None, *, trusted: bool = False) -> dict[str, Any]:
    """Check a session: the chain, what came out of it, the digest, and that money adds up.

    Raises StateError that says what does not fit.
    """
    root, chosen = chosen_session(out, name)
    if is_locked(root / chosen):
        raise StateError(f"{root / chosen}: is running; verify it when it is stopped")
    again = rerun(root, chosen, trusted=trusted)
    given = again.records.tobytes()
    path = root / chosen / OUTPUTS
    known = b"".join(one.tobytes() for one in read_outputs(path))
    if known != given[: len(known)]:  # It may be shorter: what was written last is lost when the power fails.
        raise StateError(f"session {chosen}: {path} is not what the journal gives")
    session = inspect_session(root, chosen, trusted=trusted)
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
