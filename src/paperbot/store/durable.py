"""Small files, written whole: what was there before stays until the new content is durable."""

import os
from pathlib import Path

from paperbot.errors import OutputError
from paperbot.failpoint import fail_point


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the file, make it durable, rename it into place. Raises OutputError; then nothing was changed."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fail_point("durable.before_rename")
        unfinished.replace(path)
        fail_point("durable.after_rename")
        sync_folder(path.parent)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        unfinished.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {reason}; nothing was changed") from None


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
