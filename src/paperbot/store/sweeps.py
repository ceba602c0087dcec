"""What a sweep leaves behind: each trial as it is done, a line each, and in the end one Parquet file."""

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from paperbot.errors import CommandError, OutputError
from paperbot.store.parquet import lock_folder

Row = dict[str, Any]
DONE = "trials.jsonl"
RESULTS = "sweep.parquet"


class TrialLog:
    """Lines of finished trials, by key; a sweep that was interrupted goes on behind them.

    The first line says which sweep it is. A line that was cut off by a crash is dropped. A context manager: one sweep
    at a time has the folder. Raises OutputError when it cannot be written, CommandError when it holds another sweep.
    """

    def __init__(self, folder: Path, fingerprint: str, *, afresh: bool) -> None:
        self._path = folder / DONE
        self.rows: dict[str, Row] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                stack.enter_context(lock_folder(folder))
                self._begin(folder, fingerprint, afresh=afresh)
                self._file = stack.enter_context(self._path.open("a", encoding="utf-8"))
                self._held = stack.pop_all()
        except OSError as error:
            raise OutputError(f"{folder}: results cannot be written: {os.strerror(error.errno or 0)}") from None

    def _begin(self, folder: Path, fingerprint: str, *, afresh: bool) -> None:
        lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True) if self._path.exists() else []
        head = json.dumps({"sweep": fingerprint}) + "\n"
        if afresh or not lines or not lines[0].endswith("\n"):
            self._path.write_text(head, encoding="utf-8")
            return
        if lines[0] != head:
            raise CommandError(
                f"{folder}: holds another sweep, or one of other bars; --new replaces it, --out goes elsewhere"
            )
        whole = [line for line in lines[1:] if line.endswith("\n")]
        if len(whole) + 1 < len(lines):
            self._path.write_text("".join([head, *whole]), encoding="utf-8")
        for line in whole:
            one = json.loads(line)
            self.rows[one["key"]] = one["row"]

    def __enter__(self) -> Self:
        """The log is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file and let the folder go."""
        self._held.close()

    def add(self, key: str, row: Row) -> None:
        """A trial is done. Raises OutputError."""
        self.rows[key] = row
        try:
            self._file.write(json.dumps({"key": key, "row": row}) + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {os.strerror(error.errno or 0)}") from None


def write_results(folder: Path, rows: Sequence[Row], columns: Iterable[str]) -> Path:
    """The rows as Parquet, whole or not at all. Raises OutputError."""
    path = folder / RESULTS
    unfinished = path.with_name(f".{path.name}.unfinished")
    table = pa.table({name: _column([row.get(name) for row in rows]) for name in columns})
    try:
        pq.write_table(table, unfinished, compression="zstd", store_schema=False)
        unfinished.replace(path)
    except (OSError, pa.ArrowException) as error:
        unfinished.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {error}") from None
    return path


def _column(values: list[Any]) -> Any:
    """Numbers where all are; text for what is mixed."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known) and known:
        return pa.array(values, type=pa.bool_())
    if all(isinstance(value, int) and not isinstance(value, bool) for value in known) and known:
        return pa.array(values, type=pa.int64())
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return pa.array([None if value is None else float(value) for value in values], type=pa.float64())
    return pa.array([None if value is None else str(value) for value in values], type=pa.string())
