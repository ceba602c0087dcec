"""The journal: durable before it acts, one chain, one writer; what is damaged is found, kept and reported."""

import hashlib
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from paperbot.clock import SystemClock
from paperbot.core import types as t
from paperbot.engine.books import unbalanced
from paperbot.engine.runner import Runner
from paperbot.engine.snapshot import LAYOUTS, Snapshot, carry_over, decode, encode, identity, layouts_of
from paperbot.errors import CommandError, StateError
from paperbot.events import halt
from paperbot.live.artifacts import LiveArtifacts, moment_of, write_artifacts
from paperbot.live.recovery import carry_session, core_of, open_session
from paperbot.live.session import create_session
from paperbot.live.verify import rerun
from paperbot.store.journal import FILE, GENESIS, Input, Journal, Lock, is_locked, link
from paperbot.store.outputs import read_outputs
from recorded import read, run_events
from shell import environment

CLOCK = SystemClock()
MARKETS = ["BTC/USDT=synthetic:7:400", "ETH/USDT=synthetic:7:400"]


@pytest.fixture(scope="module")
def market():
    plan, events = read(MARKETS)
    return plan, events, run_events(plan, events)


def slices(events):
    ends = np.flatnonzero(events["flags"] & t.BarFlag.END_OF_SLICE) + 1
    return np.split(events, ends[:-1])


def session_of(root, plan, events, name="s", save_at=()):
    """A session over these events, closed."""
    session = create_session(root, name, plan, CLOCK)
    for number, part in enumerate(slices(events)):
        session.commit_slice(part, ["stream"] * len(part))
        if number in save_at:
            session.save()
    session.close()
    return root / name


def inputs(count):
    return [Input(bytes([k % 256]) * 64, k, "test") for k in range(count)]


# ---- the chain ----------------------------------------------------------------------------------------------------
def test_each_row_is_linked_to_all_before_it(tmp_path):
    with Journal(tmp_path, create=True) as journal:
        journal.append(inputs(3))
        h = GENESIS
        for number, row in enumerate(journal.rows(), 1):
            h = hashlib.sha256(h + number.to_bytes(8, "little") + bytes([number - 1]) * 64).digest()
            assert row.h == h == link(_before(journal, number), number, row.content)
        assert (journal.seq, journal.h, journal.first_break()) == (3, h, None)


def _before(journal, number):
    return GENESIS if number == 1 else journal.link_at(number - 1)


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE inputs SET bytes = zeroblob(64) WHERE seq = 5",
        "DELETE FROM inputs WHERE seq = 5",
        "UPDATE inputs SET h = zeroblob(32) WHERE seq = 5",
        "UPDATE inputs SET seq = 500 WHERE seq = 5",
        "UPDATE inputs SET bytes = (SELECT bytes FROM inputs WHERE seq = 6) WHERE seq = 5",
    ],
)
def test_any_change_shows_at_its_row(tmp_path, harm):
    with Journal(tmp_path, create=True) as journal:
        journal.append(inputs(9))
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute(harm)
    with Journal(tmp_path) as journal:
        assert journal.first_break() == 5
        assert journal.first_break(after=6) is None or "500" in harm


def test_a_commit_is_all_or_nothing(tmp_path):
    with Journal(tmp_path, create=True) as journal:
        journal.append(inputs(2))
        with pytest.raises(TypeError):
            journal.append([*inputs(1), Input("no bytes", 0, "x")])
        journal.append(inputs(1))
        assert (journal.seq, journal.first_break()) == (3, None)


def test_settings_of_durability(tmp_path):
    with Journal(tmp_path, create=True) as journal:
        assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL.
        assert journal._db.execute("PRAGMA locking_mode").fetchone() == ("normal",)


# ---- what is refused ----------------------------------------------------------------------------------------------
def test_a_newer_schema_is_refused(tmp_path):
    with Journal(tmp_path, create=True) as journal:
        journal.set_meta("schema", "2")
    with pytest.raises(StateError, match="has schema 2, this version reads up to 1"):
        Journal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0 and then nothing", os.urandom(5000)])
def test_a_file_that_is_no_journal_is_refused_and_kept(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(StateError):
        Journal(tmp_path)
    assert (tmp_path / FILE).read_bytes()[: len(content)] == content


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be written: Not a directory"):
        Lock(tmp_path / "file" / "session")


def test_a_journal_goes_on_after_a_commit_that_failed(tmp_path):
    """What was refused is not there, and does not count."""
    with Journal(tmp_path, create=True) as journal:
        journal.append(inputs(3))
        before = journal.seq, journal.h
        with pytest.raises(StateError, match="the inputs have no effect"):
            journal.append([*inputs(2), Input(bytes(64), 1, None)])
        assert (journal.seq, journal.h) == before
        journal.append(inputs(2))
        assert journal.seq == 5
        assert journal.first_break() is None


def test_one_writer_at_a_time_and_the_lock_dies_with_it(tmp_path):
    code = f"from pathlib import Path; from paperbot.store.journal import Lock; Lock(Path({str(tmp_path)!r}));"
    code += "print('locked', flush=True); import time; time.sleep(3600)"
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment())
    assert other.stdout.readline() == "locked\n"
    assert is_locked(tmp_path)
    with pytest.raises(StateError, match="another process runs this session"):
        Lock(tmp_path)
    other.kill()
    other.wait()
    assert not is_locked(tmp_path)
    Lock(tmp_path).free()


# ---- recovery -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("save_at", [(), (10,), (100, 200, 300, 399)])
def test_a_session_opened_again_is_where_it_was(tmp_path, market, save_at):
    plan, events, whole = market
    folder = session_of(tmp_path, plan, events, save_at=save_at)
    for asked in (plan, None):
        session = open_session(tmp_path, "s", asked, CLOCK)
        assert session.digest() == whole.digest
        assert session.runner.machine.state.memory.tobytes() == whole.machine.state.memory.tobytes()
        session.close()
    assert b"".join(one.tobytes() for one in read_outputs(folder / "outputs.bin")) == whole.outputs.tobytes()
    assert rerun(tmp_path, "s").digest == whole.digest
    assert not unbalanced(plan, session.runner.machine.state)


def test_recovery_takes_the_last_good_snapshot_and_at_worst_all_of_the_journal(tmp_path, market):
    plan, events, whole = market
    folder = session_of(tmp_path, plan, events, save_at=(100, 200))
    newest = max(folder.glob("*.state"), key=lambda path: int(path.stem))
    newest.write_bytes(newest.read_bytes()[:-7])
    session = open_session(tmp_path, "s", None, CLOCK)
    assert (session.recovered.snapshot, session.digest()) == (203, whole.digest)
    session.close()
    (folder / "outputs.bin").write_bytes(b"")
    session = open_session(tmp_path, "s", None, CLOCK)
    assert (session.recovered.snapshot, session.digest()) == (0, whole.digest)
    session.close()
    assert b"".join(one.tobytes() for one in read_outputs(folder / "outputs.bin")) == whole.outputs.tobytes()


def test_a_snapshot_of_another_journal_is_not_taken(tmp_path, market):
    """It is whole and has the right number, but its link is not in this chain."""
    plan, events, whole = market
    other = events.copy()
    other["close"] += 100_000_000
    other["high"] += 100_000_000
    theirs = session_of(tmp_path, plan, other, "other", save_at=(100,))
    ours = session_of(tmp_path, plan, events)
    (snapshot,) = theirs.glob("*.state")
    shutil.copy(snapshot, ours / snapshot.name)
    session = open_session(tmp_path, "s", None, CLOCK)
    assert (session.recovered.snapshot, session.digest()) == (0, whole.digest)
    session.close()


def test_a_changed_tail_is_quarantined_reported_and_halts(tmp_path, market):
    plan, events, _ = market
    folder = session_of(tmp_path, plan, events, save_at=(100,))
    with sqlite3.connect(folder / FILE) as db:
        db.execute("UPDATE inputs SET bytes = zeroblob(64) WHERE seq = 700")
        count = db.execute("SELECT count(*) FROM inputs").fetchone()[0]
    session = open_session(tmp_path, "s", None, CLOCK)
    assert session.recovered.quarantined == count - 699
    assert session.runner.machine.account["halted"] == t.HaltReason.JOURNAL
    assert session.journal.first_break() is None
    session.close()
    (copy,) = (folder / "quarantine").iterdir()
    with sqlite3.connect(copy / FILE) as db:
        assert db.execute("SELECT count(*) FROM inputs").fetchone()[0] == count


def test_a_death_after_a_quarantine_still_halts(tmp_path, market):
    """The tail is out of the journal, and the process dies before the halt is in it: the next start halts."""
    plan, events, _ = market
    folder = session_of(tmp_path, plan, events, save_at=(100, 390))
    with sqlite3.connect(folder / FILE) as db:
        db.execute("UPDATE inputs SET bytes = zeroblob(64) WHERE seq = 795")
    code = f"""
from pathlib import Path
from paperbot.live.recovery import open_session
from paperbot.clock import SystemClock
open_session(Path({str(tmp_path)!r}), "s", None, SystemClock())
"""
    env = environment(PAPERBOT_FAIL_POINT="session.after_quarantine")
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == -signal.SIGKILL
    session = open_session(tmp_path, "s", None, CLOCK)
    assert session.recovered.quarantined > 0
    assert session.runner.machine.account["halted"] == t.HaltReason.JOURNAL
    saved = session.save()
    assert saved.exists()
    session.close()
    session = open_session(tmp_path, "s", None, CLOCK)
    assert session.recovered.quarantined is None
    session.close()


def test_a_full_replay_checks_what_it_replays(tmp_path, market):
    """The snapshot cannot be used, so everything is run again: then everything is checked."""
    plan, events, _ = market
    folder = session_of(tmp_path, plan, events, save_at=(300,))
    with sqlite3.connect(folder / FILE) as db:
        db.execute("UPDATE inputs SET bytes = zeroblob(64) WHERE seq = 201")
    (folder / "outputs.bin").write_bytes(b"")
    session = open_session(tmp_path, "s", None, CLOCK)
    assert session.recovered.quarantined == 801 - 200
    assert session.runner.machine.account["halted"] == t.HaltReason.JOURNAL
    session.close()


def renamed(snapshot, array, field, to=None, kind=None):
    """The snapshot, with a field under another name or of another type of the same size."""
    layout = [
        (name, [[to or f[0], kind or f[1]] if (name, f[0]) == (array, field) else f for f in one], count)
        if isinstance(one, list)
        else (name, one, count)
        for name, one, count in snapshot.header["layout"]
    ]
    return Snapshot({**snapshot.header, "layout": layout}, snapshot.memory)


@pytest.mark.parametrize(
    ("array", "field", "to", "kind"),
    [("account", "equity", "worth", None), ("assets", "free", "spare", None), ("positions", "cost", None, "<f8")],
)
def test_what_would_be_lost_in_carrying_on_is_an_error(tmp_path, market, array, field, to, kind):
    plan, events, _ = market
    folder = session_of(tmp_path, plan, events, save_at=(399,))
    (path,) = folder.glob("*.state")
    changed = renamed(decode(path.read_bytes(), "saved"), array, field, to, kind)
    with pytest.raises(StateError, match=f"has a field {array}.{to or field} that this version cannot carry over"):
        create_session(tmp_path, "after", plan, CLOCK, changed)
    assert not (tmp_path / "after").exists()


def test_books_that_do_not_add_up_are_not_carried_on(tmp_path, market):
    plan, events, _ = market
    folder = session_of(tmp_path, plan, events, save_at=(399,))
    (path,) = folder.glob("*.state")
    snapshot = decode(path.read_bytes(), "saved")
    runner = Runner(plan, [])
    runner.machine.state.memory[:] = np.frombuffer(snapshot.memory, dtype=np.uint8)
    runner.machine.state.assets["free"][plan.assets.index("USDT")] += 1
    broken = Snapshot(snapshot.header, runner.machine.state.memory.tobytes())
    with pytest.raises(StateError, match="the books of USDT do not add up in the carried-over state"):
        create_session(tmp_path, "after", plan, CLOCK, broken)
    assert not (tmp_path / "after").exists()


@pytest.mark.parametrize("has_snapshot", [True, False])
def test_a_session_of_an_earlier_version_is_carried_on(tmp_path, has_snapshot):
    """One of before layouts were told, whose records lack fields and whose features stand in another order."""
    shutil.copytree(Path(__file__).parent / "golden/session_before_layouts", tmp_path / "before")
    if not has_snapshot:
        (tmp_path / "before/241.state").unlink()
    told = json.loads((tmp_path / "before/told.json").read_text())
    plan, _ = read(["BTC/USDT=synthetic:5:200", "ETH/USDT=synthetic:5:200"])
    session = carry_session(tmp_path, "before", "after", plan, CLOCK)
    state = session.runner.machine.state
    assert {name: state.assets[name].tolist() for name in told["assets"]} == told["assets"]
    assert state.account["equity"] == told["equity"]
    assert state.positions["quantity"].tolist() == told["quantity"]
    assert state.positions["cost"].tolist() == told["cost"]
    assert sorted(one for one in state.orders["id"].tolist() if one > 0) == told["orders"]
    now = plan.params.features[["kind", "window"]].tolist()
    was = [tuple(feature) for feature in told["features"]]
    assert now != was
    for symbol in range(2):
        for slot, feature in enumerate(now):
            old = symbol * len(was) + was.index(feature)
            found = state.features[symbol * len(now) + slot]
            assert (found["value"], found["count"]) == (told["values"][old], told["counts"][old])
    digest = session.digest()
    session.close()
    again = open_session(tmp_path, "after", plan, CLOCK)
    assert again.digest() == digest
    again.close()


@pytest.mark.parametrize("has_snapshot", [True, False])
def test_a_session_from_before_the_state_had_two_parts_is_carried_on(tmp_path, has_snapshot):
    """Every value is found where it belongs now: clock and slice with the market, chains with the account."""
    shutil.copytree(Path(__file__).parent / "golden/session_before_parts", tmp_path / "before")
    if not has_snapshot:
        (tmp_path / "before/263.state").unlink()
    told = json.loads((tmp_path / "before/told.json").read_text())["state"]
    plan, _ = read(["BTC/USDT=synthetic:5:200", "ETH/USDT=synthetic:5:200"])
    session = carry_session(tmp_path, "before", "after", plan, CLOCK)
    arrays = session.runner.machine.state.arrays()
    moved = {("account", "clock_ts"): "market", ("account", "slice_ts"): "market"}
    moved |= {("symbols", field): "chains" for field in ("head", "tail", "orders")}
    skipped = {("account", "seq")}  # The new session's own records count from 1.
    for name, fields in told.items():
        if name == "rings":
            assert arrays["rings"].tolist() == fields
            continue
        for field, values in fields.items():
            home = arrays[moved.get((name, field), name)]
            if (name, field) not in skipped and field in home.dtype.names:
                assert home[field].tolist() == values, (name, field)
    assert arrays["chains"]["orders"].tolist() == [1, 1]
    assert arrays["market"]["clock_ts"][0] > 0
    session.close()


def test_what_arrives_in_a_slice_is_free_after_it_when_another_core_goes_on(market):
    plan, events, _ = market
    runner, later = Runner(plan, []), Runner(plan, [])
    runner.feed(events[:20])  # Nobody trades yet, so nothing else arrives.
    quote = plan.assets.index("USDT")
    for name, change in (("arriving", 7), ("locked", 7), ("free", -7)):
        runner.machine.state.assets[name][quote] += change
    free = int(runner.machine.state.assets["free"][quote])
    carry_over(decode(encode(runner, {}), "saved"), later)
    assert int(later.machine.state.assets["free"][quote]) == free
    later.feed(events[20:22])
    assert int(later.machine.state.assets["arriving"][quote]) == 0


def test_a_session_goes_on_however_the_core_was_compiled(tmp_path, market):
    """Begun in plain Python on another processor, as in a container: the same rules, so the same session."""
    plan, events, _ = market
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_journal import MARKETS, read, session_of
plan, events = read({MARKETS!r})
session_of(Path({str(tmp_path)!r}), plan, events[:120], save_at=(30,))
"""
    env = environment(NUMBA_DISABLE_JIT="1", NUMBA_CPU_NAME="generic")
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0
    assert core_of(tmp_path, "s") == identity(plan)["core"]
    session = open_session(tmp_path, "s", None, CLOCK)
    assert session.recovered.snapshot > 0
    assert session.digest() == run_events(plan, events[:120]).digest
    session.close()


def test_another_layout_of_a_record_is_another_core():
    changed = SimpleNamespace(**{name: value for name, value in vars(t).items() if name != "POSITION"})
    assert layouts_of(changed) != layouts_of(t)
    changed.POSITION = np.dtype([*t.POSITION.descr, ("more", "<i8")])
    assert layouts_of(changed) != layouts_of(t)
    changed.POSITION = t.POSITION
    assert layouts_of(changed) == layouts_of(t) == LAYOUTS


@pytest.mark.parametrize("save_at", [(), (100,)])
def test_carrying_on_loses_nothing_whenever_it_dies(tmp_path, market, save_at):
    """To another core, twice, with and without a snapshot: the money and the last slice come along each time."""
    plan, events, whole = market
    session_of(tmp_path, plan, events, save_at=save_at)
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from paperbot.live.recovery import carry_session
from paperbot.clock import SystemClock
from recorded import read
plan, _ = read({MARKETS!r})
carry_session(Path({str(tmp_path)!r}), "s", "second", plan, SystemClock())
"""
    for point in ("journal.before_commit", "session.before_current"):
        env = environment(PAPERBOT_FAIL_POINT=point)
        done = subprocess.run([sys.executable, "-c", code], env=env, check=False)
        assert done.returncode == -signal.SIGKILL
        assert (tmp_path / "current").read_text() == "s\n"
        if point == "session.before_current":
            shutil.rmtree(tmp_path / "second")  # It is whole, but nobody was told: `run` names it again.
    second = carry_session(tmp_path, "s", "second", plan, CLOCK)
    second.close()
    third = carry_session(tmp_path, "second", "third", plan, CLOCK)
    for name in ("free", "locked", "opening", "venue", "fees", "held"):
        assert third.runner.machine.state.assets[name].tolist() == whole.machine.state.assets[name].tolist()
    assert third.runner.machine.market["slice_ts"] == whole.machine.market["slice_ts"]
    assert third.runner.machine.account["equity"] == whole.machine.account["equity"]
    third.close()


@pytest.mark.parametrize("name", ["../out", "/abs/x", "a/b", "", ".hidden", "current", "a\nb", "x" * 101])
def test_a_session_name_is_a_plain_name(tmp_path, market, name):
    with pytest.raises(CommandError, match="--session"):
        create_session(tmp_path / "root", name, market[0], CLOCK)
    assert not list(tmp_path.rglob("journal.sqlite"))


def test_looking_whether_a_session_runs_does_not_keep_it_from_starting(tmp_path):
    stop = threading.Event()

    def look():
        while not stop.is_set():
            is_locked(tmp_path)

    Lock(tmp_path).free()
    looker = threading.Thread(target=look)
    looker.start()
    for _ in range(200):
        Lock(tmp_path).free()
    stop.set()
    looker.join()


def test_a_command_before_the_midnight_slice_does_not_undo_a_day(tmp_path, market):
    """A command carries our own time: it may stand, with a later day, before the slice that ends the old day."""
    plan, events = read(["BTC/USDT=synthetic:7:3000"])
    parts = slices(events)
    session = create_session(tmp_path / "sessions", "s", plan, CLOCK)
    for part in parts:
        if part["close_ts"][-1] % (86_400 * 10**9) == 0:
            session.commit(halt(int(part["close_ts"][-1]) + 10**9 // 2, t.HaltReason.MANUAL), "x")
        session.commit_slice(part, ["stream"] * len(part))
    LiveArtifacts(tmp_path / "live", session, {}).write(moment_of(session))
    write_artifacts(tmp_path / "whole", session)
    session.close()
    assert (tmp_path / "live/run.json").read_text() == (tmp_path / "whole/run.json").read_text()
    for name in ("candles", "trades", "ledger", "orders", "round_trips", "blocked"):
        live = pq.read_table(tmp_path / f"live/{name}.parquet")
        assert live.equals(pq.read_table(tmp_path / f"whole/{name}.parquet")), name
    assert live.num_rows > 0
    assert market


def test_files_are_of_the_moment_however_far_the_session_is_meanwhile(tmp_path):
    """They are written on a thread of their own: what comes meanwhile is for the next time."""
    plan, events = read(["BTC/USDT=synthetic:7:3000"])
    session = create_session(tmp_path / "sessions", "s", plan, CLOCK)
    live = LiveArtifacts(tmp_path / "live", session, {})
    moment = None
    for count, part in enumerate(slices(events)):
        session.commit_slice(part, ["catch_up" if count % 7 == 0 else "stream"] * len(part))
        if count % 1000 == 700:
            moment = moment_of(session)
            write_artifacts(tmp_path / f"whole{count}", session)
        elif count % 1000 == 900:
            thread = threading.Thread(target=live.write, args=(moment,))
            thread.start()
            thread.join()
            whole = tmp_path / f"whole{count - 200}"
            assert (tmp_path / "live/run.json").read_text() == (whole / "run.json").read_text()
            for name in ("candles", "trades", "ledger", "orders", "round_trips", "blocked"):
                assert pq.read_table(tmp_path / f"live/{name}.parquet").equals(pq.read_table(whole / f"{name}.parquet"))
    live.close()
    session.close()
    assert set(pq.read_table(tmp_path / "live/trades.parquet")["source"].to_pylist()) == {"stream", "catch_up"}


def test_a_tripped_kill_switch_is_still_tripped(tmp_path, market):
    plan, events, _ = market
    session = create_session(tmp_path, "s", plan, CLOCK)
    for part in slices(events)[:50]:
        session.commit_slice(part, ["stream"] * len(part))
    session.commit(halt(int(events["close_ts"][99]), t.HaltReason.MANUAL), "command")
    session.close()
    for _ in range(2):
        session = open_session(tmp_path, "s", plan, CLOCK)
        assert session.runner.machine.account["halted"] == t.HaltReason.MANUAL
        session.close()


# ---- power loss, and a disk that refuses --------------------------------------------------------------------------
def wal_edges(wal):
    """Where each frame of a WAL file ends: a header of 32 bytes, then frames of 24 bytes and a page."""
    page = int.from_bytes(wal[8:12], "big")
    return range(32, len(wal) + 1, 24 + page)


def test_a_wal_cut_anywhere_recovers_to_a_prefix(tmp_path):
    """Power fails in the middle of writing: database and WAL end at some frame, or inside one."""
    source = tmp_path / "source"
    source.mkdir()
    journal = Journal(source, create=True)
    journal._db.execute("PRAGMA wal_autocheckpoint=0")
    for k in range(12):
        journal.append(inputs(k % 3 + 1))
    wal = (source / f"{FILE}-wal").read_bytes()
    database = (source / FILE).read_bytes()
    last_seq, counts = journal.seq, []
    cuts = [cut for edge in wal_edges(wal) for cut in (edge - 11, edge)]
    for number, cut in enumerate(cut for cut in cuts if cut > 0):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / FILE).write_bytes(database)
        (folder / f"{FILE}-wal").write_bytes(wal[:cut])
        try:
            with Journal(folder) as copy:
                assert copy.first_break() is None
                counts.append(copy.seq)
        except StateError:
            counts.append(0)  # Before the tables were there.
    journal.close()
    assert counts == sorted(counts)
    assert counts[-1] == last_seq
    assert len(set(counts)) == 13


def limited():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))


def test_a_full_disk_is_one_sentence_and_nothing_of_it_acts(tmp_path):
    """A limit on file sizes stands for the full disk: what could not be written did not act, the rest is there."""
    code = f"""
import sys
from pathlib import Path
from paperbot.errors import CommandError, StateError
from paperbot.events import halt
from paperbot.store.journal import Input, Journal
journal = Journal(Path({str(tmp_path)!r}), create=True)
try:
    for k in range(10_000):
        journal.append([Input(bytes(64), k, "test")])
        done = journal.seq
except StateError as error:
    print(done, error)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=limited, env=environment())
    count, _, message = done.stdout.partition(" ")
    assert "cannot be written" in message
    assert "the inputs have no effect" in message
    with Journal(tmp_path) as journal:
        assert journal.first_break() is None
        assert int(count) <= journal.seq <= int(count) + 1


def test_a_bit_that_flips_is_found(tmp_path, market):
    plan, events, _ = market
    folder = session_of(tmp_path, plan, events)
    whole = (folder / FILE).read_bytes()
    random = np.random.default_rng(5)
    for _ in range(25):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        content = bytearray(whole)
        content[int(random.integers(4096 * 8, len(content)))] ^= 1 << int(random.integers(8))
        (copy / FILE).write_bytes(bytes(content))
        try:
            with Journal(copy) as journal:
                changed = journal.first_break() is not None
                same = [row.content for row in journal.rows()]
        except StateError:
            continue
        with Journal(folder) as journal:
            assert changed or same == [row.content for row in journal.rows()]
