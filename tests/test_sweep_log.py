"""What a sweep leaves behind: goes on where it was interrupted, is never mixed with another, and survives mistakes,
sets that fail, a full disk and a damaged log."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from paperbot.app.replay import replay
from paperbot.app.sweep import picture
from paperbot.config import parse_assignment
from paperbot.errors import CommandError, OutputError, PaperbotError, StateError, StrategyError
from paperbot.research.job import ReplayRequest
from paperbot.research.sweep import sweep
from paperbot.research.trials import FIGURES
from paperbot.store.parquet import lock_folder
from paperbot.store.sweeps import TrialLog, write_results
from shell import call, environment, run
from sweeps import CALM, CONFIG, FAST, FEW, PYTHON, SLOW, SMALL, asked, command, tiny, typed

ANOTHER = "holds a sweep of other settings or bars; use --new"
COMPILED = """
import math
from paperbot.strategy import FLAT, LONG, compiled
FEATURES = ["sma(5)", "sma(20)"]
PARAMS = {"edge": 1.0}

@compiled
def on_bar(ts, bar, features, params, memory, held, target):
    if params[0] > 1.5 and ts > 1_704_100_000_000_000_000:
        return math.nan
    return LONG if features[0] > features[1] * params[0] else FLAT
"""
EDGE = "strategies.mine.params.edge"


KILLED = """
import os, signal
from paperbot.cli import main
from paperbot.store.sweeps import TrialLog

add = TrialLog.add

def add_and_die(log, key, row):
    add(log, key, row)
    if len(log.rows) == 25:
        os.kill(os.getpid(), signal.SIGKILL)

TrialLog.add = add_and_die
main()
"""
"""The command line, killed as soon as 25 trials are done."""


def mine(path, text, params=""):
    path.write_text(text)
    return (f"strategies=[{{name: mine, path: {path}{params}}}]", *CALM)


# ---- goes on where it was interrupted -----------------------------------------------------------------------------
def test_a_sweep_that_was_killed_goes_on_where_it_was(tmp_path):
    many = (f"{FAST}=3:40:1", f"{SLOW}=50:90:10")
    code, _, err = call(command(tmp_path / "whole", vary=many), tmp_path)
    assert code == 0, err
    out = tmp_path / "cut"
    killed = [sys.executable, "-c", KILLED, *command(out, vary=many)]
    assert subprocess.run(killed, env=environment(), cwd=tmp_path, check=False).returncode == -signal.SIGKILL
    log = out / "trials.jsonl"
    known = log.read_text().splitlines(keepends=True)
    assert len(known) == 26  # One line says which sweep it is.
    assert not (out / "sweep.parquet").exists()
    log.write_text("".join(known)[:-5])  # The last line was cut off.
    code, _, err = call(command(out, vary=many), tmp_path)
    assert code == 0, err
    assert (out / "sweep.parquet").read_bytes() == (tmp_path / "whole/sweep.parquet").read_bytes()
    lines = log.read_text().splitlines()
    assert lines[: len(known) - 1] == [line.rstrip("\n") for line in known[:-1]]  # None of them was run again.
    assert len({json.loads(line)["key"] for line in lines[1:]}) == len(lines) - 1 == 190


def test_a_trial_is_in_the_file_as_soon_as_it_is_done(tmp_path):
    log = tmp_path / "sweep/trials.jsonl"
    seen = []
    request = asked(tmp_path / "sweep", vary=FEW, sources=SMALL)
    sweep(request, lambda _: None, lambda done, _: seen.append((done, log.read_text().count("\n"))))
    assert seen == [(done, done + 1) for done in range(5)]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"train": 0.7}, {"train": 0.5}),
        ({}, {"seed": 5}),
        ({"draws": 4}, {"draws": 9, "seed": 5}),
        ({}, {"objective": "sharpe", "anchored": True, "jobs": 1}),
        ({"replayed": {"start": "2024-01-01"}}, {"replayed": {"start": "2024-01-01T00:00+00:00"}}),
        ({"replayed": {"end": "2024-01-02"}}, {"replayed": {"end": "2024-01-02T01:00+01:00"}}),
        ({"vary": ("risk.fixed_fraction=0.1,0.2",)}, {"vary": ("risk.fixed_fraction=1e-1:0.2:0.1",)}),
    ],
)
def test_the_same_sweep_typed_otherwise_goes_on(tmp_path, first, then):
    tiny(tmp_path / "sweep", **first)
    before = (tmp_path / "sweep/trials.jsonl").read_bytes()
    tiny(tmp_path / "sweep", **then)
    assert (tmp_path / "sweep/trials.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {"vary": FEW[:1]}),
        ({}, {"vary": (FEW[0], f"{SLOW}=30,61")}),
        ({}, {"vary": FEW[::-1]}),
        ({}, {"sources": ("BTC/USDT=synthetic:5:1500",)}),
        ({}, {"settings": (*CALM, "risk.max_open_orders=3")}),
        ({}, {"replayed": {"realism": "optimistic"}}),
        ({}, {"replayed": {"cash": ("USDT=5000",)}}),
        ({}, {"replayed": {"strategies": ("sma_cross",)}}),
        ({}, {"replayed": {"start": "2024-01-01T01:00"}}),
        ({}, {"replayed": {"end": "2024-01-01T20:00"}}),
        ({}, {"draws": 3}),
        ({"draws": 3}, {"draws": 2}),
        ({"draws": 3}, {"draws": 3, "seed": 1}),
        ({}, {"digests": True}),
        ({}, {"folds": 1}),
        ({"folds": 1}, {"folds": 2}),
        ({"folds": 1}, {"folds": 1, "train": 0.5}),
        ({"folds": 1}, {"folds": 1, "anchored": True}),
        ({"folds": 1}, {"folds": 1, "objective": "net_pnl"}),
    ],
)
def test_another_sweep_is_not_mixed_in(tmp_path, first, then):
    tiny(tmp_path / "sweep", **first)
    before = {path.name: path.read_bytes() for path in (tmp_path / "sweep").iterdir()}
    with pytest.raises(CommandError, match=ANOTHER):
        tiny(tmp_path / "sweep", **then)
    assert {path.name: path.read_bytes() for path in (tmp_path / "sweep").iterdir()} == before


@pytest.mark.parametrize("part", ["__version__", "CACHE_FOLDER"])
def test_trials_of_another_engine_are_not_taken_over(tmp_path, monkeypatch, part):
    tiny(tmp_path / "sweep")
    monkeypatch.setattr(f"paperbot.research.sweep.{part}", Path("other") if part == "CACHE_FOLDER" else "other")
    with pytest.raises(CommandError, match=ANOTHER):
        tiny(tmp_path / "sweep")


@pytest.mark.parametrize("text", [PYTHON, COMPILED])
@pytest.mark.parametrize("is_varied", [False, True])
def test_trials_of_another_version_of_a_strategy_are_not_taken_over(tmp_path, text, is_varied):
    """Of a file that the settings name, or the space."""
    path, other = tmp_path / "mine.py", tmp_path / "other.py"
    other.write_text(text)
    vary = (f"strategies.mine.path={path},{other}",) if is_varied else (f"{EDGE}=0.999,1.001",)
    settings = mine(path if not is_varied else other, text)
    path.write_text(text)
    tiny(tmp_path / "sweep", vary=vary, settings=settings)
    tiny(tmp_path / "sweep", vary=vary, settings=settings)
    path.write_text(text.replace("LONG if", "FLAT if"))
    with pytest.raises(CommandError, match=ANOTHER):
        tiny(tmp_path / "sweep", vary=vary, settings=settings)


# ---- mistakes -----------------------------------------------------------------------------------------------------
def test_a_new_sweep_replaces_the_old_one_only_when_it_is_good(tmp_path):
    result, _ = tiny(tmp_path / "sweep")
    picture(result, tmp_path / "sweep/sweep.html")
    before = {path.name: path.read_bytes() for path in (tmp_path / "sweep").iterdir()}
    assert sorted(before) == ["sweep.html", "sweep.parquet", "trials.jsonl"]
    for mistake in (("risk.no_such=1,2",), ("execution.tick_size=0.01,0.1",), (f"{FAST}=70,80", FEW[1])):
        with pytest.raises(CommandError):
            tiny(tmp_path / "sweep", vary=mistake, afresh=True)
        assert {path.name: path.read_bytes() for path in (tmp_path / "sweep").iterdir()} == before
    left = []
    request = asked(tmp_path / "sweep", vary=FEW[:1], sources=SMALL, afresh=True)
    sweep(request, lambda _: None, lambda *_: left.append(sorted(one.name for one in request.out.iterdir())))
    assert left[0] == ["trials.jsonl"]
    assert pq.read_table(tmp_path / "sweep/sweep.parquet").num_rows == 2


def test_a_log_in_which_no_trial_is_done_is_nobodys(tmp_path):
    for text in ("", '{"sw', '{"sweep": "0123', '{"sweep": "0123"}\n', '{"sweep": "0123"}\n{"key": "-1 a'):
        (tmp_path / "trials.jsonl").write_text(text)
        assert len(tiny(tmp_path)[0].rows) == 4


def test_one_sweep_at_a_time_has_the_folder(tmp_path):
    with lock_folder(tmp_path), pytest.raises(OutputError, match="another run is writing to this folder"):
        tiny(tmp_path)
    seen = []

    def look(*_):
        with pytest.raises(OutputError, match="another run is writing to this folder"):
            TrialLog(tmp_path, "", afresh=True)
        seen.append(True)

    sweep(asked(tmp_path, vary=FEW, sources=SMALL), lambda _: None, look)
    assert seen


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (1, b"# my notes"),
        (2, b'{"key": "-1 all 0", "row": {"fold": -1, "pa'),
        (3, b"\xff\xfe"),
        (3, b"\x00\x00"),
        (2, b"{}"),
        (4, b"7"),
        (2, b'{"key": "-1 all 0", "row": {"fold": -1, "part": "all", "set": 1}}'),
    ],
)
def test_a_damaged_log_is_kept_and_said(tmp_path, number, line):
    tiny(tmp_path)
    log = tmp_path / "trials.jsonl"
    lines = log.read_bytes().splitlines()
    lines[number - 1] = line
    log.write_bytes(b"\n".join(lines) + b"\n")
    before = log.read_bytes()
    with pytest.raises(StateError, match=re.escape(f"{log}: line {number} ")) as caught:
        tiny(tmp_path)
    assert "use --new to start over, or --out to choose another folder" in str(caught.value)
    assert log.read_bytes() == before
    assert len(tiny(tmp_path, afresh=True)[0].rows) == 4


def test_a_full_disk_is_one_sentence_and_the_sweep_goes_on_when_there_is_room(tmp_path):
    whole, cut = command(tmp_path / "whole"), command(tmp_path / "cut")
    code, _, err = run(whole, tmp_path)
    assert code == 0, err
    limited = ["bash", "-c", 'ulimit -f 4; exec "$@"', "-", sys.executable, "-m", "paperbot.main", *cut]
    done = subprocess.run(limited, env=environment(), cwd=tmp_path, capture_output=True, text=True, check=False)
    log = tmp_path / "cut/trials.jsonl"
    assert (done.returncode, done.stderr.strip()) == (2, f"error: {log}: cannot be written: File too large")
    assert log.stat().st_size == 4096
    known = log.read_bytes().split(b"\n")[:-1]
    code, _, err = run(cut, tmp_path)
    assert code == 0, err
    assert log.read_bytes().startswith(b"\n".join(known) + b"\n")
    assert len([json.loads(line) for line in log.read_bytes().splitlines()]) == 25
    assert (tmp_path / "cut/sweep.parquet").read_bytes() == (tmp_path / "whole/sweep.parquet").read_bytes()


def test_results_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def half(path, _):
        path.open("wb").write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OutputError, match="No space left on device"):
        write_results(tmp_path, [{"a": 1}], ["a"])
    assert list(tmp_path.iterdir()) == []


# ---- sets that fail -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "digests", "words"),
    [
        (PYTHON, False, "too far"),
        (COMPILED, False, "answered with a number that is not finite on BTC/USDT at 2024-01-01T09:07:00Z"),
        (COMPILED, True, "answered with a number that is not finite on BTC/USDT at 2024-01-01T09:07:00Z"),
    ],
)
def test_a_set_that_fails_is_a_row_that_says_why(tmp_path, text, digests, words):
    path = tmp_path / "mine.py"
    given = {"vary": (f"{EDGE}=2,0.999,1.001",), "settings": mine(path, text), "digests": digests}
    result, notes = tiny(tmp_path / "sweep", **given)
    row = result.rows[0]
    overrides = [parse_assignment(one) for one in mine(path, text, ", params: {edge: 2}")]
    with pytest.raises(StrategyError, match=re.escape(words)) as caught:
        replay(ReplayRequest(SMALL, CONFIG, tmp_path / "out", overrides=overrides), lambda _: None)
    assert row["error"] == f"{EDGE}=2: {caught.value}"
    assert [row[name] for name in FIGURES] == [None] * len(FIGURES)
    assert notes[-1] == f"1 of 3 trials failed and have no figures; the first: {row['error']}"
    assert [one["set"] for one in result.best(3)][-1] == 0
    assert [one["error"] for one in pq.read_table(result.path).to_pylist()] == [row["error"], None, None]
    assert f"1 trials failed; the first: {EDGE}=2" in picture(result, tmp_path / "page.html").read_text()
    before = (tmp_path / "sweep/trials.jsonl").read_bytes()
    tiny(tmp_path / "sweep", **given)
    assert (tmp_path / "sweep/trials.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        (
            "strategies.mine.params.egde=1,2",
            "strategies.mine.params.egde=1: strategy mine: {path} has no parameter egde",
        ),
        (
            "strategies.mine.path={path},no.py",
            "strategies.mine.path=no.py: strategy mine: no.py: there is no such file",
        ),
    ],
)
def test_a_strategy_that_cannot_be_loaded_is_a_mistake(tmp_path, vary, words):
    path = tmp_path / "mine.py"
    with pytest.raises(StrategyError, match=re.escape(words.format(path=path))):
        tiny(tmp_path / "sweep", vary=(vary.format(path=path),), settings=mine(path, PYTHON))
    assert not (tmp_path / "sweep").exists()


def test_a_set_that_fails_in_training_is_not_chosen(tmp_path):
    settings = mine(tmp_path / "mine.py", PYTHON)
    result, notes = tiny(tmp_path / "sweep", vary=(f"{EDGE}=2,0.999",), settings=settings, folds=2)
    assert [(trained["set"], tested["set"]) for trained, tested in result.folds()] == [(1, 1), (1, 1)]
    assert len(result.failed) == 2
    assert notes[-1].startswith("2 of 6 trials failed")


def test_when_every_set_fails_the_sweep_does(tmp_path):
    given = {"vary": (f"{EDGE}=2,3",), "settings": mine(tmp_path / "mine.py", COMPILED)}
    for _ in range(2):
        with pytest.raises(PaperbotError, match=re.escape(f"all trials failed; the first: {EDGE}=2: strategy mine")):
            tiny(tmp_path / "sweep", **given)
        assert sorted(one.name for one in (tmp_path / "sweep").iterdir()) == ["trials.jsonl"]


@pytest.mark.parametrize(("edges", "code"), [("2,0.999", 0), ("2,3", 2)])
def test_failed_sets_are_said_in_one_line(tmp_path, capsys, edges, code):
    """Word for word, whatever the strategy says."""
    settings = mine(tmp_path / "mine.py", PYTHON.replace("too far", "[/red] too far"))
    more = [part for text in settings for part in ("--set", text)]
    assert typed(command(tmp_path / "sweep", *more, vary=(f"{EDGE}={edges}",), sources=SMALL)) == code
    said = "1 of 2 trials failed and have no figures; the first: " if code == 0 else "all trials failed; the first: "
    (line,) = (one for one in capsys.readouterr().err.splitlines() if "failed" in one)
    assert line.removeprefix("error: ").startswith(f"{said}{EDGE}=2: strategy mine on BTC/USDT at 2024-01-01T09:07:00Z")
    assert line.endswith("ValueError: [/red] too far")


def test_a_fault_of_ours_is_no_row(tmp_path, monkeypatch):
    monkeypatch.setattr("paperbot.research.trials.summarize", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tiny(tmp_path / "sweep")
