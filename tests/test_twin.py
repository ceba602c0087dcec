"""The core and its naive twin (tests/naive.py) agree on every record and every minor unit.

The twin was written from docs/fills.md alone; it takes from the core's outputs the signals of built-in strategies and
the integer ATR, and redoes gate, sizing, orders, fills, fees and ledger. PAPERBOT_TWIN_STREAMS: number of streams.
"""

import os

import numpy as np
import pytest

import naive
import streams
from effort import amount
from paperbot.core import types as t
from recorded import FIVE_BITTREX, run_files

STREAMS = int(os.environ.get("PAPERBOT_TWIN_STREAMS", amount(400, 150)))
BLOCK = 50


@pytest.mark.parametrize("block", range(0, STREAMS, BLOCK))
def test_random_streams_agree(block):
    for seed in range(block, min(block + BLOCK, STREAMS)):
        random = np.random.default_rng(seed)
        params = streams.random_params(random)
        events = streams.random_events(random, params, int(random.integers(10, 150)))
        machine, outputs = streams.run(params, events)
        assert machine.market["fault"] == t.Fault.NONE, seed
        books = naive.check(*_inputs(params), events, outputs)
        _compare_state(books, machine, f"seed {seed}")


def _inputs(params):
    return params.symbols, params.assets, params.risk[0], params.enabled, params.opening


def _compare_state(books, machine, where):
    """What the twin holds at the end is what the core holds."""
    n_symbols = int(machine.params.risk[0]["n_symbols"])
    for index, row in enumerate(machine.state.assets):
        for field in ("free", "locked", "held", "venue", "fees"):
            assert getattr(books.assets[index], field) == int(row[field]), (where, index, field)
        total = int(row["free"]) + int(row["locked"])
        assert total == int(row["opening"]) + int(row["venue"]) - int(row["fees"]), where
    for (strategy, symbol), position in books.positions.items():
        row = machine.state.positions[strategy * n_symbols + symbol]
        for field in ("quantity", "cost", "realized", "fees", "cooldown_until", "target", "dust", "exit_due"):
            assert getattr(position, field) == int(row[field]), (where, strategy, symbol, field)
    open_ids = sorted(int(order["id"]) for order in machine.state.orders if order["id"] > 0)
    assert sorted(books.orders) == open_ids, where


def test_streams_meet_every_rule():
    """The random streams are only worth something if they reach the codes; a few are too rare for them."""
    seen = set()
    for seed in range(300):
        random = np.random.default_rng(seed)
        params = streams.random_params(random)
        events = streams.random_events(random, params, int(random.integers(10, 150)))
        _, outputs = streams.run(params, events)
        kinds = np.isin(outputs["kind"], [t.OutputKind.BLOCKED, t.OutputKind.ORDER_END])
        seen.update(outputs["code"][kinds].tolist())
    rare = {t.Code.OVERFLOW, t.Code.INVALID_PRICE, t.Code.FUNDS_AT_FILL, t.Code.PRICE_COLLAR}
    assert {t.Code(code) for code in seen} | rare == set(t.Code) - {t.Code.NONE}


@pytest.mark.parametrize(
    ("files", "settings"),
    [
        ({"BTC/BUSD": "binance_BTCBUSD_1m_20221213.parquet"}, ()),
        ({"BTC/BUSD": "binance_BTCBUSD_1m_20221213.parquet"}, ("execution.slippage_model=atr_scaled",)),
        ({"BTC/USD": "coinbase_BTCUSD_1m_201804.parquet"}, ("risk.take_profit_atr_mult=3", "risk.attach_stop=true")),
        pytest.param(
            FIVE_BITTREX,
            ("risk.daily_loss_cap=0", "execution.fees.asset=received", "risk.max_gross_exposure=0"),
            marks=pytest.mark.long,
        ),
    ],
)
def test_recorded_markets_agree(real_data, files, settings):
    run = run_files(real_data, files, settings)
    assert run.count(t.OutputKind.FILL) > 10
    books = naive.check(*_inputs(run.plan.params), run.events, run.outputs)
    _compare_state(books, run.machine, str(files))
