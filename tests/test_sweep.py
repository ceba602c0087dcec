"""Sweeps: every row is what `replay` says of that set, whatever ran it, whenever it was interrupted."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperbot.app.replay import replay
from paperbot.app.sources import ReplayRequest
from paperbot.app.space import Axis, Space, as_tree, parse_axis
from paperbot.app.sweep import SweepRequest, picture, sweep
from paperbot.app.trials import FIGURES, Bars, Span
from paperbot.config import load, parse_assignment
from paperbot.core import types as t
from paperbot.engine.merge import merge
from paperbot.engine.replay import Window
from paperbot.errors import CommandError
from shell import ROOT, environment, run

CONFIG = ROOT / "config/config.yaml"
SOURCES = ("BTC/USDT=synthetic:3:6000", "ETH/USDT=synthetic:4:6000")
VARY = ("strategies.sma_cross.fast=5:20:5", "strategies.sma_cross.slow=15,30,60", "risk.risk_frac=0.005,0.01")
CALM = (
    *("risk.max_drawdown=0", "risk.daily_loss_cap=0", "risk.max_position_value_per_symbol=0"),
    "ledger.every=1d",
)
MINUTE_NS = 60 * 10**9


def asked(out, *, vary=VARY, sources=SOURCES, **how):
    overrides = [parse_assignment(text) for text in CALM]
    return SweepRequest(ReplayRequest(sources, CONFIG, overrides=overrides), vary, out, **how)


def swept(out, **how):
    notes = []
    result = sweep(asked(out, **how), notes.append, lambda _done, _all: None)
    return result, notes


# ---- what is varied -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("risk.risk_frac=0.01,0.02", (0.01, 0.02)),
        ("strategies.a.fast=5:20:5", (5, 10, 15, 20)),
        ("strategies.a.enter=-2:-1:0.5", (-2.0, -1.5, -1.0)),
        ("execution.slippage_model=fixed_bps,atr_scaled", ("fixed_bps", "atr_scaled")),
        ("risk.attach_stop=true,false", (True, False)),
        ("realism=optimistic,pessimistic", ("optimistic", "pessimistic")),
        ("strategies.a.fast=3:10:4", (3, 7)),
    ],
)
def test_an_axis_is_a_list_or_a_range_with_both_ends(text, values):
    assert parse_axis(text).values == values
    assert [type(one) for one in parse_axis(text).values] == [type(one) for one in values]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("symbols=BTC/USDT", "the key begins with strategies, risk, execution, features, realism"),
        ("risk.risk_frac", "expected KEY=A,B,C or KEY=FROM:TO:STEP"),
        ("risk.risk_frac=", "expected KEY=A,B,C or KEY=FROM:TO:STEP"),
        ("risk.risk_frac=1:2:0", "STEP is above 0"),
        ("risk.risk_frac=2:1:1", "TO is not below FROM"),
        ("risk.risk_frac=a:b:c", "are numbers"),
        ("risk.risk_frac=0:1:0.000001", "more than 100000 values"),
        ("risk.risk_frac=0.1,0.1", "a value is there twice"),
        ("risk.risk_frac={a: 1}", "a value is a number, a word, true or false"),
        ("risk.risk_frac=.nan,1", "a value is a number, a word, true or false"),
        ("strategies.sma_cross=5", "expected strategies.NAME.KEY"),
    ],
)
def test_a_mistake_in_an_axis_is_one_sentence(text, words):
    with pytest.raises(CommandError, match=re.escape(words)):
        parse_axis(text)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), draws=st.integers(1, 40), seed=st.integers(0, 1 << 32)
)
def test_a_random_part_of_the_grid_has_no_set_twice_and_is_the_same_every_time(sizes, draws, seed):
    axes = tuple(Axis(f"risk.k{index}", tuple(range(size))) for index, size in enumerate(sizes))
    grid = list(Space(axes).sets())
    assert grid == list(itertools.product(*(range(size) for size in sizes)))
    drawn = list(Space(axes, draws, seed).sets())
    assert len(drawn) == min(draws, len(grid)) == len(set(drawn))
    assert set(drawn) <= set(grid)
    assert drawn == list(Space(axes, draws, seed).sets())


def test_a_set_changes_the_named_strategy_and_leaves_the_others():
    configuration = load(CONFIG)
    axes = (Axis("strategies.sma_cross.fast", (7,)), Axis("risk.risk_frac", (0.02,)))
    tree = as_tree(configuration, axes, (7, 0.02))
    assert tree["risk"] == {"risk_frac": 0.02}
    ours = load(CONFIG, [tree]).settings.strategies
    before = configuration.settings.strategies
    assert ours[0] == before[0]
    assert (ours[1].fast, ours[1].slow) == (7, before[1].slow)
    with pytest.raises(CommandError, match="there is no such strategy; there are mean_reversion, sma_cross"):
        as_tree(configuration, (Axis("strategies.sma.fast", (7,)),), (7,))


# ---- windows ------------------------------------------------------------------------------------------------------
@given(
    data=st.data(),
    lengths=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    factor=st.sampled_from([1, 5]),
    warmup=st.integers(0, 20),
)
def test_a_shared_window_is_what_replay_would_cut_for_itself(data, lengths, factor, warmup):
    """Two symbols, with gaps, of one timeframe or of two."""
    timeframes_ns = (MINUTE_NS, MINUTE_NS * factor)
    by_symbol = []
    for symbol, (length, timeframe_ns) in enumerate(zip(lengths, timeframes_ns, strict=True)):
        kept = sorted(data.draw(st.sets(st.integers(0, 80), min_size=1, max_size=length)))
        events = np.zeros(len(kept), dtype=t.BAR_EVENT)
        events["kind"], events["symbol"] = t.EventKind.BAR, symbol
        events["open_ts"] = np.array(kept) * timeframe_ns
        events["close_ts"] = events["open_ts"] + timeframe_ns
        by_symbol.append(events)
    start = data.draw(st.one_of(st.none(), st.integers(0, 90 * MINUTE_NS)))
    end = data.draw(st.one_of(st.none(), st.integers(start or 0, 100 * MINUTE_NS)))
    bars = Bars(tuple(by_symbol), timeframes_ns)
    bars.prepare([Span(start, end)])
    ours = np.concatenate(bars.window(Span(start, end), warmup))
    window = Window(start, end, warmup)
    parts = list(merge([window.apply(iter([events.copy()])) for events in by_symbol], timeframes_ns))
    theirs = np.concatenate(parts) if parts else by_symbol[0][:0]
    assert ours.tobytes() == theirs.tobytes()


# ---- rows are what replay says ------------------------------------------------------------------------------------
def settings_of(row):
    """The `--set` of a row, as a user would type it."""
    strategies = (
        "strategies=[{name: mean_reversion, kind: mean_reversion, enter: -1.6, leave: -0.3}, {name: sma_cross, "
        f"kind: sma_cross, fast: {row['strategies.sma_cross.fast']}, slow: {row['strategies.sma_cross.slow']}}}]"
    )
    return (strategies, f"risk.risk_frac={row['risk.risk_frac']}", *CALM)


def replayed(row, out, **window):
    overrides = [parse_assignment(text) for text in settings_of(row)]
    return replay(ReplayRequest(SOURCES, CONFIG, out=out, overrides=overrides, **window), lambda _: None).summary


def assert_same(row, summary):
    expected = {**summary, "blocked": sum(summary["blocked"].values())}
    assert {name: row[name] for name in FIGURES} == {name: expected[name] for name in FIGURES}
    assert row["digest"] == summary["digest"]


def test_each_row_is_the_summary_of_a_replay_of_that_set(tmp_path):
    result, notes = swept(tmp_path / "sweep", digests=True)
    assert len(result.rows) == 24 - 2 * 2  # fast 15 and 20 are not faster than slow 15.
    assert notes[-1] == "4 of 24 trials are left out: their settings do not go together"
    for row in result.rows[::6]:
        assert_same(row, replayed(row, tmp_path / "out"))
    assert len({row["digest"] for row in result.rows}) == len(result.rows)


def test_a_window_warms_each_set_up_as_a_replay_would(tmp_path):
    """With --start, a set with long means warms up on more bars than the configured ones would."""
    window = {"start": "2024-01-02T00:00", "end": "2024-01-04T00:00", "strategies": ("sma_cross",)}
    request = asked(tmp_path / "sweep", vary=(VARY[0], "strategies.sma_cross.slow=30,400", VARY[2]), digests=True)
    request = replace(request, replay=replace(request.replay, **window))
    rows = sweep(request, lambda _: None, lambda _done, _all: None).rows
    for row in rows[::5]:
        assert_same(row, replayed(row, tmp_path / "out", **window))
    assert {row["strategies.sma_cross.slow"] for row in rows[::5]} == {30, 400}


def test_walk_forward_rows_are_replays_of_their_windows(tmp_path):
    result, _ = swept(tmp_path / "sweep", digests=True, folds=3, train=0.6, vary=(VARY[0], VARY[2], VARY[1]))
    tests = [row for row in result.rows if row["part"] == "test"]
    assert [row["fold"] for row in tests] == [0, 1, 2]
    whole = 6000
    test = int(whole / (3 + 1.5))
    train = int(test * 1.5)
    begin = np.datetime64("2024-01-01T00:00")
    for fold, (trained, row) in enumerate(result.folds()):
        first, split = fold * test, train + fold * test
        last = whole if fold == 2 else split + test
        window = {"start": str(begin + first) if fold else None, "end": str(begin + split)}
        assert_same(trained, replayed(trained, tmp_path / "out", **window))
        assert_same(row, replayed(row, tmp_path / "out", start=str(begin + split), end=str(begin + last)))
        mine = [one for one in result.rows if one["fold"] == fold and one["part"] == "train"]
        assert trained["return_pct"] == max(one["return_pct"] for one in mine)
        assert trained["set"] == row["set"]


def test_without_its_digest_a_row_is_the_same(tmp_path):
    bare, _ = swept(tmp_path / "bare")
    full, _ = swept(tmp_path / "full", digests=True)
    assert [{name: row[name] for name in FIGURES} for row in bare.rows] == [
        {name: row[name] for name in FIGURES} for row in full.rows
    ]


def test_a_python_strategy_can_be_varied_too(tmp_path):
    (tmp_path / "mine.py").write_text(
        'from paperbot.strategy import FLAT, LONG\nFEATURES = ["sma(5)", "sma(20)"]\nPARAMS = {"edge": 1.0}\n\n'
        "class Strategy:\n    def __init__(self, params):\n        self.edge = params['edge']\n\n"
        "    def on_bar(self, bar):\n"
        "        return LONG if bar.features[0] > bar.features[1] * self.edge else FLAT\n"
    )
    setting = f"strategies=[{{name: mine, path: {tmp_path / 'mine.py'}}}]"
    sizing = ("risk.sizing=fixed_fraction", "risk.fixed_fraction=0.5")
    overrides = [parse_assignment(text) for text in (setting, *CALM, *sizing)]
    request = SweepRequest(
        ReplayRequest(("BTC/USDT=synthetic:3:1500",), CONFIG, overrides=overrides),
        ("strategies.mine.params.edge=0.999,1.001",),
        tmp_path / "sweep",
    )
    rows = sweep(request, lambda _: None, lambda _done, _all: None).rows
    assert rows[0]["fills"] > 0
    assert rows[0]["fills"] != rows[1]["fills"]


# ---- whatever runs it, and whenever it is interrupted -------------------------------------------------------------
def test_the_results_do_not_depend_on_how_many_threads_there_are(tmp_path):
    for jobs in (1, 4):
        swept(tmp_path / str(jobs), jobs=jobs, folds=2)
    assert (tmp_path / "1/sweep.parquet").read_bytes() == (tmp_path / "4/sweep.parquet").read_bytes()


def test_ray_gives_the_same_bytes(tmp_path):
    pytest.importorskip("ray", reason="no ray here (make stack-tools)")
    swept(tmp_path / "threads")
    code, _, err = run(command(tmp_path / "ray", "--ray", "local", "--jobs", "2"), tmp_path)
    assert code == 0, err
    assert (tmp_path / "ray/sweep.parquet").read_bytes() == (tmp_path / "threads/sweep.parquet").read_bytes()


def command(out, *more, vary=VARY):
    options = [part for text in vary for part in ("--vary", text)]
    options += [part for text in CALM for part in ("--set", text)]
    return ["sweep", *SOURCES, "--config", str(CONFIG), "--out", str(out), *options, *more]


def test_a_sweep_that_was_killed_goes_on_where_it_was(tmp_path):
    many = ("strategies.sma_cross.fast=3:40:1", "strategies.sma_cross.slow=50:90:10")
    code, _, err = run(command(tmp_path / "whole", vary=many), tmp_path)
    assert code == 0, err
    out = tmp_path / "cut"
    process = subprocess.Popen(
        [sys.executable, "-m", "paperbot.main", *command(out, vary=many)], env=environment(), cwd=tmp_path
    )
    log = out / "trials.jsonl"
    deadline = time.monotonic() + 60
    while (not log.exists() or log.read_text().count("\n") < 20) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    known = log.read_text().splitlines(keepends=True)
    assert 20 <= len(known) < 190
    assert not (out / "sweep.parquet").exists()
    log.write_text("".join(known)[:-5])  # The last line was cut off.
    code, _, err = run(command(out, vary=many), tmp_path)
    assert code == 0, err
    assert (out / "sweep.parquet").read_bytes() == (tmp_path / "whole/sweep.parquet").read_bytes()
    lines = log.read_text().splitlines()
    assert lines[: len(known) - 1] == [line.rstrip("\n") for line in known[:-1]]  # None of them was run again.
    assert len({json.loads(line)["key"] for line in lines[1:]}) == len(lines) - 1 == 190


# ---- what goes wrong ----------------------------------------------------------------------------------------------
def test_another_sweep_is_not_mixed_in(tmp_path):
    swept(tmp_path / "sweep")
    before = (tmp_path / "sweep/trials.jsonl").read_bytes()
    with pytest.raises(CommandError, match="holds another sweep, or one of other bars; --new replaces it"):
        swept(tmp_path / "sweep", vary=VARY[:2])
    with pytest.raises(CommandError, match="holds another sweep"):
        swept(tmp_path / "sweep", sources=(SOURCES[0], "ETH/USDT=synthetic:5:6000"))
    assert (tmp_path / "sweep/trials.jsonl").read_bytes() == before
    result, _ = swept(tmp_path / "sweep", vary=VARY[:2], afresh=True)
    assert len(result.rows) == 10


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"objective": "luck"}, "--objective luck: expected one of return_pct, "),
        ({"vary": ()}, "nothing is varied"),
        ({"vary": (VARY[0], VARY[0])}, "--vary strategies.sma_cross.fast is given twice"),
        ({"vary": ("risk.no_such=1,2",)}, "none of the sets can be run: command line: unknown key risk.no_such"),
        ({"vary": ("strategies.sma_cross.fast=50:60:5",)}, "none of the sets can be run: "),
        ({"vary": ("strategies.other.fast=1,2",)}, "strategies.other: there is no such strategy"),
        ({"vary": ("execution.price_decimals=2,3",)}, "execution.price_decimals cannot be varied"),
        ({"folds": 3, "train": 1.0}, "--train is between 0 and 1"),
        ({"folds": 100_000}, "the bars are too few for so many folds"),
        ({"ray": "127.0.0.1:1", "vary": VARY[:1]}, "--ray"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, how, words):
    if "ray" in how:
        pytest.importorskip("ray", reason="no ray here (make stack-tools)")
    with pytest.raises(CommandError, match=re.escape(words)):
        swept(tmp_path / "sweep", **how)
    assert not (tmp_path / "sweep/sweep.parquet").exists()


# ---- what people see ----------------------------------------------------------------------------------------------
def test_the_table_names_the_best_and_the_page_shows_all(tmp_path):
    code, out, err = run(command(tmp_path / "sweep", "--json", "--top", "3"), tmp_path)
    assert code == 0, err
    best = json.loads(out)["best"]
    rows = pq.read_table(tmp_path / "sweep/sweep.parquet").to_pylist()
    assert [row["set"] for row in best] == [
        row["set"] for row in sorted(rows, key=lambda row: (-row["return_pct"], row["set"]))
    ][:3]
    assert "luckiest" in (tmp_path / "sweep/sweep.html").read_text().partition("</head>")[2]


def test_the_picture_of_a_walk_forward_is_the_mean_of_its_training_windows(tmp_path, monkeypatch):
    result, _ = swept(tmp_path / "sweep", vary=VARY[:1], folds=2)
    pages = []
    monkeypatch.setattr("paperbot.web.page.render_sweep", lambda page: pages.append(page) or "")
    picture(result, tmp_path / "page.html")
    first = [row["return_pct"] for row in result.rows if row["part"] == "train" and row["set"] == 0]
    assert len(first) == 2
    assert pages[0].objective[0] == pytest.approx(sum(first) / 2)
    assert len(pages[0].objective) == 4


@pytest.mark.parametrize(("axes", "kind"), [(1, '"mode":"lines+markers"'), (2, '"heatmap"'), (3, '"parcoords"')])
def test_the_picture_suits_the_number_of_axes(tmp_path, axes, kind):
    result, _ = swept(tmp_path / "sweep", vary=VARY[:axes])
    page = picture(result, tmp_path / "page.html").read_text().partition("</head>")[2]
    assert kind in page
