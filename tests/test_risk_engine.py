"""The gate: each code by the order that earns it, their precedence, and the kill switch."""

from decimal import Decimal

import pytest

from desk import PLAIN, Desk
from paperbot.core import types as t

CASES = {
    "unknown_symbol": lambda: Desk().bar(100).buy(1, symbol_id=5),
    "invalid_order": lambda: Desk().bar(100).buy(1, stop=110, tif="ioc"),
    "invalid_price": lambda: Desk().bar(100).buy(1, limit="0.5"),  # Becomes 0 on a tick of 1.
    "below_step": lambda: Desk().bar(100).buy("0.05"),
    "min_notional": lambda: Desk({"execution": {"min_notional": 101}}).bar(100).buy(1),
    "min_quantity": lambda: Desk({"execution": {"min_quantity": 2}}).bar(100).buy("1.9"),
    "max_quantity": lambda: Desk({"execution": {"max_quantity": 2}}).bar(100).buy("2.1"),
    "overflow": lambda: Desk().bar(40_000_000).buy(50_000_000_000),
    "short_not_allowed": lambda: Desk().bar(100).sell(1),
    "reduce_only": lambda: Desk().bar(100).sell(1, reduce_only=True),
    "capacity": lambda: Desk({"capacities": {"open_orders": 2}}).bar(100).buy(1, stop_distance=5, target_distance=5),
    "killswitch": lambda: Desk().bar(100).halt().buy(1),
    "catching_up": lambda: Desk().bar(100, catch_up=True).buy(1),
    "no_price": lambda: Desk().buy(1),
    "stale": lambda: _late().buy(1, symbol="ETH/USD"),
    "cooldown": lambda: _cooldown(bars_after_stop=1),
    "order_rate": lambda: Desk({"risk": {"max_orders_per_minute": 2}}).bar(100).buy(1).buy(1).buy(1),
    "price_collar": lambda: Desk({"risk": {"price_collar": "0.1"}}).bar(100).buy(1, limit=89),
    "max_position_value": lambda: Desk({"risk": {"max_position_value_per_symbol": "0.5"}}).bar(100).buy(51),
    "gross_exposure": lambda: _two_symbols({"risk": {"max_gross_exposure": "0.5"}}).buy(30).buy(21, symbol="ETH/USD"),
    "max_open_positions": lambda: _two_symbols({"risk": {"max_open_positions": 1}}).buy(1).buy(1, symbol="ETH/USD"),
    "max_open_orders": lambda: Desk({"risk": {"max_open_orders": 1}}).bar(100).buy(1, limit=90).buy(1, limit=90),
    "funds": lambda: Desk().bar(100).buy(101),
}


def _two_symbols(*how):
    desk = Desk(*how, symbols=["BTC/USD", "ETH/USD"])
    return desk.bar(100, symbol="BTC/USD", last=False).bar(100, symbol="ETH/USD")


def _late():
    desk = _two_symbols({"risk": {"stale_after_bars": 2}})
    for _ in range(3):
        desk.bar(100, symbol="BTC/USD")
    return desk


def _cooldown(bars_after_stop):
    desk = Desk({"risk": {"cooldown_bars": 2}}).bar(100).buy(1, stop_distance=5).bar(100).bar(94)
    for _ in range(bars_after_stop):
        desk.bar(94)
    return desk.buy(1)


@pytest.mark.parametrize("code", CASES)
def test_each_rule_blocks_with_its_code(code):
    assert CASES[code]().blocked() == [code]


def test_every_block_code_has_a_case():
    blocks = {code.name.lower() for code in t.Code if 0 < code < t.Code.FILLED}
    assert blocks == set(CASES)


@pytest.mark.parametrize(
    ("case", "blocked"),
    [
        (lambda: Desk({"risk": {"price_collar": "0.1"}}).bar(100).buy(1, limit=90), []),
        (lambda: Desk({"risk": {"max_position_value_per_symbol": "0.5"}}).bar(100).buy(50), []),
        (lambda: Desk({"execution": {"min_notional": 100}}).bar(100).buy(1), []),
        (lambda: Desk({"execution": {"min_quantity": 2}}).bar(100).buy(2), []),
        (lambda: Desk({"execution": {"max_quantity": 2, "max_market_quantity": 1}}).bar(100).buy(2, limit=100), []),
        (lambda: Desk({"execution": {"max_market_quantity": 1}}).bar(100).buy(2), ["max_quantity"]),
        (lambda: Desk({"execution": {"max_market_quantity": 1}}).bar(100).buy(2, stop=110), ["max_quantity"]),
        (
            lambda: Desk({"execution": {"max_market_quantity": 1}}).bar(100).buy(2, limit=100, stop_distance=5),
            ["max_quantity"],
        ),
        (lambda: Desk().bar(100).buy(100), []),
        (lambda: _cooldown(bars_after_stop=2), []),
        (lambda: _late().buy(1, symbol="BTC/USD"), []),
        (lambda: Desk({"risk": {"max_orders_per_minute": 1}}).bar(100).buy(1).bar(100).buy(1), []),
    ],
)
def test_at_the_limit_an_order_passes(case, blocked):
    assert case().blocked() == blocked


def test_format_rules_come_before_the_kill_switch_and_funds_last():
    desk = Desk({"risk": {"price_collar": "0.1"}}).bar(100).halt()
    desk.buy("0.01", limit=1).buy(1000, limit=1).resume().buy(100_000, limit=1).buy(101)
    assert desk.blocked() == ["below_step", "killswitch", "price_collar", "funds"]


@pytest.mark.parametrize(
    "how",
    [
        {"risk": {"max_orders_per_minute": 1}},
        {"risk": {"stale_after_bars": 1}},
        {"risk": {"max_open_orders": 1}},
        {"risk": {"price_collar": "0.01"}},
    ],
)
def test_nothing_stops_an_exit(how):
    desk = Desk(how).bar(100).buy(1).bar(100).halt()
    desk.sell("0.5", limit=200, reduce_only=True).sell("0.5", reduce_only=True)
    assert desk.blocked() == []


def test_catching_up_lets_exits_and_resting_orders_work_and_ends_with_the_present():
    desk = Desk().bar(100).buy(2).buy(1, limit=90).bar(100).bar(100, catch_up=True)
    desk.sell(1, reduce_only=True).buy(1).bar(95, 95, 80, 85, catch_up=True)
    assert desk.fills()[1:] == [("sell", 1, 95, "taker"), ("buy", 1, 90, "maker")]
    assert desk.blocked() == ["catching_up"]
    desk.bar(100).buy(1)
    assert desk.blocked() == ["catching_up"]


def test_entry_whose_stop_could_not_be_placed_is_not_placed():
    desk = Desk({"execution": {"min_notional": 96}}).bar(100).buy(1, stop_distance=5)
    assert desk.blocked() == ["min_notional"]


def test_numbers_that_rounding_could_wrap_are_refused():
    desk = Desk().bar(100).buy(1, target_distance=2**60 // 10**8 + 1).buy(1, limit=2**60 // 10**8 + 1)
    assert desk.blocked() == ["overflow", "overflow"]


def test_stale_is_more_than_the_allowed_time():
    desk = _two_symbols({"risk": {"stale_after_bars": 2}})
    desk.bar(100, symbol="BTC/USD").bar(100, symbol="BTC/USD").buy(1, symbol="ETH/USD")
    assert desk.blocked() == []


# ---- sizing ------------------------------------------------------------------------------------------------------


def _sized(**risk):
    desk = Desk({"risk": risk, "features": {"atr": 1}}).bar(100, 102, 98, 100).bar(100, 102, 98, 100)
    return desk.signal(t.Target.LONG).orders()


def test_atr_sizing_is_equity_times_risk_over_the_stops_distance():
    assert _sized(sizing="atr", risk_frac="0.01", atr_stop_mult=2) == [(1, "entry", 12.5)]  # 100 / (4 x 2)


def test_atr_sizing_is_capped_by_the_value_per_symbol():
    orders = _sized(sizing="atr", risk_frac="0.01", atr_stop_mult=2, max_position_value_per_symbol="0.1")
    assert orders == [(1, "entry", 10)]


def test_fixed_fraction_and_fixed_quote():
    assert _sized(sizing="fixed_fraction", fixed_fraction="0.2") == [(1, "entry", 20)]
    assert _sized(sizing="fixed_quote", fixed_quote=333) == [(1, "entry", 3.3)]


@pytest.mark.parametrize(("most", "bought"), [(0, 10), (4.25, 4.2), (10, 10), (50, 10)])
def test_a_signal_may_ask_for_less_than_the_sizing_rule_never_for_more(most, bought):
    desk = Desk().bar(100).signal(t.Target.LONG, max_quantity=most)
    assert desk.orders() == [(1, "entry", bought)]


def test_a_negative_cap_stops_the_run():
    with pytest.raises(AssertionError):
        Desk().bar(100).signal(t.Target.LONG, max_quantity=-1)


def test_a_signal_for_less_than_a_step_buys_nothing():
    desk = Desk().bar(100).signal(t.Target.LONG, max_quantity=0.05)
    assert desk.blocked() == ["below_step"]


def test_no_entry_while_the_atr_warms_up():
    desk = Desk({"risk": {"sizing": "atr"}}).bar(100).signal(t.Target.LONG)
    assert desk.blocked() == ["no_price"]


# ---- signals -----------------------------------------------------------------------------------------------------


def test_signals_are_edges():
    desk = Desk().bar(100).signal(t.Target.LONG).signal(t.Target.LONG).bar(100).signal(t.Target.LONG)
    assert len(desk.of(t.OutputKind.SIGNAL, t.OUT_SIGNAL)) == 1


def test_short_closes_a_long_and_is_refused_from_flat():
    desk = Desk().bar(100).signal(t.Target.LONG).bar(100).signal(t.Target.SHORT).bar(100)
    assert desk.fills() == [("buy", 10, 100, "taker"), ("sell", 10, 100, "taker")]
    desk.signal(t.Target.LONG).signal(t.Target.SHORT)
    assert desk.ends()[-1] == (3, "superseded")
    desk.signal(t.Target.FLAT).signal(t.Target.SHORT)
    assert desk.blocked() == ["short_not_allowed"]


def test_dust_is_blocked_once_and_then_flat():
    desk = Desk({"execution": {"min_notional": 50}}).bar(100).signal(t.Target.LONG).bar(100).bar(4)
    desk.signal(t.Target.FLAT)
    assert desk.blocked() == ["min_notional"]
    desk.signal(t.Target.SHORT)
    assert desk.blocked() == ["min_notional", "short_not_allowed"]


def test_a_refused_exit_is_sent_again_when_it_can_pass_and_the_refusal_is_said_once():
    """10 bought at 100; at 4 they are worth 40 of at least 50, at 5 they are worth 50."""
    desk = Desk({"execution": {"min_notional": 50}}).bar(100).signal(t.Target.LONG).bar(100)
    desk.bar(4).signal(t.Target.FLAT).bar(4).bar(4.9)
    assert desk.blocked() == ["min_notional"]
    assert desk.position() == 10
    assert len(desk.orders()) == 1
    desk.bar(5).bar(6)
    assert desk.blocked() == ["min_notional"]
    assert desk.fills()[-1] == ("sell", 10, 6, "taker")
    assert len(desk.of(t.OutputKind.SIGNAL, t.OUT_SIGNAL)) == 2


def test_a_position_below_the_smallest_quantity_does_not_keep_a_strategy_out():
    """1 is left of at least 2: the exit is refused, the position counts as flat, and the next entry goes through."""
    desk = Desk({"execution": {"min_quantity": 2}}).bar(100).signal(t.Target.LONG).bar(100)
    desk.sell(9).bar(100).signal(t.Target.FLAT)
    assert desk.blocked() == ["min_quantity"]
    assert desk.position() == 1
    assert desk.bar(100).signal(t.Target.LONG).bar(100).position() == 11
    assert desk.signal(t.Target.FLAT).bar(100).position() == 0


def test_a_refused_exit_is_forgotten_when_the_strategy_wants_the_position_again():
    desk = Desk({"execution": {"min_notional": 50}}).bar(100).signal(t.Target.LONG).bar(100)
    desk.bar(4).signal(t.Target.FLAT).bar(4).signal(t.Target.LONG).bar(100).bar(100)
    assert desk.position() > 10
    assert len(desk.orders()) == 2


def test_a_refused_exit_does_not_sell_what_is_bought_by_hand_later():
    desk = Desk({"execution": {"min_notional": 50}}).bar(100).signal(t.Target.LONG).bar(100)
    desk.bar(4).signal(t.Target.FLAT).buy(20).bar(4).bar(4)
    assert desk.position() == 30
    assert desk.bar(100).bar(100).position() == 30


def test_a_refused_flattening_is_sent_again_while_halted_only():
    how = {"execution": {"min_notional": 50}, "risk": {"daily_loss_cap": "0.05", "flatten_on_trip": True}}
    desk = Desk(how).bar(100).signal(t.Target.LONG).bar(100).bar(4)
    assert desk.halted
    assert desk.blocked() == ["min_notional"]
    assert desk.bar(4).bar(5).bar(5).fills()[-1] == ("sell", 10, 5, "taker")
    desk = Desk(how).bar(100).signal(t.Target.LONG).bar(100).bar(4).resume().bar(5).bar(5)
    assert desk.position() == 10


def test_what_one_order_may_not_trade_is_sold_in_parts():
    desk = Desk({"execution": {"max_market_quantity": 4}, "risk": {"fixed_quote": 1000}})
    desk.bar(100).signal(t.Target.LONG).bar(100)
    assert desk.position() == 4  # 10 were wanted; a trader enters with what the venue lets him.
    desk.buy(4).bar(100).buy(2).bar(100)
    assert desk.position() == 10
    desk.signal(t.Target.FLAT).bar(100).bar(100).bar(100).bar(100)
    assert [fill[:2] for fill in desk.fills()[3:]] == [("sell", 4), ("sell", 4), ("sell", 2)]
    assert desk.blocked() == []


@pytest.mark.parametrize("sizing", ["fixed_quote", "fixed_fraction"])
def test_a_cap_that_leaves_the_range_caps_nothing(sizing):
    """A tenth of the account in a token of 10^-8: at 2^62 minor units a quantity ends, and a cap of so much with it."""
    desk = Desk(
        {
            "risk": {"sizing": sizing, "fixed_quote": 1000, "max_position_value_per_symbol": 1_000_000},
            "execution": {"tick_size": "1e-8", "step_size": 1},
        }
    )
    desk.bar("0.00001").signal(t.Target.LONG).bar("0.00001", volume=10**9)
    assert desk.blocked() == []
    assert desk.position() == 100_000_000


def test_dust_that_is_worth_something_again_is_a_position():
    """It counts as an open position again, and its exit is sent."""
    desk = Desk({"execution": {"min_notional": 50}}).bar(100).signal(t.Target.LONG).bar(100)
    desk.bar(4).signal(t.Target.FLAT).bar(4)
    rows = desk.of(t.OutputKind.LEDGER, t.OUT_LEDGER)
    assert rows[-1]["open_positions"] == 1  # At the fill; nothing is due since.
    desk.bar(500).bar(500)
    assert desk.fills()[-1] == ("sell", 10, 500, "taker")


# ---- the kill switch ---------------------------------------------------------------------------------------------


def _fallen(**risk) -> Desk:
    return Desk({"risk": risk}).bar(100).buy(50).buy(10, limit=50).bar(100).bar(89)


def test_killswitch_trips_on_the_daily_loss_and_blocks_everything_after():
    desk = _fallen(daily_loss_cap="0.05")
    assert desk.halted
    halts = desk.of(t.OutputKind.HALT, t.OUT_HALT)
    assert [(t.HaltReason(int(one["reason"])).name, int(one["trips"])) for one in halts] == [("DAILY_LOSS", 1)]
    assert (2, "killswitch") in desk.ends()  # The open entry.
    desk.buy(1)
    assert desk.blocked() == ["killswitch"]


@pytest.mark.parametrize(("price", "halted"), [(90.1, False), (90, True)])
def test_killswitch_trips_exactly_at_the_cap(price, halted):
    desk = Desk({"risk": {"daily_loss_cap": "0.05"}}).bar(100).buy(50).bar(100).bar(price)
    assert desk.halted is halted


def test_killswitch_trips_on_drawdown_from_the_peak():
    desk = Desk({"risk": {"max_drawdown": "0.1"}}).bar(100).buy(50).bar(100).bar(140).bar(116.1)
    assert not desk.halted  # Peak 12,000, floor 10,800; equity 10,805.
    desk.bar(116)
    assert desk.halted
    assert desk.of(t.OutputKind.HALT, t.OUT_HALT)[0]["reason"] == t.HaltReason.MAX_DRAWDOWN


def test_killswitch_resume_begins_the_rule_anew_but_not_the_drawdown_that_people_see():
    """Peak 12,000; resumed at 10,800: the rule's peak is 10,900 one bar later, the drawdown still that from 12,000."""
    desk = Desk({"risk": {"max_drawdown": "0.1"}}).bar(100).buy(50).bar(100).bar(140).bar(116)
    desk.resume().bar(118)
    account = desk.machine.account
    assert (int(account["peak"]), int(account["risk_peak"])) == (12_000 * 10**8, 10_900 * 10**8)
    assert not desk.halted
    last = desk.of(t.OutputKind.LEDGER, t.OUT_LEDGER)[-1]
    assert last["peak"] == 12_000 * 10**8
    assert desk.bar(96.3).machine.account["max_drawdown_ppb"] == 182_083_333  # 9,815 against 12,000.
    assert not desk.halted
    assert desk.bar(96.2).halted  # 9,810: a tenth below 10,900.
    assert desk.of(t.OutputKind.HALT, t.OUT_HALT)[-1]["reference"] == 10_900 * 10**8


def test_killswitch_reference_is_the_last_equity_of_the_day_before():
    desk = Desk({"risk": {"daily_loss_cap": "0.05"}}).bar(100).buy(50).bar(100).bar(95)
    desk.skip(24 * 60).bar(91)
    assert not desk.halted  # 9,550 against 9,750 of the day before, not against 10,000.


@pytest.mark.parametrize(("minutes", "halted"), [(1439, True), (1440, False)])
def test_killswitch_day_ends_with_the_slice_that_closes_at_midnight(minutes, halted):
    """A slice belongs to the day of its close less a nanosecond: what closes at 00:00 still ends the old day."""
    desk = Desk({"risk": {"daily_loss_cap": "0.05"}}).bar(100).buy(50).bar(100).skip(minutes - 3).bar(92).bar(89)
    assert desk.halted is halted


def test_killswitch_day_that_ends_with_its_only_slice():
    """After a gap, a slice that closes at 00:00 is the old day's last one, and the next slice opens the new day."""
    desk = Desk({"risk": {"daily_loss_cap": "0.05"}}).bar(100).buy(50).bar(100).skip(2 * 1440 - 3).bar(95).bar(89.5)
    assert not desk.halted  # 9,475 against 9,750 at midnight, not against the 10,000 of two days before.


@pytest.mark.parametrize(("price", "halted"), [(90, False), (89.9999999, True)])
def test_the_loss_that_trips_is_rounded_up(price, halted):
    """5 % of 10,000.00000001 are 500.0000000005, which a loss of 500 is not yet."""
    account = {"balances": {"USD": "10000.00000001"}}
    desk = Desk({"risk": {"daily_loss_cap": "0.05"}, "account": account}).bar(100).buy(50).bar(100).bar(price)
    assert desk.halted is halted
    if not halted:
        assert desk.equity == Decimal("9500.00000001")


def test_killswitch_has_nothing_to_guard_in_an_empty_account():
    desk = Desk({"risk": {"daily_loss_cap": "0.05"}, "account": {"balances": {"USD": 0}}}).bar(100).bar(100)
    assert not desk.halted


def test_killswitch_trips_once():
    desk = _fallen(daily_loss_cap="0.05").bar(80).bar(70)
    assert len(desk.of(t.OutputKind.HALT, t.OUT_HALT)) == 1
    assert desk.machine.account["trips"] == 1


def test_killswitch_lets_protective_orders_live():
    desk = Desk({"risk": {"daily_loss_cap": "0.01"}}).bar(100).buy(50, stop_distance=20).bar(100).bar(95)
    assert desk.halted
    assert list(desk.open_orders()) == [2]
    desk.bar(79)
    assert desk.fills()[1] == ("sell", 50, 79, "taker")


def test_killswitch_flattens_when_told_so():
    desk = _fallen(daily_loss_cap="0.05", flatten_on_trip=True).bar(88)
    assert desk.fills()[1] == ("sell", 50, 88, "taker")
    assert desk.orders()[-1][1] == "flatten"


def test_killswitch_flattening_is_not_superseded_by_a_long_signal():
    desk = _fallen(daily_loss_cap="0.05", flatten_on_trip=True)
    desk.signal(t.Target.LONG).bar(88)
    assert desk.fills()[1] == ("sell", 50, 88, "taker")


def test_killswitch_is_lifted_by_resume_which_rebases():
    desk = _fallen(daily_loss_cap="0.05").resume()
    assert not desk.halted
    desk.buy(1).bar(89)
    assert desk.blocked() == []
    assert not desk.halted


def test_killswitch_by_hand():
    desk = Desk().bar(100).halt().buy(1).halt()
    assert desk.blocked() == ["killswitch"]
    assert desk.machine.account["trips"] == 1


def test_killswitch_survives_a_copy_of_the_state():
    desk = _fallen(daily_loss_cap="0.05")
    restored = Desk({"risk": {"daily_loss_cap": "0.05"}})
    restored.machine.state.memory[:] = desk.machine.state.memory
    restored.now_ns = desk.now_ns
    restored.buy(1)
    assert restored.blocked() == ["killswitch"]


def test_the_desk_is_plain():
    assert PLAIN["risk"]["daily_loss_cap"] == 0
    assert Desk().bar(100).equity == Decimal(10_000)
