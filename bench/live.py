"""`make bench-live`: what being durable costs, and what an idle session costs, with 1, 20 and 200 symbols."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from livelab import Bot, VenueProcess
from paperbot.clock import SystemClock
from paperbot.core import types as t
from paperbot.live.session import create_session
from paperbot.market.candles import Checker, Grid
from paperbot.market.feed import _columns
from paperbot.market.source import Candle
from paperbot.timeframe import fixed
from recorded import read
from test_live import write_bars

IDLE_S = 20


def names(count: int) -> list[str]:
    return [f"S{k:03}/USDT" for k in range(count)]


def durable(count: int, slices: int) -> dict[str, float]:
    """Events a second through border, journal and engine, and the time of one slice until it is durable and acted on."""
    plan, events = read([f"{name}=synthetic:3:{slices}" for name in names(count)])
    ends = np.flatnonzero(events["flags"] & t.BarFlag.END_OF_SLICE) + 1
    parts = np.split(events, ends[:-1])
    checkers = [Checker(name, k, fixed(60 * 10**9), Grid(8)) for k, name in enumerate(plan.symbols)]
    with tempfile.TemporaryDirectory(dir=".") as folder:
        session = create_session(Path(folder), "s", plan, SystemClock())
        times = []
        for part in parts:
            began = time.perf_counter()
            for bar in part:
                candle = Candle(
                    int(bar["open_ts"]) // 10**6, *(bar[n] / 1e8 for n in ("open", "high", "low", "close")), 1.0
                )
                checkers[bar["symbol"]].events(_columns([candle]))
            session.commit_slice(part, ["stream"] * len(part))
            times.append(time.perf_counter() - began)
        session.close()
    return {
        "symbols": count,
        "events_per_s": len(events) / sum(times),
        "p50_ms": 1e3 * float(np.percentile(times, 50)),
        "p99_ms": 1e3 * float(np.percentile(times, 99)),
    }


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle(count: int) -> float:
    """CPU of a session that listens in real time, as a share of one core."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [f"{one}={write_bars(folder / f'{k}.parquet', 30, seed=k)}" for k, one in enumerate(names(count))]
        with VenueProcess(folder, *sources, options=("--speed", "1", "--updates", "30")) as venue:
            settings = {**venue.settings(), "symbols": f"[{', '.join(names(count))}]"}
            bot = Bot(folder, settings)
            process = bot.start("--for", f"{IDLE_S + 60}s")
            bot.wait_for_inputs(1, process)
            time.sleep(3)
            before, began = cpu_s(process.pid), time.monotonic()
            time.sleep(IDLE_S)
            share = (cpu_s(process.pid) - before) / (time.monotonic() - began)
            process.kill()
            process.wait()
    return share


if __name__ == "__main__":
    rows = []
    for count, slices in ((1, 3000), (20, 600), (200, 150)):
        row = {**durable(count, slices), "idle_cpu_share": idle(count)}
        rows.append(row)
        print(json.dumps({key: round(value, 4) for key, value in row.items()}), flush=True)
