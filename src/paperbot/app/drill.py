"""The kill-switch drill: causes a loss in the real engine, and shows that the halt blocks orders.

The drill runs a calm synthetic market, buys as much as the gate allows, then lets the price fall until the kill switch
trips. It then sends orders, which must be blocked. The state is saved, so that another process can check that it is
still halted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paperbot import events
from paperbot.config import load
from paperbot.core import types as t
from paperbot.engine.merge import merge
from paperbot.engine.preview import signal_event
from paperbot.engine.runner import Runner
from paperbot.engine.snapshot import decode, encode, restore
from paperbot.environment import Environment
from paperbot.errors import CommandError, StateError
from paperbot.events import Bars, Orders, blank_bars, market_order
from paperbot.live.observers import Observers
from paperbot.research.job import Job, ReplayRequest, prepare
from paperbot.signals import holding, terminable
from paperbot.store.durable import write_whole

STRATEGY = "drill"
CALM_BARS = 30
FALL_PER_BAR = 0.05
LONGEST_FALL = 60
ORDERS_AFTER = 2
VOLUME = 1e9
STATE = "killswitch.state"

Tree = dict[str, Any]


@dataclass(frozen=True)
class DrillRequest:
    """The options of the drill. `out`: the folder of the saved state."""

    environment: Environment
    config: Path | None = None
    out: Path = Path("data/drill")
    overrides: Sequence[Tree] = ()


@dataclass(frozen=True)
class DrillResult:
    """The state at the end of the drill."""

    halted: str
    trips: int
    blocked: int
    state: Path


def _job(request: DrillRequest, say: Callable[[str], None]) -> Job:
    """A replay of one configured symbol with an external strategy that buys up to the limit, without a stop."""
    settings = load(request.config, request.overrides).settings
    if settings.risk.daily_loss_cap == 0 and settings.risk.max_drawdown == 0:
        raise CommandError("risk.daily_loss_cap and risk.max_drawdown are both 0: the kill switch is off")
    scenario: Tree = {
        "strategies": [{"name": STRATEGY, "kind": "external"}],
        "llm": {"provider": "off"},
        "risk": {"sizing": "fixed_fraction", "fixed_fraction": "0.9", "attach_stop": False, "take_profit_atr_mult": 0},
    }
    source = f"{settings.symbols[0]}=synthetic:1:{CALM_BARS}"
    return prepare(ReplayRequest([source], request.config, overrides=[*request.overrides, scenario]), say)


def _order(runner: Runner, quantity: int) -> Orders:
    """A market buy of that quantity (base, minor units), as a user would send it."""
    return market_order(int(runner.machine.market["clock_ts"]), 0, 0, t.Side.BUY, quantity)


def _bar(runner: Runner, share: float) -> Bars:
    """The next bar, with ample volume: it opens at the last close and closes at a share of it."""
    symbol = runner.machine.state.symbols[0]
    params = runner.plan.params.symbols[0]
    opening, tick = int(symbol["last_close"]), int(params["tick"])
    closing = max(int(opening * share) // tick * tick, tick)
    bars = blank_bars(0, 1)
    row = bars[0]
    row["flags"], row["volume"] = t.BarFlag.END_OF_SLICE, VOLUME
    row["open_ts"] = symbol["last_close_ts"]
    row["close_ts"] = symbol["last_close_ts"] + params["timeframe_ns"]
    row["open"], row["high"], row["low"], row["close"] = opening, max(opening, closing), min(opening, closing), closing
    return bars


def _is_halted(runner: Runner) -> bool:
    return bool(runner.machine.account["halted"])


def _result(runner: Runner, observers: Observers, state: Path) -> DrillResult:
    account = runner.machine.account
    blocked = observers.metrics.value("orders_blocked_total", "killswitch") or 0.0
    return DrillResult(t.HaltReason(int(account["halted"])).name.lower(), int(account["trips"]), int(blocked), state)


def trip(request: DrillRequest, say: Callable[[str], None], present: Callable[[DrillResult], None]) -> None:
    """Run the drill, save the state, and hold `/metrics`.

    Raises CommandError when the account cannot lose enough to reach the configured caps.
    """
    job = _job(request, say)
    with terminable(), Observers(request.environment, job.configuration, job.plan) as observers:
        runner = Runner(job.plan, [observers.telemetry(candles=0)], chunk=1)
        observers.machine = runner.machine
        for batch in merge(job.batches, job.plan.timeframes_ns):
            runner.run(batch)
        ts = int(runner.machine.market["clock_ts"])
        runner.feed(signal_event(job.plan, ts, STRATEGY, job.plan.symbols[0], t.Target.LONG, 1.0, 0))
        runner.feed(_bar(runner, 1.0))
        bought = int(runner.machine.state.positions[0]["quantity"])
        for _ in range(LONGEST_FALL):
            if _is_halted(runner):
                break
            runner.feed(_bar(runner, 1.0 - FALL_PER_BAR))
        if not _is_halted(runner) or bought == 0:
            raise CommandError(
                "the kill switch did not trip: the largest allowed position cannot lose enough to reach"
                " risk.daily_loss_cap or risk.max_drawdown"
            )
        for _ in range(ORDERS_AFTER):
            runner.feed(_order(runner, bought))
        state = request.out / STATE
        write_whole(state, encode(runner, {}))
        with holding(request.environment.hold_metrics_seconds):
            present(_result(runner, observers, state))


def reload(
    request: DrillRequest, say: Callable[[str], None], present: Callable[[DrillResult], None], *, resume: bool
) -> None:
    """Load the saved state and send an order. `resume`: send a RESUME first, and save the state again.

    Raises StateError when the state is missing or does not match the configuration.
    """
    state = request.out / STATE
    job = _job(request, say)
    if not state.is_file():
        raise StateError(f"{state}: no saved state; create it with paperbot drill killswitch")
    observers = Observers(request.environment, job.configuration, job.plan)
    telemetry = observers.telemetry(candles=0)
    runner = Runner(job.plan, [telemetry], chunk=1)
    restore(decode(state.read_bytes(), str(state)), runner, str(state))
    machine = observers.machine = runner.machine
    telemetry.catch_up(machine.account, machine.state.symbols, machine.state.positions, machine.state.orders)
    with observers:
        ts = runner.machine.market["clock_ts"]
        if resume:
            runner.feed(events.resume(int(ts)))
        runner.feed(_order(runner, int(runner.machine.state.positions[0]["quantity"]) // 20))
        if resume:
            write_whole(state, encode(runner, {}))
        present(_result(runner, observers, state))
