"""500 SMA pairs over the same bars in vectorbt: `python peers/vbt_sweep.py ENGINE BARS_NPZ OUT_JSON [--jobs N]`.

Every pair trades the sma job's account. Each distinct mean is computed once, by TA-Lib, and pairs are simulated one at
a time: wider blocks of columns take longer and more memory (ten at a time twice as long). With more jobs than one, so
many forked processes share the pairs; vectorbt keeps the interpreter's lock, so threads would wait for each other.
"""

import argparse
import json
import multiprocessing
import time
from itertools import product
from pathlib import Path

from harness import FEE, FRACTION, SLIPPAGE, START_CASH, TIE, Bars, peak_mb

_start = time.perf_counter()
import numpy as np
import talib
import vectorbt as vbt

IMPORT_S = time.perf_counter() - _start
FASTS, SLOWS = range(5, 30), range(40, 140, 5)
PAIRS = list(product(FASTS, SLOWS))


class Pairs:
    """The bars and their means, ready for any pair."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.mean = {period: talib.SMA(bars.close, period) for period in {*FASTS, *SLOWS}}

    def final_equity(self, pair: tuple[int, int]) -> float:
        """The last equity of the account that trades the pair."""
        fast, slow = pair
        long = np.zeros(len(self.bars), dtype=bool)
        long[1:] = self.mean[fast][:-1] - self.mean[slow][:-1] > TIE
        portfolio = vbt.Portfolio.from_signals(
            self.bars.close,
            entries=long,
            exits=~long,
            price=self.bars.open,
            size=FRACTION * (1 + FEE),
            size_type="percent",
            fees=FEE,
            slippage=SLIPPAGE,
            init_cash=START_CASH,
        )
        return float(portfolio.final_value())


_shared: list[Pairs] = []


def _final_equity(pair: tuple[int, int]) -> float:
    return _shared[0].final_equity(pair)


def final_equities(bars: Bars, jobs: int) -> list[float]:
    """The last equity of each of `PAIRS`."""
    pairs = Pairs(bars)
    if jobs == 1:
        return [pairs.final_equity(pair) for pair in PAIRS]
    _shared[:] = [pairs]
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        return pool.map(_final_equity, PAIRS, chunksize=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=["numba", "rust"])
    parser.add_argument("bars_npz", type=Path)
    parser.add_argument("out_json", type=Path)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    vbt.settings["engine"] = options.engine
    bars = Bars.read(options.bars_npz)
    start = time.perf_counter()
    Pairs(Bars(*(getattr(bars, name)[:1_000] for name in Bars.__dataclass_fields__))).final_equity(PAIRS[0])
    warm_up_s = time.perf_counter() - start
    start = time.perf_counter()
    equities = final_equities(bars, options.jobs)
    figures = {
        "peer": f"vectorbt ({options.engine.capitalize()})",
        "version": vbt.__version__,
        "jobs": options.jobs,
        "import_s": IMPORT_S,
        "warm_up_s": warm_up_s,
        "engine_s": time.perf_counter() - start,
        "equities": equities,
        "peak_rss_mb": peak_mb(),
    }
    options.out_json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
