"""The files of a sweep: a log with one line per finished trial, and at the end one Parquet file."""

import contextlib
import io
import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from paperbot.errors import CommandError, OutputError, StateError
from paperbot.store.durable import reason_of, write_whole
from paperbot.store.parquet import lock_folder

Row = dict[str, Any]
DONE = "trials.jsonl"
RESULTS = "sweep.parquet"
PICTURE = "sweep.html"
RESTART = "use --new to start over, or --out to choose another folder"
_HEAD = b'{"sweep": "'


class TrialLog:
    """A log of finished trials by key, from which an interrupted sweep continues.

    The first line identifies the sweep. A last line that was cut off by a crash is dropped. A context manager that
    locks the folder for one sweep. `afresh` discards the log and results of an earlier sweep. Raises OutputError when
    the folder cannot be written, CommandError when it holds another sweep, and StateError when the log is damaged; the
    log is then kept.
    """

    def __init__(self, folder: Path, fingerprint: str, *, afresh: bool) -> None:
        self._path = folder / DONE
        self.rows: dict[str, Row] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                stack.enter_context(lock_folder(folder))
                # Unbuffered, so that closing the file cannot fail once more on a full disk.
                self._file = stack.enter_context(self._path.open("ab", buffering=0))
                self._begin(folder, fingerprint, afresh=afresh)
                self._held = stack.pop_all()
        except OSError as error:
            raise OutputError(f"{folder}: results cannot be written: {reason_of(error)}") from None

    def _begin(self, folder: Path, fingerprint: str, *, afresh: bool) -> None:
        """Read the log or start a new one. A log without a finished trial can be overwritten."""
        head = json.dumps({"sweep": fingerprint}).encode()
        *lines, torn = self._path.read_bytes().split(b"\n")
        first = lines[0] if lines else torn
        if afresh:
            for name in (RESULTS, PICTURE):
                (folder / name).unlink(missing_ok=True)
        elif not first.startswith(_HEAD) and (lines or not _HEAD.startswith(first)):
            raise StateError(f"{self._path}: line 1 does not identify a sweep; {RESTART}")
        elif lines and lines[0] == head:
            self._take_over(lines[1:])
            self._file.truncate(sum(len(line) + 1 for line in lines))
            return
        elif lines[1:]:
            raise CommandError(f"{folder}: holds a sweep of other settings or bars; {RESTART}")
        self._file.truncate(0)
        self._write(head + b"\n")

    def _take_over(self, lines: Sequence[bytes]) -> None:
        for number, line in enumerate(lines, 2):
            try:
                entry = json.loads(line)
                row = entry["row"]
                is_whole = entry["key"] == f"{row['fold']} {row['part']} {row['set']}"
            except (ValueError, TypeError, KeyError):  # Invalid UTF-8 is a ValueError, too.
                is_whole = False
            if not is_whole:
                raise StateError(f"{self._path}: line {number} is damaged; {RESTART}")
            self.rows[entry["key"]] = row

    def __enter__(self) -> Self:
        """Return the log; it is already open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file and release the folder."""
        self._held.close()

    def add(self, key: str, row: Row) -> None:
        """Append a finished trial. Raises OutputError."""
        try:
            self._write(json.dumps({"key": key, "row": row}).encode() + b"\n")
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {reason_of(error)}") from None
        self.rows[key] = row

    def _write(self, line: bytes) -> None:
        """Write a whole line, although a nearly full disk may take only part of it at once. Raises OSError."""
        while line:
            line = line[self._file.write(line) :]


def write_results(folder: Path, rows: Sequence[Row], columns: Iterable[str], words: Collection[str] = ()) -> Path:
    """Write the rows as Parquet, atomically. `words`: columns that are text even if all values are null.

    Raises OutputError.
    """
    table = pa.table({name: _column([row.get(name) for row in rows], is_text=name in words) for name in columns})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", store_schema=False)
    write_whole(folder / RESULTS, sink.getvalue())
    return folder / RESULTS


def _column(values: list[Any], *, is_text: bool) -> Any:
    """A column of booleans, integers or floats if all values are of that kind, else of text."""
    present = [value for value in values if value is not None]
    if not is_text and present and all(isinstance(value, bool) for value in present):
        return pa.array(values, type=pa.bool_())
    if not is_text and present and all(isinstance(value, int) and not isinstance(value, bool) for value in present):
        return pa.array(values, type=pa.int64())
    if not is_text and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return pa.array([None if value is None else float(value) for value in values], type=pa.float64())
    return pa.array([None if value is None else str(value) for value in values], type=pa.string())
