"""The command line: commands, output and exit codes. Heavy imports are delayed until a command needs them."""

import gc
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from paperbot.cli import live, look, offline, research
from paperbot.cli.options import app, config_path, err
from paperbot.cli.pipe import PipeStream
from paperbot.environment import known_secrets
from paperbot.errors import ConfigError, PaperbotError
from paperbot.redact import RedactingStream, Redactor

__all__ = ["app", "config_path", "live", "look", "main", "offline", "one_sentence", "research"]

EXIT_FAULT = 1
EXIT_MISTAKE = 2
GC_THRESHOLD = 50_000
"""Imports create half a million permanent objects. With Python's threshold of 700, the garbage collector scans them
again and again, which takes 5 % of the start-up time.
"""


@contextmanager
def one_sentence() -> Iterator[None]:
    """Report a user's mistake in one sentence on standard error with exit code 2, and a bug as a traceback with exit
    code 1. Secrets of the environment are masked in everything that is printed.
    """
    before = sys.stdout, sys.stderr
    redactor = Redactor(known_secrets())
    sys.stdout, sys.stderr = (RedactingStream(cast("TextIO", PipeStream(stream)), redactor) for stream in before)
    try:
        yield
    except PaperbotError as error:
        for mistake in error.mistakes if isinstance(error, ConfigError) else (error,):
            err.print(f"error: {mistake}", soft_wrap=True, markup=False)
        sys.exit(EXIT_MISTAKE)
    except Exception:  # noqa: BLE001
        err.print(traceback.format_exc(), soft_wrap=True, markup=False, end="")
        sys.exit(EXIT_FAULT)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, by default with the process's arguments."""
    gc.set_threshold(GC_THRESHOLD)
    with one_sentence():
        app(arguments)
