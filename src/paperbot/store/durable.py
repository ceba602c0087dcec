"""Files that are written whole: what was there before stays until the new content is durable."""

import os
from collections.abc import Sequence
from pathlib import Path

from paperbot.errors import OutputError
from paperbot.failpoint import fail_point


def unfinished(path: Path) -> Path:
    """Where a file is written before it takes its place: beside it, under a name of this process."""
    return path.with_name(f".{path.name}.{os.getpid()}.unfinished")


def discard(paths: Sequence[Path]) -> None:
    """Remove what was written beside these files, if anything was."""
    for path in paths:
        unfinished(path).unlink(missing_ok=True)


def replace_all(paths: Sequence[Path], replaced: list[Path] | None = None, point: str = "durable") -> None:
    """Put what was written beside these files in their places, once all of it is durable. Raises OSError.

    `replaced` takes each file that is new, so that the caller knows them after an error; `point` names the fail points.
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
    """Replace a file. Raises OutputError; then nothing was changed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished(path).write_bytes(content)
        replace_all([path])
    except OSError as error:
        unfinished(path).unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {reason_of(error)}; nothing was changed") from None


def reason_of(error: BaseException) -> str:
    """Why a file could not be written, in words."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


def _sync_folder(folder: Path) -> None:
    """Make the folder's entries durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
