"""One run of the machine, whoever hands it its events: replay, demo and drill are loops around this."""

from collections.abc import Iterator, Sequence

import numpy as np

from paperbot.core import types as t
from paperbot.engine.interleave import Interleaver
from paperbot.engine.machine import Machine
from paperbot.engine.outputs import Digest
from paperbot.engine.params import Plan
from paperbot.engine.userland import PythonDesk
from paperbot.errors import DataError, PaperbotError, StrategyError
from paperbot.ports import Asker, Records, Watcher


class Runner:
    """A machine, its digest, who answers its slices and who watches.

    `chunk`: events per call of the core, 0 for as many as come. Each call is shown to the watchers before it is made,
    and its records after it.
    """

    def __init__(self, plan: Plan, watchers: Sequence[Watcher], chunk: int = 0) -> None:
        self.plan = plan
        self.machine = Machine(plan.params)
        self.digest = Digest(plan)
        self._watchers = tuple(watchers)
        self._chunk = chunk
        self._interleaver: Interleaver | None = None
        self.ask(())

    def watch(self, watchers: Sequence[Watcher]) -> None:
        """Who watches from the next call on."""
        self._watchers = tuple(watchers)

    def go_on_with(self, plan: Plan) -> None:
        """Other parameters from the next event on; names, sizes and features must be the same."""
        self.plan = plan
        self.machine.replace_params(plan.params)

    def ask(self, askers: Sequence[Asker]) -> None:
        """Who answers finished slices, after the plan's own Python strategies. Before the first event."""
        own = [PythonDesk(self.plan.python_strategies, self.plan, self.machine)] if self.plan.python_strategies else []
        everyone = [*own, *askers]
        self._interleaver = Interleaver(everyone) if everyone else None

    def run(self, events: Records) -> None:
        """Feed bars, and between slices what is answered to them. Raises StrategyError or DataError."""
        if self._interleaver is None:
            self.feed(events)
        else:
            self._interleaver.run(events, self.feed)

    def feed(self, events: Records) -> None:
        """Feed events as they are. Raises StrategyError or DataError when one of them stops the run."""
        size = self._chunk or max(len(events), 1)
        for at in range(0, len(events), size):
            part = events[at : at + size]
            for watcher in self._watchers:
                watcher.events(part)
            for records in self.machine.advance(part):
                self.digest.add(records)
                self._show(records)
            if self.machine.failed:
                raise fault_error(self.plan, self.machine)

    @property
    def is_settled(self) -> bool:
        """Whether everything that was said has been fed: only then does the state tell the whole run."""
        return self._interleaver is None or not self._interleaver.is_waiting

    def finish(self) -> str:
        """Feed the last answers, write the closing ledger row, and return the digest."""
        if self._interleaver is not None:
            self._interleaver.finish(self.feed)
        result = self.digest.final(self.machine.state)
        for records in closing_records(self.machine):
            self._show(records)
        return result

    def _show(self, records: Records) -> None:
        for watcher in self._watchers:
            watcher.records(records)


def closing_records(machine: Machine) -> Iterator[Records]:
    """The closing ledger row, which is outside of the digest. Nothing else may be fed to the machine after it."""
    end = np.zeros(1, dtype=t.CONTROL_EVENT)
    end["kind"] = t.EventKind.END
    return machine.advance(end.view(t.BAR_EVENT))


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
