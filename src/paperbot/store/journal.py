"""A session's journal: every input is durable before it acts, and a hash chain reveals any change.

The journal is a SQLite file in WAL mode with `synchronous=FULL`: a commit that returned survives a power loss, and an
incomplete one is rolled back. Each input is one row: its bytes, its arrival time, its source, and
`h = SHA-256(h of the row before ‖ seq ‖ bytes)` with `seq` as eight bytes, little-endian. The chain links rows, not
commits. An event has 64 bytes; a PARAMS row is the word PARAMS and a JSON object.

Only one process writes. It holds a lock on the file `lock`, which the system releases when the process ends.
"""

import copy
import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tenacity import retry, retry_if_result, stop_after_attempt, wait_fixed

from paperbot.core.types import EVENT_BYTES
from paperbot.errors import StateError
from paperbot.events import Events, decoded
from paperbot.failpoint import fail_point

SCHEMA = 1
FILE = "journal.sqlite"
GENESIS = hashlib.sha256(b"paperbot journal").digest()
PARAMS = b"PARAMS"
BLOCK = 1 << 16
BUSY_MS = 5_000
LAST_SEQ = 2**63 - 1
WAL_HEAD_BYTES = 32
COPY_TRIES = 20
LOCK_TRIES, LOCK_PAUSE_S = 10, 0.05

_TABLES = f"""
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS inputs (
    seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL, received_ts INTEGER NOT NULL, source TEXT NOT NULL, h BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS params ON inputs (seq) WHERE length(bytes) != {EVENT_BYTES};
CREATE INDEX IF NOT EXISTS odd ON inputs (source) WHERE source != 'stream';
CREATE TABLE IF NOT EXISTS advice (id INTEGER PRIMARY KEY, ts INTEGER NOT NULL, row TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True)
class Input:
    """A row to be written. `received_ts`: wall time in ns UTC, for people only."""

    content: bytes
    received_ts: int
    source: str


@dataclass(frozen=True)
class Row:
    """A row that was read."""

    seq: int
    content: bytes
    received_ts: int
    source: str
    h: bytes

    @property
    def params(self) -> dict[str, Any] | None:
        """The object of a PARAMS row; None for an event."""
        return json.loads(self.content[len(PARAMS) :]) if self.content.startswith(PARAMS) else None


def link(before: bytes, seq: int, content: bytes) -> bytes:
    """The chain's link for a row, from the link before it."""
    return hashlib.sha256(before + seq.to_bytes(8, "little") + content).digest()


def _head(wal: Path) -> bytes:
    """The header that identifies the WAL; empty without a WAL."""
    try:
        with wal.open("rb") as file:
            return file.read(WAL_HEAD_BYTES)
    except FileNotFoundError:
        return b""


class Lock:
    """The exclusive lock of a session's folder. Raises StateError when another process holds it."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StateError(f"{folder}: cannot be written: {error.strerror}") from None
        if not self._take():
            os.close(self._file)
            raise StateError(f"{folder}: another process runs this session")

    @retry(
        retry=retry_if_result(lambda is_ours: not is_ours),
        stop=stop_after_attempt(LOCK_TRIES),
        wait=wait_fixed(LOCK_PAUSE_S),
        retry_error_callback=lambda _: False,
    )
    def _take(self) -> bool:
        """Try to take the lock. Retried while it fails, because `is_locked` holds the lock for a moment."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def free(self) -> None:
        """Release the lock."""
        os.close(self._file)


def is_locked(folder: Path) -> bool:
    """Whether a process is running the session."""
    try:
        file = os.open(folder / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


class Journal:
    """An open journal; a context manager. Raises StateError if the file is not a journal, is damaged, or has a newer
    schema.

    `read_only`: never writes to the folder, even while another process is writing or after one was killed.
    """

    def __init__(self, folder: Path, *, create: bool = False, read_only: bool = False) -> None:
        self.path = folder / FILE
        self._is_read_only = read_only
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        if not create and not self.path.is_file():
            raise StateError(f"{self.path}: the journal does not exist")
        if create and self.path.exists():
            raise StateError(f"{self.path}: the journal already exists")
        try:
            self._db = self._to_read() if read_only else self._connect(str(self.path))
            if not read_only:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
            if create:
                self._db.executescript(_TABLES)
                self.set_meta("schema", str(SCHEMA))
            self._check_schema()
            last = self._db.execute("SELECT seq, h FROM inputs ORDER BY seq DESC LIMIT 1").fetchone()
        except sqlite3.DatabaseError as error:
            raise StateError(f"{self.path}: cannot be read as a journal: {error}; the file is unchanged") from None
        self.seq, self.h = (int(last[0]), bytes(last[1])) if last else (0, GENESIS)

    @staticmethod
    def _connect(address: str) -> sqlite3.Connection:
        is_uri = address.startswith("file:")
        return sqlite3.connect(address, isolation_level=None, timeout=BUSY_MS / 1000, uri=is_uri)

    def _to_read(self) -> sqlite3.Connection:
        """A connection to the file if SQLite can read it without writing to the folder, else to a copy."""
        wal = self.path.with_name(f"{FILE}-wal")
        address = self.path.resolve().as_uri()
        if not is_locked(self.path.parent) and not (wal.exists() and wal.stat().st_size):
            return self._connect(f"{address}?immutable=1")
        self._copy = tempfile.TemporaryDirectory(prefix="paperbot-")
        copy = Path(self._copy.name) / FILE
        for _ in range(COPY_TRIES):
            before = _head(wal)
            for source in (self.path, wal):
                if source.exists():
                    shutil.copyfile(source, copy.with_name(source.name))
            # Unless the WAL was restarted, it still holds every page that a checkpoint moved to the file meanwhile.
            if _head(wal) == before:
                return self._connect(str(copy))
        raise StateError(f"{self.path}: changes too fast to be copied; try again")

    def _check_schema(self) -> None:
        schema = int(self.meta("schema") or 0)
        if schema > SCHEMA:
            raise StateError(f"{self.path}: has schema {schema}, this version reads up to {SCHEMA}; update Paperbot")
        if schema < 1:
            raise StateError(f"{self.path}: is not a Paperbot journal")

    def __enter__(self) -> Self:
        """Return the journal."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the journal."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        if self._copy is not None:
            self._copy.cleanup()

    def reader(self) -> Self:
        """A second, read-only connection for another thread of this process. It sees committed rows only."""
        other = copy.copy(self)
        address = f"{self.path.resolve().as_uri()}?mode=ro"
        other._is_read_only = True  # noqa: SLF001  (another instance of this class)
        other._db = sqlite3.connect(  # noqa: SLF001
            address, isolation_level=None, timeout=BUSY_MS / 1000, uri=True, check_same_thread=False
        )
        return other

    # ---- writing
    def append(
        self,
        inputs: Iterable[Input],
        advice: Iterable[Mapping[str, Any]] = (),
        meta: Mapping[str, str] | None = None,
    ) -> None:
        """Write inputs, exchanges with the advisor and meta values in one transaction. They are durable on return.

        Raises StateError when the write fails; nothing is then written.
        """
        if self._is_read_only:
            raise StateError(f"{self.path}: is open for reading only")
        seq, h = self.seq, self.h
        rows = []
        for item in inputs:
            seq += 1
            h = link(h, seq, item.content)
            rows.append((seq, item.content, item.received_ts, item.source, h))
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO inputs VALUES (?, ?, ?, ?, ?)", rows)
            for exchange in advice:
                self._db.execute("INSERT INTO advice (ts, row) VALUES (?, ?)", (exchange["ts"], json.dumps(exchange)))
            for key, value in (meta or {}).items():
                self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
            fail_point("journal.before_commit")
            self._db.execute("COMMIT")
            fail_point("journal.after_commit")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise StateError(f"{self.path}: cannot be written: {error}; the inputs have no effect") from None
        self.seq, self.h = seq, h

    def set_meta(self, key: str, value: str) -> None:
        """Set a meta value."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # ---- reading
    def meta(self, key: str) -> str | None:
        """A meta value, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def rows(self, after: int = 0) -> Iterator[Row]:
        """All rows after number `after`, in order."""
        try:
            for row in self._db.execute("SELECT * FROM inputs WHERE seq > ? ORDER BY seq", (after,)):
                yield Row(*row)
        except sqlite3.DatabaseError as error:
            raise StateError(f"{self.path}: cannot be read: {error}; the file is unchanged") from None

    def events(self, after: int = 0, up_to: int | None = None) -> Iterator[Events]:
        """The events after number `after`, up to and including `up_to`, in order and in blocks."""
        between = f"seq > ? AND seq <= ? AND length(bytes) = {EVENT_BYTES}"
        query = f"SELECT bytes FROM inputs WHERE {between} ORDER BY seq"  # noqa: S608
        try:
            cursor = self._db.execute(query, (after, LAST_SEQ if up_to is None else up_to))
            while rows := cursor.fetchmany(BLOCK):
                yield decoded(b"".join(row[0] for row in rows))
        except sqlite3.DatabaseError as error:
            raise StateError(f"{self.path}: cannot be read: {error}; the file is unchanged") from None

    def rows_from(self, sources: tuple[str, ...], after: int = 0) -> Iterator[Row]:
        """The events after row `after` that came from one of these sources, in order."""
        marks = ", ".join("?" for _ in sources)
        is_event = f"length(bytes) = {EVENT_BYTES}"
        query = f"SELECT * FROM inputs WHERE source IN ({marks}) AND {is_event} AND seq > ? ORDER BY seq"  # noqa: S608
        for row in self._db.execute(query, (*sources, after)):
            yield Row(*row)

    def params_at(self, seq: int) -> dict[str, Any] | None:
        """The parameters in force after row `seq`, or None."""
        is_other = f"length(bytes) != {EVENT_BYTES}"
        query = f"SELECT * FROM inputs WHERE {is_other} AND seq <= ? ORDER BY seq DESC LIMIT 1"  # noqa: S608
        row = self._db.execute(query, (seq,)).fetchone()
        return Row(*row).params if row else None

    def all_params(self) -> Iterator[dict[str, Any]]:
        """The parameters of each start, in order."""
        query = f"SELECT * FROM inputs WHERE length(bytes) != {EVENT_BYTES} ORDER BY seq"  # noqa: S608
        try:
            for row in self._db.execute(query):
                params = Row(*row).params
                if params is not None:
                    yield params
        except (sqlite3.DatabaseError, ValueError) as error:
            raise StateError(f"{self.path}: cannot be read: {error}; the file is unchanged") from None

    def link_at(self, seq: int) -> bytes | None:
        """The link of row `seq`, or None if there is no such row."""
        if seq == 0:
            return GENESIS
        row = self._db.execute("SELECT h FROM inputs WHERE seq = ?", (seq,)).fetchone()
        return bytes(row[0]) if row else None

    def exchanges(self) -> list[dict[str, Any]]:
        """All exchanges with the advisor, in order."""
        return [json.loads(row[0]) for row in self._db.execute("SELECT row FROM advice ORDER BY id")]

    def first_break(self, after: int = 0) -> int | None:
        """The first row after `after` that breaks the chain (a wrong number or link), or None."""
        before, expected = self.link_at(after), after
        if before is None:
            return after
        for row in self.rows(after):
            expected += 1
            if row.seq != expected or row.h != link(before, row.seq, row.content):
                return expected
            before = row.h
        return None

    def quarantine(self, first: int, where: Path, meta: Mapping[str, str]) -> None:
        """Copy the journal to `where`, then delete the rows from `first` on and set `meta`, in one transaction.

        Raises StateError when the copy fails; nothing is then deleted.
        """
        try:
            where.mkdir(parents=True, exist_ok=True)
            for suffix in ("", "-wal", "-shm"):
                part = self.path.with_name(FILE + suffix)
                if part.exists():
                    shutil.copy2(part, where / part.name)
        except OSError as error:
            raise StateError(f"{where}: the damaged journal cannot be copied: {error.strerror}") from None
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("DELETE FROM inputs WHERE seq >= ?", (first,))
        for key, value in meta.items():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
        self._db.execute("COMMIT")
        last = self._db.execute("SELECT seq, h FROM inputs ORDER BY seq DESC LIMIT 1").fetchone()
        self.seq, self.h = (int(last[0]), bytes(last[1])) if last else (0, GENESIS)
