"""Paperbot beside its peers: `make bench`. The same bars and the same job for all, interleaved in one run.

Each peer runs in an environment of its own (`bench/peers/requirements-*.lock`), in processes that take turns; what
cannot be installed here, or fails, is left out and named. Written: bench/results/side_by_side.{json,md,svg}, and the table of
docs/performance.md. `--quick` does 100,000 bars only, and leaves that page alone.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pages

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "performance.md"
ENVIRONMENTS = ROOT / "bench" / ".envs"
PROCESSES = 3
"""Processes of a peer for each job, taking turns with the others'."""

ROUNDS_OF_MOST = 5
"""Timed runs in a process, after a first one: memory that was never touched before costs as much as the work."""

ROUNDS = {"backtesting_py": 2, "nautilus": 1, "freqtrade_bars": 1}
LONGEST_S = 600
SIZES = (100_000, 1_000_000)
SWEEP_BARS = 500_000
TOLERANCE = 1e-6
SLOW = {"nautilus", "freqtrade_bars"}
"""Peers that take minutes for a million bars: they run the short series only, in one process."""

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
    if subprocess.run([base, "-m", "venv", "--clear", folder], check=False).returncode != 0:
        return None
    command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "-r", lock]
    if subprocess.run(command, check=False).returncode != 0:
        return None
    done.write_text(lock.read_text())
    return str(python)


# ---- one peer, one process ----------------------------------------------------------------------------------------
class Bench:
    """What was measured so far, and what failed; `save` writes it, so that a later failure loses nothing."""

    def __init__(self, result: dict, pythons: dict[str, str], folder: Path) -> None:
        self.result = result
        self.pythons = pythons
        self.folder = folder

    def save(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "side_by_side.json").write_text(json.dumps(self.result, indent=1) + "\n")

    def run(self, what: str, command: list, env: dict[str, str] | None = None) -> bool:
        """Whether it ended well; what it said last is kept where it did not."""
        try:
            done = subprocess.run(
                command, cwd=PEERS, env=env, check=False, capture_output=True, text=True, timeout=LONGEST_S
            )
            said = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no word"])[-1]
        except subprocess.TimeoutExpired:
            said = f"took more than {LONGEST_S} s"
        if said:
            print(f"{what}: {said}", flush=True)
            self.result["failed"].setdefault(what, said)
        return not said

    def process(self, script: str, job: str, file: Path, rounds: int) -> dict | None:
        """The figures of one process: a first run and some timed rounds; None when it failed."""
        out, python = file.with_suffix(f".{script}.json"), self.pythons[script]
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src") if python == OWN else ""}
        env["BENCH_STARTED"] = str(time.monotonic())
        command = [python, PEERS / f"{script}.py", job, file, out, "--rounds", str(rounds)]
        return json.loads(out.read_text()) if self.run(f"{script} {job}", command, env) else None

    def measure(self, sizes: tuple[int, ...]) -> None:
        """A row for each peer, job and size, from processes that take turns."""
        for size in sizes:
            file = self.folder / f"{size}.npz"
            np.savez(file, **bars(size))
            chosen = [name for name in self.pythons if size == min(SIZES) or name not in SLOW]
            for job in ("sma", "rsi"):
                found: dict[str, dict[int, dict]] = {name: {} for name in chosen}
                for number in range(PROCESSES):
                    for name in chosen:
                        if name in SLOW and number > 0:
                            continue
                        figures = self.process(name, job, file, ROUNDS.get(name, ROUNDS_OF_MOST))
                        if figures:
                            found[name][number] = figures
                    print(f"{size:,} bars, {job}: {number + 1} of {PROCESSES}", flush=True)
                self.result["rows"] += rows_of(job, size, found)
                self.save()

    def sweeps(self) -> None:
        """500 pairs of means over 500,000 bars, on one processor and on two."""
        file = self.folder / "sweep.npz"
        np.savez(file, **bars(SWEEP_BARS))
        peers = {"Paperbot": [OWN, PEERS / "paperbot_sweep.py"]}
        for engine in ("rust", "numba"):
            if f"vbt_{engine}" in self.pythons:
                peers[engine] = [self.pythons[f"vbt_{engine}"], PEERS / "vbt_sweep.py", engine]
        out = self.folder / "sweep.json"
        ours: list[float] | None = None
        for jobs in (1, 2):
            for name, command in peers.items():
                env = {**os.environ, "PYTHONPATH": str(ROOT / "src") if name == "Paperbot" else ""}
                if self.run(f"sweep {name}", [*command, file, out, "--jobs", str(jobs)], env):
                    figures = json.loads(out.read_text())
                    equities = figures.pop("equities")
                    ours = ours or equities
                    off = [abs(one / own - 1.0) for one, own in zip(equities, ours, strict=True)]
                    figures |= {"pairs": len(off), "agree": sum(one <= TOLERANCE for one in off), "off": max(off)}
                    self.result["sweeps"].append(figures)
                    self.save()
        print("sweep done", flush=True)

    def own(self, script: str, *options: str) -> list[dict]:
        """The rows that one of our own scripts prints."""
        out = self.folder / f"{script}.json"
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        command = [OWN, ROOT / "bench" / f"{script}.py", "--out", out, *options]
        rows = json.loads(out.read_text()) if self.run(script, command, env) else []
        print(f"{script} done", flush=True)
        return rows


def rows_of(job: str, size: int, found: dict[str, dict[int, dict]]) -> list[dict]:
    """Rows of one job and size. `seconds`: by process, the median of its rounds; `fastest_s`, `slowest_s`: of all."""
    rows = []
    oracle = next(iter(found.get("oracle", {}).values()), None)
    for name, runs in found.items():
        if not runs:
            continue
        every = list(runs.values())
        last, rounds = every[-1], [one for run in every for one in run["engine_s"]]
        row = {key: last[key] for key in ("peer", "version", "entries", "exits", "final_equity")}
        row |= {"script": name, "job": job, "bars": size}
        row["seconds"] = {number: statistics.median(run["engine_s"]) for number, run in runs.items()}
        row["bars_per_s"] = size / statistics.median(row["seconds"].values())
        row |= {"fastest_s": min(rounds), "slowest_s": max(rounds), "timed_rounds": len(rounds)}
        for key in ("import_s", "first_run_s", "first_result_s"):
            row[key] = statistics.median(one[key] for one in every)
        row["peak_rss_mb"] = max(one["peak_rss_mb"] for one in every)
        row["off"], row["comparable"] = None, False
        if oracle:
            row["off"] = abs(last["final_equity"] / oracle["final_equity"] - 1.0)
            same = (last["entries"], last["exits"]) == (oracle["entries"], oracle["exits"])
            row["comparable"] = same and row["off"] <= TOLERANCE
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 bars, no sweep; docs/performance.md stays")
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
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{next(iter(models), '?')}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in ("numba", "numpy", "pyarrow")},
        "absent": absent,
        "failed": {},
        "quick": quick,
        "rows": [],
        "sweeps": [],
        "growth": [],
        "starts": [],
    }
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(result, pythons, Path(name))
        bench.measure(SIZES[:1] if quick else SIZES)
        if not quick:
            bench.sweeps()
        result["growth"] = bench.own("growth", *(["--quick"] if quick else []))
        result["starts"] = bench.own("starts")
    bench.save()
    page = pages.markdown(result)
    (RESULTS / "side_by_side.md").write_text(page)
    (RESULTS / "side_by_side.svg").write_text(pages.chart(result["rows"], min(SIZES)))
    if PAGE.exists() and not quick:
        before, _, rest = PAGE.read_text().partition("<!-- measured -->")
        after = rest.partition("<!-- /measured -->")[2]
        PAGE.write_text(f"{before}<!-- measured -->\n{page}<!-- /measured -->{after}")
    print(page)
    if not {"paperbot_bars", "oracle"} <= {row["script"] for row in result["rows"]}:
        sys.exit("error: Paperbot or the oracle did not run, so nothing is compared")


if __name__ == "__main__":
    main()
