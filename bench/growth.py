"""What a bar costs in Paperbot and how that grows, a process for each figure: `python bench/growth.py --out FILE`."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "bench" / "peers")]
ROUNDS = 7
SMA = "strategies=[{name: sma_cross, kind: sma_cross, fast: 20, slow: 50}]"
NO_STRATEGY = (
    "strategies=[{name: nobody, kind: external}]",
    *("account.currency=USDT", "risk.attach_stop=false", "risk.sizing=fixed_quote"),
)
FEATURES = "features.always=[rsi, atr, vwap, zscore, volatility]"
PATTERNS = "features.patterns=[engulfing_bullish, engulfing_bearish, hammer, shooting_star, doji]"
BARE = ("ledger.every=1d", "features.patterns=[]", "risk.daily_loss_cap=0", "risk.max_drawdown=0")
TRADED = ("ledger.every=1d", "risk.daily_loss_cap=0", "risk.max_drawdown=0")
"""The loss rules are off where a halt would end the trading after some thousand bars."""
LADDER = (
    "strategies=[{name: ladder, kind: external}]",
    *(
        "execution.min_notional=0",
        "risk.max_open_orders=0",
        "risk.price_collar=0",
        "risk.entry_timeout_bars=0",
        "risk.max_orders_per_minute=0",
    ),
    *("capacities.open_orders=256", "risk.max_position_value_per_symbol=0"),
)


Figures = tuple[list[float], float]
"""ns a bar of each round, and the peak of the process in MB."""


def plan_and_events(settings, bars: int, symbols: int = 1):
    import core
    import numpy as np

    from paperbot.config import load, parse_assignment
    from paperbot.engine.merge import merge
    from paperbot.engine.params import make_plan

    names = ["BTC/USDT", "ETH/USDT", *(f"C{index}/USDT" for index in range(symbols - 2))][:symbols]
    overrides = [parse_assignment(text) for text in settings]
    plan = make_plan(load(ROOT / "config/config.yaml", overrides), dict.fromkeys(names, core.MINUTE_NS))
    one = core.events_of(core.random_walk(bars))
    parts = []
    for index in range(symbols):
        part = one.copy()
        part["symbol"] = index
        parts.append(iter([part]))
    return plan, np.concatenate(list(merge(parts, plan.timeframes_ns)))


def timed(start, events, rounds: int = ROUNDS) -> Figures:
    """`start()` makes a run and returns what feeds it; the first round warms up and does not count."""
    from harness import peak_mb

    times = []
    for _ in range(rounds + 1):
        feed = start()
        begin = time.perf_counter()
        feed(events)
        times.append((time.perf_counter() - begin) / len(events) * 1e9)
    return times[1:], peak_mb()


def drain(machine):
    def feed(events) -> None:
        for _ in machine.advance(events):
            pass

    return feed


def engine(*settings: str, bars: int = 1_000_000, symbols: int = 1, orders: int = 0) -> Figures:
    """The engine proper, with so many orders resting out of reach."""
    from paperbot.engine.machine import Machine

    plan, events = plan_and_events(settings, bars, symbols)

    def start():
        machine = Machine(plan.params)
        drain(machine)(events[:symbols])
        for number in range(orders):
            drain(machine)(ladder_order(machine, number))
        assert orders == 0 or int(machine.account["open_orders"]) == orders, "the ladder must rest"
        return drain(machine)

    return timed(start, events[symbols:])


def ladder_order(machine, number: int):
    import numpy as np

    from paperbot.core import types as t

    order = np.zeros(1, dtype=t.ORDER_EVENT)
    order["ts"], order["kind"], order["side"] = machine.market["clock_ts"], t.EventKind.ORDER, t.Side.BUY
    order["order_type"], order["time_in_force"] = t.OrderType.LIMIT, t.TimeInForce.GTC
    order["quantity"], order["limit_price"] = 10**7, (5_000 - number) * 10**6
    return order.view(t.BAR_EVENT)


def run(*settings: str, bars: int = 1_000_000) -> Figures:
    """A whole run between its files: the engine and the digest of every decision."""
    from paperbot.engine.runner import Runner

    plan, events = plan_and_events(settings, bars)
    return timed(lambda: Runner(plan, []).feed, events)


def live(*settings: str) -> Figures:
    """One bar a call, as a live session feeds them."""
    from paperbot.engine.machine import Machine

    plan, events = plan_and_events(settings, 100_000)
    singles = [events[at : at + 1] for at in range(len(events))]

    def start():
        machine = Machine(plan.params)

        def feed(_) -> None:
            for one in singles:
                for _ in machine.advance(one):
                    pass

        return feed

    return timed(start, events)


def streamed(millions: int) -> Figures:
    """The whole of `replay`, Parquet in and Parquet out, in a process of its own."""
    import core

    figures = core.stream(millions, core.random_walk(core.BARS))
    return [figures["s"] / figures["bars"] * 1e9], figures["mb"]


TEN = ", ".join(f"{{name: s{k}, kind: sma_cross, fast: {5 + k}, slow: {40 + k}}}" for k in range(10))
CASES = {
    "a bar and nothing else: no feature, no strategy": lambda: engine(*NO_STRATEGY, *BARE),
    "and five features (RSI, ATR, VWAP, z-score, volatility)": lambda: engine(*NO_STRATEGY, FEATURES, *BARE),
    "and the two shipped strategies, trading with stops and targets": lambda: engine(FEATURES, *BARE),
    "and five candlestick patterns": lambda: engine(FEATURES, PATTERNS, *TRADED),
    "and a ledger row a bar": lambda: engine(FEATURES, PATTERNS, *TRADED, "ledger.every=1m"),
    "and the digest of every decision": lambda: run(FEATURES, PATTERNS, *TRADED, "ledger.every=1m"),
    "the shipped configuration, digest included (it halts at its drawdown cap)": run,
    "SMA 20/50": lambda: engine(SMA, *BARE),
    "SMA 20/50 and the digest": lambda: run(SMA, *BARE),
    "SMA 20/50, 10 symbols": lambda: engine(SMA, *BARE, bars=100_000, symbols=10),
    "SMA 20/50, 100 symbols x 100 k bars": lambda: engine(SMA, *BARE, bars=100_000, symbols=100),
    "10 SMA strategies": lambda: engine(f"strategies=[{TEN}]", *BARE, bars=300_000),
    "no strategy, 1 resting order": lambda: engine(*LADDER, *BARE, bars=300_000, orders=1),
    "no strategy, 10 resting orders": lambda: engine(*LADDER, *BARE, bars=300_000, orders=10),
    "no strategy, 100 resting orders": lambda: engine(*LADDER, *BARE, bars=300_000, orders=100),
    "live: one bar a call, five features and two strategies": lambda: live(FEATURES, *BARE),
    "replay from Parquet to Parquet, 1 M bars": lambda: streamed(1),
    "replay from Parquet to Parquet, 10 M bars": lambda: streamed(10),
    "replay from Parquet to Parquet, 100 M bars": lambda: streamed(100),
}
LONG = {name for name in CASES if name.endswith(("10 M bars", "100 M bars", "x 100 k bars"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--one", choices=CASES, help="this case, in this process")
    parser.add_argument("--quick", action="store_true", help="without the cases that take long")
    options = parser.parse_args()
    if options.one:
        times, mb = CASES[options.one]()
        row = {"what": options.one, "ns": statistics.median(times), "min": min(times), "max": max(times), "mb": mb}
        options.out.write_text(json.dumps(row) + "\n")
        return
    rows = []
    for what in CASES:
        if options.quick and what in LONG:
            continue
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "row.json"
            subprocess.run([sys.executable, __file__, "--out", out, "--one", what], check=True, cwd=folder)
            rows.append(json.loads(out.read_text()))
        print(rows[-1], flush=True)
        options.out.write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
