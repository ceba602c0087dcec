"""500 SMA pairs over the same bars in Paperbot: `python peers/paperbot_sweep.py BARS_NPZ OUT_JSON [--jobs N]`.

The whole of `paperbot sweep`, from a Parquet file to its results as Parquet and as a page.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from harness import AllBars, peak_mb

_start = time.perf_counter()
import pyarrow as pa
import pyarrow.parquet as pq
from paperbot_bars import COMMON, ROOT, SMA

from paperbot import __version__
from paperbot.config import parse_assignment
from paperbot.research.job import ReplayRequest
from paperbot.research.sweep import SweepRequest, sweep

IMPORT_S = time.perf_counter() - _start
VARY = ("strategies.sma_cross.fast=5:29:1", "strategies.sma_cross.slow=40:135:5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bars_npz", type=Path)
    parser.add_argument("out_json", type=Path)
    parser.add_argument("--jobs", type=int, default=1, help="threads")
    options = parser.parse_args()
    bars = AllBars.read(options.bars_npz)
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    overrides = [parse_assignment(text) for text in (*COMMON, *SMA)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(pa.table({"ts": bars.open_ms, **columns}), folder / "bars.parquet")
        replay = ReplayRequest(
            [f"BTC/USDT={folder / 'bars.parquet'}"], ROOT / "config/config.yaml", overrides=overrides
        )
        start = time.perf_counter()
        request = SweepRequest(replay, VARY, folder / "sweep", jobs=options.jobs)
        rows = sweep(request, lambda _: None, lambda done, of: None).rows
        engine_s = time.perf_counter() - start
    key = [axis.partition("=")[0] for axis in VARY]
    figures = {
        "peer": "Paperbot",
        "version": __version__,
        "jobs": options.jobs,
        "import_s": IMPORT_S,
        "warm_up_s": 0.0,
        "engine_s": engine_s,
        "equities": [row["equity"] for row in sorted(rows, key=lambda row: [row[name] for name in key])],
        "peak_rss_mb": peak_mb(),
    }
    options.out_json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
