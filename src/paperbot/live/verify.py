"""Runs a session again from its journal, to verify it or to write its artifacts."""

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
    """Run a session again from its journal alone, without a network or strategy files.

    Raises StateError for a damaged journal; the message names the first input that breaks the chain.
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
            raise StateError(f"{where}: does not begin with parameters")
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
    """Check a session: its chain, output records and digest, and that the books add up.

    Raises StateError for the first check that fails.
    """
    root, chosen = chosen_session(out, name)
    if is_locked(root / chosen):
        raise StateError(f"{root / chosen}: the session is running; stop it before you verify it")
    again = rerun(root, chosen, trusted=trusted)
    expected = again.records.tobytes()
    path = root / chosen / OUTPUTS
    stored = b"".join(records.tobytes() for records in read_outputs(path))
    if stored != expected[: len(stored)]:  # The file may be shorter: a power loss takes its last records.
        raise StateError(f"session {chosen}: {path} differs from the journal's output records")
    session = inspect_session(root, chosen, trusted=trusted)
    try:
        digest = session.digest()
        if digest != again.digest:
            raise StateError(f"session {chosen}: recovery gives the digest {digest}, but the journal {again.digest}")
        assets = unbalanced(session.runner.plan, session.runner.machine.state)
        if assets:
            raise StateError(f"session {chosen}: the books of {', '.join(assets)} do not add up")
        return {"session": chosen, "inputs": again.inputs, "outputs": len(again.records), "digest": digest}
    finally:
        session.close()
