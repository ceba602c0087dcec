"""A long session's artifacts: each closed UTC day is a part file, and the whole is put together row group by row group.

So that refreshing costs what is new and a copy, not the session's whole past. Parts are derived: they are made anew
from the output records whenever the session is opened.
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
    """The tables of `store/tables.py` in `out`, fed with records as they come; parts go to `days`.

    Raises OutputError when a folder cannot be written; what was in `out` is then as it was.
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
        """Take in the next records."""
        self.count += len(records)
        # What closes at midnight ends the old day; the opening row of a session begins a new one.
        days = (records["ts"] - (records["seq"] != 1)) // int(t.DAY_NS)
        # A command at the venue's or our own time may stand before the slice that ends its day: days never go back.
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
        """The day is over: its rows become part files."""
        label = str(np.datetime64(self._day, "D"))
        with self._guarded(self._days):
            self._days.mkdir(parents=True, exist_ok=True)
            for name, schema in tables.SCHEMAS.items():
                table = pa.concat_tables(self._today[name]) if self._today[name] else schema.empty_table()
                pq.write_table(table, self._days / f"{label}.{name}.parquet", compression="zstd", store_schema=False)
        self._today = {name: [] for name in tables.SCHEMAS}
        self._parts.append(label)

    def write(self, closing: Records, candles: Any, summary: Mapping[str, Any]) -> None:
        """Put the whole files in place; `closing`: records of this moment (the closing ledger row) that do not stay.

        A table without a new row since the last call is left as it is.
        """
        changed = {*self._changed, "ledger", "orders"}  # Their last rows are of this moment.
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
        """The parts' row groups, then today's rows and those of this moment."""
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
