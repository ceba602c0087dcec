"""What a sweep leaves behind: each trial as it is done, a line each, and in the end one Parquet file."""

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
_HEAD = b'{"sweep": "'


class TrialLog:
    """Lines of finished trials, by key; a sweep that was interrupted goes on behind them.

    The first line says which sweep it is. A last line that was cut off by a crash is dropped. A context manager: one
    sweep at a time has the folder. `afresh` replaces another sweep, and removes its results. Raises OutputError when it
    cannot be written, CommandError when it holds another sweep, and StateError when it is damaged: it is kept then.
    """

    def __init__(self, folder: Path, fingerprint: str, *, afresh: bool) -> None:
        self._path = folder / DONE
        self.rows: dict[str, Row] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                stack.enter_context(lock_folder(folder))
                # Without a buffer there is nothing left over that a full disk could refuse once more when it closes.
                self._file = stack.enter_context(self._path.open("ab", buffering=0))
                self._begin(folder, fingerprint, afresh=afresh)
                self._held = stack.pop_all()
        except OSError as error:
            raise OutputError(f"{folder}: results cannot be written: {reason_of(error)}") from None

    def _begin(self, folder: Path, fingerprint: str, *, afresh: bool) -> None:
        """A log in which no trial is done yet is nobody's."""
        head = json.dumps({"sweep": fingerprint}).encode()
        *lines, torn = self._path.read_bytes().split(b"\n")
        first = lines[0] if lines else torn
        if afresh:
            for name in (RESULTS, PICTURE):
                (folder / name).unlink(missing_ok=True)
        elif not first.startswith(_HEAD) and (lines or not _HEAD.startswith(first)):
            raise StateError(f"{self._path}: line 1 begins no sweep; --new begins afresh, --out goes elsewhere")
        elif lines and lines[0] == head:
            self._take_over(lines[1:])
            self._file.truncate(sum(len(line) + 1 for line in lines))
            return
        elif lines[1:]:
            raise CommandError(
                f"{folder}: holds another sweep, or one of other bars; --new replaces it, --out goes elsewhere"
            )
        self._file.truncate(0)
        self._write(head + b"\n")

    def _take_over(self, lines: Sequence[bytes]) -> None:
        for number, line in enumerate(lines, 2):
            try:
                one = json.loads(line)
                row = one["row"]
                is_whole = one["key"] == f"{row['fold']} {row['part']} {row['set']}"
            except (ValueError, TypeError, KeyError):  # What is no UTF-8 is a ValueError, too.
                is_whole = False
            if not is_whole:
                raise StateError(f"{self._path}: line {number} is damaged; --new begins afresh, --out goes elsewhere")
            self.rows[one["key"]] = row

    def __enter__(self) -> Self:
        """The log is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file and let the folder go."""
        self._held.close()

    def add(self, key: str, row: Row) -> None:
        """A trial is done. Raises OutputError."""
        try:
            self._write(json.dumps({"key": key, "row": row}).encode() + b"\n")
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {reason_of(error)}") from None
        self.rows[key] = row

    def _write(self, line: bytes) -> None:
        """A full disk takes a part of a line, and refuses the rest."""
        while line:
            line = line[self._file.write(line) :]


def write_results(folder: Path, rows: Sequence[Row], columns: Iterable[str], words: Collection[str] = ()) -> Path:
    """The rows as Parquet, whole or not at all; `words`: columns that are text even where all is null.

    Raises OutputError.
    """
    table = pa.table({name: _column([row.get(name) for row in rows], is_text=name in words) for name in columns})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", store_schema=False)
    write_whole(folder / RESULTS, sink.getvalue())
    return folder / RESULTS


def _column(values: list[Any], *, is_text: bool) -> Any:
    """Numbers where all are; text for what is mixed."""
    known = [value for value in values if value is not None]
    if not is_text and known and all(isinstance(value, bool) for value in known):
        return pa.array(values, type=pa.bool_())
    if not is_text and known and all(isinstance(value, int) and not isinstance(value, bool) for value in known):
        return pa.array(values, type=pa.int64())
    if not is_text and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return pa.array([None if value is None else float(value) for value in values], type=pa.float64())
    return pa.array([None if value is None else str(value) for value in values], type=pa.string())
