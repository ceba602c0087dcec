"""Layouts of arrays as JSON, and values of one layout put into another by the names of fields: versions may differ."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def described(dtype: np.dtype[Any]) -> Any:
    """The type as JSON can hold it."""
    return [list(field) for field in dtype.descr] if dtype.names else dtype.str


def as_dtype(description: Any) -> np.dtype[Any]:
    """What `described` described, before or after JSON."""
    if isinstance(description, str):
        return np.dtype(description)
    return np.dtype([(name, kind, *(tuple(shape) for shape in shapes)) for name, kind, *shapes in description])


def fill(into: NDArray[Any], values: NDArray[Any]) -> None:
    """Put the values into an array of another layout: what has one name and type; the rest stays as it is."""
    if values.dtype == into.dtype:
        into[:] = values
        return
    for name in set(values.dtype.names or ()) & set(into.dtype.names or ()):
        if values.dtype[name] == into.dtype[name]:
            into[name] = values[name]
