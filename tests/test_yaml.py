"""Command line and configuration follow YAML 1.2."""

import pytest

from paperbot.config import load, parse_assignment, read_yaml
from paperbot.errors import CommandError, ConfigError
from paperbot.research.space import parse_axis
from paperbot.yaml12 import YamlError, loads


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1:30", "1:30"), ("012", 12), ("0o14", 12), ("0x1F", 31), ("no", "no"), ("yes", "yes"), ("on", "on")),
        *(("true", True), ("False", False), ("~", None), ("", None), ("null", None), ("2024-01-02", "2024-01-02")),
        *(("1e-8", 1e-8), ("1.", 1.0), (".5", 0.5), ("-3", -3), ("1_000", "1_000"), ("'1'", "1")),
        *((".inf", float("inf")), ("{a: 1, b: [x, 2]}", {"a": 1, "b": ["x", 2]}), ("21:50", "21:50")),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    assert loads(text) == value
    assert type(loads(text)) is type(value)


@pytest.mark.parametrize(
    "text", ["{a: 1, a: 2}", "a: 1\nb: 2\na: 3\n", "[" * 5000, "a: [", "\x00", "&a [*a, *a", "!!python/x 1"]
)
def test_what_is_not_yaml_is_one_line(text):
    with pytest.raises(YamlError) as error:
        loads(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) <= 200


def test_merge_keys_still_work():
    assert loads("base: &x {a: 1}\nmine: {<<: *x, b: 2}\n")["mine"] == {"a": 1, "b": 2}


def test_a_balance_in_base_60_is_refused():
    with pytest.raises(ConfigError, match=r"account.balances.USDT = '1:30'"):
        load(None, [parse_assignment("account.balances.USDT=1:30")])


def test_a_key_twice_in_a_file_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("risk: {max_drawdown: 0.1}\nrisk: {max_drawdown: 0.2}\n")
    with pytest.raises(ConfigError, match=r"is not YAML: the key risk is given twice.* line 2"):
        read_yaml(path)


@pytest.mark.parametrize("given", ["21:50", "21:", "1:2:3:4", "5:"])
def test_a_malformed_range_is_refused(given):
    with pytest.raises(CommandError, match="expected a range FROM:TO:STEP, such as 5:50:5"):
        parse_axis(f"strategies.sma_cross.slow={given}")


def test_a_word_is_a_list_of_one_where_a_list_is_wanted():
    settings = load(None, [parse_assignment("symbols=BTC/USDT"), parse_assignment("features.patterns=hammer")]).settings
    assert (settings.symbols, settings.features.patterns) == (["BTC/USDT"], ["hammer"])


def test_one_key_of_one_strategy_can_be_set():
    settings = load(None, [parse_assignment("strategies.sma_cross.fast=10")]).settings
    assert [(one.name, getattr(one, "fast", None)) for one in settings.strategies] == [
        ("mean_reversion", None),
        ("sma_cross", 10),
    ]
    listed = parse_assignment("strategies=[{name: a, path: x.py, params: {p: 1, q: 2}}]")
    (mine,) = load(None, [listed, parse_assignment("strategies.a.params.q=3")]).settings.strategies
    assert mine.params == {"p": 1, "q": 3}
    with pytest.raises(ConfigError, match=r"strategies.smacross: there is no strategy of that name \(did you mean"):
        load(None, [parse_assignment("strategies.smacross.fast=10")])
