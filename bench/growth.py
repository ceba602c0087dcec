"""How Paperbot's own cost grows, a process for each figure: printed as one JSON list. See `make bench`."""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3
SMA = "strategies=[{name: sma_cross, kind: sma_cross, fast: 20, slow: 50}]"
PIPELINE = ("features.always=[rsi, atr, vwap, zscore, volatility]",)
BARE = ("ledger.every=1d", "features.patterns=[]", "risk.daily_loss_cap=0", "risk.max_drawdown=0")
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


def engine(settings, bars: int, symbols: int = 1, orders: int = 0) -> tuple[float, float]:
    """(ns a bar, MB) of the engine proper."""
    sys.path.insert(0, str(ROOT / "bench"))
    import core
    import numpy as np

    from paperbot.config import load, parse_assignment
    from paperbot.core import types as t
    from paperbot.engine.machine import Machine
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
    events = np.concatenate(list(merge(parts, plan.timeframes_ns)))
    times = []
    for _ in range(ROUNDS):
        machine = Machine(plan.params)
        for _ in machine.advance(events[:1]):
            pass
        for number in range(orders):
            order = np.zeros(1, dtype=t.ORDER_EVENT)
            order["ts"], order["kind"], order["side"] = machine.account["clock_ts"], t.EventKind.ORDER, t.Side.BUY
            order["order_type"], order["time_in_force"] = t.OrderType.LIMIT, t.TimeInForce.GTC
            order["quantity"], order["limit_price"] = 10**7, (5_000 - number) * 10**6
            for _ in machine.advance(order.view(t.BAR_EVENT)):
                pass
        assert int(machine.account["open_orders"]) == orders, "the ladder must rest"
        start = time.perf_counter()
        for _ in machine.advance(events[1:]):
            pass
        times.append((time.perf_counter() - start) / len(events) * 1e9)
    return statistics.median(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def streamed(millions: int) -> tuple[float, float]:
    """(ns a bar, MB) of the whole of `replay`, Parquet in and Parquet out."""
    sys.path.insert(0, str(ROOT / "bench"))
    import core

    figures = core.stream(millions, core.random_walk(core.BARS))
    return figures["s"] / figures["bars"] * 1e9, figures["mb"]


CASES = {
    "1 M bars, SMA 20/50": lambda: engine((SMA, *BARE), 1_000_000),
    "1 M bars, default pipeline (5 features, 2 strategies)": lambda: engine((*PIPELINE, *BARE), 1_000_000),
    "the same with a ledger row a bar": lambda: engine((*PIPELINE, *BARE, "ledger.every=1m"), 1_000_000),
    "the same as before, with 5 patterns": lambda: engine(
        (*PIPELINE, *BARE, "features.patterns=[engulfing_bullish, engulfing_bearish, hammer, shooting_star, doji]"),
        1_000_000,
    ),
    "10 symbols x 100 k bars": lambda: engine((SMA, *BARE), 100_000, symbols=10),
    "100 symbols x 100 k bars": lambda: engine((SMA, *BARE), 100_000, symbols=100),
    "10 strategies": lambda: engine(
        (
            "strategies=["
            + ", ".join(f"{{name: s{k}, kind: sma_cross, fast: {5 + k}, slow: {40 + k}}}" for k in range(10))
            + "]",
            *BARE,
        ),
        300_000,
    ),
    "10 resting orders": lambda: engine((*LADDER, *BARE), 300_000, orders=10),
    "100 resting orders": lambda: engine((*LADDER, *BARE), 300_000, orders=100),
    "streamed from Parquet, 1 M bars": lambda: streamed(1),
    "streamed from Parquet, 10 M bars": lambda: streamed(10),
    "streamed from Parquet, 100 M bars": lambda: streamed(100),
}
LONG = {"streamed from Parquet, 10 M bars", "streamed from Parquet, 100 M bars", "100 symbols x 100 k bars"}


def main() -> None:
    if len(sys.argv) == 3:
        ns, mb = CASES[sys.argv[2]]()
        print(json.dumps({"what": sys.argv[2], "ns": ns, "mb": mb}))
        return
    rows = []
    for what in CASES:
        if "--quick" in sys.argv and what in LONG:
            continue
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, __file__, "--one", what], check=False, capture_output=True, text=True, cwd=folder
            )
        if done.returncode != 0:
            print(what, done.stderr[-2000:], file=sys.stderr)
            sys.exit(1)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], file=sys.stderr, flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
