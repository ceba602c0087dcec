"""Joins output records into blocks, because building a table costs time per call and hardly any per row."""

from collections.abc import Callable

import numpy as np

from paperbot.events import Records

BLOCK_ROWS = 1 << 14


class Gather:
    """Collects records of one layout and passes them to `take` in order, in blocks of at least `rows`.

    An array of that size is passed on without a copy. `flush` passes on everything that remains.
    """

    def __init__(self, take: Callable[[Records], None], rows: int = BLOCK_ROWS) -> None:
        self._take = take
        self._rows = rows
        self._parts: list[bytes] = []
        self._count = 0
        self._dtype: np.dtype[np.void] | None = None

    def add(self, records: Records) -> None:
        """Add the next records; the caller may reuse the array afterwards."""
        if len(records) >= self._rows:
            self.flush()
            self._take(records)
            return
        # Joining bytes is one copy; joining structured arrays loops over their fields.
        self._parts.append(records.tobytes())
        self._dtype = records.dtype
        self._count += len(records)
        if self._count >= self._rows:
            self.flush()

    def flush(self) -> None:
        """Pass on all collected records."""
        if self._count:
            parts, self._parts, self._count = self._parts, [], 0
            self._take(np.frombuffer(b"".join(parts), dtype=self._dtype))
