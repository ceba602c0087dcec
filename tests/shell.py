"""The product as a user runs it: a process of its own, with an environment and a working directory of its own."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from paperbot import cli
from paperbot.market import instruments

ROOT = Path(__file__).resolve().parent.parent
KEYS = {"BINANCE_SPOT_TESTNET_API_KEY": "foo", "BINANCE_SPOT_TESTNET_API_SECRET": "bar"}

PATIENCE_S = 300.0
"""How long a test waits for something that is sure to come: as long as the busiest machine may need, and no test waits
longer than it has to. A test that is about a time-out has a time of its own.
"""


def wait_until(condition: Callable[[], object], otherwise: Callable[[], str]) -> None:
    """Wait until the condition holds. Fails with what `otherwise()` says when it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.02)


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without what would change a run, and with these variables."""
    ours = (
        "OFFLINE_DEMO",
        "HOLD_METRICS",
        "PROMETHEUS_",
        "METRICS_",
        "ENABLE_PATTERN",
        "PATTERN_OBS",
        "LOG_",
        "BINANCE_",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1", **variables}


def start(arguments: list[str], cwd: Path, **variables: str) -> subprocess.Popen:
    """`python -m paperbot.main` with these arguments."""
    command = [sys.executable, "-m", "paperbot.main", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=environment(**variables), **pipes)


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    """(exit code, what is left of standard output, standard error).

    Not by `communicate`: it reads past the file object, and loses what that has read ahead.
    """
    errors = []
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read() if process.stderr else ""))
    killer = threading.Timer(PATIENCE_S, process.kill)
    for thread in (reader, killer):
        thread.start()
    out = process.stdout.read()
    reader.join()
    code = process.wait()
    killer.cancel()
    return code, out, errors[0]


def run(arguments: list[str], cwd: Path, **variables: str) -> tuple[int, str, str]:
    return finish(start(arguments, cwd, **variables))


def call(arguments: list[str], cwd: Path, **variables: str) -> tuple[int, str, str]:
    """The same command line inside this process: its start, of two seconds of computing, is saved.

    For what a test needs beside the thing that it is about, in the main thread.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment(**variables), clear=True),
        mock.patch.object(instruments, "FOLDER", Path("data/instruments")),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
        _alarm(),
    ):
        cli.main([str(one) for one in arguments])
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    """Fail where the block takes longer than any test waits."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"not done after {PATIENCE_S} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def read_until(process: subprocess.Popen, pattern: str) -> str:
    """Standard output up to the line that matches."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.search(pattern, line):
            return "".join(lines)
    raise AssertionError(f"no line matches {pattern}:\n" + "".join(lines) + process.stderr.read())


def url_of(output: str) -> str:
    """Where `/metrics` is served, from the log."""
    return re.search(r"http://[\w.:]+/metrics", output)[0]


def scrape(url: str) -> str:
    """What is served there, as soon as it is."""
    answers = []

    def answered() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310
            answers.append(answer.read().decode())
        return bool(answers)

    wait_until(answered, lambda: f"{url} does not answer")
    return answers[0]
