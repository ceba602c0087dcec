"""Candlestick patterns against TA-Lib, and the pattern follower."""

import json
from pathlib import Path

import numpy as np
import pytest
import talib

from paperbot.core import types as t
from recorded import read, recorded_files, run_events, symbol_of

ALL = ("features.patterns=[engulfing_bullish, engulfing_bearish, hammer, shooting_star, doji]", "strategies=[]")


def ours(plan, events):
    """A column of 0 and 1 for each pattern."""
    records = run_events(plan, events).outputs
    found = records[records["kind"] == t.OutputKind.PATTERN].view(t.OUT_PATTERN)
    row = {int(ts): k for k, ts in enumerate(events["close_ts"])}
    table = np.zeros((len(events), len(t.Pattern)), dtype=int)
    for one in found:
        table[row[int(one["ts"])], int(one["pattern"])] = 1
    return table


def theirs(events):
    candle = [np.ascontiguousarray(events[name] / 1e8) for name in ("open", "high", "low", "close")]
    engulfing = talib.CDLENGULFING(*candle)
    columns = [
        engulfing > 0,
        engulfing < 0,
        talib.CDLHAMMER(*candle) > 0,
        talib.CDLSHOOTINGSTAR(*candle) < 0,
        talib.CDLDOJI(*candle) > 0,
    ]
    return np.column_stack(columns).astype(int)


def differences(plan, events):
    """(row, pattern, ours, TA-Lib's) wherever the two differ."""
    mine, other = ours(plan, events), theirs(events)
    rows, patterns = np.nonzero(mine != other)
    return [
        (int(r), t.Pattern(int(p)).name, int(mine[r, p]), int(other[r, p])) for r, p in zip(rows, patterns, strict=True)
    ]


def test_made_up_market_agrees():
    plan, events = read(["BTC/USDT=synthetic:4:20000"], ALL)
    found = differences(plan, events)
    assert len(found) <= len(events) / 1000, found
    assert (ours(plan, events).sum(axis=0) > 0).all()


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("BTC/BUSD", "binance_BTCBUSD_1m_20221213.parquet"),
        ("BTC/USD", "ftx_BTCPERP_1m_202201.parquet"),
        ("XLM/BTC", "bittrex_XLMBTC_5m_201801.parquet"),
        ("NEO/BTC", "binance_NEOBTC_4h_201804.parquet"),
    ],
)
def test_recorded_bars_agree(real_data, symbol, name):
    """On at least 99.9 % of bars. The rest are ties that floats decide by their last bit and integers exactly."""
    plan, events = read([f"{symbol}={real_data / name}"], ALL)
    found = differences(plan, events)
    assert len({row for row, *_ in found}) <= len(events) / 1000, found


LISTED = Path(__file__).parent / "golden" / "pattern_differences.json"


def all_differences(folder):
    """(file, row, pattern, ours, TA-Lib's) over every recorded file of bars, and how many bars they hold."""
    found, bars = [], 0
    for name in recorded_files(folder, kinds=False):
        plan, events = read([f"{symbol_of(name)}={folder / name}"], ALL)
        found += [[name, *difference] for difference in differences(plan, events)]
        bars += len(events)
    return found, bars


def test_each_difference_is_listed(real_data):
    """`make golden` writes the list. They are ties: a body or shadow exactly at its average, where floats err."""
    found, bars = all_differences(real_data)
    assert found == json.loads(LISTED.read_text())
    assert len(found) < bars / 1000


def test_follower_buys_on_bullish_and_leaves_on_bearish():
    plan, events = read(["BTC/USDT=synthetic:4:5000"], ("strategies=[{name: follower, kind: pattern}]",))
    outputs = run_events(plan, events).outputs
    detected = {}
    for one in outputs[outputs["kind"] == t.OutputKind.PATTERN].view(t.OUT_PATTERN):
        detected.setdefault(int(one["ts"]), set()).add(int(one["direction"]))
    signals = outputs[outputs["kind"] == t.OutputKind.SIGNAL].view(t.OUT_SIGNAL)
    assert len(signals) > 20
    for signal in signals:
        wanted = 1 if signal["target"] == t.Target.LONG else -1
        assert wanted in detected[int(signal["ts"])]


def test_warmup_bars_are_not_reported():
    plan, events = read(["BTC/USDT=synthetic:4:400"], ALL)
    events["flags"][:200] |= t.BarFlag.WARMUP
    outputs = run_events(plan, events).outputs
    times = outputs["ts"][outputs["kind"] == t.OutputKind.PATTERN]
    assert len(times) > 0
    assert times.min() > events["close_ts"][199]
