"""Annualised figures use the real time between the returns; formulas are those of empyrical, written out here again."""

from datetime import date, timedelta
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import Case, minutes
from paperbot.figures import cagr, calmar, returns_of, sharpe, sortino

WEEKS = (100, 104, 101, 107, 110, 106, 112, 118, 115, 121, 125, 122, 128, 131)


def weekly(closes=WEEKS, step=7, first=date(2024, 1, 1)):
    lines = ["timestamp,open,high,low,close,volume"]
    opening = closes[0]
    for k, close in enumerate(closes):
        high, low = max(opening, close) + 1, min(opening, close) - 1
        lines.append(f"{first + timedelta(days=step * k)},{opening},{high},{low},{close},1000000")
        opening = close
    return "\n".join(lines) + "\n"


def test_weekly_returns_are_annualised_by_weeks(tmp_path):
    case = Case(tmp_path)
    held = ("risk.fixed_quote=9000",)
    summary = case.run("BTC/USDT", weekly(), *held, buy=2, sell=99)
    assert (summary["timeframes"], summary["returns"], summary["return_days"]) == ({"BTC/USDT": "1w"}, 14, 7.0)
    assert summary["returns_a_year"] == pytest.approx(365 / 7)
    daily = case.run("BTC/USDT", weekly(step=1), *held, buy=2, sell=99)
    assert daily["return_days"] == 1.0
    assert summary["sharpe"] == pytest.approx(daily["sharpe"] / sqrt(7))
    assert summary["sortino"] == pytest.approx(daily["sortino"] / sqrt(7))


def test_the_weekly_sharpe_of_a_bought_and_held_coin(tmp_path):
    """By hand, from the equities at the end of each week."""
    summary = Case(tmp_path).run("BTC/USDT", weekly(), "risk.fixed_quote=9000", buy=2, sell=99)
    price = 104 * 1.0002
    bought_at = np.ceil(price * 100 - 1e-9) / 100
    quantity = np.floor(9000 / 104 * 1e5) / 1e5
    cash = 10_000 - quantity * bought_at * 1.001
    equities = np.array([10_000, 10_000, 10_000, *(cash + quantity * close for close in WEEKS[2:])])
    returns = equities[1:] / equities[:-1] - 1
    assert summary["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * sqrt(365 / 7), rel=1e-5)
    downside = sqrt((np.minimum(returns, 0) ** 2).mean())
    assert summary["sortino"] == pytest.approx(returns.mean() / downside * sqrt(365 / 7), rel=1e-5)
    years = 14 * 7 / 365
    growth = (summary["equity"] / 10_000) ** (1 / years) - 1
    assert summary["cagr_pct"] == pytest.approx(100 * growth)
    assert summary["calmar"] == pytest.approx(100 * growth / summary["max_drawdown_pct"])
    assert summary["days"] == 98


def test_months_and_trading_days_count_by_their_mean():
    months = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
    assert returns_of(1.0, months, [1.0] * 12).a_year == pytest.approx(365 / ((334 + 31) / 12))
    weekdays = [day for day in range(3650) if day % 7 < 5]
    assert returns_of(1.0, weekdays, [1.0] * len(weekdays)).a_year == pytest.approx(365 * 5 / 7, rel=1e-3)


@given(st.lists(st.floats(-0.5, 0.5), min_size=10, max_size=60), st.integers(1, 31))
def test_ratios_are_those_of_empyrical(changes, step):
    equities = (1000 * np.cumprod(1 + np.array(changes))).tolist()
    returns = returns_of(1000.0, [step * k for k in range(len(equities))], equities)
    values = np.array(returns.values)
    assert returns.days == pytest.approx(step)
    a_year = 365 / step
    if values.std(ddof=1) > 1e-6:
        assert sharpe(returns) == pytest.approx(values.mean() / values.std(ddof=1) * sqrt(a_year), rel=1e-6, abs=1e-9)
    below = np.minimum(values, 0)
    if (below < -1e-6).any():
        expected = values.mean() * a_year / (sqrt((below**2).mean()) * sqrt(a_year))
        assert sortino(returns) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_what_is_not_defined_is_none():
    few = returns_of(1.0, list(range(9)), [1.0] * 9)
    flat = returns_of(1.0, list(range(12)), [1.0] * 12)
    rising = returns_of(1.0, list(range(12)), [1.01**k for k in range(1, 13)])
    assert (sharpe(few), sortino(few), sharpe(flat), sortino(rising)) == (None, None, None, None)
    assert (cagr(1.0, 0.0, 1e9), cagr(0.0, 1.0, 1e9), cagr(1.0, 2.0, 3600.0), cagr(1.0, 1e300, 86_400.0)) == (None,) * 4
    assert cagr(1.0, 2.0, 365 * 86_400.0) == 1.0
    assert (calmar(None, 0.1), calmar(0.2, 0.0), calmar(0.2, 0.1)) == (None, None, 2.0)


def test_trades_are_told_by_their_average_and_extremes(tmp_path):
    """Bought at 100.02 and sold at 109.97: one trade of two minutes; the value of both fills over the equity."""
    summary = Case(tmp_path).run("BTC/USDT", minutes(100, 100, 100, 110, 110, 110))
    paid, received = 10 * 100.02, 10 * 109.97
    net = received - paid - 0.001 * (paid + received)
    assert summary["expectancy"] == pytest.approx(net, abs=0.01)
    assert summary["avg_trade_pct"] == summary["best_trade_pct"] == summary["worst_trade_pct"]
    assert summary["avg_trade_pct"] == pytest.approx(100 * net / paid, abs=0.01)
    assert (summary["avg_trade_s"], summary["longest_trade_s"]) == (120.0, 120.0)
    assert summary["turnover"] == pytest.approx((paid + received) / summary["equity"], rel=1e-3)


def test_a_run_that_halts_says_when_why_and_for_how_long(tmp_path):
    prices = [100] * 3 + [90] * 3 + [50] * 4
    how = ("risk.fixed_quote=9000", "risk.daily_loss_cap=0.05", "exchange=binance")
    summary = Case(tmp_path).run("BTC/USDT", minutes(*prices), *how, sell=99)
    assert (summary["halts"], summary["first_halt"], summary["first_halt_reason"]) == (
        *(1, "2024-01-01T00:04:00Z", "daily_loss"),
    )
    assert summary["halted_pct"] == pytest.approx(100 * 6 / 10)


def test_settings_that_differ_from_the_defaults_are_told(tmp_path):
    summary = Case(tmp_path).run("BTC/USDT", minutes(100, 100, 100, 110, 110, 110))
    assert summary["settings"]["risk.sizing"] == "fixed_quote"
    assert "risk.risk_frac" not in summary["settings"]
    assert summary["instruments"]["BTC/USDT"]["tick_size"] == {
        "value": "0.01",
        "from": "binance_spot.yml [BTC/USDT]",
    }
