"""The candles of a run's picture: few, and the same market as the bars."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperbot.core import types as t
from paperbot.names import Names
from paperbot.store.chart import MOST, WIDTHS_NS, Chart

NAMES = Names(
    symbols=("BTC/USDT", "ETH/USDT"),
    strategies=(),
    assets=("BTC", "ETH", "USDT"),
    currency="USDT",
    usd_rate=1.0,
    asset_decimals=(8, 8, 8),
    price_decimals=(2, 2),
    bases=(0, 1),
    quotes=(2, 2),
    steps=(1, 1),
)
MINUTE = 60 * 10**9


def bars(count, symbol=0, seed=1, start=1_700_006_400 * 10**9):
    random = np.random.default_rng(seed)
    events = np.zeros(count, dtype=t.BAR_EVENT)
    events["kind"], events["symbol"] = t.EventKind.BAR, symbol
    gaps = random.integers(1, 4, count)
    events["open_ts"] = start + np.cumsum(gaps) * MINUTE
    events["close_ts"] = events["open_ts"] + MINUTE
    close = 100_000 + np.cumsum(random.integers(-50, 51, count))
    events["close"], events["open"] = close, np.roll(close, 1)
    events["high"] = np.maximum(events["open"], close) + random.integers(0, 9, count)
    events["low"] = np.minimum(events["open"], close) - random.integers(0, 9, count)
    events["volume"] = random.integers(0, 100, count)
    return events


def chart_of(*parts):
    chart = Chart(NAMES)
    for part in parts:
        chart.events(part)
    return chart


def test_few_bars_stay_as_they_are():
    events = bars(MOST)
    table = chart_of(events).table().to_pydict()
    assert table["close"] == (events["close"] / 100).tolist()
    assert set(table["width_s"]) == {0}
    assert set(table["symbol"]) == {"BTC/USDT"}


def test_one_bar_more_and_they_are_merged():
    events = bars(MOST + 1)
    table = chart_of(events).table().to_pydict()
    assert set(table["width_s"]) == {300}
    spans = {}
    for bar in events:
        spans.setdefault(int(bar["open_ts"]) // (5 * MINUTE), []).append(bar)
    expected = [
        (
            span * 5 * MINUTE,
            *(each[0]["open"] / 100, max(one["high"] for one in each) / 100),
            *(min(one["low"] for one in each) / 100, each[-1]["close"] / 100, sum(one["volume"] for one in each)),
        )
        for span, each in sorted(spans.items())
    ]
    columns = ("open", "high", "low", "close", "volume")
    opened = [round(ts.timestamp()) * 10**9 for ts in table["open_ts"]]
    shown = list(zip(opened, *(table[name] for name in columns), strict=True))
    assert shown == expected


@settings(max_examples=25)
@given(count=st.integers(1, 40_000), cuts=st.lists(st.integers(0, 40_000), max_size=6), seed=st.integers(0, 9))
def test_how_bars_are_cut_changes_nothing(count, cuts, seed):
    events = bars(count, seed=seed)
    whole = chart_of(events)
    parts = chart_of(*np.split(events, sorted(cut for cut in cuts if cut < count)))
    assert parts.table().equals(whole.table())
    assert 0 < whole.table().num_rows <= MOST
    assert parts.buy_and_hold() == whole.buy_and_hold()


def test_warm_up_bars_do_not_count_and_symbols_keep_apart():
    warm = bars(10)
    warm["flags"] |= t.BarFlag.WARMUP
    both = chart_of(warm, bars(5, symbol=1, seed=2))
    table = both.table().to_pydict()
    assert set(table["symbol"]) == {"ETH/USDT"}
    assert both.bars == 5
    closes = bars(5, symbol=1, seed=2)["close"]
    assert both.buy_and_hold() == {"ETH/USDT": pytest.approx(100 * (closes[-1] / closes[0] - 1))}


def test_each_width_is_a_multiple_of_the_one_before():
    assert all(wide % narrow == 0 and wide > narrow for narrow, wide in pairwise(WIDTHS_NS))
