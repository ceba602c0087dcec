"""The jobs in Paperbot: the shipped engine with its ledger, gate and exact money, driven by settings alone.

An order is sized at the signal's close, the jobs size at the filled price: on these bars the next open is that close,
so `FRACTION` is divided by the slipped price's 1 + SLIPPAGE. Quantities and prices are whole steps of 1e-8.
"""

import time
from pathlib import Path

from harness import (
    ATR_STOPS,
    FAST,
    FEE,
    FRACTION,
    MINUTE_MS,
    RISK,
    SLIPPAGE,
    SLOW,
    START_CASH,
    Bars,
    Job,
    Outcome,
    main,
)

_start = time.perf_counter()
import numpy as np

from paperbot import __version__
from paperbot.config import load, parse_assignment
from paperbot.core import types as t
from paperbot.engine.params import make_plan
from paperbot.engine.runner import Runner

IMPORT_S = time.perf_counter() - _start
ROOT = Path(__file__).resolve().parents[2]
MINUTE_NS = MINUTE_MS * 1_000_000
DECIMALS = 8
COMMON = (
    f"account.balances={{USDT: {START_CASH}}}",
    *("account.currency=USDT", "ledger.every=1d", "features.patterns=[]"),
    *("risk.attach_stop=false", "risk.daily_loss_cap=0", "risk.max_drawdown=0"),
    *(f"execution.fees.taker_bps={FEE * 1e4:g}", f"execution.slippage_bps={SLIPPAGE * 1e4:g}"),
    *("execution.liquidity_fraction=1", "execution.min_notional=0"),
    *("execution.tick_size=0.00000001", "execution.step_size=0.00000001", f"execution.price_decimals={DECIMALS}"),
)
SMA = (
    f"strategies=[{{name: sma_cross, kind: sma_cross, fast: {FAST}, slow: {SLOW}}}]",
    *("risk.sizing=fixed_fraction", f"risk.fixed_fraction={FRACTION / (1 + SLIPPAGE):.12f}"),
    "risk.max_position_value_per_symbol=0",
)
RSI = (
    f"strategies=[{{name: rsi, path: {Path(__file__).with_name('rsi_rule.py')}}}]",
    *("risk.sizing=atr", f"risk.risk_frac={RISK:.8f}", f"risk.atr_stop_mult={ATR_STOPS:g}"),
    f"risk.max_position_value_per_symbol={FRACTION}",
)


def events_of(bars: Bars) -> np.ndarray:
    """The bars as the engine's events (64 bytes each), whole price units inside."""
    events = np.zeros(len(bars), dtype=t.BAR_EVENT)
    for name in ("open", "high", "low", "close"):
        events[name] = np.rint(getattr(bars, name) * 10.0**DECIMALS)
    events["volume"] = bars.volume
    events["open_ts"] = bars.open_ms * 1_000_000
    events["close_ts"] = events["open_ts"] + MINUTE_NS
    events["kind"], events["flags"] = t.EventKind.BAR, t.BarFlag.END_OF_SLICE
    return events


class Keeper:
    """Keeps a run's output records."""

    def __init__(self, kept: list[np.ndarray]) -> None:
        self.kept = kept

    def events(self, events: np.ndarray) -> None:
        """What the engine is about to be fed."""

    def records(self, records: np.ndarray) -> None:
        self.kept.append(records)


class PaperbotJob(Job):
    """A plan over the events."""

    settings: tuple[str, ...]

    def __init__(self, bars: Bars) -> None:
        super().__init__(bars)
        self.events = events_of(bars)
        overrides = [parse_assignment(text) for text in (*COMMON, *self.settings)]
        self.plan = make_plan(load(ROOT / "config/config.yaml", overrides), {"BTC/USDT": MINUTE_NS})

    def reset(self) -> None:
        self.kept: list[np.ndarray] = []
        self.runner = Runner(self.plan, [Keeper(self.kept)])

    def run(self) -> None:
        """All that `paperbot replay` does between its files, the digest of every decision included."""
        self.runner.feed(self.events)
        self.runner.finish()

    def outcome(self) -> Outcome:
        records = np.concatenate(self.kept)
        sides = records[records["kind"] == t.OutputKind.FILL].view(t.OUT_FILL)["side"]
        equity = records[records["kind"] == t.OutputKind.LEDGER].view(t.OUT_LEDGER)["equity"][-1]
        return Outcome(int((sides == t.Side.BUY).sum()), int((sides == t.Side.SELL).sum()), equity / 1e8)


class Sma(PaperbotJob):
    settings = SMA


class Rsi(PaperbotJob):
    settings = RSI


if __name__ == "__main__":
    main("Paperbot", __version__, IMPORT_S, {"sma": Sma, "rsi": Rsi})
