"""What status, profit and trades say, against the fills of the same run."""

import json
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from paperbot.app.sessions import command_session, session_status
from paperbot.clock import SystemClock
from paperbot.errors import CommandError
from paperbot.live.artifacts import write_artifacts
from paperbot.live.earnings import profit, trades
from paperbot.live.session import CURRENT, create_session
from recorded import read
from shell import call
from test_journal import slices

SETTINGS = ("strategies=[{name: cross, kind: sma_cross, fast: 5, slow: 20}]", "ledger.every=1m")


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """(folder, its tables): a session of nine days that was stopped while it held something."""
    out = tmp_path_factory.mktemp("held")
    plan, events = read(["BTC/USDT=synthetic:7:13000"], SETTINGS)
    root = out / "sessions"
    session = create_session(root, "s", plan, SystemClock())
    lasted = before = 0
    for k, part in enumerate(slices(events)):
        session.commit_slice(part, ["stream"] * len(part))
        (position,) = session.runner.machine.state.positions
        lasted = lasted + 1 if position["quantity"] >= max(before, 1) else 0  # Nothing of it is sold yet.
        before = int(position["quantity"])
        if k > 12_000 and lasted >= 4:
            break
    write_artifacts(out / "tables", session)
    session.save()
    session.close()
    (root / CURRENT).write_text("s\n")
    names = ("trades", "ledger", "round_trips", "orders")
    return out, {name: pq.read_table(out / f"tables/{name}.parquet").to_pylist() for name in names}


def test_a_position_has_its_entry_its_profit_its_stop_and_its_age(held):
    out, tables = held
    (position,) = session_status(out, None)["positions"]
    buys = [one for one in tables["trades"] if one["ts"] > tables["round_trips"][-1]["exit_ts"]]
    quantity, paid = sum(one["qty"] for one in buys), sum(one["notional"] for one in buys)
    price = pq.read_table(out / "tables/candles.parquet")["close"].to_pylist()[-1]
    assert {one["side"] for one in buys} == {"buy"}
    dust = 1e-4  # Less than a step may be left of the trip before.
    assert position["qty"] == pytest.approx(quantity, rel=dust)
    assert position["entry_price"] == pytest.approx(paid / quantity, rel=dust)
    assert position["last_price"] == price
    assert position["unrealized_pnl"] == pytest.approx(quantity * price - paid, abs=dust * paid)
    assert position["unrealized_pnl"] == pytest.approx(tables["ledger"][-1]["unrealized_pnl"], abs=1e-6)
    assert position["unrealized_pct"] == pytest.approx(100 * (quantity * price / paid - 1), abs=0.01)
    assert position["quote"] == "USDT"
    stops = [one["stop_price"] for one in tables["orders"] if one["state"] == "open" and one["role"] == "stop"]
    assert position["stop_price"] == max(stops)
    assert position["stop_distance_pct"] == pytest.approx(100 * (1 - max(stops) / price))
    age = tables["ledger"][-1]["ts"] - buys[0]["ts"]
    assert position["age_s"] == age.total_seconds() > 0
    assert position["opened"][:16] == buys[0]["ts"].isoformat()[:16]


def test_status_tells_profit_today_and_in_all(held):
    out, tables = held
    status = session_status(out, None)
    rows, trips = tables["ledger"], tables["round_trips"]
    start, equity = rows[0]["equity"], rows[-1]["equity"]
    today = (rows[-1]["ts"] - timedelta(microseconds=1)).date()
    before = [row["equity"] for row in rows[1:] if (row["ts"] - timedelta(microseconds=1)).date() < today][-1]
    won = sum(trip["pnl"] > 0 for trip in trips)
    assert status["profit"] == {
        "today": pytest.approx(equity - before),
        "in_all": pytest.approx(equity - start),
        "in_all_pct": pytest.approx(100 * (equity / start - 1)),
        "trades": len(trips),
        "won": won,
        "win_rate_pct": pytest.approx(100 * won / len(trips)),
    }
    assert before != start
    assert not any("_ns" in key for key in status)


@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_periods_add_up_to_the_whole(held, period):
    out, tables = held
    told = profit(out, None, period, 99)
    rows = told["periods"]
    assert sum(row["profit"] for row in rows) == pytest.approx(told["profit"])
    assert sum(row["fees"] for row in rows) == pytest.approx(told["fees"])
    assert told["fees"] == tables["ledger"][-1]["fees"] > 0
    assert sum(row["trades"] for row in rows) == told["trades"] == len(tables["round_trips"])
    assert sum(row["won"] for row in rows) == told["won"]
    assert sum(row["fills"] for row in rows) == len(tables["trades"])
    assert rows[-1]["equity"] == told["equity"]
    days = [f"2024-01-0{k}" for k in range(1, 10)]
    assert [row[period] for row in rows] == {"day": days, "week": [days[0], days[7]], "month": ["2024-01"]}[period]
    assert profit(out, None, period, 1)["periods"] == rows[-1:]


def test_weeks_begin_on_monday_and_midnight_ends_a_period(held):
    out, tables = held
    first = profit(out, None, "week", 99)["periods"][0]
    sunday = [row for row in tables["ledger"][1:] if row["ts"].isoformat() <= "2024-01-08T00:00:00+00:00"]
    assert first["equity"] == sunday[-1]["equity"]
    assert first["trades"] == sum(trip["exit_ts"] <= sunday[-1]["ts"] for trip in tables["round_trips"])


def test_trades_are_the_last_round_trips(held):
    out, tables = held
    rows = trades(out, "s", 3)["trades"]
    assert len(rows) == 3
    for row, trip in zip(rows, tables["round_trips"][-3:], strict=True):
        assert row["exit_ts"][:19] == trip["exit_ts"].isoformat()[:19]
        assert row["entry_ts"][:19] == trip["entry_ts"].isoformat()[:19]
        assert {name: row[name] for name in ("symbol", "pnl", "return_pct", "reason", "exit_price")} == {
            name: trip[name] for name in ("symbol", "pnl", "return_pct", "reason", "exit_price")
        }


def test_looking_changes_no_file(held):
    out, _ = held
    folder = out / "sessions/s"
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.suffix == ".bin"}
    profit(out, None, "day", 5)
    trades(out, None, 5)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before


def test_a_replay_has_profit_and_trades_where_there_is_no_session(tmp_path):
    code, out, err = call(["replay", "BTC/USDT=synthetic:7:5000", "--set", SETTINGS[0], "--json"], tmp_path)
    assert code == 0, err
    summary = json.loads(out)
    code, out, err = call(["profit", "--json", "--daily"], tmp_path)
    assert code == 0, err
    told = json.loads(out)
    assert told["profit"] == pytest.approx(summary["equity"] - summary["start_equity"])
    assert told["trades"] == summary["round_trips"]
    assert len(told["periods"]) == 4
    code, out, _ = call(["trades", "--last", "2"], tmp_path)
    assert code == 0
    assert len(out.splitlines()) == 4
    code, _, err = call(["profit", "--daily", "--weekly"], tmp_path)
    assert (code, err.strip()) == (2, "error: use only one of --daily, --weekly and --monthly")


def test_where_there_is_nothing_it_says_so(tmp_path):
    with pytest.raises(CommandError, match="no session yet"):
        profit(Path(tmp_path), None, None, 1)


def test_what_people_read_is_rounded(held):
    out, _ = held
    code, text, err = call(["status", "--out", str(out)], out)
    assert code == 0, err
    lines = {line.partition(":")[0]: line.partition(":")[2].strip() for line in text.splitlines()}
    status = session_status(out, None)
    assert lines["session"] == "s, stopped"
    assert lines["equity"].startswith(f"{status['equity']:,.2f} ")
    assert lines["profit"].startswith(f"{status['profit']['today']:,.2f} today, ")
    assert lines["positions"] == "1"
    numbers = [word for word in text.split() if word.replace(".", "").isdecimal()]
    assert not [word for word in numbers if len(word.rpartition(".")[2]) > 8]


def test_halt_answers_with_the_same_status(held, tmp_path):
    out, _ = held
    answer = command_session(out, "s", "halt")
    assert answer["halted"] == "manual"
    assert answer["profit"] == session_status(out, "s")["profit"]
