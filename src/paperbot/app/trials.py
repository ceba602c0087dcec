"""One parameter set over one window of bars: the same engine as everywhere, on bars that all sets share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from paperbot.app.recorder import names_of
from paperbot.app.space import Axis, Value, as_tree
from paperbot.config import ConfigFiles, Configuration
from paperbot.core import types as t
from paperbot.engine.machine import Machine
from paperbot.engine.merge import merge
from paperbot.engine.params import Plan, make_plan
from paperbot.engine.replay import Window
from paperbot.engine.runner import Runner, closing_records, fault_error
from paperbot.errors import CommandError, ConfigError
from paperbot.ports import Records
from paperbot.store.report import Statistics, summarize

Tree = dict[str, Any]
Part = Literal["all", "train", "test"]

FIGURES = (
    *("return_pct", "equity", "max_drawdown_pct", "sharpe", "profit_factor", "win_rate_pct", "exposure_pct"),
    *("round_trips", "fills", "orders", "blocked", "fees", "realized_pnl", "net_pnl", "halted"),
)
"""What a row tells of a trial, as the summary of a replay names it; `blocked` is a number here."""

LEDGER_EVERY = {"ledger": {"every": "1d"}}
"""A sweep reads one ledger row a day: rows are for looking at, and change nothing that is traded."""


@dataclass(frozen=True)
class Span:
    """A window of bars: those that open from `start_ns` on and before `end_ns`."""

    start_ns: int | None = None
    end_ns: int | None = None


@dataclass(frozen=True)
class Task:
    """A set over a window: `fold` is -1 without folds."""

    fold: int
    part: Part
    number: int
    values: tuple[Value, ...]
    span: Span

    @property
    def key(self) -> str:
        """Its name in the log."""
        return f"{self.fold} {self.part} {self.number}"


@dataclass
class Bars:
    """All bars of a sweep, one array for each symbol, and the windows that were cut from them.

    A window that needs no warm-up before it is merged once, and every trial reads that one array.
    """

    by_symbol: tuple[Records, ...]
    timeframes_ns: tuple[int, ...]
    _merged: dict[Span, Records] = field(default_factory=dict)

    def prepare(self, spans: Sequence[Span]) -> None:
        """Merge the windows, before threads ask for them."""
        for span in spans:
            self._merged[span] = self._merge(Window(span.start_ns, span.end_ns))

    def window(self, span: Span, warmup_bars: int) -> list[Records]:
        """The events of a window, in one or two arrays: the bars that only warm up, and those that count."""
        if span.start_ns is None or warmup_bars == 0:
            return [self._merged[span]]
        if len(set(self.timeframes_ns)) > 1:  # A long bar may close after a short one that counts.
            return [self._merge(Window(span.start_ns, span.end_ns, warmup_bars))]
        before = []
        for events in self.by_symbol:
            first = int(np.searchsorted(events["open_ts"], span.start_ns))
            stop = len(events) if span.end_ns is None else int(np.searchsorted(events["open_ts"], span.end_ns))
            before.append(events[max(first - warmup_bars, 0) : first] if first < stop else events[:0])
        warming = np.concatenate([before[0][:0], *merge([iter([one]) for one in before], self.timeframes_ns)])
        warming["flags"] |= t.BarFlag.WARMUP
        return [warming, self._merged[span]]

    def _merge(self, window: Window) -> Records:
        batches = [window.apply(iter([events])) for events in self.by_symbol]
        parts = list(merge(batches, self.timeframes_ns))
        return np.concatenate(parts) if parts else self.by_symbol[0][:0]


@dataclass(frozen=True)
class Trials:
    """What all trials of a sweep have in common. It can be sent to another process; bars travel beside it."""

    files: ConfigFiles
    overrides: tuple[Tree, ...]
    configuration: Configuration
    base: Plan
    strategies: tuple[str, ...] | None
    axes: tuple[Axis, ...]
    digests: bool = False

    def plan(self, values: Sequence[Value]) -> Plan:
        """The plan of a set. Raises ConfigError or CommandError for a set that cannot be run."""
        tree = as_tree(self.configuration, self.axes, values)
        configuration = self.files.configure([*self.overrides, tree, LEDGER_EVERY])
        timeframes_ns = dict(zip(self.base.symbols, self.base.timeframes_ns, strict=True))
        plan = make_plan(configuration, timeframes_ns, self.strategies)
        if plan.price_decimals != self.base.price_decimals:
            raise CommandError("execution.price_decimals cannot be varied: it is what the bars were read with")
        return plan

    def run(self, values: Sequence[Value], span: Span, bars: Bars) -> Tree:
        """The figures of a set over a window; for a set that its settings do not allow (as when a grid asks for a fast
        mean slower than the slow one) the reason, as `error`. Raises CommandError, StrategyError or DataError.
        """
        try:
            plan = self.plan(values)
        except ConfigError as error:
            return {"error": str(error)}
        collector = _Collector(Statistics(names_of(plan)))
        events = bars.window(span, plan.warmup_bars)
        # The digest costs more than the engine, so it is left out unless it is wanted; the runner always makes it.
        run = _with_digest if self.digests or plan.python_strategies else _bare
        machine, digest = run(plan, events, collector)
        summary = summarize(collector.statistics, machine.account, self.configuration.market, {})
        summary["blocked"] = sum(summary["blocked"].values())
        return {**{name: summary[name] for name in FIGURES}, **({"digest": digest} if self.digests else {})}


@dataclass(frozen=True)
class _Collector:
    """Watches a run for its statistics."""

    statistics: Statistics

    def events(self, events: Records) -> None:
        """What goes in is none of its business."""

    def records(self, records: Records) -> None:
        """Count what came out."""
        self.statistics.add(records)


def _with_digest(plan: Plan, events: Sequence[Records], collector: _Collector) -> tuple[Machine, str]:
    runner = Runner(plan, [collector])
    for part in events:
        runner.run(part)
    return runner.machine, runner.finish()


def _bare(plan: Plan, events: Sequence[Records], collector: _Collector) -> tuple[Machine, str]:
    machine = Machine(plan.params)
    for part in events:
        for records in machine.advance(part):
            collector.records(records)
        if machine.failed:
            raise fault_error(plan, machine)
    for records in closing_records(machine):
        collector.records(records)
    return machine, ""
