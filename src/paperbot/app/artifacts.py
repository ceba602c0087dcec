"""A session's Parquet files, made from its output records: written whole, as often as one likes."""

import json
from itertools import chain
from pathlib import Path

import numpy as np

from paperbot.app.recorder import names_of
from paperbot.app.session import Session
from paperbot.core import types as t
from paperbot.engine.machine import Machine
from paperbot.engine.params import Plan
from paperbot.engine.runner import closing_records
from paperbot.store.days import DayArtifacts
from paperbot.store.durable import write_whole
from paperbot.store.journal import Journal
from paperbot.store.outputs import read_outputs
from paperbot.store.parquet import Artifacts
from paperbot.store.report import Statistics


def write_artifacts(out: Path, plan: Plan, machine: Machine, outputs: Path, journal: Journal) -> Statistics:
    """Write the tables (and advice.jsonl, if any was asked for) as they stand.

    The closing ledger row comes from a copy of the state, so that the session can go on. Raises OutputError.
    """
    names = names_of(plan)
    statistics = Statistics(names)
    caught_up = _caught_up(journal)

    def source_of(close_ts: int, symbol: int) -> str:
        return caught_up.get((close_ts, symbol), "stream")

    copy = Machine(plan.params)
    copy.state.memory[:] = machine.state.memory
    with Artifacts(out, names, source_of) as artifacts:
        for records in chain(read_outputs(outputs), closing_records(copy)):
            statistics.add(records)
            artifacts.add(records)
        artifacts.finish()
    exchanges = journal.exchanges()
    if exchanges:
        write_whole(out / "advice.jsonl", "".join(json.dumps(one) + "\n" for one in exchanges).encode())
    return statistics


class LiveArtifacts:
    """The same for a session that goes on: each writing takes in what is new (see `store/days.py`)."""

    def __init__(self, out: Path, session: Session) -> None:
        self._session = session
        self._sources: dict[tuple[int, int], str] = {}
        names = names_of(session.runner.plan)
        self._days = DayArtifacts(out, session.folder / "days", names, self._source_of)
        self._out = out

    def _source_of(self, close_ts: int, symbol: int) -> str:
        return self._sources.get((close_ts, symbol), "stream")

    def write(self) -> None:
        """Write everything as it stands now. Raises OutputError."""
        session = self._session
        self._sources = _caught_up(session.journal)
        for records in read_outputs(session.outputs.path, self._days.count):
            self._days.add(records)
        machine = session.runner.machine
        copy = Machine(session.runner.plan.params)
        copy.state.memory[:] = machine.state.memory
        closing = list(closing_records(copy))
        self._days.write(np.concatenate(closing) if closing else np.zeros(0, dtype=t.OUT_HEAD))
        exchanges = session.journal.exchanges()
        if exchanges:
            write_whole(self._out / "advice.jsonl", "".join(json.dumps(one) + "\n" for one in exchanges).encode())


def _caught_up(journal: Journal) -> dict[tuple[int, int], str]:
    """(close, symbol) of bars that did not come by the stream."""
    found = {}
    for row in journal.rows_from(("backfill", "catch_up")):
        bar = np.frombuffer(row.content, dtype=t.BAR_EVENT)[0]
        found[int(bar["close_ts"]), int(bar["symbol"])] = row.source
    return found
