"""A run over recorded or made-up bars: the same machine as live, fed as fast as it takes them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from paperbot.core import types as t
from paperbot.engine.machine import Machine
from paperbot.engine.merge import merge
from paperbot.engine.params import Plan
from paperbot.engine.runner import Runner
from paperbot.events import Bars, as_bars, joined, no_bars
from paperbot.ports import Asker, Watcher


@dataclass(frozen=True)
class Window:
    """Which bars count: those that open from `start_ns` on and before `end_ns`; the last `warmup_bars` of each symbol
    before `start_ns` only warm the features up.
    """

    start_ns: int | None = None
    end_ns: int | None = None
    warmup_bars: int = 0

    def apply(self, batches: Iterator[Bars]) -> Iterator[Bars]:
        """Cut and flag the batches of one symbol."""
        before = no_bars()
        for batch in batches:
            events = batch
            if self.end_ns is not None:
                events = as_bars(events[events["open_ts"] < self.end_ns])
            if self.start_ns is not None:
                is_early = events["open_ts"] < self.start_ns
                before = joined([before, as_bars(events[is_early])])
                before = as_bars(before[max(len(before) - self.warmup_bars, 0) :])
                events = as_bars(events[~is_early])
                if len(events) and len(before):
                    before["flags"] |= t.BarFlag.WARMUP
                    yield before
                    before = no_bars()
            if len(events):
                yield events
            if len(events) < len(batch) and self.end_ns is not None and batch["open_ts"][-1] >= self.end_ns:
                return


def run_replay(
    plan: Plan,
    sources: Sequence[Iterator[Bars]],
    watchers: Sequence[Watcher],
    chunk: int = 0,
    askers: Callable[[Machine], Sequence[Asker]] = lambda _: (),
    collectors: Sequence[Watcher] = (),
) -> tuple[Machine, str]:
    """Run the sources (by symbol id) to their end; returns the machine and the digest.

    `chunk`: events per call of the core, 0 for as many as come; it changes nothing but the speed. `askers`: who,
    besides the plan's Python strategies, answers finished slices. `collectors`: see `Runner`. Raises StrategyError or
    DataError when the run fails.
    """
    runner = Runner(plan, watchers, chunk, collectors)
    runner.ask(askers(runner.machine))
    for events in merge(sources, plan.timeframes_ns):
        runner.run(events)
    return runner.machine, runner.finish()
