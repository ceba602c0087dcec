"""The one product of money, and the noise, against plain integers."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effort import amount
from paperbot.core import numeric

LIMIT = 1 << 62
amounts = st.one_of(
    st.integers(-LIMIT + 1, LIMIT - 1), st.integers(-(10**9), 10**9), st.sampled_from([0, 1, -1, 10**8, LIMIT - 1])
)
divisors = st.one_of(st.integers(1, LIMIT - 1), st.sampled_from([1, 2, 10**8, 10**9, 2**32 - 1, 2**32, LIMIT - 1]))


def exactly(a: int, b: int, c: int, rounding: int) -> int:
    """a * b / c in unbounded integers."""
    quotient, rest = divmod(abs(a) * abs(b), c)
    if rounding == numeric.UP:
        quotient += rest > 0
    elif rounding == numeric.EVEN:
        quotient += 2 * rest > c or (2 * rest == c and quotient % 2)
    sign = -1 if (a < 0) != (b < 0) else 1
    return int(numeric.OVERFLOW) if quotient >= LIMIT else sign * quotient


@settings(max_examples=amount(3000, 1000))
@given(amounts, amounts, divisors, st.sampled_from([0, 1, 2]))
def test_mul_div_is_exact_and_rounds_once(a, b, c, rounding):
    assert numeric.mul_div(a, b, c, rounding) == exactly(a, b, c, rounding)


@settings(max_examples=1000)
@given(st.integers(0, 2**31), st.integers(0, 2**31), st.integers(1, 2**31), st.sampled_from([0, 1, 2]))
def test_mul_div_on_its_fast_path(a, b, c, rounding):
    assert numeric.mul_div(a, b, c, rounding) == exactly(a, b, c, rounding)


@pytest.mark.parametrize("bits", [*range(48, 55), *range(60, 64)])
@pytest.mark.parametrize("rounding", [numeric.DOWN, numeric.UP, numeric.EVEN])
def test_mul_div_around_the_bounds_of_its_ways(bits, rounding):
    """Quotients where an estimate in float64 stops being off by one at most, and where they leave the range; the
    remainders are the ends of theirs.
    """
    draw = random.Random(bits)  # noqa: S311
    wrong = []
    for _ in range(1500):
        c = draw.getrandbits(draw.randrange(2, 62)) + 1
        quotient, rest = draw.getrandbits(bits) | 1 << bits - 1, draw.choice([0, 1, c // 2, c - 1, draw.randrange(c)])
        x = min(draw.getrandbits(draw.randrange(2, 62)) + 1, LIMIT - 1)
        y = min((quotient * c + rest) // x, LIMIT - 1)
        if numeric.mul_div(x, y, c, rounding) != exactly(x, y, c, rounding):
            wrong.append((x, y, c))
    assert wrong == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (float("nan"), None), (float("inf"), None), (1e30, None)],
)
def test_to_integer_rounds_half_to_even_and_refuses_what_it_cannot_hold(value, expected):
    assert numeric.to_integer(value) == (numeric.OVERFLOW if expected is None else expected)


@given(st.integers(0, 10**12), st.integers(1, 10**6))
def test_steps(amount, step):
    assert numeric.round_down(amount, step) == amount // step * step
    assert numeric.round_up(amount, step) == -(-amount // step) * step


def test_noise_is_uniform_and_fixed():
    values = np.array([numeric.hash64(7, k, 3) for k in range(20_000)]) / 2.0**53
    assert abs(values.mean() - 0.5) < 0.01
    assert abs(values.std() - 12**-0.5) < 0.01
    assert numeric.hash64(1, 2, 3) == 7269949581558207  # The same on every machine, for ever.
    assert len({numeric.hash64(1, 2, 3), numeric.hash64(2, 1, 3), numeric.hash64(1, 3, 2)}) == 3


CHANGED = """
import sys
sys.path.insert(0, sys.argv[1])
from paperbot.core import numeric
print(numeric.CACHE_FOLDER.name, numeric.ppb(10**9, 5, 0))
"""


def test_an_edit_in_a_leaf_file_changes_what_runs(tmp_path):
    """Numba's own cache would go on with the old machine code: `ppb` stands in the same file as what is edited, but any
    file of the core moves the cache folder."""
    source = Path(numeric.__file__).parents[1]
    shutil.copytree(source, tmp_path / "paperbot", ignore=shutil.ignore_patterns("__pycache__"))

    def run() -> list[str]:
        env = {"PAPERBOT_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/usr/bin"}
        done = subprocess.run(
            [sys.executable, "-c", CHANGED, str(tmp_path)], capture_output=True, text=True, check=True, env=env
        )
        return done.stdout.split()

    folder, before = run()
    leaf = tmp_path / "paperbot" / "core" / "codes.py"
    leaf.write_text(leaf.read_text().replace("np.int64(1_000_000_000)", "np.int64(500_000_000)"))
    other_folder, after = run()
    assert (before, after) == ("5", "10")
    assert folder != other_folder
