"""One run of the machine, whoever hands it its events: replay, demo and drill are loops around this."""

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
    """A machine, its digest, who answers its slices and who watches.

    `chunk`: events per call of the core, 0 for as many as come. Watchers are shown each call before it is made, and its
    records after it. Collectors are shown the same in blocks: the bars as they are handed to `run`, the records by the
    thousand and the rest at the end. A run with a Python strategy makes a call for every slice, so whoever only adds
    up is a collector. The digest costs a fifth of a run: a sweep that shows none goes `with_digest` False.
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
        """Who watches from the next call on."""
        self._watchers = tuple(watchers)

    def go_on_with(self, plan: Plan) -> None:
        """Other parameters from the next event on; names, sizes and features must be the same."""
        self.plan = plan
        self.machine.replace_params(plan.params)

    def ask(self, askers: Sequence[Asker]) -> None:
        """Who answers finished slices, after the plan's own Python strategies. Before the first event."""
        assert not self._is_begun
        self._askers = tuple(askers)

    def _begin(self) -> None:
        """Make the user's strategy objects, once, and only for a run that asks them itself."""
        self._is_begun = True
        own = [PythonDesk(self.plan.python_strategies, self.plan, self.machine)] if self.plan.python_strategies else []
        everyone = [*own, *self._askers]
        self._interleaver = Interleaver(everyone) if everyone else None

    def run(self, events: Bars) -> None:
        """Feed bars, and between slices what is answered to them. Raises StrategyError or DataError."""
        if not self._is_begun:
            self._begin()
        for collector in self._collectors:
            collector.events(events)
        if self._interleaver is None:
            self.feed(events)
        else:
            self._interleaver.run(events, self.feed)

    def feed(self, events: Events, start: int = 0, stop: int | None = None) -> None:
        """Feed events as they are, from one index up to another. Raises StrategyError or DataError when one of them
        stops the run.
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
        """Write the closing ledger row, show the collectors the rest, and return the digest ("" without one)."""
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
    """The closing ledger row, which is outside of the digest. Nothing else may be fed to the machine after it."""
    return machine.advance(end())


def fault_error(plan: Plan, machine: Machine) -> PaperbotError:
    """Why the core stopped, in one sentence."""
    market = machine.market
    fault = t.Fault(int(market["fault"]))
    symbol = plan.symbols[int(market["fault_symbol"])] if market["fault_symbol"] >= 0 else "the account"
    at = np.datetime_as_string(np.datetime64(int(market["slice_ts"]), "ns"), unit="s") + "Z"
    if fault in {t.Fault.STRATEGY_RAISED, t.Fault.STRATEGY_NOT_FINITE}:
        name = plan.strategies[int(market["fault_strategy"])]
        what = "raised an error" if fault == t.Fault.STRATEGY_RAISED else "answered with a number that is not finite"
        return StrategyError(f"strategy {name} {what} on {symbol} at {at}")
    reasons = {
        t.Fault.OVERFLOW: "an amount left the range that is kept exactly (2^62 minor units); lower account.decimals",
        t.Fault.TIME_WENT_BACK: "a bar closes before one that was processed already",
    }
    return DataError(f"{symbol} at {at}: {reasons.get(fault, 'an event that is not understood')}")
