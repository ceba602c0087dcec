"""Files at the border: what has only one meaning is read as that, what may have two is asked for."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shell
from cases import Case
from paperbot.app.replay import check_file
from paperbot.errors import CommandError, DataError
from paperbot.market.candles import Columns
from paperbot.market.files import BarFile, Reading, parse_columns
from paperbot.timeframe import parse_timeframe

ROWS = [
    (100.0, 101.5, 99.0, 100.5, 10),
    (100.5, 102.0, 100.0, 101.5, 12),
    (101.5, 103.0, 101.0, 102.5, 9),
    (102.5, 103.5, 101.5, 102.0, 11),
    (102.0, 104.0, 101.0, 103.5, 8),
    (103.5, 105.0, 103.0, 104.5, 7),
]
START = 1704067200


def csv(times, header="time,open,high,low,close,volume", rows=ROWS, more=()):
    lines = [header]
    for k, (time, row) in enumerate(zip(times, rows, strict=False)):
        lines.append(",".join(map(str, (time, *row, *(one[k] for one in more)))))
    return "\n".join(lines) + "\n"


def hours(count=6, step=3600):
    return [START + k * step for k in range(count)]


def read(path, content, **how):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    file = BarFile(path, Reading(**how))
    return file, Columns.join(list(file.batches()))


def refusal(path, content, **how):
    with pytest.raises(DataError) as error:
        read(path, content, **how)
    assert len(str(error.value)) - len(str(path)) < 300
    return str(error.value)


# ---- lengths of bars ----------------------------------------------------------------------------------------------
WEEKS = [1708957800, 1709562600, 1710163800, 1710768600, 1711373400, 1711978200]  # 09:30 in New York.


def test_weeks_of_a_zone_close_by_its_clock(tmp_path):
    """The signal of the second week fills at the open of the third, though that week began an hour sooner."""
    case = Case(tmp_path)
    for how in ({}, {"timeframe": "1w"}):
        with pytest.raises(CommandError, match=r"an hour shorter .*--timeframe 1w@America/New_York"):
            case.run("FOO/USDT", csv(WEEKS), **how)
    case.run("FOO/USDT", csv(WEEKS), "execution.slippage_bps=0", timeframe="1w@America/New_York")
    time, side, _, price, _ = case.fills()[0]
    assert (time, side, price) == ("2024-03-11 13:30:00", "buy", 101.5)


@pytest.mark.parametrize(
    ("text", "opens", "closes"),
    [
        ("4h@Europe/Berlin", "2024-03-30T23:00", "2024-03-31T02:00"),
        ("4h@Europe/Berlin", "2024-10-26T22:00", "2024-10-27T03:00"),
        ("1d@Europe/Berlin", "2024-03-30T23:00", "2024-03-31T22:00"),
        ("1w@Europe/Berlin", "2024-03-24T23:00", "2024-03-31T22:00"),
        ("1M@Asia/Tokyo", "2023-12-31T15:00", "2024-01-31T15:00"),
        ("1M@Europe/Berlin", "2024-11-30T23:00", "2024-12-31T23:00"),
        ("1M", "2024-12-01T00:00", "2025-01-01T00:00"),
    ],
)
def test_closes_by_a_zones_clock(text, opens, closes):
    at = np.array([opens], dtype="datetime64[ns]").astype(np.int64)
    assert parse_timeframe(text).closes(at).astype("datetime64[ns]").astype("datetime64[m]")[0] == np.datetime64(closes)
    assert not parse_timeframe(text).misplaced(at)[0]


@pytest.mark.parametrize("text", ["1h@Europe/Berlin", "30m@UTC", "1M@Mars", "2M", "@UTC", "1d@"])
def test_timeframes_that_no_zone_changes_or_nobody_knows(text):
    allowed = r"not a valid duration|is not a time zone|a time zone is for bars of whole two hours"
    with pytest.raises(ValueError, match=allowed):
        parse_timeframe(text)


@pytest.mark.parametrize(
    ("times", "timeframe", "message"),
    [
        (hours(30), "1d@America/New_York", r"row 3: open_ts = .* is before the end of the previous row"),
        (hours(30, 86_400), "1M", r"row 2: open_ts = 2024-01-02T00:00:00Z is not the first of a month"),
        ([f"2024-{k:02}-{d}" for k, d in ((1, 31), (2, 29), (3, 31), (4, 30))], "1M", r"row 1: .* is not the first of"),
        ([f"2024-{k:02}-01T00:00:00+09:00" for k in range(1, 5)], "1M", r"row 1: .* is not the first of a month"),
    ],
)
def test_a_declared_calendar_is_held_against_every_row(tmp_path, times, timeframe, message):
    rows = [ROWS[0]] * len(times)
    with pytest.raises(DataError, match=message):
        Case(tmp_path).run("FOO/USDT", csv(times, rows=rows), timeframe=timeframe)


def test_months_of_a_zone(tmp_path):
    times = [f"2024-{k:02}-01T00:00:00+09:00" for k in range(1, 7)]
    summary = Case(tmp_path).run("FOO/USDT", csv(times), timeframe="1M@Asia/Tokyo")
    assert (summary["first"], summary["last"]) == ("2023-12-31T15:00:00Z", "2024-06-30T15:00:00Z")


def mixed():
    minutes = [START + 1100 * 3600 + 60 * k for k in range(60)]
    return csv([*hours(1100), *minutes], rows=[(100, 101, 99, 100.5, 1000)] * 1160)


def test_shorter_bars_behind_those_that_told_the_timeframe_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"row 1103: .* a bar of 1h, for the second time in a row; see --timeframe"):
        Case(tmp_path).run("FOO/USDT", mixed())


def test_a_single_bar_that_an_outage_cut_short_is_no_contradiction(tmp_path):
    times = [START, START + 7200, *(START + 7200 + 14_400 * k for k in range(1, 40))]
    Case(tmp_path).run("FOO/USDT", csv(times, rows=[ROWS[0]] * len(times)), timeframe="4h")


# ---- volumes ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["Volatility", "Vol MA 20", "Volume Delta", "Volume MA", "vol_ratio", "Vol XYZ"])
def test_a_column_that_may_be_an_indicator_is_no_volume(tmp_path, name):
    told = refusal(tmp_path / "a.csv", csv(hours(), f"time,open,high,low,close,{name}"))
    assert "no column for volume, and orders cannot fill without one; give it with --columns volume=NAME" in told


def test_an_indicator_beside_the_volume_is_passed_over(tmp_path):
    for name in ("Volume MA", "Volatility", "Vol MA 20"):
        _, columns = read(tmp_path / "a.csv", csv(hours(), f"time,open,high,low,close,Volume,{name}", more=[[5] * 6]))
        assert columns.volume.tolist() == [row[4] for row in ROWS]


def test_any_assets_name_behind_volume_is_proven_by_price(tmp_path):
    money = [round(row[4] * row[3], 4) for row in ROWS]
    _, columns = read(tmp_path / "a.csv", csv(hours(), "time,open,high,low,close,Volume XYZ,Volume USDT", more=[money]))
    assert columns.volume.tolist() == [row[4] for row in ROWS]


def test_flags_in_place_of_volumes_are_refused(tmp_path):
    rows = [[str(1000 * at), *map(str, row[:4]), "1"] for at, row in zip(hours(), ROWS, strict=True)]
    assert "is 0 or 1: probably a flag, not a volume" in refusal(tmp_path / "a.json", json.dumps({"data": rows}))
    assert "5 values and no volume" in refusal(tmp_path / "a.json", json.dumps([row[:5] for row in rows]))


def test_contracts_are_not_coins(tmp_path):
    """Gate's futures; coin-margined klines; and a column that the user names but whose name says something else."""
    gate = [{"t": at, "v": 100_000, "o": 250, "h": 251, "l": 249, "c": 250, "sum": "2500.0"} for at in hours()]
    told = refusal(tmp_path / "a.json", json.dumps(gate))
    assert "no two columns fit price x volume (v = 100000, sum = 2500); if one is the volume in coins" in told
    coin = csv(hours(), "time,open,high,low,close,volume,quote_volume", more=[[9.95] * 6])
    assert "if one is the volume in coins (not contracts)" in refusal(tmp_path / "a.csv", coin)
    assert read(tmp_path / "a.csv", coin, columns={"volume": "quote_volume"})[0].volume_unit is None


def test_a_unit_goes_with_one_column(tmp_path):
    money = [round(row[4] * row[3], 4) for row in ROWS]
    both = csv(hours(), "time,open,high,low,close,Volume BTC,Volume USDT", more=[money])
    told = refusal(tmp_path / "a.csv", both, volume_unit="quote")
    assert "Volume BTC and Volume USDT may be the volume; choose the one in quote with --columns volume=NAME" in told
    how = {"columns": {"volume": "Volume USDT"}, "volume_unit": "quote"}
    file, columns = read(tmp_path / "a.csv", both, **how)
    assert (file.volume_unit, columns.volume.tolist()) == ("quote", money)


def test_one_column_has_one_role(tmp_path):
    told = refusal(tmp_path / "a.csv", csv(hours()), columns={"volume": "close"})
    assert "close and volume cannot be the same column" in told


def test_a_market_in_which_nothing_was_traded_is_said(tmp_path):
    case = Case(tmp_path)
    summary = case.run("FOO/USDT", csv(hours(), rows=[(*row[:4], 0) for row in ROWS]))
    assert summary["fills"] == 0
    assert case.notes[-1] == "FOO/USDT: every bar's volume is 0, so no order can fill"


# ---- numbers ------------------------------------------------------------------------------------------------------
FLAT = [("100.50", "101.00", "100.00", "100.50", "1000")] * 6


def test_written_decimals_are_kept_however_they_are_written(tmp_path):
    """A tick is told by the decimals that prices are written with: with a comma, and after an import, too."""
    case = Case(tmp_path)
    point = csv(hours(), "date,open,high,low,close,volume", FLAT)
    expected = case.run("FOO/USDT", point)
    assert expected["instruments"]["FOO/USDT"]["tick_size"]["value"] == "0.01"
    comma = point.replace(",", ";").replace(".", ",")
    assert case.run("FOO/USDT", comma)["digest"] == expected["digest"]
    (tmp_path / "a.csv").write_text(point)
    code, _, err = shell.call(["data", "import", "a.csv", "--symbol", "FOO/USDT", "--out", "a.parquet"], tmp_path)
    assert code == 0, err
    assert case.run("FOO/USDT", (tmp_path / "a.parquet").read_bytes(), name="b.parquet")["digest"] == expected["digest"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (('"33,155,290"', "$248.13"), (33_155_290, 248.13)),
        (('"1,200.00"', "248.13"), (1200, 248.13)),
        (('"1,200"', "248.13"), (1200, 248.13)),
    ],
)
def test_thousands_that_leave_no_doubt_are_read(tmp_path, cells, expected):
    volume, price = cells
    text = csv(hours(), rows=[(price, price, price, price, volume)] * 6)
    _, columns = read(tmp_path / "a.csv", text)
    assert (columns.volume[0], columns.close[0]) == expected


def test_a_decimal_comma_with_an_exponent(tmp_path):
    text = csv(hours(), rows=[("8,5E-06", "9,1E-06", "8,1E-06", "8,5E-06", "12,5")] * 6).replace(",", ";")
    text = text.replace("8;5E", "8,5E").replace("9;1E", "9,1E").replace("8;1E", "8,1E").replace("12;5", "12,5")
    _, columns = read(tmp_path / "a.csv", text)
    assert (columns.open[0], columns.volume[0]) == (8.5e-06, 12.5)


# ---- times --------------------------------------------------------------------------------------------------------
def test_a_date_that_does_not_exist_is_refused(tmp_path):
    days = ["27/02/2024", "28/02/2024", "29/02/2024", "30/02/2024", "02/03/2024", "03/03/2024"]
    told = refusal(tmp_path / "a.csv", csv(days), time_format="%d/%m/%Y")
    assert "row 4: time = 30/02/2024 is not in the format" in told


def test_a_time_format_holds_for_whole_numbers_of_parquet(tmp_path):
    table = pa.table(
        {"date": [20240101 + k for k in range(6)]}
        | {name: [float(row[k]) for row in ROWS] for k, name in enumerate(("open", "high", "low", "close", "volume"))}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    _, columns = read(tmp_path / "a.parquet", (tmp_path / "a.parquet").read_bytes(), time_format="%Y%m%d")
    assert columns.open_ts.tolist() == [(START + 86_400 * k) * 10**9 for k in range(6)]


def test_a_local_hour_of_parquet_that_is_there_twice_is_refused_by_row(tmp_path):
    local = np.array(["2024-11-03T00:00", "2024-11-03T01:00", "2024-11-03T02:00"], dtype="datetime64[ns]")
    columns = {name: [float(row[k]) for row in ROWS[:3]] for k, name in enumerate(("open", "high", "low", "close"))}
    pq.write_table(pa.table({"date": local, **columns, "volume": [1.0] * 3}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    told = refusal(tmp_path / "a.parquet", content, timezone="America/New_York")
    assert "row 2: date = 2024-11-03 01:00:00" in told
    assert "occurs twice in this zone" in told


def test_times_of_two_programs_in_one_form_are_asked_for(tmp_path):
    text = "\n".join(f"20240101 0{k}0000;" + ";".join(map(str, row)) for k, row in enumerate(ROWS)) + "\n"
    assert "times have no zone; give --timezone" in refusal(tmp_path / "a.csv", text)


@pytest.mark.parametrize("columns", ["open_ts=0 1,open=2,high=3,low=4,close=5,volume=6", "open_ts=Date Timestamp"])
def test_a_date_and_a_time_can_be_told(tmp_path, columns):
    header = "" if "0 1" in columns else "Date,Timestamp,Open,High,Low,Close,Volume\n"
    lines = [f"2024-01-01,0{k}:00:00," + ",".join(map(str, row)) for k, row in enumerate(ROWS)]
    _, found = read(tmp_path / "a.csv", header + "\n".join(lines) + "\n", columns=parse_columns(columns))
    assert found.open_ts.tolist() == [one * 10**9 for one in hours()]


# ---- names --------------------------------------------------------------------------------------------------------
def test_names_that_differ_in_case_or_stand_twice(tmp_path):
    rows = [
        {"t": at * 1000, "T": at * 1000 + 3_599_999, "o": o, "c": c, "h": h, "l": low, "v": v}
        for at, (o, h, low, c, v) in zip(hours(), ROWS, strict=True)
    ]
    _, columns = read(tmp_path / "a.json", json.dumps(rows))
    assert columns.open_ts.tolist() == [one * 10**9 for one in hours()]
    twice = csv(hours(), "time,open,high,low,close,Volume,Volume", more=[[1] * 6])
    _, columns = read(tmp_path / "a.csv", twice, columns={"volume": "6"})
    assert columns.volume.tolist() == [1] * 6


@pytest.mark.parametrize(
    ("told", "asked", "fits"),
    [
        ("ETHUSDT", "BTC/USDT", False),
        ("ETH", "BTC/USDT", False),
        ("BTCUSDT", "BTC/USDT", True),
        ("BTC-USD", "BTC/USDT", True),
        ("XBTUSD", "BTC/USD", True),
        ("BINANCE:BTCUSDT", "BTC/USDT", True),
        ("SPY.US", "SPY/USD", True),
        ("BTCUSDT", "USDT/TRY", False),
    ],
)
def test_a_files_own_symbol_must_be_the_one_that_is_asked_for(tmp_path, told, asked, fits):
    text = csv(hours(), "time,open,high,low,close,volume,symbol", more=[[told] * 6])
    file, _ = read(tmp_path / "a.csv", text)
    if fits:
        file.check_symbol(asked)
        return
    with pytest.raises(DataError, match=f"row 1: its symbol is {told}, not {asked}"):
        file.check_symbol(asked)
    with pytest.raises(DataError, match=f"row 1: its symbol is {told}, not {asked}"):
        Case(tmp_path).run(asked, text)


def test_columns_without_names_in_another_order_are_asked_for(tmp_path):
    gate = "\n".join(f"{at},{v},{c},{h},{low},{o}" for at, (o, h, low, c, v) in zip(hours(), ROWS, strict=True))
    told = refusal(tmp_path / "a.csv", gate + "\n")
    assert "its columns are not time, open, high, low, close; give their order, such as --columns open_ts=0" in told
    order = parse_columns("open_ts=0,volume=1,close=2,high=3,low=4,open=5")
    _, columns = read(tmp_path / "a.csv", gate + "\n", columns=order)
    assert columns.high.tolist() == [row[1] for row in ROWS]
    one_wrong = csv(hours(), rows=[(100, 99, 98, 100, 1), *ROWS[1:]]).partition("\n")[2]
    assert len(read(tmp_path / "a.csv", one_wrong)[1]) == 6  # The row is refused later, by its number.


def test_dear_prices_are_kept_with_fewer_decimals(tmp_path):
    rows = [tuple(one * 4e8 if k < 4 else one for k, one in enumerate(row)) for row in ROWS]
    money = ("account.balances.IRR=1000000000000", "account.decimals.IRR=2", "account.currency=IRR")
    money += ("execution.min_notional=10000000", "risk.fixed_quote=100000000000")
    summary = Case(tmp_path).run("BTC/IRR", csv(hours(), rows=rows), *money)
    assert summary["fills"] > 0
    assert int(summary["instruments"]["BTC/IRR"]["price_decimals"]["value"]) < 8


def test_a_run_that_is_refused_midway_leaves_no_folder(tmp_path):
    case = Case(tmp_path)
    with pytest.raises(DataError, match="row 5"):
        case.run("FOO/USDT", csv(hours(), rows=[*ROWS[:4], (100, 99, 98, 100, 1), ROWS[5]]))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "timeframe", "kind"),
    [
        (
            csv(hours(), "open_time,open,high,low,close,volume,close_time", more=[[*hours()[1:], START + 20_000]]),
            "1h",
            "close does not match the timeframe",
        ),
        (csv([f"2024-0{k}-02" for k in range(1, 7)]), "1M", "does not open on the first of a month"),
    ],
)
def test_data_check_reports_what_replay_refuses(tmp_path, text, timeframe, kind):
    (tmp_path / "a.csv").write_text(text)
    report = check_file(tmp_path / "a.csv", timeframe, 8)
    assert kind in [finding["kind"] for finding in report["findings"]]
    with pytest.raises(DataError):
        Case(tmp_path).run("FOO/USDT", text, timeframe=timeframe)


# ---- import -------------------------------------------------------------------------------------------------------
def imported(folder, *files, how=()):
    return shell.call(["data", "import", *files, "--symbol", "FOO/USDT", "--out", "out.parquet", *how], folder)


@pytest.mark.parametrize(
    ("text", "how", "message"),
    [
        (csv([hours()[k] for k in (0, 1, 3, 2, 4, 5)]), (), "a.csv: row 4: .* is before the time of the previous row"),
        (mixed(), (), "a.csv: row 1103: .* is before the end of the previous row"),
        (csv(hours(), "Date,Open,High,Low,Close,Adj Close,Volume", more=[[5000] * 6]), (), "give --volume-unit base"),
        (csv(hours(), more=[["x"] * 6]).replace("volume", "volume,junk"), ("--columns", "close_ts=junk"), "row 1"),
        (
            csv(hours(), "open_time,open,high,low,close,volume,close_time", more=[[one + 1800 for one in hours()]]),
            ("--timeframe", "1h"),
            "row 1 .*: close_ts = .* is not the close of a bar of 1h",
        ),
        (csv(hours(), rows=[(*ROWS[0][:4], ""), *ROWS[1:]]), (), r"a.csv: row 1 .*: volume = nan is missing"),
    ],
)
def test_import_refuses_what_replay_refuses(tmp_path, text, how, message):
    (tmp_path / "a.csv").write_text(text)
    code, _, err = imported(tmp_path, "a.csv", how=how)
    assert code == 2
    told = " ".join(err.split())
    assert re.search(message, told), told
    assert not (tmp_path / "out.parquet").exists()


def test_import_does_not_write_over_its_source(tmp_path):
    (tmp_path / "out.parquet").write_text(csv(hours()))
    code, _, err = imported(tmp_path, "out.parquet")
    assert code == 2
    assert "is one of the files to import" in err
    assert (tmp_path / "out.parquet").read_text() == csv(hours())
