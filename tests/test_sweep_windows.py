"""Walk-forward: how the bars are cut, what a window holds, and which set is chosen."""

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paperbot.app.sweep import picture
from paperbot.core import types as t
from paperbot.engine.merge import merge
from paperbot.engine.replay import Window
from paperbot.errors import CommandError, DataError
from paperbot.research.job import ReplayRequest, prepare
from paperbot.research.sweep import _read, ranked
from paperbot.research.trials import ERROR, AllBars, Span
from paperbot.research.walkforward import spans_of
from sweeps import CONFIG, FAST, FEW, MINUTE_NS, SMALL, VARY, asked, assert_same, replayed, swept, tiny

BEGIN = np.datetime64("2024-01-01T00:00")
"""Where synthetic bars begin, one a minute."""


def bars_at(symbol, numbers, timeframe_ns, phase_ns=0):
    events = np.zeros(len(numbers), dtype=t.BAR_EVENT)
    events["kind"], events["symbol"] = t.EventKind.BAR, symbol
    events["open_ts"] = np.array(sorted(numbers), dtype=np.int64) * timeframe_ns + phase_ns
    events["close_ts"] = events["open_ts"] + timeframe_ns
    return events


def moment(minutes):
    return str(BEGIN + int(minutes))


# ---- what a window holds ------------------------------------------------------------------------------------------
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=2),
    missing=st.lists(st.sets(st.integers(0, 59), max_size=20), min_size=2, max_size=2),
    factor=st.sampled_from([1, 5]),
    start=st.one_of(st.none(), st.integers(0, 70)),
    length=st.one_of(st.none(), st.integers(0, 70)),
    odd_ns=st.integers(0, 1),
    warmup=st.integers(0, 20),
)
@example(lengths=[20, 20], missing=[set(), set()], factor=5, start=7, length=13, odd_ns=0, warmup=2)
@example(lengths=[20, 20], missing=[{7, 8}, set()], factor=5, start=7, length=13, odd_ns=0, warmup=2)
@example(lengths=[20, 20], missing=[set(), set()], factor=5, start=5, length=7, odd_ns=0, warmup=2)
def test_a_shared_window_is_what_replay_would_cut_for_itself(lengths, missing, factor, start, length, odd_ns, warmup):
    """One symbol, or two, with gaps, of one timeframe or of two."""
    timeframes_ns = (MINUTE_NS, MINUTE_NS * factor)[: len(lengths)]
    by_symbol = []
    for symbol, (minutes, timeframe_ns) in enumerate(zip(lengths, timeframes_ns, strict=True)):
        there = {*range(minutes * MINUTE_NS // timeframe_ns + 1)}
        by_symbol.append(bars_at(symbol, there - missing[symbol] or {0}, timeframe_ns))
    end = None if length is None else (start or 0) * MINUTE_NS + length * MINUTE_NS
    start = None if start is None else start * MINUTE_NS + odd_ns
    window = Window(start, end, warmup)
    parts = list(merge([window.apply(iter([events.copy()])) for events in by_symbol], timeframes_ns))
    theirs = np.concatenate(parts) if parts else by_symbol[0][:0]
    ours = np.concatenate(AllBars(tuple(by_symbol), timeframes_ns).window(Span(start, end), warmup))
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize(
    ("timeframes", "cuts"), [((1,), (7, 33)), ((1, 1), (7, 33)), ((1, 5), (10, 35)), ((5, 1), (10, 35))]
)
def test_windows_between_slices_are_parts_of_one_array(timeframes, cuts):
    """However many folds there are, bars are in memory once."""
    timeframes_ns = tuple(timeframe * MINUTE_NS for timeframe in timeframes)
    bars = AllBars(
        tuple(bars_at(k, range(50 // each), each * MINUTE_NS) for k, each in enumerate(timeframes)), timeframes_ns
    )
    for warmup in (0, 3):
        counting = bars.window(Span(cuts[0] * MINUTE_NS, cuts[1] * MINUTE_NS), warmup)[-1]
        assert np.shares_memory(counting, bars.merged)
    if len(timeframes) == 1:
        assert np.shares_memory(bars.merged, bars.by_symbol[0])


# ---- how the bars are cut -----------------------------------------------------------------------------------------
@given(
    lengths=st.lists(st.integers(2, 400), min_size=1, max_size=3),
    timeframes=st.lists(st.sampled_from([1, 5, 7, 15, 60]), min_size=3, max_size=3),
    phases=st.lists(st.integers(0, 59), min_size=3, max_size=3),
    folds=st.integers(1, 8),
    share=st.floats(0.05, 0.95),
    anchored=st.booleans(),
)
def test_windows_follow_each_other_and_nothing_is_trained_on_what_comes_later(
    lengths, timeframes, phases, folds, share, anchored
):
    timeframes_ns = tuple(timeframe * MINUTE_NS for timeframe in timeframes[: len(lengths)])
    by_symbol = tuple(
        bars_at(symbol, range(length), timeframe_ns, phase * MINUTE_NS)
        for symbol, (length, timeframe_ns, phase) in enumerate(zip(lengths, timeframes_ns, phases, strict=False))
    )
    everything = np.concatenate(by_symbol)
    try:
        spans = spans_of(
            asked("out", folds=folds, train=share, anchored=anchored).walk,
            AllBars(tuple(map(np.copy, by_symbol)), timeframes_ns),
        )
    except CommandError as error:
        assert str(error) == f"there are too few bars for {folds} folds"  # noqa: PT017
        return
    trains, tests = spans[::2], spans[1::2]
    assert len(trains) == len(tests) == folds
    first, last = int(everything["open_ts"].min()), int(everything["close_ts"].max())
    grid = max(timeframes_ns)
    ends = [test.start_ns for test in tests]
    assert all(test.end_ns == after.start_ns for test, after in pairwise(tests))
    assert len(set(np.diff(ends).tolist())) <= 1
    assert tests[-1].end_ns is None
    length = int(np.diff(ends)[0]) if folds > 1 else None
    if length is not None:  # The last one ends with the bars, up to a part of the longest bar.
        assert 0 <= ends[-1] + length - last < np.lcm.reduce(timeframes_ns)
        assert length % grid == 0
    for fold, (train, test) in enumerate(zip(trains, tests, strict=True)):
        begin = first if train.start_ns is None else train.start_ns
        assert (train.start_ns is None) == (fold == 0 or anchored)
        assert first <= begin < test.start_ns
        trained = everything[(everything["open_ts"] >= begin) & (everything["open_ts"] < train.end_ns)]
        assert (trained["close_ts"] <= test.start_ns).all()
        seen = everything[everything["close_ts"] <= test.start_ns]
        lost = seen[(seen["open_ts"] >= begin) & (seen["open_ts"] >= train.end_ns)]
        is_aligned = all(
            (events["open_ts"][0] - test.start_ns) % np.lcm.reduce(timeframes_ns) == 0 for events in by_symbol
        )
        assert not (is_aligned and len(lost))


@pytest.mark.parametrize(
    ("minutes", "folds", "share", "test", "first_split"),
    [(1000, 4, 0.5, 200, 200), (1000, 4, 0.6, 181, 276), (1003, 4, 0.5, 200, 203), (6000, 3, 0.6, 1333, 2001)],
)
def test_what_is_left_over_belongs_to_the_first_training_window(minutes, folds, share, test, first_split):
    bars = AllBars((bars_at(0, range(minutes), MINUTE_NS),), (MINUTE_NS,))
    spans = spans_of(asked("out", folds=folds, train=share).walk, bars)
    splits = [span.start_ns // MINUTE_NS for span in spans[1::2]]
    assert splits == [first_split + fold * test for fold in range(folds)]
    assert splits[-1] + test == minutes
    begins = [span.start_ns and span.start_ns // MINUTE_NS for span in spans[::2]]
    train = int(test * share / (1 - share) + 1e-9)
    assert begins == [None, *(split - train for split in splits[1:])]


@pytest.mark.parametrize("phase", [0, 30])
def test_windows_begin_where_the_longest_bars_do(phase):
    """Though the minutes end within an hour, and hours may begin at half past."""
    hour_ns = 60 * MINUTE_NS
    bars = AllBars(
        (bars_at(0, range(9), hour_ns, phase * MINUTE_NS), bars_at(1, range(595), MINUTE_NS)), (hour_ns, MINUTE_NS)
    )
    spans = spans_of(asked("out", folds=2, train=0.5).walk, bars)
    for train, test in zip(spans[::2], spans[1::2], strict=True):
        assert test.start_ns % hour_ns == phase * MINUTE_NS
        assert train.end_ns == test.start_ns


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"folds": 3, "train": 1.0}, "--train must be between 0 and 1"),
        ({"train": 0.0}, "--train must be between 0 and 1"),
        ({"folds": -1}, "--folds must not be below 0"),
        ({"folds": 100_000}, "there are too few bars for 100000 folds"),
        ({"objective": "luck"}, "--objective luck: expected one of return_pct, "),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(tmp_path, how, words):
    with pytest.raises(CommandError, match=re.escape(words)):
        tiny(tmp_path / "sweep", **how)
    assert not (tmp_path / "sweep").exists()


def test_a_window_without_bars_is_refused(tmp_path):
    with pytest.raises(DataError, match="no bar lies between --start and --end"):
        tiny(tmp_path / "sweep", replayed={"start": "2030-01-01"})
    assert not (tmp_path / "sweep").exists()


# ---- what comes of it ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("anchored", [False, True])
def test_walk_forward_rows_are_replays_of_their_windows(tmp_path, anchored):
    vary = (VARY[0], "risk.fixed_fraction=0.2", "strategies.sma_cross.slow=30,60")
    result, _ = swept(tmp_path / "sweep", digests=True, folds=3, train=0.6, vary=vary, anchored=anchored)
    assert [row["fold"] for row in result.rows if row["part"] == "test"] == [1, 2, 3]
    test, train, first_split = 1333, 1999, 2001
    for fold, (trained, row) in enumerate(result.folds()):
        split = first_split + fold * test
        start = None if fold == 0 or anchored else moment(split - train)
        assert_same(trained, replayed(trained, tmp_path / "out", start=start, end=moment(split)))
        assert_same(row, replayed(row, tmp_path / "out", start=moment(split), end=moment(split + test)))
        mine = [one for one in result.rows if one["fold"] == fold + 1 and one["part"] == "train"]
        assert trained["return_pct"] == max(one["return_pct"] for one in mine)
        assert trained["set"] == row["set"]


def test_start_and_end_bound_the_folds(tmp_path):
    window = {"start": moment(100), "end": moment(1300)}
    result, _ = tiny(tmp_path / "sweep", folds=2, train=0.5, replayed=window)
    small = {"sources": SMALL}
    (first, tested), (_, last) = result.folds()
    assert_same(first, replayed(first, tmp_path / "out", **small, start=moment(100), end=moment(500)))
    assert_same(tested, replayed(tested, tmp_path / "out", **small, start=moment(500), end=moment(900)))
    assert_same(last, replayed(last, tmp_path / "out", **small, start=moment(900), end=moment(1300)))


def test_a_folds_set_is_chosen_by_the_objective(tmp_path):
    chosen = {}
    for objective, best in (("return_pct", max), ("max_drawdown_pct", min), ("win_rate_pct", max)):
        result, _ = swept(tmp_path / objective, vary=VARY[:2], folds=3, objective=objective)
        for fold, (trained, _) in enumerate(result.folds()):
            mine = [row for row in result.rows if row["fold"] == fold + 1 and row["part"] == "train"]
            assert trained[objective] == best(row[objective] for row in mine)
        chosen[objective] = [trained["set"] for trained, _ in result.folds()]
    assert len({tuple(sets) for sets in chosen.values()}) > 1


def ranking(objective, *rows):
    made = [{"set": k, "fills": fills, objective: value, ERROR: error} for k, (value, fills, error) in enumerate(rows)]
    return [row["set"] for row in ranked(made, objective)]


def test_less_drawdown_and_more_of_everything_else_ranks_first():
    rows = [(2.0, 1, None), (1.0, 1, None), (3.0, 1, None), (1.0, 1, None)]
    assert ranking("max_drawdown_pct", *rows) == [1, 3, 0, 2]
    for objective in ("return_pct", "net_pnl", "sharpe", "profit_factor", "win_rate_pct"):
        assert ranking(objective, *rows) == [2, 0, 1, 3]


@pytest.mark.parametrize(("objective", "worst"), [("max_drawdown_pct", 99.0), ("return_pct", -99.0)])
def test_behind_the_worst_come_the_unknown_then_the_idle_then_the_failed(objective, worst):
    rows = [(None, None, "it failed"), (None, 0, None), (0.0, 0, None), (None, 4, None), (worst, 4, None)]
    assert ranking(objective, *rows) == [4, 3, 2, 1, 0]


def test_a_fold_in_which_no_set_can_be_judged_has_no_choice(tmp_path):
    """A Sharpe ratio needs ten days."""
    result, notes = tiny(tmp_path / "sweep", folds=2, objective="sharpe")
    assert all(row["fills"] for row in result.rows)
    assert [row["part"] for row in result.rows] == ["train"] * 8
    assert result.folds() == []
    for fold in (1, 2):
        said = f"fold {fold} has no chosen set and no test: no set that traded in its training has a value of sharpe"
        assert said in notes
    assert "partly luck" in picture(result, tmp_path / "page.html").read_text().partition("</head>")[2]


@pytest.mark.parametrize("objective", ["return_pct", "net_pnl", "max_drawdown_pct"])
def test_sets_that_never_trade_are_not_chosen(tmp_path, objective):
    idle = {"vary": ("risk.fixed_fraction=1e-7,2e-7",), "objective": objective, "folds": 1}
    result, notes = tiny(tmp_path / "idle", **idle)
    assert [row["fills"] for row in result.rows] == [0, 0]
    assert notes[-1].startswith("fold 1 has no chosen set")
    result, _ = tiny(tmp_path / "some", **{**idle, "vary": ("risk.fixed_fraction=1e-7,0.2",)})
    seen = [(row["part"], row["set"]) for row in result.rows]
    assert seen == [("train", 0), ("train", 1), ("test", 1)]
    whole, _ = tiny(tmp_path / "whole", **{**idle, "vary": ("risk.fixed_fraction=1e-7,0.2",), "folds": 0})
    assert [row["set"] for row in whole.best(2)] == [1, 0]


def test_the_picture_of_a_walk_forward_is_the_mean_of_its_training_windows(tmp_path, monkeypatch):
    result, _ = tiny(tmp_path / "sweep", vary=FEW[:1], folds=2)
    pages = []
    monkeypatch.setattr("paperbot.web.page.render_sweep", lambda page: pages.append(page) or "")
    picture(result, tmp_path / "page.html")
    first = [row["return_pct"] for row in result.rows if row["part"] == "train" and row["set"] == 0]
    assert len(first) == 2
    assert pages[0].objective[0] == pytest.approx(sum(first) / 2)
    assert len(pages[0].objective) == 2


def test_windows_of_two_timeframes_begin_where_both_do(tmp_path, real_data):
    """Hours of one symbol, minutes of another, and rows that are replays of such windows."""
    files = real_data / "binance_BTCUSDT_1h_201804.parquet", real_data / "coinbase_ETHUSD_1m_201804.parquet"
    sources = tuple(f"{symbol}={file}" for symbol, file in zip(("BTC/USDT", "ETH/USD"), files, strict=True))
    result, _ = swept(tmp_path / "sweep", vary=(f"{FAST}=5,10",), sources=sources, folds=2, settings=(), digests=True)
    (trained, tested), (_, last) = result.folds()
    spans = spans_of(asked("out", folds=2).walk, _read(prepare(ReplayRequest(sources, CONFIG), lambda _: None)))
    splits = [span.start_ns for span in spans[1::2]]
    assert all(split % (60 * MINUTE_NS) == 0 for split in splits)
    first, second = (str(np.datetime64(split, "ns")) for split in splits)
    given = {"sources": sources, "settings": ()}
    assert_same(trained, replayed(trained, tmp_path / "out", **given, end=first))
    assert_same(tested, replayed(tested, tmp_path / "out", **given, start=first, end=second))
    assert_same(last, replayed(last, tmp_path / "out", **given, start=second))
