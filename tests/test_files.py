"""Recorded bars: every layout that is known, every oddity that is named, and what is refused by row and value."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paperbot import cli
from paperbot.clock import format_ts
from paperbot.core import types as t
from paperbot.errors import DataError
from paperbot.market.candles import Checker, Grid
from paperbot.market.files import BarFile
from paperbot.timeframe import fixed, told_by
from recorded import read, recorded_files, symbol_of

START_MS = 1_700_000_040_000
ROWS = [(START_MS + 60_000 * k, 100.0 + k, 101.5 + k, 99.25 + k, 100.5 + k, 5.0) for k in range(5)]
NAMES = ("ts", "open", "high", "low", "close", "volume")


def parquet(path, rows=ROWS, names=NAMES, types=None):
    columns = [pa.array(list(column)) for column in zip(*rows, strict=True)]
    for index, kind in (types or {}).items():
        columns[index] = columns[index].cast(kind)
    pq.write_table(pa.Table.from_arrays(columns, list(names)), path)
    return path


def csv(path, rows=ROWS, header="time,open,high,low,close,volume"):
    lines = [",".join(str(value) for value in row) for row in rows]
    path.write_text("\n".join(([header] if header else []) + lines) + "\n")
    return path


def events(path):
    checker = Checker(str(path), 0, fixed(60 * 10**9), Grid(8))
    return np.concatenate([checker.events(columns) for columns in BarFile(path).batches()])


EXPECTED = [(ts * 10**6, round(o * 1e8), round(c * 1e8)) for ts, o, _, _, c, _ in ROWS]


def seen(path):
    return [(int(e["open_ts"]), int(e["open"]), int(e["close"])) for e in events(path)]


@pytest.mark.parametrize("divisor", [1000, 1, 1 / 1000, 1 / 10**6])
def test_epoch_units(tmp_path, divisor):
    rows = [(int(row[0] / divisor), *row[1:]) for row in ROWS]
    assert seen(parquet(tmp_path / "a.parquet", rows)) == EXPECTED
    assert seen(csv(tmp_path / "a.csv", rows)) == EXPECTED


def test_iso_times_timestamps_and_aliases(tmp_path):
    iso = [(format_ts(row[0] * 10**6), *row[1:]) for row in ROWS]
    assert seen(csv(tmp_path / "a.csv", iso, "Date,O,H,L,C,Vol")) == EXPECTED
    assert seen(parquet(tmp_path / "a.parquet", types={0: pa.timestamp("ms")})) == EXPECTED
    assert seen(parquet(tmp_path / "b.parquet", iso)) == EXPECTED


def test_quoted_headers_naive_times_and_dictionaries(tmp_path):
    naive = [(format_ts(row[0] * 10**6).removesuffix("Z"), *row[1:]) for row in ROWS]
    assert seen(csv(tmp_path / "a.csv", naive, '"Date","Open","High","Low","Close","Volume"')) == EXPECTED
    assert seen(parquet(tmp_path / "a.parquet", naive)) == EXPECTED
    assert seen(parquet(tmp_path / "b.parquet", naive, types={0: pa.dictionary(pa.int32(), pa.string())})) == EXPECTED


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = parquet(tmp_path / "a.parquet", [(*row, row[4]) for row in ROWS], (*NAMES, "Close"))
    with pytest.raises(DataError, match="has two columns named close"):
        events(path)


def test_binance_archive_layout_without_header(tmp_path):
    rows = [(*row, row[0] + 59_999, row[5] * row[4], 7, 2.0, 200.0, 0) for row in ROWS]
    assert seen(csv(tmp_path / "a.csv", rows, header="")) == EXPECTED
    micro = [(row[0] * 1000, *row[1:6], row[6] * 1000 + 999, *row[7:]) for row in rows]
    assert seen(csv(tmp_path / "b.csv", micro, header="")) == EXPECTED


def changed(row, column, value):
    rows = [list(one) for one in ROWS]
    rows[row][column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (changed(2, 1, float("nan")), "row 3 (2023-11-14T22:16:00Z): open = nan is missing"),
        (changed(2, 4, -1.0), "row 3 (2023-11-14T22:16:00Z): close = -1.0 must be above 0"),
        (changed(2, 2, 90.0), "row 3 (2023-11-14T22:16:00Z): high = 90.0 is below the low"),
        (changed(2, 1, 200.0), "open = 200.0 is not between low and high"),
        (changed(2, 5, -2.0), "volume = -2.0 must not be negative"),
        (changed(2, 0, ROWS[1][0]), "row 3: open_ts = 2023-11-14T22:15:00Z repeats the time of the previous row"),
        (changed(2, 0, ROWS[0][0]), "row 3: open_ts = 2023-11-14T22:14:00Z is before the time of the previous row"),
        ([(ROWS[0][0], 1e-9, 1e-9, 1e-9, 1e-9, 1.0)], "open = 1e-09 is finer than 8 decimals; give more with --set"),
        (changed(2, 5, 1e300), "volume = 1e+300 is too large"),
        (changed(2, 2, 1e12), "high = 1000000000000.0 is too large for 8 price_decimals"),
    ],
)
def test_contradictory_rows_are_refused_by_row_and_value(tmp_path, rows, message):
    with pytest.raises(DataError) as error:
        events(parquet(tmp_path / "a.parquet", rows))
    assert message in str(error.value)
    assert "a.parquet" in str(error.value)


def broken(path, kind):
    if kind == "missing":
        return path / "nothing.parquet"
    if kind == "empty":
        (path / "a.csv").write_text("")
        return path / "a.csv"
    if kind == "header only":
        return csv(path / "a.csv", [])
    if kind == "no rows":
        whole = pq.read_table(parquet(path / "a.parquet"))
        pq.write_table(whole.slice(0, 0), path / "a.parquet")
        return path / "a.parquet"
    if kind == "truncated":
        file = parquet(path / "a.parquet")
        file.write_bytes(file.read_bytes()[:-20])
        return file
    if kind == "column":
        return parquet(path / "a.parquet", names=("ts", "open", "high", "low", "klose", "volume"))
    if kind == "type":
        return parquet(path / "a.parquet", rows=[(*row[:4], True, row[5]) for row in ROWS])
    if kind == "text":
        (path / "a.csv").write_text("time,open,high,low,close,volume\n1700000040000,1,2,1,abc,3\n")
        return path / "a.csv"
    if kind == "trades":
        return parquet(path / "a.parquet", [(1, 2.0, 3.0)], ("ts", "price", "qty"))
    assert kind == "gzip"
    (path / "a.gz").write_bytes(b"\x1f\x8b\x08rest")
    return path / "a.gz"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "there is no such file"),
        ("empty", "is empty"),
        ("header only", "holds no rows"),
        ("no rows", "holds no rows"),
        ("truncated", "cannot be read: Parquet magic bytes not found"),
        ("column", "no column for close"),
        ("type", "the column for close is bool, not a number"),
        ("text", "row 1: close = 'abc' is not a number"),
        ("trades", "holds trades, not bars"),
        ("gzip", "cannot be unpacked"),
    ],
)
def test_files_that_are_no_bars_end_with_code_2_and_leave_old_artifacts(tmp_path, capsys, monkeypatch, kind, message):
    out = tmp_path / "data"
    out.mkdir()
    (out / "trades.parquet").write_text("old")
    path = broken(tmp_path, kind)
    monkeypatch.setattr("sys.argv", ["paperbot", "replay", f"BTC/USDT={path}", "--out", str(out), "--timeframe", "1m"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert message in " ".join(printed.err.split())
    assert path.name in printed.err
    assert [file.name for file in out.iterdir()] == ["trades.parquet"]
    assert (out / "trades.parquet").read_text() == "old"


def test_the_timeframe_is_the_commonest_step():
    times = np.array([0, 60, 120, 360, 420]) * 10**9
    assert told_by(times, None) == fixed(60 * 10**9)


def test_every_recorded_bar_file_loads(real_data):
    """With the oddities that its notes name: gaps, off-grid bars, flat and zero-volume bars, a split."""
    files = recorded_files(real_data, kinds=False)
    assert len(files) == 32
    for name in files:
        plan, bars = read([f"{symbol_of(name)}={real_data / name}"])
        assert len(bars) == pq.read_metadata(real_data / name).num_rows
        assert np.all(bars["flags"] == t.BarFlag.END_OF_SLICE)
        assert len(plan.symbols) == 1


def test_other_recorded_files_are_refused_by_kind(real_data):
    for name in recorded_files(real_data, kinds=True):
        word = {"trades": "trades", "quotes1m": "quotes", "actions": "corporate actions"}[
            next(part for part in name.split("_") if part in {"trades", "quotes1m", "actions"})
        ]
        with pytest.raises(DataError, match=f"holds {word}, not bars"):
            next(BarFile(real_data / name).batches())
    for path in real_data.glob("*.gz"):
        with pytest.raises(DataError, match="holds messages, not bars"):
            BarFile(path)


def test_json_prints_one_object_and_nothing_else(tmp_path, capsys, monkeypatch):
    argv = ["paperbot", "replay", "BTC/USDT=synthetic:1:3000", "--json", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", argv)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 0
    summary = json.loads(capsys.readouterr().out)
    keys = "digest config_hash symbols bars orders fills round_trips fees realized_pnl equity return_pct"
    keys += " max_drawdown_pct sharpe win_rate_pct blocked"
    assert set(keys.split()) <= set(summary)
    assert summary["bars"] == 3000
    assert summary["sharpe"] is None
