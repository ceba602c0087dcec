"""Stores layouts of arrays as JSON, and copies values between the layouts of different versions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def described(dtype: np.dtype[Any]) -> Any:
    """Describe a dtype with JSON types."""
    return [list(field) for field in dtype.descr] if dtype.names else dtype.str


def as_dtype(description: Any) -> np.dtype[Any]:
    """Restore the dtype from a result of `described`, before or after JSON."""
    if isinstance(description, str):
        return np.dtype(description)
    return np.dtype([(name, kind, *(tuple(shape) for shape in shapes)) for name, kind, *shapes in description])


def fill(into: NDArray[Any], values: NDArray[Any]) -> None:
    """Copy the fields that have the same name and type in both arrays; all others stay unchanged."""
    if values.dtype == into.dtype:
        into[:] = values
        return
    for name in set(values.dtype.names or ()) & set(into.dtype.names or ()):
        if values.dtype[name] == into.dtype[name]:
            into[name] = values[name]
