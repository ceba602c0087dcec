"""Structured types whose fields fill them: see `core/types.py` for why a gap would be a bug."""

import numpy as np
from numpy.typing import NDArray


def record(size: int, *fields: tuple[str, str] | tuple[str, str, int]) -> np.dtype[np.void]:
    """A structured dtype of exactly `size` bytes, whose fields fill it without a gap.

    Raises AssertionError when they do not.
    """
    dtype = np.dtype(list(fields))
    assert dtype.fields is not None
    filled = sum(np.dtype(field[0]).itemsize for field in dtype.fields.values())
    assert dtype.itemsize == filled == size, (dtype, filled, size)
    return dtype


def of_kind(records: NDArray[np.void], kind: int, view: np.dtype[np.void]) -> NDArray[np.void]:
    """The output records of a kind, as that kind's view of them (a copy).

    They are picked as blocks of bytes: NumPy copies structured records field by field, which takes seven times as long.
    """
    blocks = records.view(f"V{records.dtype.itemsize}")
    return np.compress(records["kind"] == kind, blocks).view(view)


def words(*names: str) -> list[tuple[str, str]]:
    """Fields of int64."""
    return [(name, "<i8") for name in names]
