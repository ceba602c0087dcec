"""Output records joined into blocks: what a table costs, it costs per call and hardly per row."""

from collections.abc import Callable

import numpy as np

from paperbot.events import Records

BLOCK_ROWS = 1 << 14


class Gather:
    """Collects records of one layout and hands them to `take` in blocks of at least `rows`, in order.

    A part of that size passes through uncopied. Nothing is handed on later than `flush`.
    """

    def __init__(self, take: Callable[[Records], None], rows: int = BLOCK_ROWS) -> None:
        self._take = take
        self._rows = rows
        self._parts: list[bytes] = []
        self._count = 0
        self._dtype: np.dtype[np.void] | None = None

    def add(self, records: Records) -> None:
        """Take in the next records; the array may be reused afterwards."""
        if len(records) >= self._rows:
            self.flush()
            self._take(records)
            return
        # Joining bytes is one copy; joining structured arrays is a loop over their fields.
        self._parts.append(records.tobytes())
        self._dtype = records.dtype
        self._count += len(records)
        if self._count >= self._rows:
            self.flush()

    def flush(self) -> None:
        """Hand on what has been collected."""
        if self._count:
            parts, self._parts, self._count = self._parts, [], 0
            self._take(np.frombuffer(b"".join(parts), dtype=self._dtype))
