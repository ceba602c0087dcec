"""500 SMA pairs over the same bars in vectorbt: `python peers/vbt_sweep.py ENGINE BARS_NPZ OUT_JSON`.

Every pair trades the sma job's account. A chunk of pairs is simulated at a time, one column each, so that memory stays
bounded; each distinct mean is computed once.
"""

import argparse
import json
import resource
import time
from itertools import product
from pathlib import Path

from harness import FEE, FRACTION, SLIPPAGE, START_CASH, TIE, Bars

_start = time.perf_counter()
import numpy as np
import vectorbt as vbt

IMPORT_S = time.perf_counter() - _start
FASTS, SLOWS = range(5, 30), range(40, 140, 5)
PAIRS = list(product(FASTS, SLOWS))
CHUNK = 10


def final_equities(bars: Bars, chunk: int) -> np.ndarray:
    """The last equity of each of `PAIRS`."""
    mean = {period: vbt.MA.run(bars.close, period).ma.to_numpy() for period in {*FASTS, *SLOWS}}
    equities = []
    for first in range(0, len(PAIRS), chunk):
        pairs = PAIRS[first : first + chunk]
        long = np.zeros((len(bars), len(pairs)), dtype=bool)
        for column, (fast, slow) in enumerate(pairs):
            long[1:, column] = mean[fast][:-1] - mean[slow][:-1] > TIE
        portfolio = vbt.Portfolio.from_signals(
            bars.close[:, None],
            entries=long,
            exits=~long,
            price=bars.open[:, None],
            size=FRACTION * (1 + FEE),
            size_type="percent",
            fees=FEE,
            slippage=SLIPPAGE,
            init_cash=START_CASH,
        )
        equities.append(portfolio.final_value().to_numpy())
    return np.concatenate(equities)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=["numba", "rust"])
    parser.add_argument("bars_npz", type=Path)
    parser.add_argument("out_json", type=Path)
    parser.add_argument("--chunk", type=int, default=CHUNK, help="pairs simulated at a time")
    options = parser.parse_args()
    vbt.settings["engine"] = options.engine
    bars = Bars.read(options.bars_npz)
    short = Bars(*(getattr(bars, name)[:1_000] for name in Bars.__dataclass_fields__))
    start = time.perf_counter()
    final_equities(short, options.chunk)
    warm_up_s = time.perf_counter() - start
    start = time.perf_counter()
    equities = final_equities(bars, options.chunk)
    figures = {
        "peer": f"vectorbt ({options.engine})",
        "version": vbt.__version__,
        "job": "sweep",
        "bars": len(bars),
        "pairs": len(equities),
        "chunk": options.chunk,
        "import_s": IMPORT_S,
        "warm_up_s": warm_up_s,
        "engine_s": time.perf_counter() - start,
        "equity_max": float(equities.max()),
        "equity_20_50": float(equities[PAIRS.index((20, 50))]),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    options.out_json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
