"""The benchmark's own arithmetic, and that Paperbot does the benchmark's job as its specification says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import pages  # noqa: E402
import side_by_side  # noqa: E402


def figures(peer, seconds, equity=100.0, entries=3):
    """What a peer's process writes; `seconds`: of its timed rounds."""
    return {
        "peer": peer,
        "version": "1",
        "engine_s": seconds,
        "import_s": 0.1,
        "first_run_s": 0.2,
        "first_result_s": 0.3,
        "peak_rss_mb": 50.0,
        "entries": entries,
        "exits": 3,
        "final_equity": equity,
    }


def rows(**found):
    oracle = {0: figures("loop", [4.0])}
    return {row["script"]: row for row in side_by_side.rows_of("sma", 1000, {"oracle": oracle, **found})}


def result(mine, **more):
    return {
        "date": "2026-01-01",
        "machine": "m",
        "python": "3",
        "libraries": {"numba": "0"},
        "absent": [],
        "failed": {},
        "quick": False,
        "rows": list(mine.values()),
        "sweeps": [],
        "growth": [],
        "starts": [],
        **more,
    }


def test_a_rate_is_the_median_of_the_processes_medians():
    row = rows(peer={0: figures("P", [9.0, 1.0, 2.0]), 1: figures("P", [4.0]), 2: figures("P", [3.0])})["peer"]
    assert row["seconds"] == {0: 2.0, 1: 4.0, 2: 3.0}
    assert row["bars_per_s"] == 1000 / 3.0
    assert (row["fastest_s"], row["slowest_s"], row["timed_rounds"]) == (1.0, 9.0, 5)


def test_ratios_pair_the_processes_that_ran_together():
    """The peer's first process failed: its second one is compared with our second one."""
    mine = rows(
        paperbot_bars={0: figures("Paperbot", [1.0]), 1: figures("Paperbot", [2.0])}, peer={1: figures("P", [8.0])}
    )
    line = next(line for line in pages.markdown(result(mine)).splitlines() if line.startswith("| P 1"))
    assert " 4 (4 to 4) " in line


@pytest.mark.parametrize(("equity", "entries", "agrees"), [(100.00005, 3, True), (100.5, 3, False), (100.0, 4, False)])
def test_only_a_peer_that_agrees_with_the_specification_is_comparable(equity, entries, agrees):
    mine = rows(peer={0: figures("P", [1.0], equity, entries)})
    text = pages.markdown(result(mine))
    assert mine["peer"]["comparable"] is agrees
    assert ("NOT COMPARABLE" in text) is not agrees
    assert (">P</text>" in pages.chart(list(mine.values()), 1000)) is agrees


def test_what_failed_or_is_not_installed_is_named():
    text = pages.markdown(result(rows(), absent=["nautilus"], failed={"vbt_rust sma": "no wheel"}))
    assert "Not installed here: nautilus." in text
    assert "Failed: vbt_rust sma: no wheel." in text


def test_a_peer_that_fails_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(side_by_side, "RESULTS", tmp_path)
    mine = result(rows())
    bench = side_by_side.Bench(mine, {}, tmp_path)
    assert not bench.run("peer", [sys.executable, "-c", "import sys; sys.exit('it broke')"])
    monkeypatch.setattr(side_by_side, "LONGEST_S", 0.5)
    assert not bench.run("slow", [sys.executable, "-c", "import time; time.sleep(60)"])
    bench.save()
    saved = json.loads((tmp_path / "side_by_side.json").read_text())
    assert saved["failed"] == {"peer": "it broke", "slow": "took more than 0.5 s"}
    assert len(saved["rows"]) == 1


@pytest.mark.parametrize("job", ["sma", pytest.param("rsi", marks=pytest.mark.long)])
def test_our_trades_are_those_of_the_specification(tmp_path, job):
    np.savez(tmp_path / "bars.npz", **side_by_side.bars(20_000))
    said = {}
    for script in ("oracle", "paperbot_bars"):
        out = tmp_path / f"{script}.json"
        command = [
            sys.executable,
            ROOT / "bench/peers" / f"{script}.py",
            job,
            tmp_path / "bars.npz",
            out,
            "--rounds",
            "1",
        ]
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        subprocess.run(command, check=True, env=env, cwd=ROOT / "bench/peers")
        said[script] = json.loads(out.read_text())
    ours, theirs = said["paperbot_bars"], said["oracle"]
    assert ours["entries"] == theirs["entries"] > 100
    assert ours["exits"] == theirs["exits"]
    assert ours["final_equity"] == pytest.approx(theirs["final_equity"], rel=1e-7)
