"""The built wheel works in an empty folder, without the source tree."""

import json
import subprocess
import sys
import zipfile

import pytest

from shell import ROOT, environment


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Where the wheel's content lies, alone on the path before anything else."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, text=True)
    (built,) = folder.glob("paperbot-*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(wheel, folder, *command, **variables):
    full = [sys.executable, "-m", "paperbot.main", *command]
    env = environment(PYTHONPATH=str(wheel), **variables)
    return subprocess.run(full, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_nothing_comes_from_the_source_tree(wheel, tmp_path):
    code = "import paperbot, paperbot.config as c; print(paperbot.__file__, c.SHIPPED)"
    command, env = [sys.executable, "-c", code], environment(PYTHONPATH=str(wheel))
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.count(str(wheel)) == 2


def test_the_demo_runs_in_an_empty_folder_and_comes_to_the_same_digest(wheel, tmp_path):
    done = run(wheel, tmp_path, "demo", PROMETHEUS_PORT="0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("execution demo complete")
    (tmp_path / "checkout").mkdir()
    command = [sys.executable, "-m", "paperbot.main", "demo"]
    env = environment(PROMETHEUS_PORT="0", PYTHONPATH=str(ROOT / "src"))
    ours = subprocess.run(command, cwd=tmp_path / "checkout", env=env, capture_output=True, text=True, check=True)
    assert [line for line in ours.stdout.splitlines() if "digest" in line] == [
        line for line in done.stdout.splitlines() if "digest" in line
    ]


@pytest.mark.long
def test_a_first_hour_in_an_empty_folder(wheel, tmp_path):
    made = run(wheel, tmp_path, "config", "init")
    assert made.returncode == 0, made.stderr
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        *("config/config.yaml", "strategies/breakout.py", "strategies/weekday.py")
    ]
    again = run(wheel, tmp_path, "config", "init")
    assert (again.returncode, "already exists" in again.stderr) == (2, True)
    assert run(wheel, tmp_path, "config", "check").stdout.startswith("the configuration is valid")
    times = [f"2024-01-01 {k // 60:02d}:{k % 60:02d}" for k in range(200)]
    lines = [f"{time},{100 + k % 9}.25,{110 + k % 9},90,{100 + k % 7},500" for k, time in enumerate(times)]
    (tmp_path / "bars.csv").write_text("\n".join(["date,open,high,low,close,volume", *lines]) + "\n")
    mine = ("--set", "strategies=[{name: weekday, path: strategies/weekday.py}]")
    tuned = ("--set", "strategies.weekday.params.rsi=40")
    replayed = run(wheel, tmp_path, "replay", "btcusdt=bars.csv", *mine, *tuned, "--json")
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads(replayed.stdout)["symbols"] == ["BTC/USDT"]
    assert run(wheel, tmp_path, "config", "show", "PEPE/USDT").returncode == 0
