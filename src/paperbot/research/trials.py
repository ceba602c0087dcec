"""Runs one parameter set over one window of bars, which all sets share, in the same engine as a replay."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from paperbot.config import ConfigFiles, Configuration
from paperbot.core import types as t
from paperbot.engine.merge import merge
from paperbot.engine.names import fixed_rates, names_of
from paperbot.engine.params import Plan, make_plan
from paperbot.engine.replay import Window
from paperbot.engine.runner import Runner
from paperbot.errors import CommandError, ConfigError, PaperbotError
from paperbot.events import Bars, Events, Records, as_bars, joined, no_bars
from paperbot.figures import MIN_RETURNS
from paperbot.research.space import Axis, Value, as_tree
from paperbot.store.statistics import Statistics
from paperbot.store.summary import summarize

Tree = dict[str, Any]
Part = Literal["all", "train", "test"]

FIGURES = (
    *("return_pct", "equity", "max_drawdown_pct", "sharpe", "sortino", "calmar", "cagr_pct"),
    *("profit_factor", "win_rate_pct", "exposure_pct"),
    *("round_trips", "fills", "orders", "blocked", "fees", "realized_pnl", "net_pnl", "halted"),
)
"""The figures in a trial's row, named as in the summary of a replay; here `blocked` is one number."""

ERROR = "error"
LEFT_OUT = "left_out"
"""The reason for missing figures: the set failed midway (`error`), or its settings are invalid (`left_out`)."""

LEDGER_EVERY = {"ledger": {"every": "1d"}}
"""Without digests a sweep uses one ledger row per day, because no figure depends on their number."""


FEWEST_DAYS = {"sharpe": MIN_RETURNS, "sortino": MIN_RETURNS, "cagr_pct": 2, "calmar": 2}
"""The fewest UTC days with bars for which a figure is defined."""


@dataclass(frozen=True)
class Span:
    """A window of bars: those that open from `start_ns` on and before `end_ns`."""

    start_ns: int | None = None
    end_ns: int | None = None


@dataclass(frozen=True)
class Task:
    """One set over one window. `fold` is -1 without folds."""

    fold: int
    part: Part
    number: int
    values: tuple[Value, ...]
    span: Span

    @property
    def key(self) -> str:
        """The task's key in the log."""
        return f"{self.fold} {self.part} {self.number}"


@dataclass
class AllBars:
    """All bars of a sweep: one array per symbol, and one merged array in the engine's order.

    A window that begins and ends between two slices is a view of the merged array, so all trials share the memory.
    """

    by_symbol: tuple[Bars, ...]
    timeframes_ns: tuple[int, ...]
    merged: Bars = field(init=False)

    def __post_init__(self) -> None:
        """Merge all bars. The bars of a single symbol are already in order, and are only flagged."""
        if len(self.by_symbol) == 1:
            self.merged = self.by_symbol[0]
            self.merged["flags"] |= t.BarFlag.END_OF_SLICE
        else:
            self.merged = self._merge(Window())

    def window(self, span: Span, warmup_bars: int) -> list[Bars]:
        """The events of a window: the warm-up bars, if any, and the others, in one or two arrays."""
        first, last = self._cut(span.start_ns, 0), self._cut(span.end_ns, len(self.merged))
        if first is None or last is None:  # A longer bar from before the window closes inside it.
            return [self._merge(Window(span.start_ns, span.end_ns, warmup_bars))]
        counting = as_bars(self.merged[first:last])
        if span.start_ns is None or warmup_bars == 0:
            return [counting]
        before = []
        for events in self.by_symbol:
            begin = int(np.searchsorted(events["open_ts"], span.start_ns))
            stop = len(events) if span.end_ns is None else int(np.searchsorted(events["open_ts"], span.end_ns))
            before.append(as_bars(events[max(begin - warmup_bars, 0) : begin]) if begin < stop else no_bars())
        warming = joined(list(merge([iter([bars]) for bars in before], self.timeframes_ns)))
        warming["flags"] |= t.BarFlag.WARMUP
        return [warming, counting]

    def straddled(self, ts: int) -> int | None:
        """The opening time of the first bar that opens before a time and closes after it."""
        opens = []
        for events in self.by_symbol:
            first = int(np.searchsorted(events["close_ts"], ts, side="right"))
            if first < len(events) and events["open_ts"][first] < ts:
                opens.append(int(events["open_ts"][first]))
        return min(opens, default=None)

    def _cut(self, ts: int | None, otherwise: int) -> int | None:
        """The merged array's first position with bars that open at `ts` or later; None if earlier bars follow."""
        if ts is None:
            return otherwise
        places = [int(np.searchsorted(events["open_ts"], ts)) for events in self.by_symbol]
        pairs = list(zip(self.by_symbol, places, strict=True))
        before = max((int(events["close_ts"][at - 1]) for events, at in pairs if at > 0), default=-1)
        after = min((int(events["close_ts"][at]) for events, at in pairs if at < len(events)), default=None)
        return sum(places) if after is None or before < after else None

    def _merge(self, window: Window) -> Bars:
        batches = [window.apply(iter([events])) for events in self.by_symbol]
        parts = list(merge(batches, self.timeframes_ns))
        return parts[0] if len(parts) == 1 else joined(parts)


@dataclass(frozen=True)
class Trials:
    """What all trials of a sweep share, except for the bars. It can be sent to another process.

    `grids`: by symbol, the price decimals with which its bars were read, and the tick with which synthetic bars were
    made.
    """

    files: ConfigFiles
    overrides: tuple[Tree, ...]
    configuration: Configuration
    timeframes_ns: dict[str, int]
    grids: dict[str, tuple[int, int | None]]
    strategies: tuple[str, ...] | None
    axes: tuple[Axis, ...]
    digests: bool = False

    def plan(self, values: Sequence[Value]) -> Plan:
        """The plan of a set. Raises ConfigError, CommandError or StrategyError for an invalid set."""
        tree = as_tree(self.configuration, self.axes, values)
        configuration = self.files.configure([*self.overrides, tree, {} if self.digests else LEDGER_EVERY])
        plan = make_plan(configuration, self.timeframes_ns, self.strategies)
        ticks = plan.params.symbols["tick"].tolist()
        for symbol, decimals, tick in zip(plan.symbols, plan.price_decimals, ticks, strict=True):
            if decimals != self.grids[symbol][0]:
                raise CommandError("execution.price_decimals cannot be varied: the bars were read with it")
            if self.grids[symbol][1] not in {None, tick}:
                raise CommandError("execution.tick_size cannot be varied: the synthetic bars were made with it")
        return plan

    def run(self, values: Sequence[Value], span: Span, bars: AllBars) -> Tree:
        """The figures of a set over a window, or the reason why there are none: `left_out` for settings that contradict
        each other (such as a fast mean slower than the slow one), `error` for a set that failed midway.
        """
        try:
            return self._run(self.plan(values), span, bars)
        except ConfigError as error:
            return {LEFT_OUT: str(error)}
        except PaperbotError as error:
            return {**dict.fromkeys(FIGURES), ERROR: f"{self.named(values)}: {error}"}

    def named(self, values: Sequence[Value]) -> str:
        """A set as KEY=VALUE text."""
        return ", ".join(f"{axis.key}={value}" for axis, value in zip(self.axes, values, strict=True))

    def _run(self, plan: Plan, span: Span, bars: AllBars) -> Tree:
        collector = _Collector(Statistics(names_of(plan)))
        runner = Runner(plan, (), collectors=[collector], with_digest=self.digests)
        for part in bars.window(span, plan.warmup_bars):
            runner.run(part)
        digest = runner.finish()
        summary = summarize(collector.statistics, runner.machine.account, {}, fixed_rates(plan))
        summary["blocked"] = sum(summary["blocked"].values())
        return {**{name: summary[name] for name in FIGURES}, **({"digest": digest} if self.digests else {})}


@dataclass(frozen=True)
class _Collector:
    """A watcher that collects a run's statistics."""

    statistics: Statistics

    def events(self, events: Events) -> None:
        """Ignored."""

    def records(self, records: Records) -> None:
        """Count output records."""
        self.statistics.add(records)


def without_effect(axes: Sequence[Axis], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each varied key that changed no figure."""
    traded = [row for row in rows if row["part"] != "test" and row[ERROR] is None and row["fills"]]
    for axis in axes:
        others = [other.key for other in axes if other is not axis]
        figures: dict[tuple[Any, ...], set[tuple[Any, ...]]] = {}
        compared = 0
        for row in traded:
            alike = (row["fold"], *(row[key] for key in others))
            compared += alike in figures
            figures.setdefault(alike, set()).add(tuple(row[name] for name in FIGURES))
        if compared and all(len(different) == 1 for different in figures.values()):
            yield f"{axis.key} has no effect here: sets that differ only in it have equal figures"


def without_value(objective: str, spans: Sequence[Span], bars: AllBars) -> Iterator[str]:
    """Yield a sentence if the objective is undefined in a window, because its bars cover too few days."""
    fewest = FEWEST_DAYS.get(objective, 0)
    for span in spans:
        ts = bars.merged["close_ts"]
        ts = ts[np.searchsorted(ts, span.start_ns or 0, side="right") :]
        ts = ts if span.end_ns is None else ts[: np.searchsorted(ts, span.end_ns, side="right")]
        days = len(np.unique((ts - 1) // t.DAY_NS))
        if days < fewest:
            yield f"no set will have a value of {objective}: it needs bars of {fewest} days, but a window has {days}"
            return
