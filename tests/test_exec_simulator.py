"""How orders are filled on bars: each rule of docs/fills.md §4 to §6 as a table of bars, orders, fills."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk import MINUTE_NS, START_NS, Desk
from effort import amount
from paperbot.core import types as t

BPS10 = {"execution": {"fees": {"maker_bps": 10, "taker_bps": 10}}}


def slippage(bps: int) -> dict:
    return {"execution": {"slippage_bps": bps}}


# ---- taking part -------------------------------------------------------------------------------------------------


def test_market_order_fills_at_the_next_open():
    desk = Desk().bar(100).buy(1).bar(105, 110, 90, 95)
    assert desk.fills() == [("buy", 1, 105, "taker")]
    assert desk.ends() == [(1, "filled")]


@pytest.mark.parametrize(("latency_ms", "price"), [(0, 105), (1, 106), (60_000, 106), (60_001, 107)])
def test_latency_skips_bars_that_open_too_early(latency_ms, price):
    desk = Desk({"execution": {"latency_ms": latency_ms}}).bar(100).buy(1).bar(105).bar(106).bar(107)
    assert desk.fills() == [("buy", 1, price, "taker")]


def test_gtd_does_not_fill_on_a_bar_that_closes_after_its_expiry():
    desk = Desk().bar(100).buy(1, limit=90, tif="gtd", expires_min=2).bar(100).bar(100, 100, 80, 90)
    assert desk.fills() == []
    assert desk.ends() == [(1, "expired")]


def test_gtd_fills_on_a_bar_that_closes_at_its_expiry():
    desk = Desk().bar(100).buy(1, limit=90, tif="gtd", expires_min=2).bar(100, 100, 80, 90)
    assert desk.fills() == [("buy", 1, 90, "maker")]


def test_a_bar_without_volume_fills_nothing():
    desk = Desk().bar(100).buy(1).bar(101, volume=0).bar(102)
    assert desk.fills() == [("buy", 1, 102, "taker")]


# ---- limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bar", "fills"),
    [
        ((100, 101, 91, 95), []),
        ((100, 101, 90, 95), []),  # A touch is not a fill.
        ((100, 101, 89, 95), [("buy", 1, 90, "maker")]),
        ((89, 95, 80, 85), [("buy", 1, 90, "maker")]),  # The open gaps through: still its limit.
        ((90, 95, 90, 92), []),  # The open touches.
    ],
)
def test_resting_buy_limit_needs_a_trade_through(bar, fills):
    assert Desk().bar(100).buy(1, limit=90).bar(100).bar(*bar).fills() == fills


@pytest.mark.parametrize(
    ("bar", "fills"),
    [((100, 110, 99, 105), []), ((100, 111, 99, 105), [("sell", 1, 110, "maker")])],
)
def test_resting_sell_limit_needs_a_trade_through(bar, fills):
    desk = Desk().bar(100).buy(1).bar(100).sell(1, limit=110).bar(100).bar(*bar)
    assert desk.fills()[1:] == fills


def test_touch_fills_is_optimism():
    desk = Desk({"execution": {"touch_fills": True}}).bar(100).buy(1, limit=90).bar(100).bar(100, 101, 90, 95)
    assert desk.fills() == [("buy", 1, 90, "maker")]


def test_limit_marketable_on_its_first_bar_takes_at_the_open():
    assert Desk().bar(100).buy(1, limit=105).bar(103, 110, 100, 104).fills() == [("buy", 1, 103, "taker")]


def test_taking_limit_is_never_worse_than_its_price():
    desk = Desk(slippage(500)).bar(100).buy(1, limit=105).bar(103, 110, 100, 104)
    assert desk.fills() == [("buy", 1, 105, "taker")]


def test_post_only_ends_where_it_would_take():
    desk = Desk().bar(100).buy(1, limit=105, post_only=True).bar(103)
    assert desk.fills() == []
    assert desk.ends() == [(1, "would_take")]


def test_post_only_rests_and_makes():
    desk = Desk().bar(100).buy(1, limit=95, post_only=True).bar(100).bar(100, 100, 90, 95)
    assert desk.fills() == [("buy", 1, 95, "maker")]


# ---- stops -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bar", "fills"),
    [
        ((100, 104, 96, 100), []),
        ((100, 105, 96, 100), [("buy", 1, 105, "taker")]),  # Reached inside.
        ((107, 108, 106, 107), [("buy", 1, 107, "taker")]),  # Passed at the open.
    ],
)
def test_buy_stop(bar, fills):
    assert Desk().bar(100).buy(1, stop=105).bar(*bar).fills() == fills


@pytest.mark.parametrize(
    ("bar", "price"),
    [((100, 101, 95, 100), 95), ((93, 94, 90, 91), 93)],
)
def test_sell_stop(bar, price):
    desk = Desk().bar(100).buy(1).bar(100).sell(1, stop=95, reduce_only=True).bar(*bar)
    assert desk.fills()[1:] == [("sell", 1, price, "taker")]


def test_stop_is_triggered_without_volume_and_fills_at_the_next_open():
    desk = Desk().bar(100).buy(1, stop=105).bar(100, 110, 100, 100, volume=0).bar(101)
    assert desk.fills() == [("buy", 1, 101, "taker")]


def test_stops_come_before_limits_inside_a_bar():
    desk = Desk().bar(100).buy(10, limit=95).buy(10, stop=105).bar(100, 106, 90, 100, volume=15)
    assert desk.fills() == [("buy", 10, 105, "taker"), ("buy", 5, 95, "maker")]


# ---- size --------------------------------------------------------------------------------------------------------


def test_size_is_capped_by_a_share_of_volume_over_several_bars_under_one_id():
    desk = Desk({"execution": {"liquidity_fraction": "0.1"}}).bar(100).buy(2.5).bar(101, volume=10)
    desk.bar(102, volume=10).bar(103, volume=10)
    assert desk.fills() == [("buy", 1, 101, "taker"), ("buy", 1, 102, "taker"), ("buy", 0.5, 103, "taker")]
    assert desk.ends() == [(1, "filled")]


def test_orders_share_the_cap_by_id():
    desk = Desk().bar(100).buy(6).buy(6).bar(100, volume=10)
    assert desk.fills() == [("buy", 6, 100, "taker"), ("buy", 4, 100, "taker")]
    assert desk.open_orders() == {2: 2}


def test_cap_is_floored_to_the_step():
    assert Desk().bar(100).buy(5).bar(100, volume=1.19).fills() == [("buy", 1.1, 100, "taker")]


def test_volume_in_quote_is_counted_at_the_high():
    desk = Desk({"execution": {"volume_unit": "quote"}}).bar(100).buy(5).bar(100, 200, 100, 100, volume=250)
    assert desk.fills() == [("buy", 1.2, 100, "taker")]


# ---- time in force -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tif", "volume", "fills", "end"),
    [
        ("ioc", 10, [("buy", 3, 100, "taker")], "filled"),
        ("ioc", 1, [("buy", 1, 100, "taker")], "ioc"),
        ("ioc", 0, [], "ioc"),
        ("fok", 10, [("buy", 3, 100, "taker")], "filled"),
        ("fok", 1, [], "fok"),
        ("fok", 0, [], "fok"),
    ],
)
def test_immediate_orders_are_judged_on_their_first_bar(tif, volume, fills, end):
    desk = Desk().bar(100).buy(3, tif=tif).bar(100, volume=volume)
    assert (desk.fills(), desk.ends()) == (fills, [(1, end)])


@pytest.mark.parametrize("tif", ["ioc", "fok"])
def test_immediate_limit_that_is_not_marketable_ends(tif):
    desk = Desk().bar(100).buy(1, limit=95, tif=tif).bar(100, 100, 80, 90)
    assert (desk.fills(), desk.ends()) == ([], [(1, tif)])


def test_fok_is_judged_within_the_funds_left_at_its_turn():
    desk = Desk().bar(100).buy(60).buy(36, tif="fok").bar(106)
    assert desk.fills() == [("buy", 60, 106, "taker")]  # 6,360; then 3,640 are left for 36 at 106.
    assert desk.ends() == [(1, "filled"), (2, "fok")]


# ---- slippage ----------------------------------------------------------------------------------------------------


def test_fixed_bps_moves_the_price_against_the_taker_and_to_the_tick():
    desk = Desk(slippage(50)).bar(100).buy(1).bar(1000).sell(1, reduce_only=True).bar(1001)
    assert desk.fills() == [("buy", 1, 1005, "taker"), ("sell", 1, 995, "taker")]  # 1005; 1001 - 5.005 down to 995.


def test_slippage_is_not_clamped_to_the_bar():
    assert Desk(slippage(1000)).bar(100).buy(1).bar(100, 101, 99, 100).fills() == [("buy", 1, 110, "taker")]


def test_a_sale_below_one_tick_fills_nothing_and_waits():
    """Market 0.4, tick 1: a sale comes out below one tick. It waits until the market is at one tick."""
    desk = Desk().bar(1).buy(10).bar(1).sell(10, reduce_only=True).bar(0.4).bar(0.9)
    assert desk.position() == 10
    assert desk.ends() == [(1, "filled")]
    assert desk.bar(1.7).fills()[-1] == ("sell", 10, 1, "taker")


@pytest.mark.parametrize(("tif", "code"), [("ioc", "ioc"), ("fok", "fok")])
def test_a_sale_below_one_tick_does_not_wait_when_it_may_not(tif, code):
    desk = Desk().bar(1).buy(10).bar(1).sell(10, reduce_only=True, tif=tif).bar(0.4)
    assert desk.ends() == [(1, "filled"), (2, code)]


def test_a_stop_below_one_tick_is_triggered_and_waits():
    desk = Desk(slippage(5000)).bar(1).buy(10).bar(1).sell(10, stop=1, reduce_only=True).bar(1).bar(1)
    assert desk.position() == 10
    assert desk.bar(2).fills()[-1] == ("sell", 10, 1, "taker")


@settings(max_examples=amount(100, 40))
@given(
    prices=st.lists(st.integers(1, 40), min_size=4, max_size=8),
    bps=st.integers(0, 9999),
    model=st.sampled_from(["fixed_bps", "atr_scaled"]),
    sides=st.lists(st.sampled_from(["market", "limit", "stop", "sell", "sell limit", "sell stop"]), min_size=6),
)
def test_no_fill_is_better_than_its_reference(prices, bps, model, sides):
    """Prices of a tenth of a tick up to four ticks."""
    how = {"execution": {"slippage_bps": bps, "slippage_model": model}, "features": {"atr": 2}}
    desk = Desk(how).bar(1)
    for price, side in zip([*prices, 3, 3], sides, strict=False):
        kind, level = side.rpartition(" ")[2], max(round(price / 10), 1)
        price_of = {"limit": {"limit": level}, "stop": {"stop": level}}.get(kind, {})
        if side.startswith("sell"):
            desk.sell(5, reduce_only=True, **price_of)
        else:
            desk.buy(20, **price_of)
        desk.bar(price / 10, (price + 3) / 10, max(price - 3, 1) / 10, price / 10)
    for fill in desk.of(t.OutputKind.FILL, t.OUT_FILL):
        assert fill["price"] >= fill["reference"] if fill["side"] == t.Side.BUY else fill["price"] <= fill["reference"]


def test_maker_pays_no_slippage():
    assert Desk(slippage(1000)).bar(100).buy(1, limit=90).bar(100).bar(100, 100, 80, 90).fills()[0][2] == 90


def test_atr_scaled_slippage():
    """Effective bps = base_bps x (atr / price) x mult: 10 bps x 4/100 x 500 = 200 bps of 100, so 2."""
    how = {"execution": {"slippage_bps": 10, "slippage_model": "atr_scaled", "atr_slip_mult": 500}}
    desk = Desk(how, {"features": {"atr": 2}})
    desk.bar(100, 102, 98, 100).bar(100, 102, 98, 100).bar(100, 102, 98, 100).buy(1).bar(100)
    assert desk.fills() == [("buy", 1, 102, "taker")]


def test_atr_scaled_slippage_is_fixed_while_the_atr_warms_up():
    how = {"execution": {"slippage_bps": 100, "slippage_model": "atr_scaled", "atr_slip_mult": 500}}
    assert Desk(how).bar(100).buy(1).bar(100).fills() == [("buy", 1, 101, "taker")]


# ---- the protective pair -----------------------------------------------------------------------------------------


def bracket(desk: Desk, quantity: float = 1) -> Desk:
    return desk.bar(100).buy(quantity, stop_distance=5, target_distance=10)


def test_pair_is_made_at_the_first_fill():
    desk = bracket(Desk()).bar(100)
    assert desk.orders() == [(1, "entry", 1), (2, "stop", 1), (3, "target", 1)]
    assert desk.balance("BTC") == (0, 1)  # Locked once, not once for each leg.


def test_stop_can_trigger_in_the_entry_bar():
    desk = bracket(Desk()).bar(100, 101, 95, 96)
    assert desk.fills() == [("buy", 1, 100, "taker"), ("sell", 1, 95, "taker")]
    assert desk.ends() == [(1, "filled"), (3, "oco"), (2, "filled")]


def test_target_waits_for_the_next_bar():
    desk = bracket(Desk()).bar(100, 120, 99, 118)
    assert len(desk.fills()) == 1
    desk.bar(118)
    assert desk.fills()[1] == ("sell", 1, 110, "maker")


def test_what_a_target_gained_in_a_bar_waits_for_the_next():
    """The entry buys 9 more at 95 inside the bar; whether its high of 106 came before or after is not known."""
    desk = Desk().bar(100).buy(10, limit=95, stop_distance=50, target_distance=10)
    desk.bar(100, 100, 94, 100, volume=1).bar(100, 106, 94, 100)
    assert desk.fills()[1:] == [("buy", 9, 95, "maker"), ("sell", 1, 105, "maker")]
    desk.bar(106)
    assert desk.fills()[3] == ("sell", 9, 105, "maker")


def test_one_bar_that_reaches_both_takes_the_stop():
    desk = bracket(Desk()).bar(100).bar(100, 120, 90, 100)
    assert desk.fills()[1] == ("sell", 1, 95, "taker")
    assert (3, "oco") in desk.ends()


def test_pair_grows_with_each_partial_entry():
    desk = bracket(Desk(), 3).bar(100, volume=1).bar(101, volume=1)
    assert desk.open_orders() == {1: 1, 2: 2, 3: 2}


def test_partial_exit_shrinks_the_sibling():
    desk = bracket(Desk(), 3).bar(100).bar(105, 112, 104, 111, volume=1)
    assert desk.fills()[1] == ("sell", 1, 110, "maker")
    assert desk.open_orders() == {2: 2, 3: 2}


def test_triggered_stop_ends_its_entry():
    desk = bracket(Desk(), 3).bar(100, volume=1).bar(90, volume=0)
    assert (1, "stopped") in desk.ends()


def test_flat_signal_sells_what_the_pair_protects_and_ends_the_pair():
    desk = Desk({"risk": {"attach_stop": True, "atr_stop_mult": 2}, "features": {"atr": 1}})
    desk.bar(100, 102, 98, 100).bar(100, 102, 98, 100).signal(t.Target.LONG).bar(100).signal(t.Target.FLAT).bar(101)
    assert desk.fills() == [("buy", 10, 100, "taker"), ("sell", 10, 101, "taker")]
    assert (2, "position_closed") in desk.ends()
    assert desk.open_orders() == {}


def test_cancel_of_one_leg_takes_the_other_along():
    desk = bracket(Desk()).bar(100).cancel(3)
    assert desk.ends()[1:] == [(3, "cancelled"), (2, "cancelled")]


def test_entry_timeout():
    desk = Desk({"risk": {"entry_timeout_bars": 2}}).bar(100).buy(1, limit=90).bar(100).bar(100).bar(80)
    assert (desk.fills(), desk.ends()) == ([], [(1, "entry_timeout")])


# ---- money -------------------------------------------------------------------------------------------------------


def test_buy_locks_its_value_with_margin_and_fee_and_gives_back_the_rest():
    desk = Desk(BPS10, {"risk": {"funds_margin": "0.01"}}).bar(100).buy(10)
    assert desk.balance("USD") == (Decimal("8988.99"), Decimal("1011.01"))  # 1000 x 1.01 x 1.001
    desk.bar(100)
    assert desk.balance("USD") == (Decimal(8999), 0)


def test_what_funds_cannot_pay_is_not_bought():
    desk = Desk().bar(100).buy(100).bar(110)
    assert desk.fills() == [("buy", 90.9, 110, "taker")]
    assert desk.ends() == [(1, "funds_at_fill")]


def test_fee_is_rounded_up_and_proceeds_down():
    desk = Desk(
        BPS10, {"execution": {"step_size": "0.00000001", "tick_size": "0.00000001", "fees": {"taker_bps": "0.01"}}}
    )
    desk.bar("0.33333333").buy("0.00000004").bar("0.33333333")
    assert desk.balance("USD")[0] == 10_000 - Decimal("0.00000001") - Decimal("0.00000001")
    desk.sell("0.00000004", reduce_only=True).bar("0.33333333")
    assert desk.balance("USD")[0] == 10_000 - Decimal("0.00000002")  # Proceeds 0.00000001, fee 0.00000001.


def test_a_fill_that_money_cannot_hold_is_not_made():
    """900 million at 100 would bring 9 x 10^18 minor units, which is beyond 2^62."""
    desk = Desk({"execution": {"tick_size": "0.00001", "step_size": 1}}).bar("0.00001", volume=1e12).buy(900_000_000)
    desk.bar("0.00001", volume=1e12).sell(900_000_000, reduce_only=True)
    before = desk.balance("USD")
    desk.bar(100, volume=1e12, last=False)
    assert desk.ends()[1] == (2, "overflow")
    assert (desk.balance("USD"), desk.position()) == (before, 900_000_000)


def test_maker_fee_differs_from_taker_fee():
    fees = {"execution": {"fees": {"maker_bps": 1, "taker_bps": 10}}}
    desk = Desk(fees).bar(100).buy(1).bar(100).sell(1, limit=200, reduce_only=True).bar(100).bar(201)
    fills = desk.of(t.OutputKind.FILL, t.OUT_FILL)
    assert [int(one["fee_quote"]) / 1e8 for one in fills] == [0.1, 0.02]


def test_fee_in_the_received_asset_leaves_dust_that_counts_as_flat():
    fees = {"execution": {"fees": {"taker_bps": 10, "asset": "received"}}}
    desk = Desk(fees).bar(100).buy(1).bar(100)
    assert desk.position() == 0.999
    desk.sell(1, reduce_only=True).bar(100)
    assert desk.fills()[1] == ("sell", 0.9, 100, "taker")
    assert desk.position() == pytest.approx(0.099)
    desk.signal(t.Target.SHORT)
    assert desk.blocked() == ["short_not_allowed"]  # Flat: there is nothing to sell.


def test_fee_in_a_third_asset_is_taken_from_it_at_the_oracles_price():
    desk = Desk(
        {"account": {"balances": {"USD": 10_000, "BNB": 1}}, "oracle": {"overrides": {"BNB": 500}}},
        {"execution": {"fees": {"taker_bps": 10, "asset": "BNB"}}},
    )
    desk.bar(100).buy(10).bar(100)
    assert desk.balance("BNB")[0] == 1 - Decimal("0.002")
    assert desk.balance("USD")[0] == 9_000


def test_fee_asset_that_cannot_pay_gives_way_to_the_account_currency():
    desk = Desk(
        {"account": {"balances": {"USD": 10_000, "BNB": "0.001"}}, "oracle": {"overrides": {"BNB": 500}}},
        {"execution": {"fees": {"taker_bps": 10, "asset": "BNB"}}},
    )
    desk.bar(100).buy(10).bar(100)
    assert desk.balance("BNB")[0] == Decimal("0.001")
    assert desk.balance("USD")[0] == 8_999


def test_fee_conversion_non_usd_pair_updates_ledger():
    """BTC/ETH with its fee in BTC, BTC worth 50,000 USD: the ledger deducts the fee's value in USD."""
    desk = Desk(
        {
            "account": {"balances": {"USD": 10_000, "ETH": 100}},
            "oracle": {"overrides": {"BTC": 50_000}},
            "execution": {"tick_size": "0.01", "step_size": "0.001", "fees": {"taker_bps": 10, "asset": "BTC"}},
        },
        symbols=["BTC/ETH"],
    )
    desk.bar(20).buy(1).bar(20)
    fill = desk.of(t.OutputKind.FILL, t.OUT_FILL)[0]
    assert desk.plan.assets[fill["fee_asset"]] == "BTC"
    assert Decimal(int(fill["fee"])) / 10**8 == Decimal("0.001")
    assert Decimal(int(fill["fee_account"])) / 10**8 == 50  # 0.001 BTC at 50,000 USD
    assert desk.balance("ETH") == (80, 0)
    assert desk.position() == 0.999
    row = desk.of(t.OutputKind.LEDGER, t.OUT_LEDGER)[-1]
    assert Decimal(int(row["fees"])) / 10**8 == 50
    start = 10_000 + 100 * 2_500  # An ETH is 50,000 / 20 USD.
    assert Decimal(int(row["equity"])) / 10**8 == start - 50


def test_fee_falls_back_to_the_account_currency_when_no_btc_is_free():
    """The sell of all BTC leaves none to pay with: the fee's value in USD is taken from USD."""
    desk = Desk(
        {
            "account": {"balances": {"USD": 10_000, "ETH": 100}},
            "oracle": {"overrides": {"BTC": 50_000}},
            "execution": {"tick_size": "0.01", "step_size": "0.001", "fees": {"taker_bps": 10, "asset": "BTC"}},
        },
        symbols=["BTC/ETH"],
    )
    desk.bar(20).buy(1).bar(20).sell("0.999", reduce_only=True).bar(20)
    fill = desk.of(t.OutputKind.FILL, t.OUT_FILL)[1]
    assert desk.plan.assets[fill["fee_asset"]] == "USD"
    assert desk.balance("USD")[0] == 10_000 - Decimal("49.95")


@pytest.mark.parametrize("token", ["AAA", "ZZZ"])
def test_fee_does_not_see_how_the_slice_ends_elsewhere(token):
    """A fill at the open is charged at the closes before it, whatever the fee asset's own bar does, and its name."""
    fees = []
    for close in (50, 100):
        desk = Desk(
            {"account": {"balances": {"USD": 10_000, token: 10}}},
            {"execution": {"fees": {"taker_bps": 10, "asset": token}}},
            symbols=["BTC/USD", f"{token}/USD"],
        )
        first, second = sorted(["BTC/USD", f"{token}/USD"])
        desk.bar(100, symbol=first, last=False).bar(100, symbol=second).buy(10, symbol="BTC/USD")
        prices = {"BTC/USD": (100,), f"{token}/USD": (100, 100, 50, close)}
        desk.bar(*prices[first], symbol=first, last=False).bar(*prices[second], symbol=second)
        fees.append(int(desk.of(t.OutputKind.FILL, t.OUT_FILL)[0]["fee"]))
    assert fees == [1_000_000, 1_000_000]


@pytest.mark.parametrize("other", ["AAA/USD", "ZZZ/USD"])
def test_proceeds_of_a_slice_pay_for_nothing_in_it(other):
    """The other symbol's stop, reached late in its bar, cannot pay for an order at the open of this one."""
    desk = Desk(symbols=["BTC/USD", other])
    first, second = sorted(["BTC/USD", other])

    def both(prices):
        desk.bar(*prices[first], symbol=first, last=False).bar(*prices[second], symbol=second)

    both({"BTC/USD": (100,), other: (100,)})
    desk.buy(50, symbol=other, stop_distance=5)
    both({"BTC/USD": (100,), other: (100,)})
    desk.buy(50, symbol="BTC/USD")
    both({"BTC/USD": (200,), other: (100, 100, 90, 95)})
    bought = next(fill for fill in desk.fills() if fill[2] == 200)
    assert bought == ("buy", 25, 200, "taker")
    assert desk.balance("USD") == (4750, 0)


def test_strategies_do_not_net_with_each_other():
    two = {"strategies": [{"name": "manual", "kind": "external"}, {"name": "other", "kind": "external"}]}
    desk = Desk(two).bar(100).buy(1).buy(2, strategy="other").bar(100)
    desk.sell(3, reduce_only=True).bar(100)
    assert desk.fills()[2] == ("sell", 1, 100, "taker")
    assert (desk.position("manual"), desk.position("other")) == (0, 2)


def test_a_position_whose_cost_would_leave_the_range_grows_no_more():
    """Its cost is put where gains kept elsewhere could bring it: what is bought for 100 makes it 2^62 and no less."""
    for room, end in ((100 * 10**8 + 1, "filled"), (100 * 10**8, "overflow")):
        desk = Desk().bar(100).buy(1)
        desk.machine.state.positions["cost"] = (1 << 62) - room
        desk.bar(100)
        assert desk.ends() == [(1, end)]


def test_ledger_rows_at_start_fill_hour_and_day_end():
    desk = Desk().bar(100).buy(1).bar(100)
    for _ in range(24 * 60 - 1):
        desk.bar(100)
    rows = desk.of(t.OutputKind.LEDGER, t.OUT_LEDGER)
    minutes = [(int(row["ts"]) - START_NS) // MINUTE_NS for row in rows]
    assert minutes == [0, 2, *range(60, 24 * 60 + 1, 60)]


def test_a_fill_whose_gain_leaves_the_range_in_the_accounts_currency_is_not_made():
    """A price of one bar that would make 1,000,000 BTC of 1,000: nothing of the sale is booked, and the run goes on."""
    settings = {"account": {"balances": {"BTC": 2000, "USD": 1}}, "oracle": {"overrides": {"BTC": 100_000}}}
    desk = Desk(settings, symbols=("ETH/BTC",)).bar(1).buy(1000).bar(1, volume=10_000)
    before = desk.balance("BTC"), desk.balance("ETH"), desk.equity
    desk.sell(1000, limit=1000, reduce_only=True).bar(1, 1500, 1, 1, volume=100_000)
    assert desk.ends() == [(1, "filled"), (2, "overflow")]
    assert (desk.balance("BTC"), desk.balance("ETH"), desk.equity) == before
    assert int(desk.machine.account["realized"]) == 0
