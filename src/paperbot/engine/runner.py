"""One run of the machine. Replay, demo, drill and live sessions are loops around a Runner."""

from collections.abc import Iterator, Sequence

import numpy as np

from paperbot.core import types as t
from paperbot.engine.gather import Gather
from paperbot.engine.interleave import Interleaver
from paperbot.engine.machine import Machine
from paperbot.engine.outputs import Digest
from paperbot.engine.params import Plan
from paperbot.engine.userland import PythonDesk
from paperbot.errors import DataError, PaperbotError, StrategyError
from paperbot.events import Bars, Events, Records, end
from paperbot.ports import Asker, Watcher


class Runner:
    """Runs a machine with its digest, askers, watchers and collectors.

    `chunk`: events per call of the core, 0 for whole batches. Watchers receive the events of each call before it and
    its records after it. Collectors receive the same in larger blocks: the bars as passed to `run`, and the records by
    the thousand, the rest at the end. They suit code that only adds up, because a run with a Python strategy makes a
    call for every slice. `with_digest`: False saves a fifth of the run time, for a sweep that shows no digest.
    """

    def __init__(
        self,
        plan: Plan,
        watchers: Sequence[Watcher],
        chunk: int = 0,
        collectors: Sequence[Watcher] = (),
        *,
        with_digest: bool = True,
    ) -> None:
        self.plan = plan
        self.machine = Machine(plan.params)
        self.digest = Digest(plan)
        self._with_digest = with_digest
        self._watchers = tuple(watchers)
        self._collectors = tuple(collectors)
        self._gathered = Gather(self._collect)
        self._chunk = chunk
        self._askers: tuple[Asker, ...] = ()
        self._interleaver: Interleaver | None = None
        self._is_begun = False

    def watch(self, watchers: Sequence[Watcher]) -> None:
        """Replace the watchers, from the next call of the core on."""
        self._watchers = tuple(watchers)

    def go_on_with(self, plan: Plan) -> None:
        """Use another plan from the next event on; its names, sizes and features must be the same."""
        self.plan = plan
        self.machine.replace_params(plan.params)

    def ask(self, askers: Sequence[Asker]) -> None:
        """Set the askers that answer finished slices after the plan's Python strategies; before the first event."""
        assert not self._is_begun
        self._askers = tuple(askers)

    def _begin(self) -> None:
        """Create the plan's Python strategies, once; a run that only calls `feed` does not need them."""
        self._is_begun = True
        own = [PythonDesk(self.plan.python_strategies, self.plan, self.machine)] if self.plan.python_strategies else []
        askers = [*own, *self._askers]
        self._interleaver = Interleaver(askers) if askers else None

    def run(self, events: Bars) -> None:
        """Feed bars, and between slices the askers' answers. Raises StrategyError or DataError."""
        if not self._is_begun:
            self._begin()
        for collector in self._collectors:
            collector.events(events)
        if self._interleaver is None:
            self.feed(events)
        else:
            self._interleaver.run(events, self.feed)

    def feed(self, events: Events, start: int = 0, stop: int | None = None) -> None:
        """Feed events from index `start` up to `stop`, without asking for answers.

        Raises StrategyError or DataError if one of them fails the run.
        """
        stop = len(events) if stop is None else stop
        size = self._chunk or max(stop - start, 1)
        for at in range(start, stop, size):
            until = min(at + size, stop)
            if self._watchers:
                part = Events(events[at:until])
                for watcher in self._watchers:
                    watcher.events(part)
            for records in self.machine.advance(events, at, until):
                if self._with_digest:
                    self.digest.add(records)
                self._show(records)
            if self.machine.failed:
                raise fault_error(self.plan, self.machine)

    def finish(self) -> str:
        """Write the closing ledger row, flush the collectors, and return the digest ("" without one)."""
        result = self.digest.final(self.machine.state) if self._with_digest else ""
        for records in closing_records(self.machine):
            self._show(records)
        self._gathered.flush()
        return result

    def _show(self, records: Records) -> None:
        for watcher in self._watchers:
            watcher.records(records)
        if self._collectors:
            self._gathered.add(records)

    def _collect(self, records: Records) -> None:
        for collector in self._collectors:
            collector.records(records)


def closing_records(machine: Machine) -> Iterator[Records]:
    """Write the closing ledger row, which is not part of the digest. It must be the machine's last event."""
    return machine.advance(end())


def fault_error(plan: Plan, machine: Machine) -> PaperbotError:
    """Make the error, with one sentence, for the fault that stopped the core."""
    market = machine.market
    fault = t.Fault(int(market["fault"]))
    symbol = plan.symbols[int(market["fault_symbol"])] if market["fault_symbol"] >= 0 else "the account"
    at = np.datetime_as_string(np.datetime64(int(market["slice_ts"]), "ns"), unit="s") + "Z"
    if fault in {t.Fault.STRATEGY_RAISED, t.Fault.STRATEGY_NOT_FINITE}:
        name = plan.strategies[int(market["fault_strategy"])]
        what = "raised an error" if fault == t.Fault.STRATEGY_RAISED else "answered with a number that is not finite"
        return StrategyError(f"strategy {name} {what} on {symbol} at {at}")
    reasons = {
        t.Fault.OVERFLOW: "an amount exceeds 2^62 minor units, the limit of exact arithmetic; lower account.decimals",
        t.Fault.TIME_WENT_BACK: "an event is older than one that was already processed",
    }
    return DataError(f"{symbol} at {at}: {reasons.get(fault, 'an event is invalid')}")
