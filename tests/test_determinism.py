"""The same answer everywhere: in every process, order of the command line, interpreter, and way of running the core."""

import json
import os
import subprocess
import sys

import pytest

SHORT = ("BTC/USDT=synthetic:5:400", "ETH/USDT=synthetic:5:400")
LONG = ("BTC/USDT=synthetic:5:5000", "ETH/USDT=synthetic:5:5000", "SOL/USDT=synthetic:9:5000")
MAIN = "from paperbot.cli import main; main()"


def digest(sources, tmp_path, python=sys.executable, **env):
    """The digest that `paperbot replay` prints in a process of its own."""
    command = [python, "-c", MAIN, "replay", *sources, "--json", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["fills"] > 0
    return result["digest"]


def test_two_processes_and_any_order_of_symbols_agree(tmp_path):
    first = digest(LONG, tmp_path)
    assert digest(LONG, tmp_path, PYTHONHASHSEED="1") == first
    assert digest(LONG[::-1], tmp_path, PYTHONHASHSEED="2") == first


def test_uncompiled_core_agrees(tmp_path):
    assert digest(SHORT, tmp_path, NUMBA_DISABLE_JIT="1") == digest(SHORT, tmp_path)


PLANTED = """
import numba
import numpy as np
from paperbot.core.numeric import BOUNDS_CHECK, kernel
from paperbot.core.pointer import world_at
from paperbot.core.world import SLOTS
@kernel(python=True)
def read(values, at):
    return values[at]
@numba.njit(error_model="numpy")
def read_order(table, slot):
    return world_at(table).orders[slot]["id"]
assert BOUNDS_CHECK
memory = np.zeros(1000, dtype=np.int64)
table = np.array([memory.ctypes.data] * len(SLOTS) + [3] * len(SLOTS))
for read_badly, what, at in (
    (read, np.zeros(3), 5),
    (read_order, table.ctypes.data, 3),
    (read_order, table.ctypes.data, -1),
):
    try:
        read_badly(what, at)
    except IndexError:
        print("raised")
assert read_order(table.ctypes.data, 2) == 0
"""


def test_core_stays_in_bounds(tmp_path):
    """With bounds checks on, and proven to be on: a planted bad read raises. A warm cache would check nothing."""
    env = {**os.environ, "NUMBA_BOUNDSCHECK": "1"}
    planted = tmp_path / "planted.py"
    planted.write_text(PLANTED)
    done = subprocess.run([sys.executable, str(planted)], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == ["raised"] * 3
    assert digest(LONG, tmp_path, NUMBA_BOUNDSCHECK="1") == digest(LONG, tmp_path)


@pytest.mark.parametrize("python", os.environ.get("PAPERBOT_PYTHONS", "").split(os.pathsep))
def test_other_interpreters_agree(python, tmp_path):
    """PAPERBOT_PYTHONS: interpreters of environments with the same lock, separated as in PATH."""
    if not python:
        pytest.skip("PAPERBOT_PYTHONS names no further interpreter")
    assert digest(LONG, tmp_path, python) == digest(LONG, tmp_path)
