"""A session's journal holds strategy code: somebody else's runs only for who says so."""

import json
import os
import shutil

import pytest

from paperbot.clock import SystemClock
from paperbot.live import trust
from paperbot.live.recovery import open_session
from paperbot.live.session import create_session
from recorded import read
from shell import run

MARKED = """
from pathlib import Path

from paperbot.strategy import FLAT, HOLD, LONG, compiled

Path({mark!r}).write_text("this code was run")
FEATURES = ["sma(5)"]


@compiled
def on_bar(ts, bar, features, params, memory, position, target):
    return LONG if bar[3] > features[0] else FLAT
"""
SOURCES = ["BTC/USDT=synthetic:7:60"]

COMMANDS = (
    "status",
    "halt",
    "resume",
    "verify s",
    "session repair s",
    "export exported",
    "replay --session s --out replayed",
)


@pytest.fixture
def somebodys(tmp_path, monkeypatch):
    """A session with a compiled strategy, as it comes from another machine; and the file that its code writes."""
    mark, path = tmp_path / "mark.txt", tmp_path / "theirs/mine.py"
    path.parent.mkdir()
    path.write_text(MARKED.format(mark=str(mark)))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "their-state"))
    plan, events = read(SOURCES, (f"strategies=[{{name: mine, path: {path}}}]",))
    session = create_session(tmp_path / "data/sessions", "s", plan, SystemClock())
    for at in range(40):
        session.commit_slice(events[at : at + 1], ["stream"])
    session.save()
    session.close()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "my-state"))
    mark.unlink()
    return tmp_path, mark, plan


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("command", COMMANDS)
def test_code_from_somewhere_else_does_not_run_unless_it_is_trusted(somebodys, command):
    folder, mark, _ = somebodys
    before = contents(folder / "data")
    code, _, err = run(command.split(), folder)
    told = " ".join(err.split())
    assert code == 2
    assert "session s: its journal holds code (strategy mine) that you have not run from your own files" in told
    assert "--trust" in told
    assert not mark.exists()
    assert contents(folder / "data") == before
    code, _, err = run([*command.split(), "--trust"], folder)
    assert code == 0, err
    assert mark.exists()


def test_to_read_it_runs_nothing(somebodys):
    folder, mark, _ = somebodys
    code, out, _ = run(["session", "code", "s", "--json"], folder)
    assert code == 0
    (found,) = json.loads(out)
    assert found["strategy"] == "mine"
    assert "this code was run" in found["source"]
    for command in ("profit", "trades", "sessions", "doctor"):
        run([command], folder, PROMETHEUS_PORT="0")
    assert not mark.exists()


def test_who_has_run_it_from_a_file_of_their_own_is_not_asked(somebodys):
    """Equal code is equal, wherever the file lies; that it was run is remembered."""
    folder, _, plan = somebodys
    session = open_session(folder / "data/sessions", "s", plan, SystemClock())
    session.close()
    code, _, err = run(["verify", "s"], folder)
    assert code == 0, err


def test_a_home_that_cannot_be_written_is_no_error(somebodys, monkeypatch):
    folder, _, plan = somebodys
    shutil.rmtree(folder / "my-state", ignore_errors=True)
    (folder / "my-state").write_text("a file in the way")
    session = open_session(folder / "data/sessions", "s", plan, SystemClock())
    session.close()
    code, _, err = run(["verify", "s"], folder)
    assert (code, "--trust" in err) == (2, True)


def test_the_memory_lies_in_the_users_state_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    trust.remember(["a", "a", "b"])
    trust.remember(["b"])
    path = tmp_path / ".local/state/paperbot/strategies"
    assert len(path.read_text().split()) == 2
    assert os.environ["HOME"] == str(tmp_path)
