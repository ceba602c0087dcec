"""The command line: what is typed, what is printed, and exit codes. Heavy imports wait until a command needs them."""

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
"""Importing makes half a million objects that stay: at Python's threshold of 700 they are walked again and again, which
is a twentieth of a start.
"""


@contextmanager
def one_sentence() -> Iterator[None]:
    """A user's mistake becomes one sentence on standard error and exit code 2, a programmer's a traceback and 1; no
    secret that the environment holds is in anything that is printed meanwhile.
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
    """Run the command line, by default with what was typed."""
    gc.set_threshold(GC_THRESHOLD)
    with one_sentence():
        app(arguments)
