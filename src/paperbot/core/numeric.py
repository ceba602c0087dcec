"""Exact integer arithmetic, the integer hash, and the decorators that compile the core.

All compilation goes through `kernel` (core functions), `bridge` (functions called from Python) or `compile_strategy` in
`core/pointer.py` (users' strategies). The name of the cache folder contains a hash of all core sources and flags: Numba
keys its cache on the decorated function's own file, and would otherwise run old machine code after an edit elsewhere.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") in {"", "0"}
BOUNDS_CHECK = os.environ.get("NUMBA_BOUNDSCHECK", "0") not in {"", "0"}
NUMBA_PIN = "0.68"


def cache_folder(root: Path, sources: Path) -> Path:
    """The cache folder for exactly these sources, flags and target CPU."""
    digest = hashlib.sha256()
    for path in sorted(sources.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    target = os.environ.get("NUMBA_CPU_NAME", "host")
    digest.update(repr((NUMBA_PIN, JIT, BOUNDS_CHECK, target)).encode())
    return root / "paperbot" / digest.hexdigest()[:16]


def _cache_root() -> Path:
    chosen = os.environ.get("PAPERBOT_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    return Path(chosen) if chosen else Path.home() / ".cache"


CACHE_FOLDER = cache_folder(_cache_root(), Path(__file__).parent)
os.environ["NUMBA_CACHE_DIR"] = str(CACHE_FOLDER)

import numba  # noqa: E402  (the cache folder must be set before Numba is imported)
import numpy as np  # noqa: E402
from numba.core.caching import UserProvidedCacheLocator  # noqa: E402

from paperbot.core.types import PPB  # noqa: E402

numba.config.CACHE_DIR = str(CACHE_FOLDER)  # type: ignore[attr-defined] # If Numba was imported earlier.
assert numba.__version__.startswith(NUMBA_PIN + "."), f"the core is measured with numba {NUMBA_PIN}"

F = TypeVar("F", bound=Callable[..., Any])


class ByContent(UserProvidedCacheLocator):
    """Locates cached machine code by the content of a source file instead of its path and modification time.

    A second checkout of the same sources therefore compiles nothing.
    """

    def __init__(self, function: Any, path: str) -> None:
        super().__init__(function, path)  # type: ignore[no-untyped-call]
        self._stamp = hashlib.sha256(Path(path).read_bytes()).hexdigest()

    def get_cache_path(self) -> str:
        """The cache folder, the same for all functions."""
        return str(CACHE_FOLDER)

    def get_source_stamp(self) -> str:
        """The hash of the source file."""
        return self._stamp

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "ByContent | None":
        """A locator for functions of this package, None for all others."""
        return cls(py_func, py_file) if Path(py_file).parent.parent == Path(__file__).parent.parent else None


_OTHERS = "UserProvidedCacheLocator,InTreeCacheLocator,UserWideCacheLocator,IPythonCacheLocator,ZipCacheLocator"
numba.config.CACHE_LOCATOR_CLASSES = f"{__name__}.ByContent,{_OTHERS}"  # type: ignore[attr-defined]


def is_compiled() -> bool:
    """Whether the cache holds the machine code of `step.advance`, and so of the whole core."""
    return any(CACHE_FOLDER.glob("step.advance-*.nbi"))


LIMIT: Any = np.int64(1 << 62)
"""All amounts, prices and products must be smaller than this in magnitude."""

OVERFLOW: Any = np.int64(-(1 << 63))
"""`mul_div` returns this if the result would be 2^62 or more in magnitude. Callers must check before they assign."""

DOWN: Any = np.int64(0)
UP: Any = np.int64(1)
EVEN: Any = np.int64(2)

_DIGIT = (1 << 31) - 1
_SURE_BELOW = float(1 << 50)
_LARGEST_DIVISOR = np.int64(1 << 61)
_SMALL_DIVISOR = 1 << 32


def kernel(function: F | None = None, *, inline: bool = False, python: bool = False) -> Any:
    """Compile a core function, without reference counting because it allocates nothing.

    `inline`: force inlining, for functions that run on every bar. `python`: callable from Python, and cached.

    `_nrt=False` is a private option of Numba; without it, the incref and decref of each array view took most of the
    time of a bar. All other functions get neither wrapper nor cache entry: wrappers cost compile time, and two hundred
    cache entries cost a twentieth of the startup time.
    """
    if function is None:
        return lambda f: kernel(f, inline=inline, python=python)
    flags: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "forceinline": inline}
    if not python:
        flags.update(no_cpython_wrapper=True, no_cfunc_wrapper=True)
    return numba.njit(cache=python, **flags)(function)


def bridge(function: F) -> Any:
    """Compile a function that Python calls with integers only; it releases the GIL while it runs."""
    return numba.njit(cache=True, error_model="numpy", nogil=True)(function)


@kernel(python=True)
def mul_div(a: int, b: int, c: int, rounding: int) -> int:
    """Compute a * b / c exactly and round once; OVERFLOW if |result| >= 2^62. Needs |a|, |b| < 2^62 and 0 < c < 2^62.

    `rounding`: DOWN is toward zero, UP away from zero, EVEN half to even.
    """
    negative = (a < 0) != (b < 0)
    x = -a if a < 0 else a
    y = -b if b < 0 else b
    estimate = float(x) * float(y) / float(c)
    if estimate < _SURE_BELOW and c < _LARGEST_DIVISOR:
        # The estimate is off by at most one, and the remainder fits, even if the products it is computed from wrap.
        quotient: Any = np.int64(estimate)
        remainder = x * y - quotient * c
        if remainder < 0:
            quotient -= 1
            remainder += c
        elif remainder >= c:
            quotient += 1
            remainder -= c
    else:
        quotient, remainder = _divide_wide(x, y, c)
        if quotient < 0:
            return OVERFLOW
    if rounding == UP:
        if remainder > 0:
            quotient += 1
    elif rounding == EVEN:
        # Without a branch, because the processor could not predict it.
        twice = remainder - (c - remainder)
        quotient += np.int64(twice + (quotient & 1) > 0)
    if quotient >= LIMIT:
        return OVERFLOW
    return -quotient if negative else quotient


@kernel
def _divide_wide(x: int, y: int, c: int) -> tuple[int, int]:
    """(quotient, remainder) of x * y / c, by long division with 31-bit digits, so that nothing exceeds int64.

    The quotient is -1 if it would reach 2^62.
    """
    x1, x0 = x >> 31, x & _DIGIT
    y1, y0 = y >> 31, y & _DIGIT
    low = x0 * y0
    middle = x1 * y0 + (low >> 31)
    cross = x0 * y1 + (middle & _DIGIT)
    high = x1 * y1 + (middle >> 31) + (cross >> 31)
    d1 = cross & _DIGIT
    d0 = low & _DIGIT
    if high >= c:
        return -1, 0
    remainder = high
    if c < _SMALL_DIVISOR:
        step = (remainder << 31) | d1
        q1 = step // c
        step = ((step - q1 * c) << 31) | d0
        q0 = step // c
        return (q1 << 31) + q0, step - q0 * c
    # Take as many bits of the dividend at a time as fit into int64 above the divisor.
    width = 1
    while width < 30 and c < LIMIT >> (width + 1):
        width += 1
    rest = (d1 << 31) | d0
    quotient: Any = np.int64(0)
    left = 62
    while left > 0:
        width = min(width, left)
        left -= width
        remainder = (remainder << width) | ((rest >> left) & ((1 << width) - 1))
        digit = remainder // c
        quotient = (quotient << width) | digit
        remainder -= digit * c
    return quotient, remainder


@kernel(python=True)
def ppb(a: int, share: int, rounding: int) -> int:
    """Compute a share, in parts per 10^9, of an amount."""
    return mul_div(a, share, PPB, rounding)


@kernel
def saturated(value: int) -> int:
    """Replace OVERFLOW by the largest amount; for products that are only used as upper bounds."""
    return LIMIT - 1 if value == OVERFLOW else value


@kernel(python=True)
def to_integer(value: float) -> int:
    """Round a float64 half to even; OVERFLOW if it is not finite or reaches about 2^62."""
    if not (-4.6e18 < value < 4.6e18):
        return OVERFLOW
    return np.int64(np.rint(value))  # type: ignore[return-value]


@kernel(python=True)
def round_down(amount: int, step: int) -> int:
    """Round down to a multiple of `step`; neither argument may be negative."""
    return amount - amount % step


@kernel(python=True)
def round_up(amount: int, step: int) -> int:
    """Round up to a multiple of `step`; neither argument may be negative."""
    return (amount + step - 1) // step * step


@kernel(python=True)
def hash64(seed: int, sequence: int, salt: int) -> int:
    """Hash three integers to 53 bits: the only source of noise, in int64 arithmetic that never wraps."""
    state = np.int64(0x243F6A88)
    for word in (seed & _DIGIT, (seed >> 31) & _DIGIT, sequence & _DIGIT, (sequence >> 31) & _DIGIT, salt & _DIGIT):
        state = (state ^ word) & 0xFFFFFFFF
        state = _mix32(state)
    high = _mix32(state ^ 0x9E3779B9)
    low = _mix32(high ^ state ^ 0x7F4A7C15)
    return ((high & 0x1FFFFF) << 32) | low


@kernel
def _mix32(x: int) -> int:
    """Mix 32 bits (Wellons' lowbias32) in int64 arithmetic, 16 bits of the multiplier at a time."""
    x = _times32(x ^ (x >> 16), 0x7FEB352D)
    x = _times32(x ^ (x >> 15), 0x846CA68B)
    return x ^ (x >> 16)


@kernel
def _times32(x: int, factor: int) -> int:
    low = x * (factor & 0xFFFF)
    high = (x * (factor >> 16)) & 0xFFFF
    return (low + (high << 16)) & 0xFFFFFFFF
