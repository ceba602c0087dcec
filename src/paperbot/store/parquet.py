"""The artifacts as Parquet files: all are written to temporary files and made durable, then renamed into place.

Row groups are cut by row count, not by how the run was cut into calls, and no path, version or wall time is stored: two
runs on the same input write the same bytes.
"""

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from paperbot.errors import OutputError
from paperbot.names import Names
from paperbot.store import tables
from paperbot.store.durable import discard, reason_of, replace_all, unfinished
from paperbot.store.statistics import RoundTrips
from paperbot.store.tables import OrderTracker, SourceOf, replayed

Records = NDArray[np.void]

ROW_GROUP_ROWS = 1 << 16
RUN_FILE = "run.json"
FILES = (*(f"{name}.parquet" for name in tables.SCHEMAS), "candles.parquet", RUN_FILE)
"""The files that a run writes: its tables, the candles for its page, and its summary."""


def write_beside(folder: Path, candles: Any, summary: Mapping[str, Any]) -> None:
    """Write candles (CANDLES) and summary to their temporary files. Raises OSError."""
    pq.write_table(candles, unfinished(folder / "candles.parquet"), compression="zstd", store_schema=False)
    text = json.dumps(summary, indent=1) + "\n"
    unfinished(folder / RUN_FILE).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder, so that only one run writes to it. Raises OutputError when another run holds the lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"{folder}: another run is writing to this folder; choose another one") from None
        yield
    finally:
        os.close(descriptor)


class _Table:
    """One Parquet file, written to its temporary path."""

    def __init__(self, path: Path, schema: Any) -> None:
        self._writer = pq.ParquetWriter(unfinished(path), schema, compression="zstd", store_schema=False)
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

    def discard(self) -> None:
        with contextlib.suppress(OSError, pa.ArrowException):
            self._writer.close()


class Artifacts:
    """Writes the files of one run (`FILES`) from its output records.

    A context manager: without `finish`, the old files stay unchanged. Raises OutputError when the folder cannot be
    written.
    """

    def __init__(self, folder: Path, names: Names, source_of: SourceOf = replayed) -> None:
        self.folder = folder
        self._names = names
        self._source_of = source_of
        self._orders = OrderTracker(names)
        self._round_trips = RoundTrips(names)
        self._tables: dict[str, _Table] = {}
        self._lock = contextlib.ExitStack()
        self._paths = [folder / name for name in FILES]
        self._replaced: list[Path] = []
        self._finished = False
        self._is_new = not folder.exists()
        with self._guarded():
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.enter_context(lock_folder(folder))
            for name, schema in tables.SCHEMAS.items():
                self._tables[name] = _Table(folder / f"{name}.parquet", schema)

    def __enter__(self) -> Self:
        """Return the artifacts; their temporary files are open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the temporary files, unless `finish` was called, and release the folder."""
        if not self._finished:
            self._discard()
        self._lock.close()

    def _discard(self) -> None:
        for table in self._tables.values():
            table.discard()
        with contextlib.suppress(OSError):
            discard(self._paths)
        if self._is_new:
            with contextlib.suppress(OSError):  # The folder may hold other files.
                self.folder.rmdir()

    @contextlib.contextmanager
    def _guarded(self) -> Any:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            self._discard()
            what = f"{len(self._replaced)} files were already replaced" if self._replaced else "nothing was changed"
            raise OutputError(f"{self.folder}: results cannot be written: {reason_of(error)}; {what}") from None

    def add(self, records: Records) -> None:
        """Append output records."""
        with self._guarded():
            for name, table in tables.tables_of(records, self._names, self._orders, self._round_trips, self._source_of):
                self._tables[name].append(table)

    def finish(self, candles: Any, summary: Mapping[str, Any]) -> None:
        """Make all files durable, replace the old ones, and release the folder.

        `candles`: see `Chart.table`.
        """
        with self._guarded():
            self._tables["orders"].append(self._orders.still_open())
            for table in self._tables.values():
                table.finish()
            write_beside(self.folder, candles, summary)
            for path in self._paths:
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            replace_all(self._paths, self._replaced, "parquet")
        self._finished = True
        self._lock.close()
