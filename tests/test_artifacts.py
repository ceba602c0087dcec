"""What a run leaves behind: whole files or none, the same bytes twice, and figures that add up."""

import json
import os
import resource
import signal
import subprocess
import sys
from itertools import pairwise
from math import sqrt

import numpy as np
import pyarrow.parquet as pq
import pytest

from paperbot.app.replay import replay
from paperbot.config import parse_assignment
from paperbot.errors import OutputError
from paperbot.research.job import ReplayRequest
from paperbot.store.chart import Chart
from paperbot.store.parquet import FILES, Artifacts
from paperbot.store.tables import SCHEMAS
from recorded import CONFIG
from test_chart import NAMES

MARKETS = ["BTC/USDT=synthetic:7:30075", "ETH/USDT=synthetic:7:30075"]  # It happens to end flat.
ON = ("risk.max_drawdown=0", "risk.daily_loss_cap=0", "account.currency=USDT")


def run(out, *settings, markets=MARKETS, **how):
    overrides = [parse_assignment(text) for text in (*ON, *settings)]
    return replay(ReplayRequest(markets, CONFIG, out=out, overrides=overrides, **how), lambda _: None)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    outcome = run(out)
    return outcome, {name: pq.read_table(out / f"{name}.parquet").to_pylist() for name in SCHEMAS}


def test_two_runs_write_the_same_bytes(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b", chunk=777)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_columns_of_the_contract_are_there(result):
    _, tables = result
    trades = "ts symbol order_id strategy side qty price fee fee_asset fee_usd realized_pnl liquidity slippage_bps"
    ledger = "ts equity peak drawdown realized_pnl unrealized_pnl fees fx_revaluation"
    assert set(trades.split()) <= set(tables["trades"][0])
    assert set(ledger.split()) <= set(tables["ledger"][0])


def test_money_adds_up_to_the_minor_unit(result):
    """equity = start + realized + unrealized + fx_revaluation - fees, in every row; no fx in a one-currency account."""
    _, tables = result
    start = tables["ledger"][0]["equity_minor"]
    for row in tables["ledger"]:
        expected = start + row["realized_pnl_minor"] + row["unrealized_pnl_minor"] - row["fees_minor"]
        assert row["equity_minor"] == expected + row["fx_revaluation_minor"]
        assert row["fx_revaluation_minor"] == 0
    last = tables["ledger"][-1]
    assert last["realized_pnl_minor"] == sum(row["realized_pnl_minor"] for row in tables["trades"])
    assert last["fees_minor"] == sum(row["fee_account_minor"] for row in tables["trades"])


def test_orders_account_for_every_fill(result):
    outcome, tables = result
    filled = {}
    for trade in tables["trades"]:
        filled[trade["order_id"]] = filled.get(trade["order_id"], 0) + trade["qty_minor"]
    for order in tables["orders"]:
        assert order["filled_minor"] == filled.get(order["order_id"], 0)
        assert order["state"] == "ended"
        assert order["code"] != "filled" or order["filled_minor"] == order["qty_minor"]
    assert len(tables["orders"]) == outcome.summary["orders"]
    assert len(tables["trades"]) == outcome.summary["fills"]


def test_round_trips_are_flat_to_flat_and_net_of_fees(result):
    outcome, tables = result
    pnl = sum(row["pnl_minor"] for row in tables["round_trips"])
    last = tables["ledger"][-1]
    assert last["open_positions"] == 0
    assert pnl == last["realized_pnl_minor"] - last["fees_minor"]
    assert {row["reason"] for row in tables["round_trips"]} == {"signal", "stop"}
    wins = [row["pnl"] for row in tables["round_trips"] if row["pnl_minor"] > 0]
    losses = [-row["pnl"] for row in tables["round_trips"] if row["pnl_minor"] < 0]
    assert outcome.summary["win_rate_pct"] == pytest.approx(100 * len(wins) / len(tables["round_trips"]))
    assert outcome.summary["profit_factor"] == pytest.approx(sum(wins) / sum(losses))


def test_summary_is_what_the_ledger_says(result):
    outcome, tables = result
    rows = tables["ledger"]
    assert outcome.summary["equity"] == rows[-1]["equity"]
    assert outcome.summary["return_pct"] == pytest.approx(100 * (rows[-1]["equity"] / rows[0]["equity"] - 1))
    assert outcome.summary["max_drawdown_pct"] >= 100 * max(row["drawdown"] for row in rows)
    days = {}
    for row in rows:
        days[_day(row["ts"])] = row["equity"]
    equities = [days[day] for day in sorted(days)]
    returns = np.array([after / before - 1 for before, after in pairwise(equities)])  # The opening row is "day 0".
    expected = returns.mean() / returns.std(ddof=1) * sqrt(365)
    assert outcome.summary["sharpe"] == pytest.approx(expected, rel=1e-6)


def _day(moment):
    return int((moment.timestamp() * 1e6 - 1) // 86_400e6)


def test_fee_in_usd_uses_the_fixed_value_of_the_account_currency(result):
    _, tables = result
    for row in tables["trades"]:
        assert row["fee_usd"] == row["fee_account"] > 0  # The account is in USDT, which counts as one USD.


def test_slippage_is_against_the_taker(result):
    _, tables = result
    for row in tables["trades"]:
        assert 1.9 < row["slippage_bps"] < 2.2 if row["liquidity"] == "taker" else row["slippage_bps"] == 0


def test_ledger_has_each_day_and_each_hour(result):
    _, tables = result
    seconds = {round(row["ts"].timestamp()) for row in tables["ledger"]}
    start = 1_704_067_200
    assert {start + 3600 * hour for hour in range(30_000 // 60 + 1)} <= seconds


def test_a_day_ends_at_its_last_slice_even_where_bars_are_missing(tmp_path):
    run(tmp_path, "ledger.every=1w", markets=["BTC/USDT=synthetic:7:3000"], end="2024-01-02T00:30:00")
    rows = pq.read_table(tmp_path / "ledger.parquet").to_pylist()
    assert 1_704_153_600 in {round(row["ts"].timestamp()) for row in rows}


def test_warmup_bars_only_warm_up(tmp_path):
    """From --start on, a run is the same as one that had the features warm: no trade before, the first bar counts."""
    run(tmp_path, markets=["BTC/USDT=synthetic:7:5000"], start="2024-01-03")
    trades = pq.read_table(tmp_path / "trades.parquet").to_pylist()
    rows = pq.read_table(tmp_path / "ledger.parquet").to_pylist()
    assert round(rows[0]["ts"].timestamp()) == 1_704_240_000
    assert trades[0]["ts"].timestamp() >= 1_704_240_000


def test_a_run_that_fails_leaves_the_old_files(tmp_path):
    run(tmp_path, markets=["BTC/USDT=synthetic:1:500"])
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    with pytest.raises(Exception, match="no bar lies between"):
        run(tmp_path, markets=["BTC/USDT=synthetic:1:500"], start="2030-01-01")
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == before
    assert len(list(tmp_path.iterdir())) == len(FILES)


def limited() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_a_full_disk_is_one_sentence_and_leaves_the_old_files(tmp_path):
    """A limit on file sizes stands for the full disk: the kernel refuses the write in the middle of it."""
    run(tmp_path, markets=["BTC/USDT=synthetic:1:500"])
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    command = [
        sys.executable,
        "-c",
        "from paperbot.cli import main; main()",
        "replay",
        *MARKETS,
        "--out",
        str(tmp_path),
    ]
    command += ["--config", str(CONFIG)] + [part for setting in ON for part in ("--set", setting)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=limited, env=dict(os.environ)
    )
    assert done.returncode == 2, done.stderr
    assert "results cannot be written: File too large; nothing was changed" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == before


def test_a_target_that_cannot_be_replaced_leaves_the_others(tmp_path):
    """One name is taken by a folder: none of the four files is put in place."""
    run(tmp_path, markets=["BTC/USDT=synthetic:1:500"])
    (tmp_path / "round_trips.parquet").unlink()
    (tmp_path / "round_trips.parquet").mkdir()
    before = (tmp_path / "trades.parquet").read_bytes()
    with pytest.raises(OutputError, match="Is a directory; nothing was changed"):
        run(tmp_path, markets=["BTC/USDT=synthetic:2:3000"])
    assert (tmp_path / "trades.parquet").read_bytes() == before


def test_profit_factor_counts_in_the_account_currency(tmp_path):
    """Round trips in USDT and in BTC are not added as numbers: each counts what it brought in the account."""
    markets = ["BTC/USDT=synthetic:7:6000", "NEO/BTC=synthetic:7:6000"]
    summary = run(tmp_path, "account.balances={USDT: 20000, BTC: 50}", markets=markets).summary
    gains = [row["pnl_account_minor"] for row in pq.read_table(tmp_path / "round_trips.parquet").to_pylist()]
    quotes = {row["quote"] for row in pq.read_table(tmp_path / "round_trips.parquet").to_pylist()}
    assert quotes == {"USDT", "BTC"}
    lost = -sum(gain for gain in gains if gain < 0)
    assert summary["profit_factor"] == pytest.approx(sum(gain for gain in gains if gain > 0) / lost)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="results cannot be written"):
        run(tmp_path / "file" / "data", markets=["BTC/USDT=synthetic:1:500"])


def test_a_finished_run_does_not_keep_its_folder(tmp_path):
    """A demo may hold `/metrics` for an hour: another run may write into its folder meanwhile, and keeps its files."""
    first = Artifacts(tmp_path, NAMES)
    with first:
        first.finish(Chart(NAMES).table(), {"run": 1})
        with Artifacts(tmp_path, NAMES) as second:
            first.__exit__()
            second.finish(Chart(NAMES).table(), {"run": 2})
    assert json.loads((tmp_path / "run.json").read_text()) == {"run": 2}
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
