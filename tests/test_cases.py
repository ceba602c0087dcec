"""Inputs that other tools, and earlier versions of this one, read wrongly: the right values."""

import pytest

from cases import Case, days, minutes
from paperbot.errors import PaperbotError


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


PEPE = minutes(*["0.00000850"] * 4, *["0.00000867"] * 4, volume=50_000_000_000)


@pytest.mark.parametrize("settings", [(), ("execution={tick_size: 1e-8, step_size: 1}",)])
def test_a_cheap_token_trades_at_its_own_tick(case, settings):
    summary = case.run("PEPE/USDT", PEPE, *settings)
    assert case.fills() == [
        ("2024-01-01 00:02:00", "buy", 117_647_058.0, 0.00000851, 1.00117647),
        ("2024-01-01 00:04:00", "sell", 117_647_058.0, 0.00000866, 1.01882353),
    ]
    assert summary["equity"] == 10_015.6270587


def test_a_tick_that_the_user_gave_is_used_whatever_its_size_but_no_sale_is_better_than_its_market(case):
    case.run("PEPE/USDT", PEPE, "execution={tick_size: 0.0001, step_size: 1}")
    assert [(fill[1], fill[3]) for fill in case.fills()] == [("buy", 0.0001)]  # A sale would come out below one tick.


BABY = minutes(
    *("0.0000000126", "0.0000000128", "0.0000000130", "0.0000000140", "0.0000000149", "0.0000000151", "0.0000000152"),
    volume=10**12,
)


def test_prices_of_ten_decimals_keep_them(case):
    how = ("execution={tick_size: 1e-12, step_size: 1}", "account.decimals={BABYDOGE: 0}")
    summary = case.run("BABYDOGE/USDT", BABY, *how)
    assert [fill[3] for fill in case.fills()] == [0.000000013003, 0.000000014897]
    assert summary["equity"] == 10_145.78906249


def test_decimals_that_would_round_a_price_away_are_refused(case):
    with pytest.raises(PaperbotError) as error:
        case.run("BABYDOGE/USDT", BABY, "execution={tick_size: 1e-8, step_size: 1, price_decimals: 8}")
    assert "row 1 (2024-01-01T00:00:00Z): open = 1.26e-08 is finer than 8 decimals" in str(error.value)
    assert "execution.price_decimals=" in str(error.value)


def test_an_exit_that_was_too_small_is_sent_when_it_is_worth_enough_again(case):
    """Worth 1,000, then 1 for two days, then 500."""
    prices = ["1.0000"] * 3 + ["0.0010"] * 2 + ["0.5000"] * 4
    summary = case.run("LUNA/USDT", days(*prices, volume=900_000_000), sell=4, again=1)
    assert [fill[1:4] for fill in case.fills()] == [("buy", 1000.0, 1.0002), ("sell", 1000.0, 0.4999)]
    assert summary["realized_pnl"] == -500.3
    assert summary["blocked"] == {"min_notional": 1}


BTTC = days(*["0.0000012000"] * 8, volume=3 * 10**12)
AT_TEN = "execution={tick_size: 1e-10, step_size: 1, price_decimals: 10}"


def test_a_bound_that_does_not_fit_bounds_nothing(case):
    how = ("risk.fixed_quote=100", "risk.max_position_value_per_symbol=0.25")
    summary = case.run("BTTC/USDT", BTTC, AT_TEN, *how, cash=["USDT=300000"])
    assert case.fills()[0][2] == 83_333_333
    assert summary["blocked"] == {}


def test_volumes_of_trillions_are_volumes(case):
    how = ("risk.fixed_quote=7200", "risk.max_position_value_per_symbol=0.5")
    case.run("BTTC/USDT", BTTC, AT_TEN, *how, cash=["USDT=20000"])
    assert [fill[2] for fill in case.fills()] == [6_000_000_000, 6_000_000_000]


@pytest.mark.parametrize("symbol", ["BRK.B/USD", "BF.B/USD", "$WIF/USD", "1000SATS/USD"])
def test_symbols_as_venues_name_them(case, symbol):
    summary = case.run(symbol, minutes(100, 100, 100, 110, 110, 110), "exchange=alpaca", "environment=paper")
    assert summary["symbols"] == [symbol]
    assert [fill[3] for fill in case.fills()] == [100.03, 109.96]


@pytest.mark.parametrize("written", ["btc/usdt", "BTCUSDT", "BTC-USDT", "btc_usdt", "XBT/USDT", "XBTUSDT"])
def test_other_ways_to_write_a_symbol_are_understood_and_said(case, written):
    summary = case.run(written, minutes(100, 100, 100, 110, 110, 110))
    assert summary["symbols"] == ["BTC/USDT"]
    assert f"{written} is understood as BTC/USDT" in case.notes
