"""What every peer script shares: the bars, the command line, the clock and the result file. Standard library and numpy.

Used as `python peers/<peer>.py JOB BARS_NPZ OUT_JSON [--rounds N]`, each peer in its own virtual environment.
"""

import argparse
import gc
import json
import os
import resource
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

START_CASH = 10_000.0
FEE = 0.001
SLIPPAGE = 0.0003
FRACTION = 0.02
"""Most of the cash (sma) or of the equity (rsi) that one entry may invest."""
FAST, SLOW = 20, 50
PERIOD, OVERSOLD, RECOVERED = 14, 30.0, 55.0
RISK, ATR_STOPS = 0.00002, 2.0
"""An rsi entry risks this share of the equity over this many average true ranges."""
TICKS = 10**8
"""Prices are whole multiples of 1 / TICKS."""
TIE = 1e-8
"""Means of floats this close are equal: rolling sums come out that far apart, where closes in steps of 0.0001 make
means that differ by 0.000001 at least."""
MINUTE_MS = 60_000
STARTED = "BENCH_STARTED"
"""In the environment: `time.monotonic()` when the process was asked for."""


@dataclass(frozen=True)
class Bars:
    """One-minute bars, oldest first."""

    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    open_ms: NDArray[np.int64]

    @classmethod
    def read(cls, path: Path) -> "Bars":
        with np.load(path) as columns:
            return cls(**{name: np.ascontiguousarray(columns[name]) for name in cls.__dataclass_fields__})

    def __len__(self) -> int:
        return len(self.close)


@dataclass(frozen=True)
class Outcome:
    """What a run must agree on with the oracle."""

    entries: int
    exits: int
    final_equity: float


class Job(ABC):
    """One job of one peer. Only `run` is timed, indicators included; loading the bars and making objects is not."""

    notes = ""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars

    def reset(self) -> None:  # noqa: B027 - most peers have nothing to do here
        """Make ready for another round (not timed)."""

    @abstractmethod
    def run(self) -> None:
        """The timed part."""

    @abstractmethod
    def outcome(self) -> Outcome:
        """The result of the last run (not timed)."""


def peak_mb() -> float:
    """The most memory that this process ever held.

    Linux hands `ru_maxrss` on from the process that started this one; VmHWM belongs to the program itself.
    """
    status = Path("/proc/self/status")
    if status.exists():
        words = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()
        return int(words[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def timed_round(job: Job) -> float:
    job.reset()
    gc.collect()
    start = time.perf_counter()
    job.run()
    return time.perf_counter() - start


def main(peer: str, version: str, import_s: float, jobs: Mapping[str, type[Job]]) -> None:
    """Run one job as the command line asks and write its figures."""
    parser = argparse.ArgumentParser(description=f"The benchmark's jobs in {peer} {version}.")
    parser.add_argument("job", choices=sorted(jobs))
    parser.add_argument("bars_npz", type=Path)
    parser.add_argument("out_json", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    start = time.perf_counter()
    bars = Bars.read(options.bars_npz)
    job = jobs[options.job](bars)
    load_s = time.perf_counter() - start
    first_run_s = timed_round(job)
    first_result_s = time.monotonic() - float(os.environ.get(STARTED, "nan"))
    engine_s = [timed_round(job) for _ in range(options.rounds)]
    figures = {
        "peer": peer,
        "version": version,
        "job": options.job,
        "bars": len(bars),
        "import_s": import_s,
        "load_s": load_s,
        "first_run_s": first_run_s,
        "first_result_s": first_result_s,
        "engine_s": engine_s,
        **asdict(job.outcome()),
        "peak_rss_mb": peak_mb(),
        "notes": job.notes,
    }
    options.out_json.write_text(json.dumps(figures, indent=1) + "\n")
