"""The artifacts as Parquet files: each is written whole and made durable, then all of them are renamed into place.

Row groups are cut by row count, never by how the run was cut into calls, and no path, version or wall time is stored:
two runs of one input write the same bytes.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from paperbot.errors import OutputError
from paperbot.failpoint import fail_point
from paperbot.names import Names
from paperbot.store import tables
from paperbot.store.durable import sync_folder
from paperbot.store.statistics import RoundTrips
from paperbot.store.tables import OrderTracker, SourceOf, replayed

Records = NDArray[np.void]

ROW_GROUP_ROWS = 1 << 16


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """One run at a time writes into a folder. Raises OutputError when another one does."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"{folder}: another run is writing here; choose another folder") from None
        yield
    finally:
        os.close(descriptor)


class _Table:
    """One file in the making, beside its final name."""

    def __init__(self, path: Path, schema: Any) -> None:
        self.path = path
        self.unfinished = path.with_name(f".{path.name}.unfinished")
        self._writer = pq.ParquetWriter(self.unfinished, schema, compression="zstd", store_schema=False)
        self._waiting: list[Any] = []
        self._rows = 0

    def append(self, table: Any) -> None:
        if table.num_rows == 0:
            return
        self._waiting.append(table)
        self._rows += table.num_rows
        while self._rows >= ROW_GROUP_ROWS:
            whole = pa.concat_tables(self._waiting)
            self._writer.write_table(whole.slice(0, ROW_GROUP_ROWS), row_group_size=ROW_GROUP_ROWS)
            self._waiting = [whole.slice(ROW_GROUP_ROWS)]
            self._rows -= ROW_GROUP_ROWS

    def finish(self) -> None:
        if self._rows:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=ROW_GROUP_ROWS)
        self._writer.close()
        with self.unfinished.open("rb") as file:
            os.fsync(file.fileno())

    def discard(self) -> None:
        with contextlib.suppress(OSError, pa.ArrowException):
            self._writer.close()
        self.unfinished.unlink(missing_ok=True)


class Artifacts:
    """`trades`, `ledger`, `orders`, `round_trips` and `blocked` of one run, fed with its output records.

    A context manager: left without `finish`, it leaves what was there before untouched. Raises OutputError when the
    folder cannot be written.
    """

    def __init__(self, folder: Path, names: Names, source_of: SourceOf = replayed) -> None:
        self.folder = folder
        self._names = names
        self._source_of = source_of
        self._orders = OrderTracker(names)
        self._round_trips = RoundTrips(names)
        self._tables: dict[str, _Table] = {}
        self._lock = contextlib.ExitStack()
        self._replaced = 0
        with self._guarded():
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.enter_context(lock_folder(folder))
            for name, schema in tables.SCHEMAS.items():
                self._tables[name] = _Table(folder / f"{name}.parquet", schema)

    def __enter__(self) -> Self:
        """Start writing beside the final names."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what is unfinished."""
        for table in self._tables.values():
            table.discard()
        self._lock.close()

    @contextlib.contextmanager
    def _guarded(self) -> Any:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            for table in self._tables.values():
                table.discard()
            what = f"{self._replaced} files are new already" if self._replaced else "nothing was changed"
            raise OutputError(f"{self.folder}: results cannot be written: {reason}; {what}") from None

    def add(self, records: Records) -> None:
        """Append output records."""
        with self._guarded():
            for name, table in tables.tables_of(records, self._names, self._orders, self._round_trips, self._source_of):
                self._tables[name].append(table)

    def finish(self) -> None:
        """Make all files durable, then put them in place of the old ones."""
        with self._guarded():
            self._tables["orders"].append(self._orders.still_open())
            for table in self._tables.values():
                table.finish()
                if table.path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(table.path))
            for table in self._tables.values():
                fail_point("parquet.before_rename")
                table.unfinished.replace(table.path)
                self._replaced += 1
            sync_folder(self.folder)
