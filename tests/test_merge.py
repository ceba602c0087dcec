"""The one order of events: slices by closing time, then timeframe, then symbol, whatever the batches."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from paperbot.core import types as t
from paperbot.engine.merge import Merger, merge
from paperbot.engine.replay import Window

MINUTE = 60
TIMEFRAMES = [MINUTE, 5 * MINUTE, MINUTE]


def bars(symbol, opens):
    events = np.zeros(len(opens), dtype=t.BAR_EVENT)
    events["symbol"], events["kind"] = symbol, t.EventKind.BAR
    events["open_ts"] = np.array(opens, dtype=np.int64) * MINUTE
    events["close_ts"] = events["open_ts"] + TIMEFRAMES[symbol]
    return events


def keys(events):
    return [(int(e["close_ts"]), TIMEFRAMES[int(e["symbol"])], int(e["symbol"])) for e in events]


opens = st.lists(st.integers(0, 60), unique=True, max_size=40).map(sorted)
cuts = st.lists(st.integers(0, 40), max_size=6).map(sorted)


@settings(max_examples=200)
@given(st.tuples(opens, opens, opens), st.tuples(cuts, cuts, cuts))
def test_merged_slices_are_sorted_complete_and_flagged(times, edges):
    sources = [np.split(bars(symbol, times[symbol]), edges[symbol]) for symbol in range(3)]
    merged = list(merge([iter(source) for source in sources], TIMEFRAMES))
    events = np.concatenate(merged) if merged else bars(0, [])
    assert keys(events) == sorted(key for source in sources for part in source for key in keys(part))
    for at, event in enumerate(events):
        is_last = at + 1 == len(events) or events["close_ts"][at + 1] != event["close_ts"]
        assert bool(event["flags"] & t.BarFlag.END_OF_SLICE) == is_last
    for batch in merged:
        assert batch["flags"][-1] & t.BarFlag.END_OF_SLICE  # A batch holds whole slices.


def test_a_slice_waits_for_every_symbol():
    merger = Merger([MINUTE, 5 * MINUTE, MINUTE])
    merger.push(0, bars(0, [0, 1]))
    merger.push(2, bars(2, [0]))
    assert len(merger.release()) == 0  # Nobody knows yet what symbol 1 does.
    merger.advance(1, 60)
    assert keys(merger.release()) == [(60, 60, 0), (60, 60, 2)]
    merger.close(1)
    merger.close(2)
    assert keys(merger.release()) == [(120, 60, 0)]


@given(opens.filter(bool), st.integers(0, 60), st.integers(0, 60), st.integers(0, 5), cuts)
def test_window_cuts_and_warms_up(times, start, end, warmup, edges):
    window = Window(start * MINUTE, end * MINUTE, warmup)
    batches = np.split(bars(0, times), edges)
    seen = [
        (int(e["open_ts"]) // MINUTE, bool(e["flags"] & t.BarFlag.WARMUP))
        for part in window.apply(iter(batches))
        for e in part
    ]
    counted = [time for time in times if start <= time < end]
    early = [time for time in times if time < min(start, end)]
    before = early[len(early) - min(warmup, len(early)) :]
    assert seen == ([(time, True) for time in before] if counted else []) + [(time, False) for time in counted]
