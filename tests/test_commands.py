"""Every command line of the README and of the pages, run as it is printed; those that cannot be are named, with why."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from livelab import VenueProcess
from shell import PATIENCE_S, ROOT, environment, finish, run

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

EXAMPLES = {
    "make ": "CI runs them on a fresh checkout",
    "docker ": "needs an engine; test_containers reads the same lines' files with the real Compose",
    "ENABLE_PATTERN_OBS_DEMO=1 PATTERN_OBS_DEMO_SECONDS=10 docker": "the same",
    "curl -s ": "asks port 8000, which a test does not take; test_demo scrapes the same names from a free one",
    "curl -sG ": "asks Loki, which is not here; test_stack parses the query",
    "pytest ": "part of this very suite",
    "paperbot sweep BTC/USDT=bars.parquet --vary risk.atr_stop_mult=1:4:0.5 --ray": "needs a cluster of one's own",
    "paperbot venue serve": "stays until it is told to end: the sessions here run against one",
    "paperbot run --set feed.market_data=mainnet": "names that venue's port; the sessions here have it from their file",
}

UNTIL = {
    "python -m paperbot.main": "candle: ",
    "paperbot run": "candle: ",
    "paperbot demo --hold": "holding_metrics",
    "paperbot drill killswitch --hold": "kill switch: halted",
    "PYTHONPATH=src OFFLINE_DEMO=1": "holding_metrics",
}
"""Lines that run until they are told to end, and what they have said by then."""


def command_lines():
    """(page, line) of every shell block, without its comment."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            found += [(page.name, re.sub(r"\s+# .*", "", line)) for line in block.splitlines() if line.strip()]
    return found


LINES = command_lines()


def is_example(line):
    return any(line.startswith(beginning) for beginning in EXAMPLES)


def until(line):
    return next((said for beginning, said in UNTIL.items() if line.startswith(beginning)), None)


def paperbot(folder, *words):
    code, out, err = run(list(words), folder)
    assert code == 0, err
    return out


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the files that the lines name, and a configuration whose venue answers."""
    folder = tmp_path_factory.mktemp("desk")
    paperbot(folder, "data", "synthetic", "7", "60000", "--out", "bars.parquet")
    bars = pq.read_table(folder / "bars.parquet")
    for name in ("a.csv", "b.csv"):
        pc.write_csv(bars, folder / name)
    for month in range(2):
        rows = bars.slice(month * 500, 500).to_pylist()
        names = ("ts", "open", "high", "low", "close", "volume")
        lines = [",".join(str(row[name]) for name in names) for row in rows]
        ends = [f"{row['ts'] + 59_999},{row['volume'] * row['close']},1,0,0,0" for row in rows]
        text = "".join(f"{line},{end}\n" for line, end in zip(lines, ends, strict=True))
        with zipfile.ZipFile(folder / f"2024-0{month + 1}.zip", "w") as archive:
            archive.writestr(f"BTCUSDT-1m-2024-0{month + 1}.csv", text)
    with VenueProcess(folder, "BTC/USDT=bars.parquet", options=("--speed", "600")) as venue:
        (folder / "config").mkdir()
        feed = {key.partition(".")[2]: value for key, value in venue.settings().items()}
        (folder / "config/config.yaml").write_text(f"symbols: [BTC/USDT]\nfeed: {feed}\n".replace("'", ""))
        yield folder


def shell(line, folder):
    env = {**environment(PROMETHEUS_PORT="0"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.Popen(
        ["/bin/bash", "-c", f"exec {line}" if not re.match(r"[A-Z_]+=", line) else f"exec env {line}"],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def told(process, words):
    """Read lines until one has the words; everything that was said."""
    said = []
    deadline = time.monotonic() + PATIENCE_S
    for line in process.stdout:
        said.append(line)
        if words in line:
            break
        assert time.monotonic() < deadline, "".join(said)
    return "".join(said)


@pytest.fixture(scope="module")
def session(desk):
    """The name of a session that was run for a moment."""
    process = shell("paperbot run", desk)
    told(process, "candle: ")
    process.send_signal(signal.SIGTERM)
    code, rest, _ = finish(process)
    assert code == 0, rest
    return (desk / "data/sessions/current").read_text().strip()


def lines_to_run(page):
    return [line for name, line in LINES if name == page and not is_example(line)]


def pages_with_lines():
    """The README; the other pages only in the whole suite."""
    names = [page.name for page in PAGES if lines_to_run(page.name)]
    return [pytest.param(name, marks=[] if name == "README.md" else [pytest.mark.long]) for name in names]


@pytest.mark.parametrize("page", pages_with_lines())
def test_lines_run_as_they_are_printed(page, desk, session):
    """In the page's order: some lines need what those before them have made."""
    for line in lines_to_run(page):
        process = shell(line.replace("NAME", session), desk)
        words = until(line)
        said = ""
        if words is not None:
            said = told(process, words)
            process.send_signal(signal.SIGTERM)
        code, rest, _ = finish(process)
        said += rest
        assert code == 0, f"{page}: {line}\n{said[-2000:]}"
        assert words is None or words in said, line
        assert "Traceback" not in said, line


@pytest.mark.parametrize("beginning", EXAMPLES)
def test_an_example_is_still_in_a_page(beginning):
    lines = [line for _, line in LINES if line.startswith(beginning)]
    assert lines
    for line in lines:
        words = shlex.split(line)
        if words[0] == "paperbot":
            options = [word for word in words if word.startswith("--")]
            command = [word for word in words[1:3] if re.fullmatch("[a-z]+", word)]
            reference = (ROOT / "docs/cli.md").read_text().partition(f"## `paperbot {' '.join(command)}`")[2]
            missing = [word for word in options if f"`{word}`" not in reference.partition("\n## ")[0]]
            assert not missing, line


def test_there_are_lines_to_run():
    assert len([line for _, line in LINES if not is_example(line)]) > 25
