"""Features against TA-Lib and against their definitions, on recorded and made-up bars, and their harder corners."""

import numpy as np
import pytest
import talib

from paperbot.core import types as t
from recorded import read, run_events

ALL = ("features.always=[rsi, atr, vwap, zscore, volatility]",)


def feature_series(plan, events):
    """The value of each feature after each bar (NaN while it warms up), one bar a call."""
    from paperbot.engine.machine import Machine  # noqa: PLC0415

    machine = Machine(plan.params)
    out = np.full((len(events), len(plan.params.features)), np.nan)
    for at in range(len(events)):
        list(machine.advance(events[at : at + 1]))
        ready = machine.state.features["count"] >= plan.params.features["needs"]
        out[at, ready] = machine.state.features["value"][ready]
    names = [(t.FeatureKind(int(f["kind"])).name, int(f["window"])) for f in plan.params.features]
    return {name: out[:, k] for k, name in enumerate(names)}


def columns(events):
    return (events[name] / 1e8 for name in ("open", "high", "low", "close"))


@pytest.fixture(scope="module")
def made_up():
    plan, events = read(["BTC/USDT=synthetic:11:4000"], ALL)
    return events, feature_series(plan, events)


def assert_same(ours, theirs, start):
    np.testing.assert_allclose(ours[start:], theirs[start:], rtol=1e-9)
    assert np.isfinite(ours[start:]).all()
    assert np.isnan(ours[:start]).all()


def check_against_talib(events, series):
    _, high, low, close = columns(events)
    assert_same(series["RSI", 14], talib.RSI(close, 14), 14)
    assert_same(series["ATR", 14], talib.ATR(high, low, close, 14), 14)
    assert_same(series["SMA", 20], talib.SMA(close, 20), 19)
    assert_same(series["SMA", 50], talib.SMA(close, 50), 49)


def test_indicators_agree_with_talib_on_a_made_up_market(made_up):
    check_against_talib(*made_up)


def test_indicators_agree_with_talib_on_recorded_bars(real_data):
    plan, events = read([f"BTC/BUSD={real_data / 'binance_BTCBUSD_1m_20221213.parquet'}"], ALL)
    check_against_talib(events, feature_series(plan, events))


def by_definition(events):
    """VWAP, z-score and volatility as their sentences say, without any running sum."""
    _, high, low, close = columns(events)
    volume = events["volume"]
    typical = (high + low + close) / 3
    day = (events["close_ts"] - 1) // t.DAY_NS
    vwap = np.empty(len(close))
    for k in range(len(close)):
        same = slice(int(np.argmax(day == day[k])), k + 1)
        total = volume[same].sum()
        vwap[k] = (typical[same] * volume[same]).sum() / total if total > 0 else typical[k]
    distance = close - vwap
    zscore = np.full(len(close), np.nan)
    for k in range(49, len(close)):
        spread = distance[k - 49 : k + 1].std()
        zscore[k] = distance[k] / spread if spread > 0 else 0.0
    returns = close[1:] / close[:-1] - 1
    volatility = np.full(len(close), np.nan)
    for k in range(30, len(close)):
        volatility[k] = returns[k - 30 : k].std()
    return vwap, zscore, volatility


def test_vwap_zscore_and_volatility_are_what_they_say(made_up):
    events, series = made_up
    vwap, zscore, volatility = by_definition(events)
    np.testing.assert_allclose(series["VWAP", 1], vwap, rtol=1e-9)
    np.testing.assert_allclose(series["ZSCORE", 50][49:], zscore[49:], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(series["VOLATILITY", 30][30:], volatility[30:], rtol=1e-6)


def test_zscore_and_volatility_of_a_still_market_are_zero_not_noise():
    """Some venues fill minutes without a trade with flat bars: a still window must not divide by rounding noise."""
    plan, events = read(["BTC/USDT=synthetic:3:400"], ALL)
    for name in ("open", "high", "low", "close"):
        events[name][100:] = events[name][99]
    events["volume"][100:] = 0.0
    series = feature_series(plan, events)
    assert (series["VOLATILITY", 30][131:] == 0.0).all()
    assert (series["ZSCORE", 50][150:] == 0.0).all()


def test_session_starts_anew_at_midnight_and_counts_without_volume():
    plan, events = read(["BTC/USDT=synthetic:3:3000"], ALL)
    events["volume"][1440:1500] = 0.0
    _, high, low, close = columns(events)
    series = feature_series(plan, events)
    np.testing.assert_allclose(series["VWAP", 1][1440:1500], ((high + low + close) / 3)[1440:1500], rtol=1e-12)


def test_only_features_in_use_are_computed():
    plan, _ = read(
        ["BTC/USDT=synthetic:3:10"],
        ("risk.sizing=fixed_quote", "risk.attach_stop=false", "features.patterns=[]"),
    )
    kinds = sorted(t.FeatureKind(int(kind)).name for kind in plan.params.features["kind"])
    assert kinds == ["SMA", "SMA", "VWAP", "ZSCORE"]


def test_volume_in_quote_gives_the_same_vwap():
    plan, events = read(["BTC/USDT=synthetic:3:500"], ALL)
    quoted, _ = read(["BTC/USDT=synthetic:3:500"], (*ALL, "execution.volume_unit=quote"))
    in_quote = events.copy()
    _, high, low, close = columns(events)
    in_quote["volume"] *= (high + low + close) / 3
    ours, theirs = feature_series(plan, events), feature_series(quoted, in_quote)
    np.testing.assert_allclose(ours["VWAP", 1], theirs["VWAP", 1], rtol=1e-12)


def test_no_feature_is_ever_stored_as_nan():
    plan, events = read(["BTC/USDT=synthetic:5:300"], ALL)
    assert np.isfinite(run_events(plan, events).machine.state.features["value"]).all()
