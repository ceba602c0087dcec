"""Atomic file writes: the old file stays in place until the new content is durable."""

import os
from collections.abc import Sequence
from pathlib import Path

from paperbot.errors import OutputError
from paperbot.failpoint import fail_point


def unfinished(path: Path) -> Path:
    """The temporary path of a file: in the same folder, with the process id in its name."""
    return path.with_name(f".{path.name}.{os.getpid()}.unfinished")


def discard(paths: Sequence[Path]) -> None:
    """Remove the temporary files of these paths, where they exist."""
    for path in paths:
        unfinished(path).unlink(missing_ok=True)


def replace_all(paths: Sequence[Path], replaced: list[Path] | None = None, point: str = "durable") -> None:
    """Make the temporary files of these paths durable, then rename each into place. Raises OSError.

    Each replaced path is appended to `replaced`, so that the caller has them after an error. `point`: prefix of the
    fail points.
    """
    for path in paths:
        with unfinished(path).open("rb") as file:
            os.fsync(file.fileno())
    for path in paths:
        fail_point(f"{point}.before_rename")
        unfinished(path).replace(path)
        if replaced is not None:
            replaced.append(path)
    fail_point(f"{point}.after_rename")
    for folder in dict.fromkeys(path.parent for path in paths):
        _sync_folder(folder)


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file's content atomically. Raises OutputError and leaves the old file unchanged."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished(path).write_bytes(content)
        replace_all([path])
    except OSError as error:
        unfinished(path).unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {reason_of(error)}; nothing was changed") from None


def reason_of(error: BaseException) -> str:
    """The reason of an error, for a message."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


def _sync_folder(folder: Path) -> None:
    """Make the folder's entries durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
