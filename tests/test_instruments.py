"""Where a symbol's tick, step and limits are from, and what is refused as a guess."""

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import Case, minutes
from paperbot.config import ConfigFiles, Layer, parse_assignment
from paperbot.engine.params import NS, make_plan
from paperbot.errors import ConfigError, DataError, PaperbotError
from paperbot.market import instruments
from paperbot.market.candles import Checker, Columns, Grid
from paperbot.market.instruments import VenueRules, decimals_in, kept_content, observe, read_kept, rules_of
from paperbot.market.rules import first_rows
from paperbot.symbols import understood
from paperbot.timeframe import fixed


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def columns(prices, volumes=None, first=0):
    values = np.array(prices, dtype=np.float64)
    ts = (first + np.arange(len(values), dtype=np.int64)) * 60 * 10**9
    return Columns(ts, values, values, values, values, np.array(volumes or [1.0] * len(values), dtype=np.float64))


# ---- what the data shows ---------------------------------------------------------------------------------------------
@given(st.lists(st.tuples(st.integers(1, 10**9), st.just(0)), min_size=1, max_size=20), st.integers(0, 12))
def test_decimals_are_those_that_the_numbers_were_written_with(numbers, decimals):
    values = [Decimal(number).scaleb(-decimals) for number, _ in numbers]
    finest = max(max(-value.normalize().as_tuple().exponent, 0) for value in values)
    assert decimals_in(np.array([float(value) for value in values])) == finest


def test_the_noise_of_a_computed_number_is_no_decimal():
    assert decimals_in(np.array([0.1 + 0.2, 101.30000000000001, 1.1 * 1.1])) == 2


@given(st.lists(st.integers(1, 400), min_size=1, max_size=8), st.data())
def test_what_is_observed_does_not_depend_on_how_the_rows_arrive(sizes, data):
    """Row 5,001 is the first that is not looked at."""
    prices = [100.5] * 4999 + [100.25, 100.125, *([99.0] * sum(sizes))]
    whole = columns(prices)
    edges = sorted(data.draw(st.lists(st.integers(0, len(prices)), max_size=6)))
    parts = [whole.cut(start, stop) for start, stop in zip([0, *edges], [*edges, len(prices)], strict=True)]
    seen, batches = first_rows(parts)
    assert observe(seen, volume_in_base=True) == observe(columns(prices[:5000]), volume_in_base=True)
    assert observe(seen, volume_in_base=True).price_decimals == 2
    assert sum(map(len, batches)) == len(prices)


def test_a_later_row_that_is_finer_than_the_first_ones_is_refused(case):
    lines = [f"{1_704_067_200 + 60 * k},1.5,1.5,1.5,1.5,10" for k in range(5000)]
    text = "\n".join(["time,open,high,low,close,volume", *lines, "1704367200,1e-12,1e-12,1e-12,1e-12,10"]) + "\n"
    with pytest.raises(DataError) as error:
        case.run("ABC/USDT", text)
    assert "row 5001" in str(error.value)
    assert "is finer than 8 decimals; give more with --set execution.price_decimals=" in str(error.value)


def test_volumes_that_were_rounded_give_no_step(case):
    """Whole coins at 40,000: one would be worth more than the smallest order, so the volumes were rounded."""
    case.run("XYZ/USDT", minutes(*["40000.5"] * 6, volume=100))
    assert case.fills()[0][2] == pytest.approx(0.02499)
    assert "step 0.00001 from binance_spot.yml" in "".join(case.notes)


# ---- who wins --------------------------------------------------------------------------------------------------------
def knobs_of(symbol, *settings, data=None, venue=None, exchange="binance", environment="spot"):
    files = ConfigFiles(None)
    from_data = Layer("data: a.csv", data) if data else None
    files.learn(symbol, data=from_data, venue=Layer("venue", venue) if venue else None)
    texts = (f"exchange={exchange}", f"environment={environment}", *settings)
    return files.configure([parse_assignment(text) for text in texts]).knobs(symbol)


def test_pattern_then_data_then_exact_symbol_then_venue_then_the_user():
    data, venue = {"tick_size": "0.5"}, {"tick_size": "0.125"}
    found = [
        knobs_of("ABC/USDT"),
        knobs_of("ABC/USDT", data=data),
        knobs_of("BTC/USDT", data=data),
        knobs_of("BTC/USDT", data=data, venue=venue),
        knobs_of("BTC/USDT", "execution.tick_size=3", data=data, venue=venue),
    ]
    assert [float(knobs.tick_size) for knobs, _ in found] == [0.0001, 0.5, 0.01, 0.125, 3]
    assert [origins["tick_size"].rpartition("/exchanges/")[2] for _, origins in found] == [
        *("binance_spot.yml [*/USDT]", "data: a.csv", "binance_spot.yml [BTC/USDT]", "venue", "command line")
    ]


def test_a_uniform_profile_holds_for_every_symbol():
    knobs, origins = knobs_of("AAPL/USD", data={"tick_size": "0.5"}, exchange="alpaca", environment="paper")
    assert (float(knobs.tick_size), origins["tick_size"].endswith("alpaca.yml")) == (0.01, True)


def test_coins_at_alpaca_pay_its_crypto_fees():
    assert knobs_of("BTC/USD", exchange="alpaca", environment="paper")[0].fees.taker_bps == 25
    assert knobs_of("SOL/USD", exchange="alpaca", environment="crypto")[0].fees.taker_bps == 25
    assert knobs_of("AAPL/USD", exchange="alpaca", environment="paper")[0].fees.taker_bps == 0


def test_a_tick_finer_than_the_decimals_brings_its_own():
    assert knobs_of("ABC/USDT", venue={"tick_size": "1e-11"})[0].price_decimals == 11
    assert knobs_of("ABC/USDT", "execution.price_decimals=8", venue={"tick_size": "1e-11"})[0].price_decimals == 8


@pytest.mark.parametrize(
    ("quote", "smallest"),
    [
        *(("EUR", 5), ("TRY", 10), ("BRL", 10), ("JPY", 100), ("GBP", 5), ("AUD", 10), ("BNB", "0.01"), ("FDUSD", 5)),
        *(("TUSD", 5), ("DAI", 5), ("TRX", 100), ("USDC", 5), ("BTC", "0.0001"), ("ETH", "0.001")),
    ],
)
def test_every_quote_has_its_smallest_order(quote, smallest):
    knobs, origins = knobs_of(f"ABC/{quote}")
    assert knobs.min_notional == Decimal(smallest)
    assert origins["min_notional"].endswith(f"[*/{quote}]")


@pytest.mark.parametrize(
    ("symbol", "tick", "step"),
    [
        *((f"{base}/USDT", "1e-8", "1") for base in ("SHIB", "PEPE", "XEC", "BTTC")),
        *((f"{base}/USDT", "1e-7", "1") for base in ("WIN", "SPELL", "1000SATS")),
        *((f"BTC/{quote}", "1", "1e-5") for quote in ("TRY", "BRL", "JPY")),
        *(("LUNC/USDT", "1e-8", "0.01"), ("DOGE/USDT", "1e-5", "1"), ("TRX/USDT", "1e-5", "0.1")),
        *(("XRP/USDT", "1e-4", None), ("LINK/USDT", "0.001", None), ("BNB/USDT", "0.1", None)),
        *(("BNB/BTC", "1e-6", None), ("LTC/BTC", "1e-6", None), ("SHIB/TRY", "1e-8", "1"), ("SHIB/EUR", "1e-8", "1")),
        *(("DOGE/EUR", "1e-5", None), ("XRP/EUR", "1e-4", None), ("DOGE/TRY", "1e-3", None)),
        ("BNB/ETH", "1e-4", "1e-3"),
    ],
)
def test_well_known_symbols_have_their_own_rules(symbol, tick, step):
    knobs, origins = knobs_of(symbol)
    assert knobs.tick_size == Decimal(tick)
    assert step is None or knobs.step_size == Decimal(step)
    assert origins["tick_size"].endswith(f"[{symbol}]")


@pytest.mark.parametrize(
    ("exchange", "symbol", "taker_bps"),
    [
        *(("bybit", "BTC/USDT", 10), ("okx", "BTC/USDT", 10), ("kraken", "BTC/USD", 40), ("kucoin", "BTC/USDT", 10)),
        ("coinbase", "BTC/USD", 120),
    ],
)
def test_other_venues_have_their_own_fees_and_rules(exchange, symbol, taker_bps):
    knobs, origins = knobs_of(symbol, exchange=exchange)
    assert knobs.fees.taker_bps == taker_bps
    assert f"{exchange}_spot.yml [{symbol}]" in origins["tick_size"]


def test_what_no_source_says_must_be_given():
    overrides = [parse_assignment("exchange=bybit"), parse_assignment("environment=spot")]
    with pytest.raises(ConfigError) as error:
        make_plan(ConfigFiles(None).configure(overrides), {"ABC/EUR": 60 * NS})
    assert "bybit_spot.yml has no tick_size, step_size, min_notional; give --set" in str(error.value)


# ---- what is only typical --------------------------------------------------------------------------------------------
def test_a_typical_tick_that_is_coarse_against_the_price_is_refused_by_row():
    grid = Grid(8, typical_tick=0.0001, origin={"tick_size": "binance_spot.yml [*/USDT]"})
    checker = Checker("a.csv", 0, fixed(60 * 10**9), grid)
    checker.events(columns([0.1]))  # A thousandth of the price.
    with pytest.raises(DataError) as error:
        checker.events(columns([0.2, 0.0999], first=1))
    assert str(error.value) == (
        "a.csv: row 3 (1970-01-01T00:02:00Z): low = 0.0999 is too low for a tick_size of 0.0001, which is only typical"
        " of the venue (binance_spot.yml [*/USDT]); give the symbol's own with --set execution.tick_size="
    )


def test_a_typical_step_that_is_worth_more_than_the_smallest_order_is_refused_by_row():
    grid = Grid(8, typical_step=0.1, min_notional=5.0, origin={"step_size": "binance_spot.yml"})
    checker = Checker("a.csv", 0, fixed(60 * 10**9), grid)
    checker.events(columns([50.0]))
    with pytest.raises(DataError, match=r"row 2 .* high = 50.01 is too high for a step_size of 0.1.*execution.step"):
        checker.events(columns([50.01], first=1))


def test_volumes_in_the_quote_show_no_step_and_a_typical_one_must_fit(case):
    with pytest.raises(PaperbotError, match="is too high for a step_size of 1e-05"):
        case.run("ABC/USDT", minutes(*["600000.5"] * 6), "execution.volume_unit=quote")


# ---- what the venue says ---------------------------------------------------------------------------------------------
INFO = {
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.00000001", "maxPrice": "1000", "tickSize": "0.00000001"},
        {"filterType": "LOT_SIZE", "minQty": "1.00", "maxQty": "46116860414.00", "stepSize": "1.00"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00", "maxQty": "8384883677.08", "stepSize": "0.00"},
        {"filterType": "NOTIONAL", "minNotional": "1.00000000", "applyMinToMarket": True},
    ]
}


def test_the_venues_filters_become_rules():
    assert rules_of(INFO).as_tree() == {
        "tick_size": "0.00000001",
        "step_size": "1.00",
        "min_notional": "1.00000000",
        "min_quantity": "1.00",
        "max_quantity": "46116860414.00",
        "max_market_quantity": "8384883677.08",
    }


@pytest.mark.parametrize("info", [{}, {"filters": None}, {"filters": []}, {"filters": ["x"]}])
def test_a_venue_that_says_nothing_sets_nothing(info):
    assert rules_of(info).as_tree() == {}


def test_a_replay_uses_what_the_venue_told_earlier(case, tmp_path, monkeypatch):
    monkeypatch.setattr(instruments, "FOLDER", tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    rules = VenueRules(tick_size="0.5", step_size="0.001", max_market_quantity="3")
    (tmp_path / "kept/binance-testnet.json").write_bytes(kept_content({"ABC/USDT": rules}, "2024-01-01T00:00:00Z"))
    case.run("ABC/USDT", minutes(*["100"] * 6))
    assert [fill[1:4] for fill in case.fills()] == [("buy", 3.0, 100.5), ("sell", 3.0, 99.5)]
    assert "tick 0.5 from venue, 2024-01-01" in "".join(case.notes)
    case.run("ABC/USDT", minutes(*["100"] * 6), "feed.filters=profile")
    assert case.fills()[0][2] == 10


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"symbols": {"A/B": {"tick_size": "x"}}}', "[" * 9999])
def test_a_damaged_file_of_rules_is_one_sentence(tmp_path, content):
    path = tmp_path / "rules.json"
    path.write_text(content)
    with pytest.raises(ConfigError) as error:
        read_kept(path)
    assert "cannot be read as a venue's rules" in str(error.value)
    assert "\n" not in str(error.value)


def test_kept_rules_come_back_as_they_were(tmp_path):
    path = tmp_path / "rules.json"
    path.write_bytes(kept_content({"A/B": rules_of(INFO)}, "2024-01-01T00:00:00Z"))
    assert read_kept(path) == ("2024-01-01T00:00:00Z", {"A/B": rules_of(INFO).as_tree()})
    assert json.loads(path.read_text())["fetched"] == "2024-01-01T00:00:00Z"


# ---- names -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        *[("ETHBTC", "ETH/BTC"), ("sol-usd", "SOL/USD"), ("1000SATSUSDT", "1000SATS/USDT"), ("$WIF/usdt", "$WIF/USDT")],
        *[("XXBTZUSD", "BTC/USD"), ("XETHZEUR", "ETH/EUR"), ("XRPUSD", "XRP/USD")],
    ],
)
def test_names_without_doubt(text, symbol):
    assert understood(text) == (symbol, f"{text} is understood as {symbol}")
    assert understood(symbol) == (symbol, None)


@pytest.mark.parametrize("text", ["BTC/USDT:USDT", "BTCUSDT.P", "BTC-PERP", "BTC_USDT-PERP", "BTC-USDT-SWAP"])
def test_perpetuals_are_named_as_that(text):
    with pytest.raises(ConfigError, match="is a perpetual or a future; a spot symbol is BASE/QUOTE"):
        understood(text)


def test_a_name_that_can_be_split_in_two_ways_is_decided_by_the_venue_or_asked_for():
    assert understood("BTCBUSD", ["BTC/BUSD"])[0] == "BTC/BUSD"
    with pytest.raises(ConfigError, match="it may be BTC/BUSD or BTCB/USD; write one of them"):
        understood("BTCBUSD")


@pytest.mark.parametrize(
    "text", ["", "/", "BTC/", "/USDT", "BTC/BTC", "A B/USDT", "BTC/USDT/X", "BTC\n/USDT", "*/USDT", "x" * 500]
)
def test_what_is_no_symbol_is_one_short_sentence(text):
    with pytest.raises(ConfigError) as error:
        understood(text)
    assert "not a symbol" in str(error.value)
    assert len(str(error.value)) < 200
