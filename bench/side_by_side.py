"""Paperbot beside its peers: `make bench`. The same bars and the same job for all, interleaved in one run.

Each peer runs in an environment of its own (`bench/peers/requirements-*.lock`), as a process for each round; what cannot
be installed here is left out and named. Written: bench/results/side_by_side.{json,md,svg}, and the table of
docs/performance.md. `--quick` does 100,000 bars only.
"""

import argparse
import datetime
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "performance.md"
ENVIRONMENTS = ROOT / "bench" / ".envs"
ROUNDS = 3
SIZES = (100_000, 1_000_000)
SWEEP_BARS = 500_000
TOLERANCE = 1e-6
SLOW = {"nautilus", "freqtrade_bars"}
"""Peers that take minutes for a million bars: they are timed on the short series only, and once."""

OWN = sys.executable
SCRIPTS = {
    "paperbot_bars": OWN,
    "cloop": OWN,
    "oracle": OWN,
    "vbt_rust": "a",
    "vbt_numba": "a",
    "backtesting_py": "a",
    "freqtrade_bars": "a",
    "hftbacktest_bars": "b",
    "nautilus": "b",
}
NEEDS = {"a": (3, 11), "b": (3, 12)}


def bars(count: int) -> dict[str, np.ndarray]:
    """One-minute bars of a random walk around 100. Eight decimals, so that two means are never exactly equal, which
    each engine's rounding would decide in its own way.
    """
    random = np.random.default_rng(7)
    close = np.round(100 * np.exp(np.cumsum(random.normal(size=count) * 0.0005)), 8)
    opening = np.concatenate(([100.0], close[:-1]))
    reach = np.round(np.abs(random.normal(size=(2, count))) * 0.02, 8)
    high = np.round(np.maximum(opening, close) + reach[0], 8)
    low = np.round(np.maximum(np.minimum(opening, close) - reach[1], 0.0001), 8)
    open_ms = 1_704_067_200_000 + 60_000 * np.arange(count, dtype=np.int64)
    volume = np.full(count, 1e9)
    return {"open": opening, "high": high, "low": low, "close": close, "volume": volume, "open_ms": open_ms}


# ---- environments -------------------------------------------------------------------------------------------------
def interpreter(least: tuple[int, int]) -> str | None:
    """A CPython of at least that version."""
    known = sorted(Path.home().glob(".pyenv/versions/3.1[123]*/bin/python3"))
    for one in [sys.executable, *("python3.11", "python3.12", "python3.13"), *map(str, known)]:
        path = shutil.which(one)
        if path is None:
            continue
        code = f"import sys; sys.exit(not {least} <= sys.version_info[:2] < (3, 14))"
        if subprocess.run([path, "-c", code], check=False, capture_output=True).returncode == 0:
            return path
    return None


def environment(name: str) -> str | None:
    """The environment's interpreter, installed where it is not there yet; None when it cannot be."""
    folder = ENVIRONMENTS / name
    python, done = folder / "bin/python", folder / ".done"
    lock = PEERS / f"requirements-{name}.lock"
    if done.exists() and done.read_text() == lock.read_text():
        return str(python)
    base = interpreter(NEEDS[name])
    if base is None:
        return None
    print(f"installing {lock.name} (some minutes, once)", flush=True)
    subprocess.run([base, "-m", "venv", "--clear", folder], check=True)
    command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "-r", lock]
    if subprocess.run(command, check=False).returncode != 0:
        return None
    done.write_text(lock.read_text())
    return str(python)


# ---- one peer, one round ------------------------------------------------------------------------------------------
def run_peer(script: str, python: str, job: str, file: Path) -> dict | None:
    """The figures of a process: one warm-up run and one timed round; None when it failed."""
    out = file.with_suffix(f".{script}.json")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src") if python == OWN else ""}
    start = time.perf_counter()
    command = [python, PEERS / f"{script}.py", job, file, out, "--rounds", "1"]
    done = subprocess.run(command, cwd=PEERS, env=env, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{script} {job}: {done.stderr.strip().splitlines()[-1:]}", flush=True)
        return None
    return {**json.loads(out.read_text()), "process_s": time.perf_counter() - start}


def measure(sizes: tuple[int, ...], pythons: dict[str, str], folder: Path) -> list[dict]:
    """A row for each peer, job and size: medians, minima and maxima over interleaved rounds."""
    rows = []
    for size in sizes:
        file = folder / f"{size}.npz"
        np.savez(file, **bars(size))
        chosen = {name: python for name, python in pythons.items() if size == min(SIZES) or name not in SLOW}
        for job in ("sma", "rsi"):
            found: dict[str, list[dict]] = {name: [] for name in chosen}
            for number in range(ROUNDS):
                for name, python in chosen.items():
                    if name in SLOW and number > 0:
                        continue
                    figures = run_peer(name, python, job, file)
                    if figures:
                        found[name].append(figures)
                print(f"{size:,} bars, {job}: round {number + 1} of {ROUNDS}", flush=True)
            rows += [row_of(name, job, size, runs, found["oracle"][0]) for name, runs in found.items() if runs]
    return rows


def row_of(name: str, job: str, size: int, runs: list[dict], oracle: dict) -> dict:
    seconds = [one["engine_s"][0] for one in runs]
    last = runs[-1]
    off = abs(last["final_equity"] / oracle["final_equity"] - 1.0)
    same = (last["entries"], last["exits"]) == (oracle["entries"], oracle["exits"]) and off <= TOLERANCE
    return {
        "script": name,
        "peer": last["peer"],
        "version": last["version"],
        "job": job,
        "bars": size,
        "seconds": seconds,
        "bars_per_s": size / statistics.median(seconds),
        "import_s": statistics.median(one["import_s"] for one in runs),
        "first_run_s": statistics.median(one["first_run_s"] for one in runs),
        "process_s": statistics.median(one["process_s"] for one in runs),
        "peak_rss_mb": max(one["peak_rss_mb"] for one in runs),
        "entries": last["entries"],
        "exits": last["exits"],
        "final_equity": last["final_equity"],
        "off": off,
        "comparable": same,
    }


# ---- a sweep ------------------------------------------------------------------------------------------------------
OUR_SWEEP = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[3])
import numpy as np, pyarrow as pa, pyarrow.parquet as pq, tempfile
from pathlib import Path
with np.load(sys.argv[1]) as columns:
    table = pa.table({"ts": columns["open_ms"], **{k: columns[k] for k in ("open", "high", "low", "close", "volume")}})
folder = Path(tempfile.mkdtemp())
pq.write_table(table, folder / "bars.parquet")
start = time.perf_counter()
from paperbot.app.sources import ReplayRequest
from paperbot.app.sweep import SweepRequest, sweep
from paperbot.config import parse_assignment
from paperbot_bars import COMMON, SMA
import_s = time.perf_counter() - start
overrides = [parse_assignment(text) for text in (*COMMON, *SMA)]
replay = ReplayRequest([f"BTC/USDT={folder / 'bars.parquet'}"], Path(sys.argv[4]), overrides=overrides)
vary = ("strategies.sma_cross.fast=5:29:1", "strategies.sma_cross.slow=40:135:5")
times = []
for jobs in (1, 2):
    start = time.perf_counter()
    rows = sweep(SweepRequest(replay, vary, folder / str(jobs), jobs=jobs), lambda _: None, lambda a, b: None).rows
    times.append(time.perf_counter() - start)
print(json.dumps({"peer": "Paperbot", "import_s": import_s, "engine_s": times[1], "one_thread_s": times[0],
    "pairs": len(rows), "equity_max": max(row["equity"] for row in rows),
    "equity_20_50": next(r["equity"] for r in rows if r["strategies.sma_cross.fast"] == 20 and r["strategies.sma_cross.slow"] == 50),
    "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def sweeps(pythons: dict[str, str], folder: Path) -> list[dict]:
    """500 pairs of means over 500,000 bars."""
    file = folder / "sweep.npz"
    np.savez(file, **bars(SWEEP_BARS))
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [OWN, "-c", OUR_SWEEP, file, "-", PEERS, ROOT / "config/config.yaml"]
    ours = subprocess.run(command, env=env, cwd=PEERS, check=True, capture_output=True, text=True)
    rows = [json.loads(ours.stdout.splitlines()[-1])]
    for engine in ("rust", "numba"):
        if f"vbt_{engine}" in pythons:
            out = folder / f"sweep-{engine}.json"
            python = pythons[f"vbt_{engine}"]
            command = [python, PEERS / "vbt_sweep.py", engine, file, out]
            if subprocess.run(command, cwd=PEERS, check=False, capture_output=True).returncode == 0:
                rows.append(json.loads(out.read_text()))
    print("sweep done", flush=True)
    return rows


# ---- how our own cost grows ---------------------------------------------------------------------------------------
def growth(*, quick: bool) -> list[dict]:
    """Our engine alone: symbols, strategies, open orders, length; ns a bar and MB."""
    out = subprocess.run(
        [OWN, ROOT / "bench/growth.py", *(["--quick"] if quick else [])],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(out.stdout.splitlines()[-1])


# ---- what people read ---------------------------------------------------------------------------------------------
def table(rows: list[dict], job: str, size: int) -> str:
    mine = sorted((row for row in rows if (row["job"], row["bars"]) == (job, size)), key=lambda row: -row["bars_per_s"])
    ours = next(row for row in mine if row["script"] == "paperbot_bars")
    lines = [
        f"\n**{job.upper()}, {size:,} bars**\n",
        "| engine | bars/s, median (min to max) | Paperbot is … times as fast | import s | first run s | process s | MB"
        " | trades and equity |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in mine:
        rates = [size / one for one in row["seconds"]]
        pairs = [a / b for a, b in zip(row["seconds"], ours["seconds"], strict=False)]
        verdict = (
            f"agree to {row['off']:.0e}"
            if row["comparable"]
            else f"NOT COMPARABLE: {row['entries']} entries, {row['off']:.0e}"
        )
        lines.append(
            f"| {row['peer']} {row['version']} | {short(row['bars_per_s'])} ({short(min(rates))} to {short(max(rates))})"
            f" | {statistics.median(pairs):.2g} ({min(pairs):.2g} to {max(pairs):.2g}) | {row['import_s']:.1f}"
            f" | {row['first_run_s']:.2f} | {row['process_s']:.1f} | {row['peak_rss_mb']:.0f} | {verdict} |"
        )
    return "\n".join(lines)


def short(rate: float) -> str:
    return f"{rate / 1e6:.3g} M" if rate >= 1e6 else f"{rate / 1e3:.3g} k"


def markdown(result: dict) -> str:
    parts = [
        f"{'The short series only (`--quick`). ' if result['quick'] else ''}Measured on {result['date']}: {result['machine']}, Python {result['python']}, {ROUNDS} interleaved rounds (NautilusTrader and freqtrade: one)."
    ]
    if result["absent"]:
        parts.append(f"Not installed here: {', '.join(result['absent'])}.")
    for size in sorted({row["bars"] for row in result["rows"]}):
        parts += [table(result["rows"], job, size) for job in ("sma", "rsi")]
    if result["sweeps"]:
        parts.append(
            "\n**500 pairs of means over 500,000 bars**\n\n| engine | s | MB | equity of 20/50 |\n|---|--:|--:|--:|"
        )
        for row in result["sweeps"]:
            more = f" (one thread {row['one_thread_s']:.1f})" if "one_thread_s" in row else ""
            parts[-1] += (
                f"\n| {row['peer']} | {row['engine_s']:.1f}{more} | {row['peak_rss_mb']:.0f} | {row['equity_20_50']:.4f} |"
            )
    if result["growth"]:
        parts.append("\n**How Paperbot's own cost grows**\n\n| what | ns a bar | MB |\n|---|--:|--:|")
        parts[-1] += "".join(f"\n| {row['what']} | {row['ns']:.0f} | {row['mb']:.0f} |" for row in result["growth"])
    return "\n".join(parts) + "\n"


def chart(rows: list[dict]) -> str:
    """Bars per second of the SMA job on the longest series that everybody ran, as an SVG with a logarithmic scale."""
    size = min(SIZES)
    mine = sorted(
        (row for row in rows if row["job"] == "sma" and row["bars"] == size), key=lambda row: -row["bars_per_s"]
    )
    low, high = 3.0, 9.0
    lines = []
    for place, row in enumerate(mine):
        y = 40 + 26 * place
        width = (math.log10(row["bars_per_s"]) - low) / (high - low) * 420
        color = "#2a9d8f" if row["script"] == "paperbot_bars" else "#8d99ae"
        lines.append(f'<text x="215" y="{y + 13}" text-anchor="end">{row["peer"]}</text>')
        lines.append(f'<rect x="225" y="{y}" width="{max(width, 1):.0f}" height="18" fill="{color}"/>')
        lines.append(f'<text x="{230 + width:.0f}" y="{y + 13}">{short(row["bars_per_s"])}</text>')
    body = "\n".join(lines)
    title = f"Bars a second, SMA 20/50, {size:,} bars (logarithmic)"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="740" height="{60 + 26 * len(mine)}" font-family="sans-serif"'
        f' font-size="13"><text x="20" y="22" font-weight="bold">{title}</text>\n{body}\n</svg>\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 bars, no sweep")
    quick = parser.parse_args().quick
    pythons, absent = {}, []
    found = {name: environment(name) for name in NEEDS}
    for script, where in SCRIPTS.items():
        python = where if where == OWN else found[where]
        usable = python is not None and (script != "cloop" or shutil.which("gcc") is not None)
        if usable:
            pythons[script] = python
        else:
            absent.append(script)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = measure(SIZES[:1] if quick else SIZES, pythons, folder)
        swept = [] if quick else sweeps(pythons, folder)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = next(iter(models), "?")
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "absent": absent,
        "quick": quick,
        "rows": rows,
        "sweeps": swept,
        "growth": growth(quick=quick),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "side_by_side.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "side_by_side.md").write_text(markdown(result))
    (RESULTS / "side_by_side.svg").write_text(chart(rows))
    if PAGE.exists():
        before, _, rest = PAGE.read_text().partition("<!-- measured -->")
        after = rest.partition("<!-- /measured -->")[2]
        PAGE.write_text(f"{before}<!-- measured -->\n{markdown(result)}<!-- /measured -->{after}")
    print(markdown(result))


if __name__ == "__main__":
    main()
