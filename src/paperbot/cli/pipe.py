"""Output to a pipe whose reader has gone, as with `| head`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class PipeStream:
    """A text stream that drops its output once the reader is gone, so that the process can finish."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, or drop it."""
        with self._unread():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, or drop its text."""
        with self._unread():
            self._stream.flush()

    @contextmanager
    def _unread(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            # The stream keeps unwritten text and tries again at exit, so redirect it to the null device.
            null_device = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null_device, self._stream.fileno())
            os.close(null_device)

    def __getattr__(self, name: str) -> Any:
        """Delegate all other attributes to the stream."""
        return getattr(self._stream, name)
