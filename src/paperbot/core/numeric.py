"""Exact integer arithmetic, the integer hash, and the decorators that compile the core.

What is compiled goes through `kernel` (core functions), `bridge` (called from Python) or `compile_strategy` of
`core/pointer.py` (a user's strategy). The flags are part of the cache's folder name: Numba keys its cache on the
decorated function's own file, and would otherwise keep running old machine code after an edit elsewhere.
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
    """The folder for machine code of exactly these sources, flags and machine target."""
    link = hashlib.sha256()
    for path in sorted(sources.glob("*.py")):
        link.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    target = os.environ.get("NUMBA_CPU_NAME", "host")
    link.update(repr((NUMBA_PIN, JIT, BOUNDS_CHECK, target)).encode())
    return root / "paperbot" / link.hexdigest()[:16]


def _cache_root() -> Path:
    chosen = os.environ.get("PAPERBOT_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    return Path(chosen) if chosen else Path.home() / ".cache"


CACHE_FOLDER = cache_folder(_cache_root(), Path(__file__).parent)
os.environ["NUMBA_CACHE_DIR"] = str(CACHE_FOLDER)

import numba  # noqa: E402  (the cache folder must be set before Numba is imported)
import numpy as np  # noqa: E402
from numba.core.caching import UserProvidedCacheLocator  # noqa: E402

from paperbot.core.types import PPB  # noqa: E402

numba.config.CACHE_DIR = str(CACHE_FOLDER)  # type: ignore[attr-defined] # Where Numba was imported before.
assert numba.__version__.startswith(NUMBA_PIN + "."), f"the core is measured with numba {NUMBA_PIN}"

F = TypeVar("F", bound=Callable[..., Any])


class ByContent(UserProvidedCacheLocator):
    """Tells Numba where machine code is: by what a source says, not by where it lies and when it was written, so that a
    second checkout of the same sources compiles nothing.
    """

    def __init__(self, function: Any, path: str) -> None:
        super().__init__(function, path)  # type: ignore[no-untyped-call]
        self._stamp = hashlib.sha256(Path(path).read_bytes()).hexdigest()

    def get_cache_path(self) -> str:
        """One folder for all."""
        return str(CACHE_FOLDER)

    def get_source_stamp(self) -> str:
        """What the machine code was made of."""
        return self._stamp

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "ByContent | None":
        """A locator for the package's own functions only."""
        return cls(py_func, py_file) if Path(py_file).parent.parent == Path(__file__).parent.parent else None


_OTHERS = "UserProvidedCacheLocator,InTreeCacheLocator,UserWideCacheLocator,IPythonCacheLocator,ZipCacheLocator"
numba.config.CACHE_LOCATOR_CLASSES = f"{__name__}.ByContent,{_OTHERS}"  # type: ignore[attr-defined]


def is_compiled() -> bool:
    """Whether the machine code of the core is there, whole."""
    return any(CACHE_FOLDER.glob("step.advance-*.nbi"))


LIMIT: Any = np.int64(1 << 62)
"""No amount, price or product may reach this magnitude."""

OVERFLOW: Any = np.int64(-(1 << 63))
"""What `mul_div` returns in place of a result of magnitude 2^62 or more. Callers compare with it before they assign."""

DOWN: Any = np.int64(0)
UP: Any = np.int64(1)
EVEN: Any = np.int64(2)

_DIGIT = (1 << 31) - 1
_SURE_BELOW = float(1 << 50)
_LARGEST_DIVISOR = np.int64(1 << 61)
_SMALL_DIVISOR = 1 << 32


def kernel(function: F | None = None, *, inline: bool = False, python: bool = False) -> Any:
    """Compile a core function: no reference counting (it allocates nothing), by force inlined if it runs on every bar.

    `_nrt=False` is a private option of Numba; without it each array view costs an incref and a decref, which was most
    of the time of a bar. Only what is marked `python` can be called from Python and has machine code of its own in the
    cache: wrappers cost compile time, and two hundred cache entries a twentieth of a start.
    """
    if function is None:
        return lambda f: kernel(f, inline=inline, python=python)
    flags: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "forceinline": inline}
    if not python:
        flags.update(no_cpython_wrapper=True, no_cfunc_wrapper=True)
    return numba.njit(cache=python, **flags)(function)


def bridge(function: F) -> Any:
    """Compile a function that Python calls with integer addresses only, and that lets other threads run meanwhile."""
    return numba.njit(cache=True, error_model="numpy", nogil=True)(function)


@kernel(python=True)
def mul_div(a: int, b: int, c: int, rounding: int) -> int:
    """A * b / c for |a|, |b| < 2^62 and 0 < c < 2^62, exact and rounded once; OVERFLOW when |result| >= 2^62.

    DOWN is toward zero, UP away from zero, EVEN half to even.
    """
    negative = (a < 0) != (b < 0)
    x = -a if a < 0 else a
    y = -b if b < 0 else b
    estimate = float(x) * float(y) / float(c)
    if estimate < _SURE_BELOW and c < _LARGEST_DIVISOR:
        # The estimate is off by one at most, and the remainder fits, though the products it is made of may wrap.
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
        # Added without a branch: which half it is cannot be predicted.
        twice = remainder - (c - remainder)
        quotient += np.int64(twice + (quotient & 1) > 0)
    if quotient >= LIMIT:
        return OVERFLOW
    return -quotient if negative else quotient


@kernel
def _divide_wide(x: int, y: int, c: int) -> tuple[int, int]:
    """(quotient, remainder) of x * y / c by long division in digits of 31 bits, so that nothing leaves int64; the
    quotient is -1 when it would reach 2^62.
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
    # As many bits of the dividend at a time as leave room above the divisor.
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
    """The share (parts per 10^9) of an amount."""
    return mul_div(a, share, PPB, rounding)


@kernel
def saturated(value: int) -> int:
    """A product that only bounds something from above: OVERFLOW becomes the largest amount there is."""
    return LIMIT - 1 if value == OVERFLOW else value


@kernel(python=True)
def to_integer(value: float) -> int:
    """A finite float64 rounded half to even; OVERFLOW when it is not finite or reaches 2^62."""
    if not (-4.6e18 < value < 4.6e18):
        return OVERFLOW
    return np.int64(np.rint(value))  # type: ignore[return-value]


@kernel(python=True)
def round_down(amount: int, step: int) -> int:
    """The largest multiple of `step` that is not above `amount` (both not negative)."""
    return amount - amount % step


@kernel(python=True)
def round_up(amount: int, step: int) -> int:
    """The smallest multiple of `step` that is not below `amount` (both not negative)."""
    return (amount + step - 1) // step * step


@kernel(python=True)
def hash64(seed: int, sequence: int, salt: int) -> int:
    """53 well-mixed bits of three integers: the only source of noise, in int64 arithmetic that never wraps."""
    state = np.int64(0x243F6A88)
    for word in (seed & _DIGIT, (seed >> 31) & _DIGIT, sequence & _DIGIT, (sequence >> 31) & _DIGIT, salt & _DIGIT):
        state = (state ^ word) & 0xFFFFFFFF
        state = _mix32(state)
    high = _mix32(state ^ 0x9E3779B9)
    low = _mix32(high ^ state ^ 0x7F4A7C15)
    return ((high & 0x1FFFFF) << 32) | low


@kernel
def _mix32(x: int) -> int:
    """A 32-bit finalizer (Wellons' lowbias32) in int64 arithmetic, 16 bits of multiplier at a time."""
    x = _times32(x ^ (x >> 16), 0x7FEB352D)
    x = _times32(x ^ (x >> 15), 0x846CA68B)
    return x ^ (x >> 16)


@kernel
def _times32(x: int, factor: int) -> int:
    low = x * (factor & 0xFFFF)
    high = (x * (factor >> 16)) & 0xFFFF
    return (low + (high << 16)) & 0xFFFFFFFF
