"""Sweeps: every row is what `replay` says of that set, whatever ran it; and what people see of it."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paperbot.app.replay import replay
from paperbot.app.sweep import picture
from paperbot.config import parse_assignment
from paperbot.errors import CommandError
from paperbot.research.job import ReplayRequest
from paperbot.research.space import Axis
from paperbot.research.sweep import sweep
from paperbot.research.trials import ERROR, FIGURES, without_effect
from shell import run
from sweeps import (
    CALM,
    CONFIG,
    FAST,
    FEW,
    PYTHON,
    SLOW,
    SMALL,
    VARY,
    asked,
    assert_same,
    command,
    replayed,
    swept,
    tiny,
    typed,
)


# ---- rows are what replay says ------------------------------------------------------------------------------------
@pytest.mark.parametrize("digests", [False, True])
def test_each_row_is_the_summary_of_a_replay_of_that_set(tmp_path, digests):
    """With the shipped ledger, which has a row a minute: without digests a sweep has one a day."""
    result, notes = swept(tmp_path / "sweep", digests=digests)
    assert len(result.rows) == 24 - 2 * 2  # fast 15 and 20 are not faster than slow 15.
    assert notes[-1] == "4 of 24 trials are left out, because their settings contradict each other"
    for row in result.rows[::6]:
        assert_same(row, replayed(row, tmp_path / "out"))
    if digests:
        assert len({row["digest"] for row in result.rows}) == len(result.rows)


def test_a_window_warms_each_set_up_as_a_replay_would(tmp_path):
    """With --start, a set with long means warms up on more bars than the configured ones would."""
    window = {"start": "2024-01-02T00:00", "end": "2024-01-04T00:00", "strategies": ("sma_cross",)}
    rows = swept(tmp_path / "sweep", vary=(VARY[0], f"{SLOW}=30,400", VARY[2]), digests=True, replayed=window)[0].rows
    for row in rows[::5]:
        assert_same(row, replayed(row, tmp_path / "out", **window))
    assert {row[SLOW] for row in rows[::5]} == {30, 400}


@pytest.mark.parametrize("every", ["1m", "6h", "1d"])
def test_a_coin_that_is_held_at_the_start_counts_from_its_first_price(tmp_path, real_data, every):
    """However rare the ledger's rows are: return and Sharpe ratio are measured from the first valuation."""
    path = real_data / "binance_BTCUSDT_1h_201804.parquet"
    first_close = pq.read_table(path)["close"][0].as_py()
    given = {"sources": (f"BTC/USDT={path}",), "settings": (*CALM, f"ledger.every={every}")}
    cash = {"cash": ("BTC=1", "USDT=10000")}
    for row in swept(tmp_path / "sweep", vary=FEW[:1], **given, replayed=cash)[0].rows:
        summary = replayed(row, tmp_path / "out", **given, **cash)
        assert summary["start_equity"] == 10_000 + first_close
        assert summary["sharpe"] is not None
        assert_same(row, summary)


def test_a_python_strategy_can_be_varied_too(tmp_path):
    (tmp_path / "mine.py").write_text(PYTHON)
    setting = f"strategies=[{{name: mine, path: {tmp_path / 'mine.py'}}}]"
    vary = ("strategies.mine.params.edge=0.999,1.001",)
    rows = tiny(tmp_path / "sweep", vary=vary, settings=(setting, *CALM), digests=True)[0].rows
    for row in rows:
        params = f"{{edge: {row['strategies.mine.params.edge']}}}"
        ours = f"strategies=[{{name: mine, path: {tmp_path / 'mine.py'}, params: {params}}}]"
        overrides = [parse_assignment(text) for text in (ours, *CALM)]
        summary = replay(ReplayRequest(SMALL, CONFIG, tmp_path / "out", overrides=overrides), lambda _: None).summary
        assert_same(row, summary)
    assert rows[0]["fills"] > 0
    assert rows[0]["fills"] != rows[1]["fills"]


# ---- whatever runs it ---------------------------------------------------------------------------------------------
def test_the_results_do_not_depend_on_how_many_threads_there_are(tmp_path):
    for jobs in (1, 4):
        swept(tmp_path / str(jobs), jobs=jobs, folds=2)
    assert (tmp_path / "1/sweep.parquet").read_bytes() == (tmp_path / "4/sweep.parquet").read_bytes()


def test_ray_gives_the_same_bytes(tmp_path):
    """Those of a set that fails too, and of a strategy in a file."""
    pytest.importorskip("ray", reason="no ray here (make stack-tools)")
    (tmp_path / "mine.py").write_text(PYTHON)
    settings = (f"strategies=[{{name: mine, path: {tmp_path / 'mine.py'}}}]", *CALM)
    vary = ("strategies.mine.params.edge=0.999,1.001,2,1",)
    given = [part for text in settings for part in ("--set", text)]
    swept(tmp_path / "threads", vary=vary, settings=settings)
    code, _, err = run(command(tmp_path / "ray", "--ray", "local", "--jobs", "2", *given, vary=vary), tmp_path)
    assert code == 0, err
    assert "1 of 4 trials failed" in err
    assert (tmp_path / "ray/sweep.parquet").read_bytes() == (tmp_path / "threads/sweep.parquet").read_bytes()


def test_a_fault_of_ours_on_a_worker_keeps_what_was_done_before():
    """And of a cluster's own errors, which hold whole reports, people see one line."""
    cluster = pytest.importorskip("paperbot.research.schedule")

    class Faulty:
        def run(self, values, span, bars):
            if values == 2:
                raise ZeroDivisionError("ours")
            return {"value": values}

    outcomes = cluster._run_batch(None, Faulty(), [(1, None), (2, None), (3, None)])
    assert outcomes[0] == {"value": 1}
    assert [str(outcome) for outcome in outcomes[1:]] == ["ours"]
    wrapped = RuntimeError("a\nlong\nreport")
    assert cluster._reason(wrapped) == "a"
    wrapped.cause = ModuleNotFoundError("No module named 'paperbot'\nTraceback")
    assert cluster._reason(wrapped) == "ModuleNotFoundError: No module named 'paperbot'"


def test_a_cluster_that_does_not_answer_is_said_before_anything_is_written(tmp_path):
    pytest.importorskip("ray", reason="no ray here (make stack-tools)")
    with pytest.raises(CommandError, match=re.escape("--ray 127.0.0.1:1: cannot connect")):
        tiny(tmp_path / "sweep", ray="127.0.0.1:1")
    assert not (tmp_path / "sweep").exists()


# ---- what people see ----------------------------------------------------------------------------------------------
def test_progress_is_told_after_each_trial(tmp_path):
    told = []
    request = asked(tmp_path / "sweep", vary=FEW, sources=SMALL)
    sweep(request, lambda _: None, lambda done, total: told.append((done, total)))
    assert told == [(done, 4) for done in range(5)]
    told.clear()
    sweep(request, lambda _: None, lambda done, total: told.append((done, total)))
    assert told == [(4, 4)]


def test_columns_have_types(tmp_path):
    vary = (f"{FAST}=5,10", "risk.attach_stop=true,false", "risk.fixed_fraction=0.1,0.2")
    path = tiny(tmp_path / "sweep", vary=(*vary, "realism=optimistic,realistic"))[0].path
    keys = [text.partition("=")[0] for text in (*vary, "realism")]
    assert pq.read_schema(path).names == ["fold", "part", "set", *keys, *FIGURES, "error"]
    types = {field.name: field.type for field in pq.read_schema(path)}
    assert types[FAST] == pa.int64()
    assert types["risk.attach_stop"] == pa.bool_()
    assert types["risk.fixed_fraction"] == types["return_pct"] == types["sharpe"] == pa.float64()
    assert types["realism"] == types["halted"] == types["error"] == pa.string()
    assert sorted(one.name for one in path.parent.iterdir()) == ["sweep.parquet", "trials.jsonl"]


def shown(capsys):
    printed = capsys.readouterr()
    return printed.out, printed.err


def small_command(out, *more, vary=FEW):
    return command(out, *more, vary=vary, sources=SMALL)


def test_the_best_and_the_folds_as_json(tmp_path, capsys):
    assert typed(small_command(tmp_path / "sweep", "--json", "--top", "3")) == 0
    best = json.loads(shown(capsys)[0])
    rows = pq.read_table(tmp_path / "sweep/sweep.parquet").to_pylist()
    assert best["best"] == sorted(rows, key=lambda row: (-row["return_pct"], row["set"]))[:3]
    assert best["folds"] == []
    assert "partly luck" in (tmp_path / "sweep/sweep.html").read_text().partition("</head>")[2]
    assert typed(small_command(tmp_path / "walk", "--json", "--folds", "2")) == 0
    folds = json.loads(shown(capsys)[0])["folds"]
    assert [[(row["fold"], row["part"]) for row in pair] for pair in folds] == [
        [(1, "train"), (1, "test")],
        [(2, "train"), (2, "test")],
    ]


def test_an_objective_that_no_set_can_have_is_said_before_the_run(tmp_path):
    """Of ten days each has nine or ten returns: said is what is sure."""
    nine = ["BTC/USDT=synthetic:7:12960"]
    _, notes = tiny(tmp_path / "nine", sources=nine, objective="sharpe")
    words = "no set will have a value of sharpe: it needs bars of 10 days, but a window has"
    assert f"{words} 9" in notes
    assert notes.index(f"{words} 9") < len(notes) - 1 or not any("trials" in note for note in notes)
    result, notes = tiny(tmp_path / "ten", sources=["BTC/USDT=synthetic:7:14400"], objective="sharpe")
    assert not [note for note in notes if words in note]
    assert all(row["sharpe"] is not None for row in result.rows)
    _, notes = tiny(tmp_path / "folds", sources=["BTC/USDT=synthetic:7:14400"], objective="sharpe", folds=2)
    assert [note for note in notes if words in note]


def test_two_sweeps_have_a_folder_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, _ = tiny(None)
    other, _ = tiny(None, vary=(f"{FAST}=7,9",))
    again, _ = tiny(None)
    assert first.path == again.path != other.path
    assert {one.path.parent.parent.as_posix() for one in (first, other)} == {"data/sweeps"}
    assert len(list((tmp_path / "data/sweeps").iterdir())) == 2


def test_a_key_without_effect_is_said(tmp_path):
    """A share of the account that a smaller cap on positions always cuts binds nowhere."""
    vary = (FEW[0], "risk.fixed_fraction=0.5,0.6")
    capped = (*CALM, "risk.max_position_value_per_symbol=0.01")
    _, notes = tiny(tmp_path / "capped", vary=vary, settings=capped)
    silent = [one for one in notes if "has no effect" in one]
    assert silent == ["risk.fixed_fraction has no effect here: sets that differ only in it have equal figures"]
    _, notes = tiny(tmp_path / "free", vary=vary)
    assert not any("has no effect" in one for one in notes)


def test_a_key_that_matters_beside_one_value_of_another_has_an_effect():
    def row(first, second, figure):
        return {"fold": 0, "part": "all", ERROR: None, **dict.fromkeys(FIGURES, figure), "a": first, "b": second}

    rows = [row(1, 1, 5), row(1, 2, 5), row(2, 1, 6), row(2, 2, 7)]
    axes = (Axis("a", (1, 2)), Axis("b", (1, 2)))
    assert list(without_effect(axes, rows)) == []
    assert [one.partition(" ")[0] for one in without_effect(axes, [*rows[:3], row(2, 2, 6)])] == ["b"]


def test_a_draw_of_more_than_the_grid_says_so(tmp_path):
    result, notes = tiny(tmp_path / "sweep", draws=50)
    assert len(result.rows) == 4
    assert "--random 50: the grid has 4 sets, so all of them are run" in notes


@pytest.mark.parametrize("more", [(), ("--folds", "2")])
def test_a_number_of_the_table_is_never_cut(tmp_path, capsys, monkeypatch, more):
    monkeypatch.setenv("COLUMNS", "80")
    vary = (*FEW, "risk.fixed_fraction=0.1234567,0.1234568", "risk.max_gross_exposure=0.987654321")
    assert typed(small_command(tmp_path / "sweep", *more, vary=vary)) == 0
    out = shown(capsys)[0]
    assert "…" not in out
    for row in pq.read_table(tmp_path / "sweep/sweep.parquet").to_pylist():
        if more and row["part"] != "test":
            continue
        cells = (str(row[FAST]), str(row["risk.fixed_fraction"]), "0.987654321", f"{row['max_drawdown_pct']:,.4g}")
        assert any(all(f" {cell} " in line for cell in cells) for line in out.splitlines()), cells
    assert f"written: {tmp_path / 'sweep/sweep.parquet'}, " in out


def test_the_command_line_hands_everything_on(tmp_path, monkeypatch):
    requests = []

    def catch(request, say, progress):
        requests.append(request)
        raise CommandError("enough")

    monkeypatch.setattr("paperbot.research.sweep.sweep", catch)
    more = "--random 7 --seed 8 --folds 9 --train 0.4 --objective sharpe --jobs 3 --ray local --strategy sma_cross"
    more += " --timeframe 5m --start 2024-01-01 --end 2024-02-01 --cash USDT=5 --realism optimistic"
    assert typed(small_command(tmp_path, "--anchored", "--digests", "--new", *more.split())) == 2
    (one,) = requests
    assert (one.vary, one.out, one.draws, one.seed, one.folds, one.train) == (list(FEW), tmp_path, 7, 8, 9, 0.4)
    assert (one.anchored, one.objective, one.jobs, one.ray) == (True, "sharpe", 3, "local")
    assert (one.digests, one.afresh) == (True, True)
    asked_for = one.replay
    assert (asked_for.sources, asked_for.config, asked_for.strategies) == (list(SMALL), CONFIG, ["sma_cross"])
    assert (asked_for.timeframe, asked_for.start, asked_for.end) == ("5m", "2024-01-01", "2024-02-01")
    assert (asked_for.cash, asked_for.realism) == (["USDT=5"], "optimistic")
    assert asked_for.overrides == [*(parse_assignment(text) for text in CALM), {"llm": {"provider": "off"}}]


@pytest.mark.parametrize(("axes", "kind"), [(1, '"mode":"lines+markers"'), (2, '"heatmap"'), (3, '"parcoords"')])
def test_the_picture_suits_the_number_of_axes(tmp_path, axes, kind):
    result, _ = tiny(tmp_path / "sweep", vary=VARY[:axes])
    page = picture(result, tmp_path / "page.html").read_text().partition("</head>")[2]
    assert kind in page


def test_a_real_month_is_the_same_with_and_without_digests(tmp_path, real_data):
    sources = (f"BTC/USDT={real_data / 'binance_BTCUSDT_1h_201804.parquet'}",)
    bare, full = (tiny(tmp_path / str(on), sources=sources, digests=on)[0].rows for on in (False, True))
    assert [{name: row[name] for name in FIGURES} for row in bare] == [
        {name: row[name] for name in FIGURES} for row in full
    ]
    assert np.ptp([row["sharpe"] for row in bare]) > 0
