"""Read-only views of a run: the state of the account, and what the gate would decide."""

from dataclasses import dataclass

from paperbot.clock import format_ts
from paperbot.core import types as t
from paperbot.engine.machine import Machine
from paperbot.engine.params import Plan
from paperbot.events import Orders, Signals, signals
from paperbot.figures import drawdown
from paperbot.names import Names


@dataclass(frozen=True)
class MarketView:
    """One symbol after a slice, in whole units. `features`: by name, without those still warming up."""

    symbol: str
    close: float
    close_ts: int
    features: dict[str, float]


@dataclass(frozen=True)
class AccountView:
    """The account after a slice, in whole units. `equity` is None while any holding has no price."""

    ts: int
    currency: str
    equity: float | None
    drawdown: float | None
    halted: str
    markets: dict[str, MarketView]
    held: dict[tuple[str, str], float]
    targets: dict[tuple[str, str], int]

    def as_fields(self) -> dict[str, object]:
        """The view as a tree for people and language models, with times as text and without empty positions."""
        return {
            "ts": format_ts(self.ts),
            "currency": self.currency,
            "equity": self.equity,
            "drawdown": self.drawdown,
            "halted": self.halted,
            "markets": [
                {"symbol": view.symbol, "close": view.close, "close_ts": format_ts(view.close_ts), **view.features}
                for view in self.markets.values()
            ],
            "positions": [
                {"strategy": strategy, "symbol": symbol, "qty": quantity}
                for (strategy, symbol), quantity in self.held.items()
                if quantity
            ],
        }


def view_of(plan: Plan, names: Names, machine: Machine) -> AccountView:
    """Make the view of the account after the last slice."""
    state, account = machine.state, machine.account
    valued = account["valued"] != 0
    peak = int(account["peak"])
    markets = {}
    n_features = int(plan.params.risk[0]["n_features"])
    for index, symbol in enumerate(plan.symbols):
        row = state.symbols[index]
        if row["last_close"]:
            first = index * n_features
            features = {
                name: round(float(state.features[first + slot]["value"]), 6)
                for slot, name in enumerate(_feature_names(plan))
                if state.features[first + slot]["count"] >= plan.params.features[slot]["needs"]
            }
            close = names.price(int(row["last_close"]), index)
            markets[symbol] = MarketView(symbol, close, int(row["last_close_ts"]), features)
    held, targets = {}, {}
    for index, position in enumerate(state.positions):
        strategy, number = divmod(index, len(plan.symbols))
        key = (plan.strategies[strategy], plan.symbols[number])
        held[key] = names.quantity(int(position["quantity"]), number)
        targets[key] = int(position["target"])
    return AccountView(
        ts=int(machine.market["clock_ts"]),
        currency=plan.currency,
        equity=int(account["equity"]) / names.account_unit() if valued else None,
        drawdown=drawdown(int(account["equity"]), peak) if valued and peak > 0 else None,
        halted=t.HaltReason(int(account["halted"])).name.lower(),
        markets=markets,
        held=held,
        targets=targets,
    )


def _feature_names(plan: Plan) -> list[str]:
    rows = plan.params.features[["kind", "window"]].tolist()
    return [f"{t.FeatureKind(kind).name.lower()}({window})" for kind, window in rows]


class Preview:
    """Asks the gate what it would decide, on a copy of the state, so that the run itself does not change."""

    def __init__(self, plan: Plan) -> None:
        self._machine = Machine(plan.params, spare_rows=0)

    def blocks(self, machine: Machine, event: Signals | Orders) -> list[str]:
        """The codes with which the gate would block the event's orders; empty if it would accept them."""
        self._machine.state.memory[:] = machine.state.memory
        records = list(self._machine.advance(event))
        assert not self._machine.failed
        blocked = [part["code"][part["kind"] == t.OutputKind.BLOCKED] for part in records]
        return [t.Code(int(code)).name.lower() for codes in blocked for code in codes]


def signal_event(
    plan: Plan, ts: int, strategy: str, symbol: str, target: int, strength: float, max_quantity: int
) -> Signals:
    """Make a SIGNAL event from names. `max_quantity`: in the base's minor unit; 0: only the sizing rule applies."""
    ids = plan.symbols.index(symbol), plan.strategies.index(strategy)
    return signals([(ts, *ids, target, round(strength * 1e9), max_quantity)])
