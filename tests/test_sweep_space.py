"""What a sweep varies: axes, the grid, a random part of it, and what is refused before anything is run."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperbot.config import load
from paperbot.errors import CommandError
from paperbot.research.space import MOST_SETS, Axis, Space, as_tree, parse_axis
from sweeps import CONFIG, FAST, tiny


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("risk.risk_frac=0.01,0.02", (0.01, 0.02)),
        ("strategies.a.fast=5:20:5", (5, 10, 15, 20)),
        ("strategies.a.enter=-2:-1:0.5", (-2.0, -1.5, -1.0)),
        ("execution.slippage_model=fixed_bps,atr_scaled", ("fixed_bps", "atr_scaled")),
        ("risk.attach_stop=true,false", (True, False)),
        ("realism=optimistic,pessimistic", ("optimistic", "pessimistic")),
        ("strategies.a.fast=3:10:4", (3, 7)),
        ("risk.risk_frac=1e-2,2.5E-3,.5", (0.01, 0.0025, 0.5)),
        ("risk.risk_frac='0.1',-1", (0.1, -1)),
        ("risk.max_open_orders=9223372036854775807,1", (2**63 - 1, 1)),
        ("risk.risk_frac=0:1e-999999:1e999999", (0.0,)),
    ],
)
def test_an_axis_is_a_list_or_a_range_with_both_ends(text, values):
    assert parse_axis(text).values == values
    assert [type(one) for one in parse_axis(text).values] == [type(one) for one in values]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("symbols=BTC/USDT", "the key begins with strategies, risk, execution, features, realism"),
        ("risk.risk_frac", "expected KEY=A,B,C or KEY=FROM:TO:STEP"),
        ("risk.risk_frac=", "expected KEY=A,B,C or KEY=FROM:TO:STEP"),
        ("risk..risk_frac=1,2", "expected KEY=A,B,C or KEY=FROM:TO:STEP"),
        ("strategies..fast=1,2", "expected KEY=A,B,C or KEY=FROM:TO:STEP"),
        ("strategies.sma_cross.fast.=1,2", "expected KEY=A,B,C or KEY=FROM:TO:STEP"),
        ("risk.risk_frac=1:2:0", "STEP must be above 0"),
        ("risk.risk_frac=2:1:1", "TO must not be below FROM"),
        ("risk.risk_frac=a:b:c", "must be numbers"),
        ("risk.risk_frac=0:1:0.000001", "more than 100,000 values"),
        ("risk.risk_frac=0:1:1e-999999", "more than 100,000 values"),
        ("risk.risk_frac=0:1e999999:1", "FROM and TO must be below 2^63"),
        ("risk.risk_frac=0.1,0.1", "a value is given twice"),
        ("risk.risk_frac=0.01,1e-2", "a value is given twice"),
        ("risk.risk_frac=0.01,'0.01'", "a value is given twice"),
        ("risk.risk_frac=1,1.0", "a value is given twice"),
        ("risk.risk_frac={a: 1}", "a value must be a number, a word, true or false"),
        ("risk.risk_frac=.nan,1", "a value must be a number, a word, true or false"),
        ("risk.risk_frac=1e999,1", "a value must be a number, a word, true or false"),
        ("risk.risk_frac=1,,2", "a value must be a number, a word, true or false"),
        ("risk.max_open_orders=1,9223372036854775808", "a whole number must be below 2^63"),
        ("risk.max_open_orders=9223372036854775807:9223372036854775808:1", "FROM and TO must be below 2^63"),
        ("strategies.sma_cross=5", "expected strategies.NAME.KEY"),
        ("strategies.sma_cross.name=a,b", "a strategy's name cannot be varied"),
    ],
)
def test_a_mistake_in_an_axis_is_one_sentence(text, words):
    with pytest.raises(CommandError, match=re.escape(words)):
        parse_axis(text)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), draws=st.integers(1, 40), seed=st.integers(0, 1 << 32)
)
def test_a_random_part_of_the_grid_has_no_set_twice_and_is_the_same_every_time(sizes, draws, seed):
    axes = tuple(Axis(f"risk.k{index}", tuple(range(size))) for index, size in enumerate(sizes))
    grid = list(Space(axes).sets())
    assert grid == list(itertools.product(*(range(size) for size in sizes)))
    drawn = list(Space(axes, draws, seed).sets())
    assert len(drawn) == min(draws, len(grid)) == len(set(drawn))
    assert set(drawn) <= set(grid)
    assert drawn == list(Space(axes, draws, seed).sets())


def test_a_draw_depends_on_its_seed_and_is_spread_over_the_grid():
    axes = (Axis("risk.a", tuple(range(100))), Axis("risk.b", tuple(range(10))))
    draws = [list(Space(axes, 20, seed).sets()) for seed in range(50)]
    assert len({tuple(one) for one in draws}) == 50
    firsts = [a for one in draws for a, _ in one]
    assert 45 < sum(firsts) / len(firsts) < 54
    times = [sum(values in one for one in draws) for values in itertools.product(range(100), range(10))]
    assert max(times) < 8  # Each set is drawn once in 50 draws, on average.


def test_a_part_of_a_grid_beyond_all_lists_can_be_drawn():
    axes = tuple(Axis(f"risk.k{index}", tuple(range(1000))) for index in range(12))
    drawn = list(Space(axes, 500, 1).sets())
    assert len(set(drawn)) == 500
    assert drawn == list(Space(axes, 500, 1).sets())
    assert len({values[0] for values in drawn}) > 300


def test_more_sets_than_there_may_be_are_refused_before_any_list_is_made():
    axes = tuple(Axis(f"risk.k{index}", tuple(range(1000))) for index in range(12))
    with pytest.raises(CommandError, match="sets, but at most 100,000 are allowed; draw some with --random"):
        Space(axes)
    with pytest.raises(CommandError, match="--vary asks for 100,001 sets, but at most 100,000"):
        Space(axes, MOST_SETS + 1)
    assert Space(axes, MOST_SETS).count == MOST_SETS


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        ((), "nothing is varied"),
        ((f"{FAST}=1,2", f"{FAST}=3,4"), f"--vary {FAST} is given twice"),
        (("risk=1,2", "risk.risk_frac=0.01,0.02"), "--vary risk: it contains risk.risk_frac, which is also varied"),
        ((f"{FAST}.x=1,2", f"{FAST}=3,4"), f"--vary {FAST}: it contains {FAST}.x, which is also varied"),
        ((f"{FAST}.x=1,2",), f"--vary {FAST}.x: {FAST} is a value and has no keys"),
        (("strategies.other.fast=1,2",), "strategies.other: no such strategy; expected one of mean_reversion, sma"),
        (("risk.no_such=1,2",), "none of the sets can be run: command line: unknown key risk.no_such"),
        ((f"{FAST}=50:60:5",), "none of the sets can be run: "),
        (("risk=1,2",), "none of the sets can be run: "),
        (("execution.price_decimals=2,3",), "execution.price_decimals cannot be varied"),
        (("execution.price_decimals=8,3",), "execution.price_decimals cannot be varied"),
        (("execution.tick_size=0.01,0.1",), "execution.tick_size cannot be varied"),
    ],
)
def test_a_mistake_in_a_space_is_one_sentence_and_writes_nothing(tmp_path, vary, words):
    with pytest.raises(CommandError, match=re.escape(words)):
        tiny(tmp_path / "sweep", vary=vary)
    assert not (tmp_path / "sweep").exists()


def test_a_strategy_that_is_left_out_cannot_be_varied(tmp_path):
    with pytest.raises(CommandError, match=re.escape(f"{FAST}: --strategy excludes sma_cross; it keeps mean_")):
        tiny(tmp_path / "sweep", replayed={"strategies": ("mean_reversion",)})
    assert not (tmp_path / "sweep").exists()


def test_the_tick_of_recorded_bars_can_be_varied(tmp_path, real_data):
    source = f"BTC/USDT={real_data / 'binance_BTCUSDT_1h_201804.parquet'}"
    result, _ = tiny(tmp_path / "sweep", vary=("execution.tick_size=0.01,1",), sources=(source,))
    assert result.rows[0]["return_pct"] != result.rows[1]["return_pct"]


def test_a_set_changes_the_named_strategy_and_leaves_the_others():
    configuration = load(CONFIG)
    axes = (Axis(FAST, (7,)), Axis("risk.risk_frac", (0.02,)))
    tree = as_tree(configuration, axes, (7, 0.02))
    assert tree["risk"] == {"risk_frac": 0.02}
    ours = load(CONFIG, [tree]).settings.strategies
    before = configuration.settings.strategies
    assert ours[0] == before[0]
    assert (ours[1].fast, ours[1].slow) == (7, before[1].slow)
