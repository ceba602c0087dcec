"""How long a start takes, beside what Python and Numba take themselves: `python bench/starts.py --out FILE`."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 7
REPLAY = ["-m", "paperbot.main", "replay", "BTC/USDT=synthetic:1:100", "--json"]
WARM = {
    "Python, doing nothing": ["-c", "pass"],
    "import numba": ["-c", "import numba"],
    "paperbot --help": ["-m", "paperbot.main", "--help"],
    "paperbot replay of 100 bars, machine code in the cache": REPLAY,
}


def seconds(arguments: list[str], folder: str) -> float:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PAPERBOT_CACHE_DIR": folder}
    out = ["--out", folder] if "replay" in arguments else []
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments, *out], env=env, check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in WARM}
    with tempfile.TemporaryDirectory() as folder:
        cold = seconds(REPLAY, folder)
        for _ in range(ROUNDS):
            for name, arguments in WARM.items():
                times[name].append(seconds(arguments, folder))
    times["the same for the first time: the core is compiled"] = [cold]
    rows = [
        {"what": name, "s": statistics.median(each), "min": min(each), "max": max(each)} for name, each in times.items()
    ]
    options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
