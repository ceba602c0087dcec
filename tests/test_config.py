"""The configuration: layers and origins, patterns, and one clear sentence for each mistake."""

from decimal import Decimal
from pathlib import Path

import pytest

from paperbot.config import find_profile, load, matching, parse_assignment, show
from paperbot.engine.params import NS, make_plan
from paperbot.errors import ConfigError, PaperbotError
from paperbot.knobs import MarketKnobs
from paperbot.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "config" / "config.yaml"


def with_(*assignments):
    return load(CONFIG, [parse_assignment(text) for text in assignments])


def test_later_layers_win_and_say_where_a_value_is_from():
    assert with_("realism=optimistic").knobs("NEO/BTC")[0].slippage_mult == 0
    knobs, origins = with_("realism=pessimistic", "execution.latency_ms=7").knobs("NEO/BTC")
    assert (knobs.touch_fills, origins["touch_fills"]) == (False, "realism pessimistic")
    assert (knobs.slippage_bps, origins["slippage_bps"]) == (2, str(CONFIG.parent / "exchanges" / "binance_spot.yml"))
    assert origins["min_notional"].endswith("binance_spot.yml [*/BTC]")
    assert knobs.min_notional == Decimal("0.0001")
    assert (knobs.latency_ms, origins["latency_ms"]) == (7, "command line")
    assert origins["atr_slip_mult"] == "built-in"


def test_configuration_file_wins_over_profile(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("execution: {slippage_bps: 9, symbols: {'ETH/*': {slippage_bps: 11}}}\n")
    configuration = load(file)
    assert configuration.knobs("BTC/USDT")[0].slippage_bps == 9
    assert configuration.knobs("ETH/USDT")[0].slippage_bps == 11
    assert configuration.knobs("ETH/USDT")[1]["slippage_bps"] == f"{file} [ETH/*]"


def test_most_specific_pattern_wins():
    assert matching("BTC/USDT", ["*", "BTC/USDT", "*/USDT", "ETH/*"]) == ["*", "*/USDT", "BTC/USDT"]


@pytest.mark.parametrize(
    ("exchange", "environment", "file"),
    [
        ("binance", "spot", "binance_spot.yml"),
        ("binance", "spot-testnet", "binance_spot.yml"),
        ("alpaca", "paper", "alpaca.yml"),
    ],
)
def test_profile_is_found_by_exchange_and_environment(exchange, environment, file):
    assert find_profile(ROOT / "config" / "exchanges", exchange, environment)[1].name == file


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("risk.max_drawdwn=1", "unknown key risk.max_drawdwn (did you mean max_drawdown?)"),
        ("risk.max_drawdown=3", "risk.max_drawdown = 3: input should be less than or equal to 1"),
        ("execution.slipage_bps=3", "unknown key slipage_bps (did you mean slippage_bps?)"),
        ("execution.tick_size=0", "tick_size = 0: input should be greater than 0"),
        ("execution.tick_size=1e-30", "tick_size = 1e-30: decimal input should have no more than 18 decimal places"),
        ("execution.fees.taker=1", "unknown key fees.taker"),
        ("execution.symbols={'*/BTC': {tik: 1}}", "symbols.*/BTC: unknown key tik"),
        ("strategies=[{name: x, kind: sma_cros}]", "sma_cros"),
        ("strategies=[{name: x, kind: sma_cross, fst: 3}]", "unknown key strategies.0.fst (did you mean fast?)"),
        ("strategies=[{name: x, kind: sma_cross, fast: 60}]", "slow (50) must be above fast (60)"),
        ("exchange=binanse", "(did you mean binance/spot-testnet?)"),
        ("timeframe=1x", "'1x' is not a valid duration"),
        ("account.balances={USDT: -1}", "account.balances.USDT = -1"),
        ("nonsense", "expected KEY=VALUE"),
    ],
)
def test_each_mistake_is_one_sentence(assignment, message):
    with pytest.raises(ConfigError) as error:
        with_(assignment)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_all_mistakes_are_told_at_once(tmp_path):
    """Of the file and of the command line, of settings, markets and patterns; each once, and no end of them."""
    file = tmp_path / "config.yaml"
    file.write_text("risk: {max_drawdwn: 1, max_open_orders: -1}\nexecution: {symbols: {'*/BTC': {tik: 1}}}\n")
    with pytest.raises(ConfigError) as error:
        load(file, [parse_assignment("execution.fees.taker=1"), parse_assignment("timeframe=1x")])
    places = {str(file): ("max_drawdwn", "max_open_orders", "tik"), "command line": ("timeframe", "taker")}
    expected = sorted((origin, key) for origin, keys in places.items() for key in keys)
    told = [one.partition(": ") for one in error.value.mistakes]
    found = [(origin, key) for origin, _, words in told for key in places[origin] if key in words]
    assert sorted(found) == expected
    assert len(told) == len(expected)
    with pytest.raises(ConfigError) as error:
        with_(f"risk={{{', '.join(f'a{number}: 1' for number in range(30))}}}")
    assert (len(error.value.mistakes), error.value.mistakes[-1]) == (21, "and 10 more")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("execution={tick_size: 0.0000000001, price_decimals: 8}", "finer than the 8 decimals"),
        ("account.balances={USDT: 100000000000}", "is too large"),
        ("oracle.overrides={BTC: '1.234567890123456789012345'}", "too many digits"),
    ],
)
def test_what_the_core_cannot_hold_is_refused(assignment, message):
    with pytest.raises(ConfigError) as error:
        make_plan(with_(assignment), {"BTC/USDT": 60 * NS})
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [\n", "\x00"])
def test_files_that_are_no_configuration(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    if text:
        with pytest.raises(PaperbotError, match=r"config\.yaml"):
            load(file)
    else:
        assert load(file).settings == load(None).settings


def test_every_key_is_documented_and_shown():
    def check(model, path=""):
        for name, field in model.model_fields.items():
            assert field.description, f"{path}{name}"
            if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
                check(field.annotation, f"{path}{name}.")

    check(Settings)
    check(MarketKnobs)
    shown = {key for key, _, _ in show(with_(), ["BTC/USDT"])}
    assert {"risk.max_drawdown", "account.currency", "BTC/USDT fees.taker_bps"} <= shown


def test_strategies_are_chosen_by_name_and_refused_by_name():
    plan = make_plan(with_(), {"BTC/USDT": 60 * NS}, ["sma_cross"])
    assert plan.strategies == ("sma_cross",)
    with pytest.raises(ConfigError, match="there is no strategy momentun"):
        make_plan(with_(), {"BTC/USDT": 60 * NS}, ["momentun"])


def test_symbol_ids_are_ranks_of_names_whatever_the_order():
    one = make_plan(with_(), {"ETH/USDT": 60 * NS, "BTC/USDT": 60 * NS})
    other = make_plan(with_(), {"BTC/USDT": 60 * NS, "ETH/USDT": 60 * NS})
    assert one.symbols == other.symbols == ("BTC/USDT", "ETH/USDT")


def test_oracle_prefers_overrides_and_walks_symbols_otherwise():
    plan = make_plan(
        with_("oracle.overrides={BTC: 50000}", "account.balances={USDT: 1, ETH: 1}"),
        {"ETH/BTC": 60 * NS, "BTC/USDT": 60 * NS},
    )
    via = {name: int(row["via"]) for name, row in zip(plan.assets, plan.params.assets, strict=True)}
    assert {name: via[name] for name in ("USD", "USDT", "BTC", "ETH")} == {"USD": 1, "USDT": 2, "BTC": 2, "ETH": 3}
