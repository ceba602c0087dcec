"""Live sessions against a venue, in processes of their own: started, killed, spoken to."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from shell import PATIENCE_S, ROOT, call, environment, wait_until

BUSD_DAY = "binance_BTCBUSD_1m_20221213.parquet"
START_MS = 1_700_006_400_000
"""When made-up markets begin."""


class VenueProcess:
    """`paperbot venue serve` on a free port. Without `--speed` its time goes on only as fast as a client reads it."""

    def __init__(self, folder: Path, *sources: str, options: tuple[str, ...] = ()) -> None:
        command = [*self._program(), *sources, *options]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = subprocess.Popen(command, cwd=folder, env=environment(), **pipes)
        line = self.process.stdout.readline()
        found = re.search(r"venue at (http://\S+) and (ws://\S+)", line)
        assert found, line + self.process.stdout.read()
        self.url, self.ws_url = found[1], found[2]

    @staticmethod
    def _program() -> list[str | Path]:
        return [sys.executable, "-m", "paperbot.main", "venue", "serve", "--port", "0"]

    def settings(self) -> dict[str, str]:
        return {
            "feed.market_data": "mainnet",
            "feed.rest_url": self.url,
            "feed.ws_url": self.ws_url,
            "feed.clock": "venue",
            "feed.max_wait_s": "0",
        }

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class SteeredVenue(VenueProcess):
    """A venue whose time stands still until `play` or `skip` moves it (see steered.py).

    Times are minutes after `START_MS`. By default a move ends 45 seconds into a minute, when the bar before is over and
    its grace is too.
    """

    @staticmethod
    def _program() -> list[str | Path]:
        return [sys.executable, ROOT / "tests/steered.py"]

    def _order(self, word: str, value: int) -> None:
        self.process.stdin.write(f"{word} {value}\n")
        self.process.stdin.flush()

    @staticmethod
    def _at(minute: int, second: int) -> int:
        return START_MS + 60_000 * minute + 1000 * second

    def play(self, minute: int, second: int = 45) -> None:
        """Play the recording up to this minute; returns at once."""
        self._order("play", self._at(minute, second))

    def skip(self, minute: int, second: int = 45) -> None:
        """Jump to this minute without sending anything, and wait until the venue is there."""
        self._order("skip", self._at(minute, second))
        self.wait_for(minute, second)

    def pace(self, milliseconds: int) -> None:
        """Take at least so many real milliseconds for each bar."""
        self._order("pace", milliseconds)

    def wait_for(self, minute: int, second: int = 45) -> None:
        """Wait until the venue has come to this minute."""
        for line in self.process.stdout:
            if line.split() == ["reached", str(self._at(minute, second))]:
                return
        raise AssertionError("the venue has ended")


def arguments(settings: dict[str, str]) -> list[str]:
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


class Bot:
    """`paperbot` in one folder, with one set of settings."""

    def __init__(self, folder: Path, settings: dict[str, str], config: Path | None = None) -> None:
        self.folder = folder
        self.settings = settings
        self.config = ["--config", str(config or ROOT / "config/config.yaml")]

    def start(self, *more: str, **variables: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "paperbot.main", "run", *self.config, *arguments(self.settings), *more]
        env = environment(**{"PROMETHEUS_PORT": "0", "LOG_LEVEL": "WARNING", **variables})
        log = (self.folder / "run.log").open("ab")
        return subprocess.Popen(command, cwd=self.folder, env=env, stdout=log, stderr=log)

    def run(self, *more: str, expect: int = 0, **variables: str) -> str:
        """Run to the end, in this very process; everything that was logged until now."""
        variables = {"PROMETHEUS_PORT": "0", "LOG_LEVEL": "WARNING", **variables}
        code, out, err = call(["run", *self.config, *arguments(self.settings), *more], self.folder, **variables)
        with (self.folder / "run.log").open("a") as log:
            log.write(out + err)
        assert code == expect, self.log()[-3000:]
        return self.log()

    def ask(self, *command: str) -> dict:
        code, out, err = call([*command, "--json"], self.folder)
        assert code == 0, out + err
        return json.loads(out)

    def replay(self, *sources: str) -> str:
        """The digest of replay of these files under the same settings, from the session's first slice on."""
        market = {key: value for key, value in self.settings.items() if key == "feed.market_data" or key[:5] != "feed."}
        full = ["replay", *sources, *self.config, "--out", "replayed", *arguments(market)]
        first = pq.read_table(self.folder / "data/ledger.parquet")["ts"][0].as_py()
        return self.ask(*full, "--start", first.isoformat())["digest"]

    def count(self, table: str, where: str = "true") -> int:
        """How many rows the first session's journal has in a table. Only reads: a journal whose session was killed is
        left for the next one to recover.
        """
        for path in sorted((self.folder / "data/sessions").glob("*/journal.sqlite")):
            with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(_read_only(path)) as db:
                return db.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]  # noqa: S608
        return 0  # No session, or its tables are not there yet.

    def inputs(self) -> int:
        """How many inputs the journal has."""
        return self.count("inputs")

    def log(self) -> str:
        return (self.folder / "run.log").read_text()

    def wait_for_inputs(self, count: int, process: subprocess.Popen) -> None:
        self.wait_for(lambda: self.inputs() >= count, process, lambda: f"only {self.inputs()} inputs of {count}")

    def wait_for_log(self, words: str, process: subprocess.Popen) -> str:
        """The log, as soon as it has these words."""
        self.wait_for(lambda: words in self.log(), process, lambda: f"nothing about {words}:\n{self.log()[-2000:]}")
        return self.log()

    def wait_for(self, condition, process: subprocess.Popen, otherwise) -> None:
        """Wait until the condition holds, or the process has ended without it; `otherwise()` says what is missing."""

        def holds() -> bool:
            is_over = process.poll() is not None  # Before the condition: what it did last counts too.
            if condition():
                return True
            assert not is_over, self.log()[-2000:]
            return False

        wait_until(holds, otherwise)


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)


def kill(process: subprocess.Popen) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
