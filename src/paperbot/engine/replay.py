"""Replay: a run over recorded or synthetic bars, with the same machine as live, as fast as possible."""

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
    """The time window of a replay: bars that open at or after `start_ns` and before `end_ns` count.

    The last `warmup_bars` of each symbol before `start_ns` are warm-up.
    """

    start_ns: int | None = None
    end_ns: int | None = None
    warmup_bars: int = 0

    def apply(self, batches: Iterator[Bars]) -> Iterator[Bars]:
        """Cut the batches of one symbol to the window, and flag warm-up bars."""
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

    `chunk`: events per call of the core, 0 for whole batches; it only affects speed. `askers`: makes the askers that
    answer finished slices in addition to the plan's Python strategies. `collectors`: see `Runner`. Raises StrategyError
    or DataError if the run fails.
    """
    runner = Runner(plan, watchers, chunk, collectors)
    runner.ask(askers(runner.machine))
    for events in merge(sources, plan.timeframes_ns):
        runner.run(events)
    return runner.machine, runner.finish()
