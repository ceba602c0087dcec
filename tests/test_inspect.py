"""Looking at a session changes nothing in it, whoever looks and whatever its state; repair is an act of its own."""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import shell
from paperbot.app.sessions import command_session, export, list_sessions, repair, session_status
from paperbot.clock import SystemClock
from paperbot.errors import StateError
from paperbot.live.earnings import profit, trades
from paperbot.live.recovery import open_session
from paperbot.live.session import create_session
from paperbot.live.verify import replay_session, verify
from paperbot.store.journal import FILE, Journal
from recorded import read, run_events
from test_journal import slices

CLOCK = SystemClock()
NOBODY = 65_534


@pytest.fixture(scope="module")
def market():
    plan, events = read(["BTC/USDT=synthetic:7:400", "ETH/USDT=synthetic:7:400"])
    return plan, events, run_events(plan, events)


@pytest.fixture
def killed(market):
    """(folder of artifacts, folder of the session) whose process was killed: its journal's log is hot, its lock free.

    Outside of pytest's own folder, which nobody else may enter.
    """
    plan, events, _ = market
    with tempfile.TemporaryDirectory() as place:
        alive, root = Path(place) / "alive", Path(place) / "data/sessions"
        session = create_session(alive, "s", plan, CLOCK)
        for number, part in enumerate(slices(events)):
            session.commit_slice(part, ["stream"] * len(part))
            if number == 200:
                session.save()
        shutil.copytree(alive, root)
        session.close()
        assert (root / "s" / f"{FILE}-wal").stat().st_size > 0
        yield root.parent, root / "s"


def contents(folder):
    """What is in a folder: each file's name, bytes, and when it was changed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(one): (hashlib.sha256(one.read_bytes()).hexdigest(), one.stat().st_mtime_ns) for one in files}


def looks(out, to):
    """Every reading command's answer."""
    return {
        "status": session_status(out, None),
        "verify": verify(out, None),
        "export": export(out, None, to / "exported"),
        "replay": replay_session(out, None, to / "again"),
        "profit": profit(out, None, "daily", 5),
        "trades": trades(out, None, 5),
        "sessions": list_sessions(out),
    }


# ---- reading ------------------------------------------------------------------------------------------------------
def test_no_reading_command_changes_a_session(killed, market, tmp_path):
    """Not even where its log is hot; and the answers are those of the session opened by its own process."""
    out, folder = killed
    before = contents(out)
    found = looks(out, tmp_path)
    assert contents(out) == before
    whole = market[2].digest
    assert {found[name]["digest"] for name in ("status", "verify", "replay")} == {whole}
    session = open_session(folder.parent, "s", None, CLOCK)
    assert session.digest() == whole
    session.close()
    after = looks(out, tmp_path)
    for name in ("status", "verify", "export", "profit", "trades"):
        assert after[name] == found[name], name


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to become another user")
def test_another_user_may_look_at_what_he_cannot_write(killed, market, tmp_path):
    out, _ = killed
    looks(out, tmp_path)  # All modules are loaded: they may be where only we can read.
    for path in (out.parent, *out.parent.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = contents(out)
    with tempfile.TemporaryDirectory() as theirs:
        os.chown(theirs, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            with pytest.raises(PermissionError):
                (out / "new").write_text("")
            found = looks(out, Path(theirs))
        finally:
            os.seteuid(0)
    assert found["verify"]["digest"] == market[2].digest
    assert contents(out) == before
    for path in (out.parent, *out.parent.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_journal_is_read_beside_its_writer(market, tmp_path):
    """What a reader sees is what was durable at one moment: a beginning of the chain."""
    code = f"""
import sys
from pathlib import Path
from paperbot.store.journal import Input, Journal, Lock
folder = Path({str(tmp_path)!r})
lock, journal = Lock(folder), Journal(folder, create=True)
print("begun", flush=True)
for _ in sys.stdin:
    for number in range(50):
        journal.append([Input(bytes(64), number, "stream")] * 20)
"""
    env = shell.environment()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    writer = subprocess.Popen([sys.executable, "-c", code], env=env, **pipes)
    assert writer.stdout.readline() == "begun\n"
    seen = []
    try:
        while len(seen) < 40 or seen[-1] < 30_000:  # Beyond several checkpoints of the log.
            writer.stdin.write("go on\n")  # A thousand rows for each look, written while we look.
            writer.stdin.flush()
            with Journal(tmp_path, read_only=True) as journal:
                assert journal.first_break() is None
                seen.append(journal.seq)
            assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()
    assert seen == sorted(seen)


def test_nothing_can_be_committed_to_what_is_only_looked_at(killed):
    _, folder = killed
    with Journal(folder, read_only=True) as journal, pytest.raises(StateError, match="is open for reading only"):
        journal.append([])


# ---- damage -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("place", [0, 5_000, -100])
def test_a_changed_output_is_found_and_left_as_it_is(killed, place):
    """Wherever it is: before the last snapshot, or in what the journal's tail gives again."""
    out, folder = killed
    content = bytearray((folder / "outputs.bin").read_bytes())
    content[place] ^= 1
    (folder / "outputs.bin").write_bytes(content)
    before = contents(out)
    with pytest.raises(StateError, match=r"outputs\.bin differs from the journal's output records"):
        verify(out, None)
    assert contents(out) == before


def test_outputs_that_were_lost_are_no_fault(killed, market):
    """They are derived: after a loss of power the file may be shorter than the journal."""
    out, folder = killed
    (folder / "outputs.bin").write_bytes((folder / "outputs.bin").read_bytes()[:-1000])
    assert verify(out, None)["digest"] == market[2].digest
    assert session_status(out, None)["digest"] == market[2].digest


def damage(folder):
    with sqlite3.connect(folder / FILE) as db:
        db.execute("UPDATE inputs SET bytes = zeroblob(64) WHERE seq = 700")


def test_a_damaged_session_is_told_and_mended_only_by_repair(killed, tmp_path):
    out, folder = killed
    damage(folder)
    before = contents(out)
    for look in (
        lambda: session_status(out, None),
        lambda: export(out, None, tmp_path / "exported"),
        lambda: verify(out, None),
        lambda: command_session(out, None, "resume"),
    ):
        with pytest.raises(StateError, match="input 700 breaks the hash chain; repair it with: paperbot session "):
            look()
    assert contents(out) == before
    found = repair(out, None)
    assert found["inputs"] == 700  # 699 that fit, and the halt.
    assert found["taken_out"] > 0
    assert found["halted"] == "journal"
    assert session_status(out, None)["halted"] == "journal"
    assert verify(out, None)["digest"] == found["digest"]
    assert len(list((folder / "quarantine").iterdir())) == 1
    assert repair(out, None)["taken_out"] == 0


def test_repair_by_the_command_line(killed):
    out, folder = killed
    damage(folder)
    code, _, err = shell.call(["status", "--out", str(out)], out.parent)
    assert code == 2
    assert "repair it with: paperbot session repair s" in " ".join(err.split())
    code, told, err = shell.call(["session", "repair", "--out", str(out)], out.parent)
    assert code == 0, err
    assert "halted: journal" in told
