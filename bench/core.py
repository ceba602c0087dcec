"""What a bar costs: `make bench-core`. Figures of this machine, now; compare ratios within one run, never across runs.

Each job runs several times, interleaved with a hand-written C loop where gcc is there; minimum, median and maximum of
the engine's own time are printed, and written to bench/results/core.json.
"""

import ctypes
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
MINUTE_NS = 60 * 10**9
BARS = 1_000_000
ROUNDS = 5

C_LOOP = """
double sma_cross(const double *open, const double *close, long n, double fee, double slip, long *trades) {
    double cash = 10000, held = 0, fast = 0, slow = 0; int want = 0; long count = 0;
    for (long i = 0; i < n; i++) {
        if (want && held == 0) { double p = open[i] * (1 + slip); held = 0.95 * cash / p;
            cash -= held * p * (1 + fee); count++; }
        else if (!want && held > 0) { cash += held * open[i] * (1 - slip) * (1 - fee); held = 0; count++; }
        fast += close[i] - (i >= 20 ? close[i - 20] : 0); slow += close[i] - (i >= 50 ? close[i - 50] : 0);
        want = i >= 49 && fast / 20 > slow / 50;
    }
    *trades = count;
    return cash + held * close[n - 1];
}
"""

PLAIN = ("ledger.every=1d", "features.patterns=[]")  # The shipped configuration is for looking at: a row a minute.
SMA_JOB = (
    "strategies=[{name: sma_cross, kind: sma_cross, fast: 20, slow: 50}]",
    *("risk.sizing=fixed_fraction", "risk.fixed_fraction=0.95", "risk.attach_stop=false", "risk.daily_loss_cap=0"),
    *("risk.max_drawdown=0", "risk.max_position_value_per_symbol=0", "execution.slippage_bps=3"),
    *("execution.liquidity_fraction=1", "account.currency=USDT", "risk.funds_margin=0.001"),
    *PLAIN,
)
PIPELINE = (
    *PLAIN,
    "features.always=[rsi, atr, vwap, zscore, volatility]",
    *("risk.daily_loss_cap=0", "risk.max_drawdown=0"),
)
PYTHON_STRATEGY = """
from paperbot.strategy import FLAT, LONG
FEATURES = ["sma(20)", "sma(50)"]

class Strategy:
    def __init__(self, params):
        pass

    def on_bar(self, bar):
        return LONG if bar.features[0] > bar.features[1] else FLAT
"""


def random_walk(bars: int) -> dict[str, np.ndarray]:
    """One-minute bars of a random walk around 100, as floats."""
    random = np.random.default_rng(7)
    close = np.round(100 * np.exp(np.cumsum(random.normal(size=bars) * 0.0005)), 4)
    opening = np.concatenate(([100.0], close[:-1]))
    reach = np.round(np.abs(random.normal(size=(2, bars))) * 0.02, 4)
    high = np.maximum(opening, close) + reach[0]
    low = np.maximum(np.minimum(opening, close) - reach[1], 0.0001)
    return {"open": opening, "high": high, "low": low, "close": close, "volume": np.full(bars, 1e9)}


def events_of(columns: dict[str, np.ndarray]):
    from paperbot.core import types as t

    bars = len(columns["close"])
    events = np.zeros(bars, dtype=t.BAR_EVENT)
    for name in ("open", "high", "low", "close"):
        events[name] = np.rint(columns[name] * 1e8)
    events["volume"] = columns["volume"]
    events["open_ts"] = 1_704_067_200 * 10**9 + np.arange(bars, dtype=np.int64) * MINUTE_NS
    events["close_ts"] = events["open_ts"] + MINUTE_NS
    events["kind"], events["flags"] = t.EventKind.BAR, t.BarFlag.END_OF_SLICE
    return events


def plan_of(*settings: str):
    from paperbot.config import load, parse_assignment
    from paperbot.engine.params import make_plan

    return make_plan(
        load(ROOT / "config" / "config.yaml", [parse_assignment(text) for text in settings]), {"BTC/USDT": MINUTE_NS}
    )


def timed(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def engine_job(plan, events):
    from paperbot.engine.machine import Machine

    def job() -> None:
        for _ in Machine(plan.params).advance(events):
            pass

    return job


def whole_job(plan, events):
    """With the digest, which a run always makes."""
    from paperbot.engine.machine import Machine
    from paperbot.engine.outputs import Digest

    def job() -> None:
        digest = Digest(plan)
        for records in Machine(plan.params).advance(events):
            digest.add(records)

    return job


def live_job(plan, events):
    """One bar a call, as a live session feeds them."""
    from paperbot.engine.machine import Machine

    machine = Machine(plan.params)
    singles = [events[at : at + 1] for at in range(len(events))]

    def job() -> None:
        for one in singles:
            for _ in machine.advance(one):
                pass

    return job


def python_job(events):
    from paperbot.engine.replay import run_replay

    with tempfile.NamedTemporaryFile("w", suffix=".py", delete=False) as file:
        file.write(PYTHON_STRATEGY)
    plan = plan_of(f"strategies=[{{name: mine, path: {file.name}}}]", *SMA_JOB[1:])
    return lambda: run_replay(plan, [iter([events])], [])


def c_job(columns):
    """The same trades in doubles, without ledger, filters or partial fills; None without gcc."""
    if shutil.which("gcc") is None:
        return None
    folder = Path(tempfile.mkdtemp())
    (folder / "loop.c").write_text(C_LOOP)
    subprocess.run(["gcc", "-O3", "-shared", "-fPIC", "-o", folder / "loop.so", folder / "loop.c"], check=True)
    function = ctypes.CDLL(str(folder / "loop.so")).sma_cross
    function.restype = ctypes.c_double
    pointer = ctypes.POINTER(ctypes.c_double)
    opening, close = columns["open"].copy(), columns["close"].copy()
    trades = ctypes.c_long()
    arguments = (opening.ctypes.data_as(pointer), close.ctypes.data_as(pointer), ctypes.c_long(len(close)))
    return lambda: function(*arguments, ctypes.c_double(0.001), ctypes.c_double(0.0003), ctypes.byref(trades))


def start_times() -> dict[str, float]:
    """Cold compile and warm start to the first bars, in processes of their own."""
    command = [
        sys.executable,
        "-c",
        "from paperbot.cli import main; main()",
        "replay",
        "BTC/USDT=synthetic:1:100",
        "--json",
    ]
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "PAPERBOT_CACHE_DIR": folder}
        for name in ("cold start, s", "warm start, s"):
            figures[name] = timed(
                lambda: subprocess.run([*command, "--out", folder], env=env, check=True, capture_output=True, cwd=ROOT)
            )
    return figures


def python_replay() -> dict[str, float]:
    """`paperbot replay` of a million bars with the Python strategy of the examples: the whole command."""
    sys.path.insert(0, str(ROOT / "bench" / "peers"))
    settings = [f"strategies=[{{name: weekday, path: {ROOT / 'examples' / 'weekday.py'}}}]", *PIPELINE[1:]]
    code = "import sys; sys.path.insert(0, sys.argv.pop()); from paperbot.app.replay import replay; " + WHOLE
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", code, folder, str(ROOT / "config" / "config.yaml"), str(BARS), *settings]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, str(ROOT / "bench" / "peers")], capture_output=True, text=True, check=True, cwd=ROOT
        )
        seconds = time.perf_counter() - start
    return {"s": seconds, "bars": BARS, "mb": float(done.stdout)}


WHOLE = """
from pathlib import Path
from paperbot.research.job import ReplayRequest
from paperbot.config import parse_assignment
replay(ReplayRequest([f"BTC/USDT=synthetic:7:{sys.argv[3]}"], Path(sys.argv[2]), out=Path(sys.argv[1]),
    overrides=[parse_assignment(text) for text in sys.argv[4:]]), lambda _: None)
from harness import peak_mb
print(peak_mb())
"""

STREAM = """
import json, sys, time
sys.path.insert(0, sys.argv.pop())
from pathlib import Path
from paperbot.app.replay import replay
from paperbot.research.job import ReplayRequest
from paperbot.config import parse_assignment
start = time.perf_counter()
request = ReplayRequest([f"BTC/USDT={sys.argv[1]}"], Path(sys.argv[3]), out=Path(sys.argv[2]), overrides=[
    parse_assignment(text) for text in sys.argv[4:]])
result = replay(request, lambda _: None)
from harness import peak_mb
peak = peak_mb()
print(json.dumps({"s": time.perf_counter() - start, "mb": peak, "bars": result.summary["bars"], "fills": result.summary["fills"]}))
"""


def stream(millions: int, columns: dict[str, np.ndarray]) -> dict[str, float]:
    """A Parquet file of so many million bars (the walk over and over) through the whole of `replay`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.parquet"
        writer = None
        for block in range(millions):
            ts = 1_704_067_200_000 + (np.arange(BARS, dtype=np.int64) + block * BARS) * 60_000
            table = pa.table({"ts": ts, **columns})
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
        writer.close()
        command = [sys.executable, "-c", STREAM, str(path), folder, str(ROOT / "config" / "config.yaml"), *PIPELINE]
        command.append(str(ROOT / "bench" / "peers"))
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout)


def main() -> None:
    columns = random_walk(BARS)
    events = events_of(columns)
    sma, pipeline = plan_of(*SMA_JOB), plan_of(*PIPELINE)
    short = events[:100_000]
    jobs = {
        "SMA 20/50, core": (engine_job(sma, events), BARS),
        "SMA 20/50, core and digest": (whole_job(sma, events), BARS),
        "default pipeline, core": (engine_job(pipeline, events), BARS),
        "live call, default pipeline": (live_job(pipeline, short), len(short)),
        "Python on_bar": (python_job(short), len(short)),
    }
    hand_written = c_job(columns)
    if hand_written:
        jobs["C loop of the SMA job"] = (hand_written, BARS)
    for job, _ in jobs.values():
        job()
    jobs["live call, default pipeline"] = (live_job(pipeline, short), len(short))
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(ROUNDS):
        for name, (job, bars) in jobs.items():
            chosen = live_job(pipeline, short) if name.startswith("live") else job
            seconds[name].append(timed(chosen) / bars * 1e9)
    print(f"{'job':32} {'ns/bar min':>11} {'median':>9} {'max':>9} {'M bars/s':>9}")
    for name, each in seconds.items():
        middle = statistics.median(each)
        print(f"{name:32} {min(each):11.1f} {middle:9.1f} {max(each):9.1f} {1e3 / middle:9.2f}")
    if hand_written:
        ratios = [
            c / ours for c, ours in zip(seconds["C loop of the SMA job"], seconds["SMA 20/50, core"], strict=True)
        ]
        print(f"SMA job as a share of the C loop's speed, pair by pair: {min(ratios):.2f} to {max(ratios):.2f}")
    starts = start_times()
    print("  ".join(f"{name} {value:.1f}" for name, value in starts.items()))
    python = python_replay()
    print(f"replay with a Python strategy: {python['bars'] / python['s'] / 1e3:.0f} k bars/s, peak {python['mb']:.0f} MB")
    streams = {}
    for millions in (5, 50) if "--no-stream" not in sys.argv else ():
        streams[millions] = stream(millions, columns)
        one = streams[millions]
        print(
            f"{millions} M bars streamed from Parquet: {one['s']:.1f} s, {one['bars'] / one['s'] / 1e6:.2f} M bars/s, peak {one['mb']:.0f} MB"
        )
    RESULTS.mkdir(exist_ok=True)
    report = {"ns_per_bar": seconds, "starts": starts, "python_replay": python, "streams": streams, "machine": platform.platform()}
    report["python"], report["numpy"] = platform.python_version(), np.__version__
    (RESULTS / "core.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
