"""Longer bars built of shorter ones: what a venue would have made, whatever the file's batches."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperbot.core import types as t
from paperbot.errors import ConfigError, DataError
from paperbot.market.resample import Resampler, check_resample
from paperbot.timeframe import parse_timeframe
from shell import call

MINUTE = 60 * 10**9
FIELDS = ("open_ts", "close_ts", "open", "high", "low", "close", "volume")


def minutes(opens, seed=1):
    """One-minute bars that open in these minutes after 2024-01-01."""
    random = np.random.default_rng(seed)
    events = np.zeros(len(opens), dtype=t.BAR_EVENT)
    events["kind"] = t.EventKind.BAR
    events["open_ts"] = np.int64(1_704_067_200) * 10**9 + np.array(opens, dtype=np.int64) * MINUTE
    events["close_ts"] = events["open_ts"] + MINUTE
    prices = np.sort(random.integers(900, 1100, (len(opens), 4)), axis=1)
    events["low"], events["open"], events["close"], events["high"] = prices.T
    events["volume"] = random.integers(0, 50, len(opens))
    return events


def built(parts, text):
    bars = list(Resampler("x.csv", parse_timeframe(text)).bars(iter(parts)))
    return np.concatenate(bars) if bars else np.zeros(0, dtype=t.BAR_EVENT)


def by_hand(events, minutes_each):
    """The same, bar by bar; the first and the last only where the data shows their edges."""
    spans = {}
    for bar in events:
        spans.setdefault(int(bar["open_ts"]) // (minutes_each * MINUTE), []).append(bar)
    rows = []
    for span, bars in sorted(spans.items()):
        start, end = span * minutes_each * MINUTE, (span + 1) * minutes_each * MINUTE
        if bars[0] is events[0] or int(bars[0]["open_ts"]) == int(events[0]["open_ts"]):
            if int(bars[0]["open_ts"]) != start:
                continue
        if int(bars[-1]["close_ts"]) == int(events[-1]["close_ts"]) != end:
            continue
        high, low = max(one["high"] for one in bars), min(one["low"] for one in bars)
        volume = sum(one["volume"] for one in bars)
        rows.append((start, end, bars[0]["open"], high, low, bars[-1]["close"], volume))
    return rows


@settings(max_examples=200)
@given(
    opens=st.sets(st.integers(0, 200), min_size=1, max_size=120),
    cuts=st.lists(st.integers(0, 120), max_size=5),
    each=st.sampled_from([2, 5, 15, 60]),
)
def test_bars_are_built_as_by_hand_however_they_come(opens, cuts, each):
    events = minutes(sorted(opens))
    parts = np.split(events, sorted(cut for cut in cuts if cut < len(events)))
    bars = built(parts, f"{each}m")
    assert [tuple(bar[name] for name in FIELDS) for bar in bars] == by_hand(events, each)


def test_weeks_begin_on_monday_and_months_with_the_calendar():
    days = minutes(range(0, 60 * 1440, 1440))
    days["close_ts"] = days["open_ts"] + 1440 * MINUTE
    weeks = built([days], "1w")
    assert str(weeks["open_ts"][0].astype("datetime64[ns]"))[:10] == "2024-01-01"  # A Monday.
    assert set(np.diff(weeks["open_ts"])) == {7 * 1440 * MINUTE}
    months = built([days], "1M")
    assert [str(one)[:10] for one in months["close_ts"].astype("datetime64[ns]")] == ["2024-02-01", "2024-03-01"]
    assert months["volume"].tolist() == [days["volume"][:31].sum(), days["volume"][31:60].sum()]


IMPOSSIBLE = [("5m", "1m"), ("5m", "5m"), ("2m", "5m"), ("1M", "1w"), ("1h", "1d@Asia/Tokyo")]


@pytest.mark.parametrize(("short", "long"), IMPOSSIBLE)
def test_what_cannot_be_built_is_refused(short, long):
    with pytest.raises(ConfigError):
        check_resample(parse_timeframe(short), parse_timeframe(long))


def test_a_bar_in_two_spans_is_refused():
    events = minutes([0, 1, 5, 6])
    events["open_ts"][1:] += MINUTE * 7 // 2
    events["close_ts"][1:] += MINUTE * 7 // 2
    words = r"x\.csv: the bar of 2024-01-01T00:04:30Z crosses the boundary between two 5m bars"
    with pytest.raises(DataError, match=words):
        built([events], "5m")


def test_replay_of_resampled_bars_is_that_of_the_venues_own(tmp_path):
    events = minutes(range(6_000))
    for name, bars in (("1m", events), ("5m", built([events], "5m"))):
        columns = {"ts": bars["open_ts"] // 10**6, **{key: bars[key] / 1.0 for key in FIELDS[2:]}}
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    digests = []
    for more in (["BTC/USDT=1m.parquet", "--resample", "5m"], ["BTC/USDT=5m.parquet"]):
        code, out, err = call(["replay", *more, "--json"], tmp_path)
        assert code == 0, err
        summary = json.loads(out)
        assert summary["timeframes"] == {"BTC/USDT": "5m"}
        digests.append((summary["digest"], summary["fills"], summary["bars"]))
    assert digests[0] == digests[1]
    assert digests[0][1] > 0
    code, _, err = call(["replay", "BTC/USDT=1m.parquet", "--resample", "90s"], tmp_path)
    assert code == 2
    assert " ".join(err.split()) == "error: --resample 90s: 90s is not a whole multiple of 1m"
    code, _, err = call(["replay", "BTC/USDT=1m.parquet", "--timeframe", "5m"], tmp_path)
    assert code == 2
    assert "--resample 5m" in " ".join(err.split())
