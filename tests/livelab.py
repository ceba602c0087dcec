"""Live sessions against a venue, in processes of their own: started, killed, spoken to."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from shell import ROOT, environment

BUSD_DAY = "binance_BTCBUSD_1m_20221213.parquet"


class VenueProcess:
    """`paperbot venue serve` on a free port."""

    def __init__(self, folder: Path, *sources: str, options: tuple[str, ...] = ()) -> None:
        command = [sys.executable, "-m", "paperbot.main", "venue", "serve", *sources, "--port", "0", *options]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        line = self.process.stdout.readline()
        found = re.search(r"venue at (http://\S+) and (ws://\S+)", line)
        assert found, line + self.process.stdout.read()
        self.url, self.ws_url = found[1], found[2]

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
        self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


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
        env = environment(PROMETHEUS_PORT="0", LOG_LEVEL=variables.pop("LOG_LEVEL", "WARNING"), **variables)
        log = (self.folder / "run.log").open("ab")
        return subprocess.Popen(command, cwd=self.folder, env=env, stdout=log, stderr=log)

    def run(self, *more: str, expect: int = 0, **variables: str) -> str:
        code = self.start(*more, **variables).wait(60)
        log = (self.folder / "run.log").read_text()
        assert code == expect, log[-3000:]
        return log

    def ask(self, *command: str, expect: int = 0) -> dict:
        full = [sys.executable, "-m", "paperbot.main", *command, "--json"]
        done = subprocess.run(full, cwd=self.folder, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return json.loads(done.stdout) if expect == 0 else {"error": " ".join(done.stderr.split())}

    def replay(self, *sources: str) -> str:
        """The digest of replay of these files under the same settings, from the session's first slice on."""
        full = [sys.executable, "-m", "paperbot.main", "replay", *sources, *self.config, "--json", "--out", "replayed"]
        market = {key: value for key, value in self.settings.items() if key == "feed.market_data" or key[:5] != "feed."}
        first = pq.read_table(self.folder / "data/ledger.parquet")["ts"][0].as_py()
        full += [*arguments(market), "--start", first.isoformat()]
        done = subprocess.run(full, cwd=self.folder, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["digest"]

    def inputs(self) -> int:
        """How many inputs the current session's journal has, read from beside."""
        for path in sorted((self.folder / "data/sessions").glob("*/journal.sqlite")):
            with contextlib.suppress(sqlite3.OperationalError), sqlite3.connect(path) as db:
                return db.execute("SELECT max(seq) FROM inputs").fetchone()[0] or 0
        return 0  # No session, or its tables are not there yet.

    def wait_for_inputs(self, count: int, process: subprocess.Popen) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.inputs() >= count:
                return
            assert process.poll() is None, (self.folder / "run.log").read_text()[-2000:]
            time.sleep(0.02)
        raise AssertionError(f"only {self.inputs()} inputs")


def kill(process: subprocess.Popen) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
