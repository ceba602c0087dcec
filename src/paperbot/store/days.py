"""A long session's artifacts: one part file per finished UTC day, joined row group by row group.

A refresh therefore converts only new records and copies the rest. The part files are derived: they are rebuilt from the
output records whenever the session is opened.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from paperbot.core import types as t
from paperbot.errors import OutputError
from paperbot.events import Records
from paperbot.names import Names
from paperbot.store import tables
from paperbot.store.durable import discard, reason_of, replace_all, unfinished
from paperbot.store.parquet import FILES, lock_folder, write_beside
from paperbot.store.statistics import RoundTrips
from paperbot.store.tables import OrderTracker, SourceOf


class DayArtifacts:
    """Writes the tables of `store/tables.py` to `out`, from records as they arrive. Part files go to `days`.

    Raises OutputError when a folder cannot be written; the files in `out` are then unchanged.
    """

    def __init__(self, out: Path, days: Path, names: Names, source_of: SourceOf) -> None:
        self.out, self._days = out, days
        self._names, self._source_of = names, source_of
        self._orders, self._round_trips = OrderTracker(names), RoundTrips(names)
        self._today: dict[str, list[Any]] = {name: [] for name in tables.SCHEMAS}
        self._day = -1
        self._parts: list[str] = []
        self._changed = set(tables.SCHEMAS)
        self.count = 0

    def add(self, records: Records) -> None:
        """Add the next records."""
        self.count += len(records)
        # A record at midnight belongs to the day that ends; a session's opening row belongs to the day that begins.
        days = (records["ts"] - (records["seq"] != 1)) // int(t.DAY_NS)
        # A command after midnight may precede the slice that ends the old day, so never step back to an earlier day.
        days = np.maximum.accumulate(np.maximum(days, self._day))
        edges = np.flatnonzero(np.diff(days)) + 1
        starts = [0, *edges.tolist()]
        for start, part in zip(starts, np.split(records, edges), strict=True) if len(records) else []:
            day = int(days[start])
            if self._day not in {-1, day}:
                self._close_day()
            self._day = day
            for name, table in tables.tables_of(part, self._names, self._orders, self._round_trips, self._source_of):
                self._today[name].append(table)
                if table.num_rows:
                    self._changed.add(name)

    def _close_day(self) -> None:
        """Write the finished day's rows to part files."""
        label = str(np.datetime64(self._day, "D"))
        with self._guarded(self._days):
            self._days.mkdir(parents=True, exist_ok=True)
            for name, schema in tables.SCHEMAS.items():
                table = pa.concat_tables(self._today[name]) if self._today[name] else schema.empty_table()
                pq.write_table(table, self._days / f"{label}.{name}.parquet", compression="zstd", store_schema=False)
        self._today = {name: [] for name in tables.SCHEMAS}
        self._parts.append(label)

    def write(self, closing: Records, candles: Any, summary: Mapping[str, Any]) -> None:
        """Replace the files in `out`. `closing`: records for this write only (the closing ledger row).

        The file of a table without new rows since the last call is left alone.
        """
        changed = {*self._changed, "ledger", "orders"}  # Their last rows show the current state.
        with self._guarded(self.out), contextlib.ExitStack() as stack:
            self.out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock_folder(self.out))
            unchanged = {f"{name}.parquet" for name in tables.SCHEMAS.keys() - changed}
            paths = [self.out / name for name in FILES if name not in unchanged or not (self.out / name).is_file()]
            stack.callback(discard, paths)
            for name, schema in tables.SCHEMAS.items():
                if self.out / f"{name}.parquet" not in paths:
                    continue
                new = unfinished(self.out / f"{name}.parquet")
                with pq.ParquetWriter(new, schema, compression="zstd", store_schema=False) as writer:
                    for group in self._groups(name, closing):
                        if group.num_rows:
                            writer.write_table(group)
            write_beside(self.out, candles, summary)
            replace_all(paths, point="parquet")
        self._changed.clear()

    def _groups(self, name: str, closing: Records) -> Iterator[Any]:
        """Yield the parts' row groups, then today's rows with the closing ledger row or the open orders."""
        for label in self._parts:
            part = pq.ParquetFile(self._days / f"{label}.{name}.parquet")
            for index in range(part.num_row_groups):
                yield part.read_row_group(index)
        today = list(self._today[name])
        if name == "ledger":
            today.append(tables.ledger_table(closing, self._names))
        elif name == "orders":
            today.append(self._orders.still_open())
        yield pa.concat_tables(today) if today else tables.SCHEMAS[name].empty_table()

    @contextlib.contextmanager
    def _guarded(self, folder: Path) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise OutputError(f"{folder}: results cannot be written: {reason_of(error)}") from None
