"""Digests that may only change with an ADR (docs/decisions/ADR-0004-digest.md).

`make golden` writes tests/golden/digests.json anew; the difference belongs into the commit that explains it.
"""

import json
import sys
from pathlib import Path

import pytest

import test_patterns
from conftest import real_data_folder
from paperbot.core.version import RULES
from recorded import FIVE_BITTREX, run_files, run_synthetic

GOLDEN = Path(__file__).parent / "golden" / "digests.json"

SYNTHETIC = {
    "one symbol": (["BTC/USDT"], 1, 20_000, ()),
    "three symbols, take-profit": (["BTC/USDT", "ETH/USDT", "NEO/BTC"], 2, 8_000, ("risk.take_profit_atr_mult=3",)),
    "atr slippage, received fee": (
        ["BTC/USDT"],
        3,
        8_000,
        ("execution.slippage_model=atr_scaled", "execution.fees.asset=received", "risk.max_drawdown=0"),
    ),
}
RECORDED = {
    "binance BTC/BUSD 1m": {"BTC/BUSD": "binance_BTCBUSD_1m_20221213.parquet"},
    "coinbase BTC/USD 1m": {"BTC/USD": "coinbase_BTCUSD_1m_201804.parquet"},
    "ftx BTC/USD 1m": {"BTC/USD": "ftx_BTCPERP_1m_202201.parquet"},
    "bittrex five 5m": FIVE_BITTREX,
    "bitstamp BTC/USD 1m": {"BTC/USD": "bitstamp_BTCUSD_1m_20200101.parquet"},
}


def synthetic_digest(name):
    return run_synthetic(*SYNTHETIC[name]).digest


def recorded_digest(name, folder):
    return run_files(folder, RECORDED[name]).digest


def test_the_digests_are_those_of_these_rules():
    """Whoever changes a digest raises the version, so that no session goes on under other rules."""
    assert json.loads(GOLDEN.read_text())["rules"] == RULES


@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic_digests(name):
    assert synthetic_digest(name) == json.loads(GOLDEN.read_text())[name]


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_digests(name, real_data):
    assert recorded_digest(name, real_data) == json.loads(GOLDEN.read_text())[name]


if __name__ == "__main__":
    digests = {name: synthetic_digest(name) for name in SYNTHETIC}
    digests |= {name: recorded_digest(name, real_data_folder()) for name in RECORDED}
    before = json.loads(GOLDEN.read_text())
    if before["rules"] == RULES and any(before.get(name, digest) != digest for name, digest in digests.items()):
        sys.exit("a digest has changed: raise RULES in src/paperbot/core/version.py first")
    GOLDEN.write_text(json.dumps({"rules": RULES, **digests}, indent=1) + "\n")
    listed, bars = test_patterns.all_differences(real_data_folder())
    lines = ",\n".join(json.dumps(one) for one in listed)
    test_patterns.LISTED.write_text(f"[\n{lines}\n]\n")
    sys.stdout.write(f"{len(digests)} digests; {len(listed)} patterns of {bars} bars differ from TA-Lib's\n")
