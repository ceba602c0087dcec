"""A session's output records in one file, from which the artifacts are made.

The file is derived: after a crash it is truncated to the last snapshot and rewritten from the journal's tail. Records
need not be durable before a snapshot counts them.
"""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from paperbot.core import types as t
from paperbot.errors import OutputError
from paperbot.events import Records

BATCH = 1 << 16
_BYTES = t.OUTPUT_BYTES


class OutputLog:
    """The file of output records, open for appending."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab")
        self.count = self._file.tell() // _BYTES

    def append(self, records: Records) -> None:
        """Append records; readers see them at once. Raises OutputError."""
        try:
            self._file.write(np.ascontiguousarray(records).view(np.uint8).data)
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}; the journal has everything") from None
        self.count += len(records)

    def cut(self, count: int) -> bool:
        """Keep only the first `count` records. Returns False when there are fewer."""
        if self.count < count:
            return False
        self._file.truncate(count * _BYTES)
        self._file.seek(0, os.SEEK_END)
        self.count = count
        return True

    def read(self, after: int = 0) -> Iterator[Records]:
        """All records after the first `after`, in batches."""
        return read_outputs(self.path, after)

    def backwards(self) -> Iterator[Records]:
        """All records in batches, the last batch first."""
        return read_backwards(self.path)

    def sync(self) -> None:
        """Make the file durable. Raises OutputError."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be made durable: {error.strerror}") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class OutputView:
    """A read-only view of output records: the first `kept` records of the file, then `tail`, the records of the
    journal's last inputs.
    """

    def __init__(self, path: Path, kept: int, tail: list[Records]) -> None:
        self.path = path
        self._kept, self._tail = kept, tail

    @property
    def count(self) -> int:
        """The number of records."""
        return self._kept + sum(map(len, self._tail))

    def read(self, after: int = 0) -> Iterator[Records]:
        """All records after the first `after`, in batches."""
        passed = 0
        for records in chain(first_records(read_outputs(self.path), self._kept), self._tail):
            if passed + len(records) > after:
                yield records[max(after - passed, 0) :]
            passed += len(records)

    def backwards(self) -> Iterator[Records]:
        """All records in batches, the last batch first."""
        yield from reversed(self._tail)
        yield from read_backwards(self.path, self._kept)

    def close(self) -> None:
        """Do nothing: no file is open."""


def first_records(batches: Iterator[Records], count: int) -> Iterator[Records]:
    """The first `count` records of these batches."""
    for records in batches:
        if count <= 0:
            return
        yield records[:count]
        count -= len(records)


def read_outputs(path: Path, after: int = 0) -> Iterator[Records]:
    """All complete records of the file after the first `after`, in batches."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(after * _BYTES)
        while content := file.read(BATCH * _BYTES):
            whole = len(content) // _BYTES * _BYTES
            yield np.frombuffer(content[:whole], dtype=t.OUT_HEAD)


def read_backwards(path: Path, most: int | None = None) -> Iterator[Records]:
    """All complete records of the file, or only its first `most`, in batches, the last batch first."""
    size = path.stat().st_size // _BYTES if path.exists() else 0
    size = size if most is None else min(size, most)
    if size == 0:
        return
    with path.open("rb") as file:
        while size > 0:
            start = max(size - BATCH, 0)
            file.seek(start * _BYTES)
            yield np.frombuffer(file.read((size - start) * _BYTES), dtype=t.OUT_HEAD)
            size = start
