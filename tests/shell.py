"""The product as a user runs it: a process of its own, with an environment and a working directory of its own."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEYS = {"BINANCE_SPOT_TESTNET_API_KEY": "foo", "BINANCE_SPOT_TESTNET_API_SECRET": "bar"}


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
    """(exit code, standard output, standard error)."""
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def run(arguments: list[str], cwd: Path, **variables: str) -> tuple[int, str, str]:
    return finish(start(arguments, cwd, **variables))


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
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
                return answer.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
