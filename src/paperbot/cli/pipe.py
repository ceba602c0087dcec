"""Output into a pipe that nobody reads any more, as behind `| head`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class PipeStream:
    """A text stream of a process: once its reader is gone, what is written is dropped, and the work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop."""
        with self._unread():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what waits, or drop it."""
        with self._unread():
            self._stream.flush()

    @contextmanager
    def _unread(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            # The stream keeps what it could not write, and tries again at the interpreter's end: that goes nowhere now.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        """Whatever else a stream has."""
        return getattr(self._stream, name)
