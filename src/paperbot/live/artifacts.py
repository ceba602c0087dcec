"""A session's Parquet files, made from its output records: each write replaces them whole."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.engine.machine import Machine
from paperbot.engine.names import facts_of, names_of
from paperbot.engine.params import Plan
from paperbot.engine.runner import closing_records
from paperbot.events import Records, as_bars, decoded, joined
from paperbot.live.session import Session
from paperbot.store.bars import write_bar_events
from paperbot.store.chart import Chart
from paperbot.store.days import DayArtifacts
from paperbot.store.durable import write_whole
from paperbot.store.journal import Journal
from paperbot.store.outputs import first_records, read_outputs
from paperbot.store.parquet import Artifacts
from paperbot.store.recorder import summary_of
from paperbot.store.statistics import Statistics
from paperbot.timeframe import fixed


def write_artifacts(out: Path, session: Session) -> Statistics:
    """Write the files of a session, with advice.jsonl if the advisor was asked.

    The closing ledger row is made on a copy of the state, so that the session can continue. Raises OutputError.
    """
    journal = session.journal
    names = names_of(session.runner.plan)
    statistics = Statistics(names)
    caught_up = _caught_up(journal)

    def source_of(close_ts: int, symbol: int) -> str:
        return caught_up.get((close_ts, symbol), "stream")

    copy, closing = _closed(session.runner.plan, session.runner.machine.state.memory)
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
    """A session's current state, for its summary. `account`: the core's record, after the closing row."""

    session: str
    plan: Plan
    account: np.void
    digest: str


def finish(artifacts: Artifacts, outcome: Outcome, statistics: Statistics, journal: Journal) -> None:
    """Add the candles of the journal's bars and the summary, and replace all files. Raises OutputError."""
    chart = Chart(statistics.names)
    for events in journal.events():
        chart.events(events)
    summary = summary_of(facts_of(outcome.plan), statistics, chart, outcome.digest, outcome.account)
    artifacts.finish(chart.table(), {**summary, "session": outcome.session})


def write_session_bars(folder: Path, session: Session) -> int:
    """Write all bars of the session, warm-up included, to one file per symbol, ready for `paperbot replay`. Returns
    the number of bars. Raises OutputError.
    """
    plan = session.runner.plan
    bars = joined([as_bars(events[events["kind"] == t.EventKind.BAR]) for events in session.journal.events()])
    for index, symbol in enumerate(plan.symbols):
        mine = bars[bars["symbol"] == index]
        if len(mine):
            path = folder / f"{symbol.replace('/', '')}_{fixed(plan.timeframes_ns[index]).text}.parquet"
            write_bar_events(path, mine, plan.price_decimals[index])
    return len(bars)


@dataclass(frozen=True)
class Moment:
    """A copy of a running session's state, from which `LiveArtifacts.write` can work on another thread.

    `memory`: a copy of the core's state; `seq`, `outputs`: the numbers of inputs and output records up to it.
    """

    plan: Plan
    memory: NDArray[np.uint8]
    digest: str
    seq: int
    outputs: int


def moment_of(session: Session) -> Moment:
    """Copy the session's current state. Call this on the thread that feeds the session."""
    runner = session.runner
    memory = runner.machine.state.memory.copy()
    return Moment(runner.plan, memory, session.digest(), session.journal.seq, session.outputs.count)


class LiveArtifacts:
    """The artifacts of a running session: each `write` converts only the records that are new (see `store/days.py`).

    `facts`: further entries of `run.json`. `write` may run on any thread, with one caller at a time.
    """

    def __init__(self, out: Path, session: Session, facts: Mapping[str, Any]) -> None:
        self._out = out
        self._facts = {**facts, "session": session.name}
        self._sources: dict[tuple[int, int], str] = {}
        self._journal = session.journal.reader()
        self._records = session.outputs.path
        names = names_of(session.runner.plan)
        self._days = DayArtifacts(out, session.folder / "days", names, self._source_of)
        self._statistics, self._chart, self._seq = Statistics(names), Chart(names), 0

    def _source_of(self, close_ts: int, symbol: int) -> str:
        return self._sources.get((close_ts, symbol), "stream")

    def write(self, moment: Moment) -> None:
        """Write all files as of that moment. Raises OutputError."""
        self._sources |= _caught_up(self._journal, self._seq)
        new = moment.outputs - self._days.count
        for records in first_records(read_outputs(self._records, self._days.count), new):
            self._days.add(records)
            self._statistics.add(records)
        for events in self._journal.events(self._seq, moment.seq):
            self._chart.events(events)
        self._seq = moment.seq
        copy, closing = _closed(moment.plan, moment.memory)
        last = np.concatenate(closing) if closing else np.zeros(0, dtype=t.OUT_HEAD)
        statistics = deepcopy(self._statistics)
        statistics.add(last)
        summary = summary_of(facts_of(moment.plan), statistics, self._chart, moment.digest, copy.account)
        self._days.write(last, self._chart.table(), {**summary, **self._facts})
        _write_advice(self._out, self._journal)

    def close(self) -> None:
        """Close the connection to the journal."""
        self._journal.close()


def _closed(plan: Plan, memory: NDArray[np.uint8]) -> tuple[Machine, list[Records]]:
    """A machine with a copy of the state after the closing ledger row, and that row."""
    copy = Machine(plan.params)
    copy.state.memory[:] = memory
    return copy, list(closing_records(copy))


def _write_advice(out: Path, journal: Journal) -> None:
    exchanges = journal.exchanges()
    if exchanges:
        write_whole(out / "advice.jsonl", "".join(json.dumps(exchange) + "\n" for exchange in exchanges).encode())


def _caught_up(journal: Journal, after: int = 0) -> dict[tuple[int, int], str]:
    """The sources of the bars after row `after` that did not come from the stream, by (close, symbol)."""
    sources = {}
    for row in journal.rows_from(("backfill", "catch_up"), after):
        bar = decoded(row.content)[0]
        sources[int(bar["close_ts"]), int(bar["symbol"])] = row.source
    return sources
