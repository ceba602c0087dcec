"""Builds record types: structured dtypes without gaps, whose fields each have a line of explanation.

A gap between fields would hold different garbage in each process and break the comparison of state by bytes, so
`record` refuses one at import.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Field(NamedTuple):
    """One field of a record. `length` is 1 for a single value."""

    name: str
    kind: str
    meaning: str
    length: int = 1


def word(name: str, meaning: str, length: int = 1) -> Field:
    """A field of int64."""
    return Field(name, "<i8", meaning, length)


def number(name: str, meaning: str, length: int = 1) -> Field:
    """A field of float64."""
    return Field(name, "<f8", meaning, length)


def half(name: str, meaning: str) -> Field:
    """A field of int32."""
    return Field(name, "<i4", meaning)


def short(name: str, meaning: str) -> Field:
    """A field of int16."""
    return Field(name, "<i2", meaning)


def byte(name: str, meaning: str) -> Field:
    """A field of int8."""
    return Field(name, "i1", meaning)


def fillers(first: int, count: int) -> list[Field]:
    """A number of unused words, which are 0."""
    return [word(f"filler_{first + k}", "Unused.") for k in range(count)]


def record(size: int, *fields: Field) -> np.dtype[np.void]:
    """A structured dtype of exactly `size` bytes, whose fields fill it without a gap.

    Raises AssertionError if they do not, or if a field has no explanation.
    """
    assert all(field.meaning.endswith(".") for field in fields), [field.name for field in fields]
    described = [
        (field.name, field.kind) if field.length == 1 else (field.name, field.kind, field.length) for field in fields
    ]
    dtype: np.dtype[np.void] = np.dtype(described)
    assert dtype.fields is not None
    filled = sum(np.dtype(field[0]).itemsize for field in dtype.fields.values())
    assert dtype.itemsize == filled == size, (dtype, filled, size)
    return dtype


def of_kind(records: NDArray[np.void], kind: int, view: np.dtype[np.void]) -> NDArray[np.void]:
    """Copy the output records of one kind, in that kind's view.

    Records are selected as blocks of bytes: NumPy copies structured records field by field, which takes seven times as
    long.
    """
    blocks = records.view(f"V{records.dtype.itemsize}")
    return np.compress(records["kind"] == kind, blocks).view(view)
