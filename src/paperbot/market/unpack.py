"""Reads plain, gzip and zip files as streams of bounded size. Nothing is extracted to disk."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from paperbot.errors import DataError

MAX_BYTES = 16 << 30
MAX_RATIO = 300
RATIO_FROM = 64 << 20
"""A packed file may unpack to MAX_BYTES, and beyond RATIO_FROM to at most MAX_RATIO times its own size."""

HEAD_BYTES = 1 << 16
_NOT_DATA = (".checksum", ".md5", ".sha256", ".txt.sig")


class _Bounded(io.RawIOBase):
    """A stream that raises DataError when the content exceeds the limit for a packed file of `size` bytes."""

    def __init__(self, stream: Any, path: Path, size: int) -> None:
        super().__init__()
        self._stream, self._path = stream, path
        self._limit = min(MAX_BYTES, max(size * MAX_RATIO, RATIO_FROM))
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        self._read += len(content)
        if self._read > self._limit:
            raise DataError(f"{self._path}: unpacks to more than {self._limit >> 20} MB; unpack it first")
        buffer[: len(content)] = content
        return len(content)


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Open the unpacked content. Raises DataError for a damaged or oversized archive, or one with several files."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            if magic[:2] == b"\x1f\x8b":
                yield io.BufferedReader(_Bounded(gzip.GzipFile(fileobj=file), path, path.stat().st_size))
            elif magic == b"PK\x03\x04":
                with zipfile.ZipFile(file) as archive, archive.open(_only_member(archive, path)) as member:
                    yield io.BufferedReader(_Bounded(member, path, path.stat().st_size))
            else:
                yield file
    except (zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be unpacked: {str(error)[:100]}") from None


def _only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    if "[Content_Types].xml" in archive.namelist():
        raise DataError(f"{path}: is a workbook; save the sheet as CSV")
    members = [
        entry
        for entry in archive.infolist()
        if not entry.is_dir() and not entry.filename.lower().endswith(_NOT_DATA) and "__MACOSX" not in entry.filename
    ]
    if len(members) != 1:
        raise DataError(f"{path}: holds {len(members)} files; unpack it and give one of them")
    return members[0]


def head_of(path: Path) -> bytes:
    """Return the first HEAD_BYTES bytes of the unpacked content."""
    with unpacked(path) as stream:
        return stream.read(HEAD_BYTES)
