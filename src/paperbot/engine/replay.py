"""A run over recorded or made-up bars: the same machine as live, fed as fast as it takes them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.engine.machine import Machine
from paperbot.engine.merge import merge
from paperbot.engine.outputs import Digest
from paperbot.engine.params import Plan
from paperbot.engine.userland import PythonDesk
from paperbot.errors import DataError, PaperbotError, StrategyError

Records = NDArray[np.void]
Consumer = Callable[[Records], None]


@dataclass(frozen=True)
class Window:
    """Which bars count: those that open from `start_ns` on and before `end_ns`; the last `warmup_bars` of each symbol
    before `start_ns` only warm the features up.
    """

    start_ns: int | None = None
    end_ns: int | None = None
    warmup_bars: int = 0

    def apply(self, batches: Iterator[Records]) -> Iterator[Records]:
        """Cut and flag the batches of one symbol."""
        before = np.zeros(0, dtype=t.BAR_EVENT)
        for batch in batches:
            events = batch
            if self.end_ns is not None:
                events = events[events["open_ts"] < self.end_ns]
            if self.start_ns is not None:
                is_early = events["open_ts"] < self.start_ns
                before = np.concatenate((before, events[is_early]))
                before = before[max(len(before) - self.warmup_bars, 0) :]
                events = events[~is_early]
                if len(events) and len(before):
                    before["flags"] |= t.BarFlag.WARMUP
                    yield before
                    before = before[:0]
            if len(events):
                yield events
            if len(events) < len(batch) and self.end_ns is not None and batch["open_ts"][-1] >= self.end_ns:
                return


def run_replay(
    plan: Plan,
    sources: Sequence[Iterator[Records]],
    consume: Consumer,
    chunk: int = 0,
    progress: Callable[[Records], None] = lambda _: None,
) -> tuple[Machine, str]:
    """Run the sources (by symbol id) to their end; returns the machine and the digest.

    `chunk`: events per call of the core, 0 for as many as come; it changes nothing but the speed. `progress` sees the
    events of each call. Raises StrategyError or DataError when the run fails.
    """
    machine = Machine(plan.params)
    digest = Digest(plan)
    desk = PythonDesk(plan.python_strategies, plan, machine) if plan.python_strategies else None

    def feed(events: Records) -> None:
        for records in machine.advance(events):
            digest.add(records)
            consume(records)
        if machine.failed:
            raise fault_error(plan, machine)

    for events in merge(sources, plan.timeframes_ns):
        size = chunk or len(events)
        for at in range(0, len(events), size):
            part = events[at : at + size]
            if desk is None:
                feed(part)
            else:
                desk.run(part, feed)
            progress(part)
    if desk is not None:
        desk.finish(feed)
    result = digest.final(machine.state)
    end = np.zeros(1, dtype=t.CONTROL_EVENT)
    end["kind"] = t.EventKind.END
    for records in machine.advance(end.view(t.BAR_EVENT)):
        consume(records)
    return machine, result


def fault_error(plan: Plan, machine: Machine) -> PaperbotError:
    """Why the core stopped, in one sentence."""
    account = machine.account
    fault = t.Fault(int(account["fault"]))
    symbol = plan.symbols[int(account["fault_symbol"])] if account["fault_symbol"] >= 0 else "the account"
    at = np.datetime_as_string(np.datetime64(int(account["slice_ts"]), "ns"), unit="s") + "Z"
    if fault in {t.Fault.STRATEGY_RAISED, t.Fault.STRATEGY_NOT_FINITE}:
        name = plan.strategies[int(account["fault_strategy"])]
        what = "raised an error" if fault == t.Fault.STRATEGY_RAISED else "answered with a number that is not finite"
        return StrategyError(f"strategy {name} {what} on {symbol} at {at}")
    reasons = {
        t.Fault.OVERFLOW: "an amount left the range that is kept exactly (2^62 minor units); lower account.decimals",
        t.Fault.TIME_WENT_BACK: "a bar closes before one that was processed already",
    }
    return DataError(f"{symbol} at {at}: {reasons.get(fault, 'an event that is not understood')}")
