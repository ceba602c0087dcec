"""Nothing appears and nothing is lost: the identities of the ledger, on the core's own state, after every event."""

from collections import Counter

import numpy as np
import pytest

import streams
from paperbot.core import types as t
from paperbot.engine.machine import Machine
from recorded import read


def check_balances(machine, where):
    state, params = machine.state, machine.params
    n_symbols = len(params.symbols)
    held, locked = Counter(), Counter()
    for index, position in enumerate(state.positions):
        assert position["quantity"] >= 0, where
        assert position["cost"] >= 0, where
        held[int(params.symbols[index % n_symbols]["base"])] += int(position["quantity"])
    open_orders = [order for order in state.orders if order["id"] > 0]
    for order in open_orders:
        assert order["locked"] >= 0, where
        locked[int(params.symbols[int(order["symbol"])]["quote"])] += int(order["locked"])
    for asset, row in enumerate(state.assets):
        total = int(row["free"]) + int(row["locked"])
        assert row["free"] >= 0, where
        assert row["locked"] >= 0, where
        assert total == int(row["opening"]) + int(row["venue"]) - int(row["fees"]), where
        assert int(row["held"]) == held[asset], where
        assert int(row["locked"]) == held[asset] + locked[asset] + int(row["arriving"]), where
    account = machine.account
    assert account["open_orders"] == len(open_orders), where
    assert account["holdings"] == sum(position["quantity"] > 0 for position in state.positions), where
    legs = sum(_missing_legs(order) for order in open_orders if order["role"] == t.Role.ENTRY)
    assert account["reserved_orders"] == legs, where


def _missing_legs(entry):
    wanted = int(entry["stop_distance"] > 0) + int(entry["target_distance"] > 0)
    return wanted - int(entry["stop_slot"] >= 0) - int(entry["target_slot"] >= 0)


def check_pairs(machine, where):
    """What protective orders cover is never more than the position."""
    n_symbols = len(machine.params.symbols)
    stops = Counter()
    for order in machine.state.orders:
        if order["id"] > 0 and order["role"] == t.Role.STOP:
            index = int(order["strategy"]) * n_symbols + int(order["symbol"])
            stops[index] += int(order["quantity"] - order["filled"])
    for index, covered in stops.items():
        assert covered <= int(machine.state.positions[index]["quantity"]), where


@pytest.mark.parametrize("seed", range(200, 260))
def test_after_every_event_of_random_streams(seed):
    random = np.random.default_rng(seed)
    params = streams.random_params(random)
    events = streams.random_events(random, params, 60)
    machine = Machine(params)
    for at in range(len(events)):
        list(machine.advance(events[at : at + 1]))
        check_balances(machine, (seed, at))
        check_pairs(machine, (seed, at))
    assert machine.market["fault"] == t.Fault.NONE


@pytest.mark.parametrize("fee_asset", ["quote", "received"])
def test_profit_is_cash_and_value_to_the_minor_unit(fee_asset):
    """In the quote currency: realized + (value - cost) - fees = change of (cash + value), after every event."""
    settings = ("account.currency=USDT", f"execution.fees.asset={fee_asset}", "risk.daily_loss_cap=0")
    plan, events = read(["BTC/USDT=synthetic:5:1500", "ETH/USDT=synthetic:6:1500"], settings)
    machine = Machine(plan.params)
    usdt = plan.assets.index("USDT")
    opening = int(plan.params.opening[usdt])
    for at in range(len(events)):
        list(machine.advance(events[at : at + 1]))
        row = machine.state.assets[usdt]
        cash = int(row["free"]) + int(row["locked"])
        positions = machine.state.positions
        gain = int(positions["realized"].sum()) - int(positions["cost"].sum()) - int(positions["fees"].sum())
        assert cash - opening == gain, at
        account = machine.account
        if account["valued"] and int(events["flags"][at]) & t.BarFlag.END_OF_SLICE:
            profit = int(account["realized"]) + int(account["unrealized"]) - int(account["fees"])
            assert int(account["equity"]) - int(account["start_equity"]) == profit, at
    assert machine.account["realized"] != 0
