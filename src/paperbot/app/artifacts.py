"""A session's Parquet files, made from its output records: written whole, as often as one likes."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from paperbot.app.recorder import names_of, summary_of
from paperbot.app.session import Session
from paperbot.core import types as t
from paperbot.engine.machine import Machine
from paperbot.engine.params import Plan
from paperbot.engine.runner import closing_records
from paperbot.ports import Records
from paperbot.store.bars import write_bar_events
from paperbot.store.chart import Chart
from paperbot.store.days import DayArtifacts
from paperbot.store.durable import write_whole
from paperbot.store.journal import Journal
from paperbot.store.parquet import Artifacts
from paperbot.store.report import Statistics
from paperbot.timeframe import fixed


def write_artifacts(out: Path, session: Session) -> Statistics:
    """Write the files of a session (and advice.jsonl, if any was asked for) as they stand.

    The closing ledger row comes from a copy of the state, so that the session can go on. Raises OutputError.
    """
    journal = session.journal
    names = names_of(session.runner.plan)
    statistics = Statistics(names)
    caught_up = _caught_up(journal)

    def source_of(close_ts: int, symbol: int) -> str:
        return caught_up.get((close_ts, symbol), "stream")

    copy, closing = _closed(session)
    with Artifacts(out, names, source_of) as artifacts:
        for records in chain(session.outputs.read(), closing):
            statistics.add(records)
            artifacts.add(records)
        outcome = Outcome(session.name, session.runner.plan, copy.account, session.digest())
        finish(artifacts, outcome, statistics, journal)
    _write_advice(out, journal)
    return statistics


@dataclass(frozen=True)
class Outcome:
    """A session as it stands. `account`: the core's record, after the closing row."""

    session: str
    plan: Plan
    account: np.void
    digest: str


def finish(artifacts: Artifacts, outcome: Outcome, statistics: Statistics, journal: Journal) -> None:
    """Add the candles of the journal's bars and the summary, and put all files in place. Raises OutputError."""
    chart = Chart(statistics.names)
    for events in journal.events():
        chart.events(events)
    summary = summary_of(outcome.plan, statistics, chart, outcome.digest, outcome.account)
    artifacts.finish(chart.table(), {**summary, "session": outcome.session})


def write_session_bars(folder: Path, session: Session) -> int:
    """Write all bars that the session took, those that warmed it up too, as files that replay reads, one for each
    symbol. Returns how many. Raises OutputError.
    """
    plan = session.runner.plan
    events = [events[events["kind"] == t.EventKind.BAR] for events in session.journal.events()]
    bars = np.concatenate(events) if events else np.zeros(0, dtype=t.BAR_EVENT)
    for index, symbol in enumerate(plan.symbols):
        mine = bars[bars["symbol"] == index]
        if len(mine):
            path = folder / f"{symbol.replace('/', '')}_{fixed(plan.timeframes_ns[index]).text}.parquet"
            write_bar_events(path, mine, plan.price_decimals[index])
    return len(bars)


class LiveArtifacts:
    """The same for a session that goes on: each writing takes in what is new (see `store/days.py`). `facts`: what
    `run.json` says beside the figures.
    """

    def __init__(self, out: Path, session: Session, facts: Mapping[str, Any]) -> None:
        self._session = session
        self._facts = {**facts, "session": session.name}
        self._sources: dict[tuple[int, int], str] = {}
        names = names_of(session.runner.plan)
        self._days = DayArtifacts(out, session.folder / "days", names, self._source_of)
        self._statistics, self._chart, self._seq = Statistics(names), Chart(names), 0
        self._out = out

    def _source_of(self, close_ts: int, symbol: int) -> str:
        return self._sources.get((close_ts, symbol), "stream")

    def write(self) -> None:
        """Write everything as it stands now. Raises OutputError."""
        session = self._session
        self._sources = _caught_up(session.journal)
        for records in session.outputs.read(self._days.count):
            self._days.add(records)
            self._statistics.add(records)
        for events in session.journal.events(self._seq):
            self._chart.events(events)
        self._seq = session.journal.seq
        copy, closing = _closed(session)
        last = np.concatenate(closing) if closing else np.zeros(0, dtype=t.OUT_HEAD)
        statistics = deepcopy(self._statistics)
        statistics.add(last)
        summary = summary_of(session.runner.plan, statistics, self._chart, session.digest(), copy.account)
        self._days.write(last, self._chart.table(), {**summary, **self._facts})
        _write_advice(self._out, session.journal)


def _closed(session: Session) -> tuple[Machine, list[Records]]:
    """A copy of the session's machine, closed, and the closing ledger row."""
    machine = session.runner.machine
    copy = Machine(session.runner.plan.params)
    copy.state.memory[:] = machine.state.memory
    return copy, list(closing_records(copy))


def _write_advice(out: Path, journal: Journal) -> None:
    exchanges = journal.exchanges()
    if exchanges:
        write_whole(out / "advice.jsonl", "".join(json.dumps(one) + "\n" for one in exchanges).encode())


def _caught_up(journal: Journal) -> dict[tuple[int, int], str]:
    """(close, symbol) of bars that did not come by the stream."""
    found = {}
    for row in journal.rows_from(("backfill", "catch_up")):
        bar = np.frombuffer(row.content, dtype=t.BAR_EVENT)[0]
        found[int(bar["close_ts"]), int(bar["symbol"])] = row.source
    return found
