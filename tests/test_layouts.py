"""Layouts of files: one table of bars, written in every way that people have, is read as the same bars or refused."""

import bz2
import gzip
import io
import json
import os
import zipfile
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import Case
from effort import amount
from paperbot.errors import ConfigError, DataError, PaperbotError
from paperbot.market.candles import Columns
from paperbot.market.files import BarFile, Reading, parse_columns
from paperbot.market.headers import plain_name
from paperbot.market.layouts import LAYOUTS
from paperbot.timeframe import parse_timeframe, told_by

START = datetime(2024, 12, 31, 20, tzinfo=UTC)
BARS = [  # open, high, low, close, base, quote
    (93000.5, 93120.0, 92950.25, 93080.0, 12.5, 1162900.0),
    (93080.0, 93080.0, 92900.0, 92910.5, 8.25, 767300.0),
    (92910.5, 93300.75, 92910.5, 93250.0, 20.0, 1862500.0),
    (93250.0, 93260.0, 93100.0, 93111.1, 3.125, 291300.0),
    (93111.1, 93150.0, 93000.0, 93020.0, 5.5, 511900.0),
    (93020.0, 93400.0, 93010.0, 93390.0, 31.0, 2890000.0),
]
TIMES = [START + timedelta(hours=k) for k in range(len(BARS))]
NS = [round(one.timestamp()) * 10**9 for one in TIMES]


def read(path, **how):
    file = BarFile(path, Reading(**how))
    return file, Columns.join(list(file.batches()))


def same(columns):
    got = [columns.open_ts.tolist(), *([getattr(columns, name).tolist() for name in ("open", "high", "low", "close")])]
    return got == [NS, *(list(column) for column in list(zip(*BARS, strict=True))[:4])]


def written(path, lines, end="\n"):
    path.write_text(end.join(lines) + end, encoding="utf-8", newline="")
    return path


def ms(k):
    return NS[k] // 10**6


# ---- each layout of the table ----------------------------------------------------------------------------------------
def archive(k, per_ms=1):
    o, h, low, c, v, q = BARS[k]
    at, close = ms(k) * per_ms, (ms(k) + 3_600_000) * per_ms - 1
    return f"{at},{o},{h},{low},{c},{v},{close},{q},100,{v / 2},{q / 2},0"


def plain(time, k, *more):
    o, h, low, c, v, _ = BARS[k]
    return ",".join(map(str, (time, o, h, low, c, v, *more)))


FILES = {
    "binance_archive": lambda: [archive(k) if k < 4 else archive(k, 1000) for k in range(6)],  # us from 2025 on.
    "named as Binance does": lambda: [
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,x",
        *(archive(k) for k in range(6)),
    ],
    "cryptodatadownload": lambda: [
        "https://www.CryptoDataDownload.com",
        "Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount",
        *(
            f"{ms(k) if k % 2 else NS[k] // 10**9},{TIMES[k]:%Y-%m-%d %H:%M:%S},BTCUSDT,"
            + ",".join(map(str, BARS[k]))
            + ",7"
            for k in reversed(range(6))
        ),
    ],
    "cryptodatadownload am pm": lambda: [
        "Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USD",
        *(f"{TIMES[k]:%Y-%m-%d %I-%p},BTCUSD," + ",".join(map(str, BARS[k])) for k in reversed(range(6))),
    ],
    "cryptodatadownload names swapped": lambda: [
        "Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USD",
        *(
            f"{TIMES[k]:%Y-%m-%d %I-%p},BTCUSD,"
            + ",".join(map(str, (*BARS[k][:4], BARS[k][5], BARS[k][4]) if k % 2 else BARS[k]))
            for k in reversed(range(6))
        ),
    ],
    "kraken_ohlcvt": lambda: [plain(NS[k] // 10**9, k, 12) for k in range(6)],
    "bitstamp_dump": lambda: [
        "Timestamp,Open,High,Low,Close,Volume_(BTC),Volume_(Currency),Weighted_Price",
        *(f"{NS[k] // 10**9}," + ",".join(map(str, BARS[k])) + ",93000" for k in range(6)),
        "1735700000,NaN,NaN,NaN,NaN,NaN,NaN,NaN",
    ],
    "yfinance_history": lambda: [
        "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits",
        *(plain(f"{TIMES[k] - timedelta(hours=5):%Y-%m-%d %H:%M:%S}-05:00", k, 0, 0) for k in range(6)),
    ],
    "stooq": lambda: [
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
        *(f"BTC,60,{TIMES[k]:%Y%m%d,%H%M%S}," + plain("", k)[1:] + ",0" for k in range(6)),
    ],
    "stooq_polish": lambda: [
        "Data,Czas,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen",
        *(plain(f"{TIMES[k]:%Y-%m-%d,%H:%M:%S}", k) for k in range(6)),
    ],
    "lean_crypto": lambda: [plain(f"{TIMES[k]:%Y%m%d %H:%M}", k) for k in range(6)],
    "dukascopy": lambda: [
        "Gmt time,Open,High,Low,Close,Volume",
        *(plain(f"{TIMES[k]:%d.%m.%Y %H:%M:%S}.000", k) for k in range(6)),
    ],
    "named by Dukascopy in local time": lambda: [
        "Local time,Open,High,Low,Close,Volume",
        *(plain(f"{TIMES[k] + timedelta(hours=2):%d.%m.%Y %H:%M:%S}.000 GMT+0200", k) for k in range(6)),
    ],
    "metatrader": lambda: [
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
        *("\t".join([*f"{TIMES[k]:%Y.%m.%d %H:%M:%S}".split(), *map(str, BARS[k][:5]), "0", "3"]) for k in range(6)),
    ],
    "metatrader_history": lambda: [plain(f"{TIMES[k]:%Y.%m.%d,%H:%M}", k) for k in range(6)],
    "tradingview": lambda: [
        "time,open,high,low,close,Plot,Plot,Volume",
        *(f"{NS[k] // 10**9}," + ",".join(map(str, BARS[k][:4])) + f",NaN,,{BARS[k][4]}" for k in range(6)),
    ],
    "named alpaca": lambda: [
        "symbol,timestamp,open,high,low,close,volume,trade_count,vwap",
        *("BTC/USD," + plain(f"{TIMES[k]:%Y-%m-%d %H:%M:%S}+00:00", k, 9, 93000) for k in range(6)),
    ],
    "tradingview date and time": lambda: [
        "Date,Time,Open,High,Low,Close,Volume",
        *(plain(f"{TIMES[k]:%Y-%m-%d,%H:%M}", k) for k in range(6)),
    ],
    "named semicolons": lambda: [
        "Date;Open;High;Low;Close;Volume",
        *(plain(f"{TIMES[k]:%Y-%m-%d %H:%M}", k).replace(",", ";").replace(".", ",") for k in range(6)),
    ],
    "named htx": lambda: [
        "id,open,close,low,high,amount,vol,count",
        *(
            ",".join(map(str, (NS[k] // 10**9, BARS[k][0], BARS[k][3], BARS[k][2], BARS[k][1], *BARS[k][4:], 5)))
            for k in reversed(range(6))
        ),
    ],
    "named unnamed index": lambda: [
        ",Open,High,Low,Close,Volume",
        *(plain(f"{TIMES[k]:%Y-%m-%d %H:%M:%S}", k) for k in range(6)),
    ],
    "no_header": lambda: [plain(ms(k), k) for k in range(6)],
}
TOLD = {
    "stooq": {"timezone": "UTC"},
    "stooq_polish": {"timezone": "UTC"},
    "metatrader": {"timezone": "UTC"}, "metatrader_history": {"timezone": "UTC"},
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("packed", ["", "gzip", "zip", "crlf"])
def test_each_layout_is_read_as_the_same_bars(tmp_path, name, packed):
    path = written(tmp_path / "a.csv", FILES[name](), "\r\n" if packed == "crlf" else "\n")
    if packed == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes()))
    elif packed == "zip":
        content = path.read_bytes()
        with zipfile.ZipFile(path, "w") as archive_:
            archive_.writestr("../../etc/bars.csv", content)
            archive_.writestr("bars.csv.CHECKSUM", "x")
    file, columns = read(path, **TOLD.get(name, {}))
    assert file.layout.name == name.split(" ")[0]
    assert same(columns)
    if file.layout.volume != "unsaid":
        assert columns.volume.tolist() == [bar[4] for bar in BARS]
    assert file.volume_unit == (None if file.layout.volume == "unsaid" else "base")


def test_yfinances_three_header_rows(tmp_path):
    lines = ["Price,Close,High,Low,Open,Volume", "Ticker,OPEN,OPEN,OPEN,OPEN,OPEN", "Datetime,,,,,"]
    for k, (o, h, low, c, v, _) in enumerate(BARS):
        lines.append(f"{TIMES[k]:%Y-%m-%d %H:%M:%S}+00:00,{c},{h},{low},{o},{v}")
    file, columns = read(written(tmp_path / "a.csv", lines))
    assert same(columns)
    assert file.layout.name == "yfinance"
    with pytest.raises(DataError, match="holds several symbols: A, B"):
        read(written(tmp_path / "b.csv", [lines[0], "Ticker,A,B,A,B,A", *lines[2:]]))


NUMBERED = list(enumerate(BARS))
ISO = [f"{one:%Y-%m-%dT%H:%M:%SZ}" for one in TIMES]
SECONDS = [one // 10**9 for one in NS]
ALPACA = [
    {"c": b[3], "h": b[1], "l": b[2], "n": 4, "o": b[0], "t": ISO[k], "v": b[4], "vw": 93000.0} for k, b in NUMBERED
]
JSON = {
    "ccxt": [[ms(k), *b[:5]] for k, b in NUMBERED],
    "freqtrade, newest first": [[ms(k), *b[:5]] for k, b in reversed(NUMBERED)],
    "coinbase": [[SECONDS[k], b[2], b[1], b[0], b[3], b[4]] for k, b in NUMBERED],
    "bitfinex": [[ms(k), b[0], b[3], b[1], b[2], b[4]] for k, b in NUMBERED],
    "bybit": {"result": {"list": [[str(ms(k)), *map(str, b)] for k, b in NUMBERED]}},
    "kucoin": {"code": "200000", "data": [[SECONDS[k], b[0], b[3], b[1], b[2], b[4], b[5]] for k, b in NUMBERED]},
    "kraken": {"result": {"XXBTZUSD": [[SECONDS[k], *b[:4], b[3], str(b[4]), 3] for k, b in NUMBERED], "last": 1}},
    "mexc": [[ms(k), *map(str, b[:5]), ms(k) + 3_600_000, str(b[5])] for k, b in NUMBERED],
    "poloniex": [
        [b[2], b[1], b[0], b[3], str(b[5]), str(b[4]), "1", "1", 9, 0, b[5] / b[4], "HOUR_1", ms(k), ms(k) + 3_599_999]
        for k, b in NUMBERED
    ],
    "bitget": [[ms(k), *map(str, b), str(b[5])] for k, b in NUMBERED],
    "okx swaps": [[ms(k), *map(str, b[:4]), "355", str(b[4]), str(b[5]), "1"] for k, b in NUMBERED],
    "pandas split": {"columns": ["open", "time", *["high", "low", "close", "volume"]],
                     "data": [[b[0], ms(k), *b[1:5]] for k, b in NUMBERED]},
    "gate": [[str(SECONDS[k]), b[5], b[3], b[1], b[2], b[0], b[4], "true"] for k, b in NUMBERED],
    "okx": {"data": [[str(ms(k)), *map(str, b), str(b[5]), "1"] for k, b in NUMBERED]},
    "binance": [[ms(k), *map(str, b[:5]), ms(k) + 3_599_999, str(b[5]), 1, "1", "1", "0"] for k, b in NUMBERED],
    "alpaca": {"bars": ALPACA, "next_page_token": None},
    "alpaca by symbol": {"bars": {"BTC/USD": ALPACA}},
}


@pytest.mark.parametrize("name", JSON)
def test_json_of_exchanges(tmp_path, name):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(JSON[name], indent=1 if name == "ccxt" else None))
    _, columns = read(path)
    assert same(columns)
    assert columns.volume.tolist() == [bar[4] for bar in BARS]


def test_arrays_whose_order_nothing_tells_are_asked_for(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([[ms(k), 5, 5, 5, 5, 2] for k in range(3)]))
    with pytest.raises(DataError, match="fit the order of ccxt and freqtrade and of Coinbase and of Bitfinex"):
        read(path)
    _, columns = read(path, columns=parse_columns("open_ts=0,open=1,high=2,low=3,close=4,volume=5"))
    assert len(columns) == 3


PRICES = {name: [bar[place] for bar in BARS] for place, name in enumerate(("open", "high", "low", "close", "volume"))}
TABLE = pa.table(
    {
        "date": pa.array(NS, pa.timestamp("ns", tz="UTC")),
        **{name: pa.array(values) for name, values in PRICES.items()},
    }
)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
@pytest.mark.parametrize("name", ["date", "__index_level_0__", "timestamp"])
def test_pandas_parquet_and_feather(tmp_path, unit, zone, name):
    times = TABLE["date"].cast(pa.timestamp(unit, tz="UTC")).cast(pa.timestamp(unit, tz=zone))
    table = TABLE.set_column(0, name, times)
    pq.write_table(table, tmp_path / "a.parquet")
    pf.write_feather(table, tmp_path / "a.feather")
    assert same(read(tmp_path / "a.parquet")[1])
    assert same(read(tmp_path / "a.feather")[1])


# ---- the same table in every way -------------------------------------------------------------------------------------
TIME_FORMS = {
    "s": lambda t: str(round(t.timestamp())),
    "s float": lambda t: f"{t.timestamp():.1f}",
    "ms": lambda t: str(round(t.timestamp()) * 10**3),
    "us": lambda t: str(round(t.timestamp()) * 10**6),
    "ns": lambda t: str(round(t.timestamp()) * 10**9),
    "iso": lambda t: t.strftime("%Y-%m-%d %H:%M:%S"),
    "iso T Z": lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "iso minutes": lambda t: t.strftime("%Y-%m-%d %H:%M"),
    "iso offset": lambda t: t.astimezone(ZoneInfo("Asia/Tokyo")).strftime("%Y-%m-%d %H:%M:%S+09:00"),
    "dots": lambda t: t.strftime("%Y.%m.%d %H:%M"),
    "slashes": lambda t: t.strftime("%Y/%m/%d %H:%M:%S"),
    "utc word": lambda t: t.strftime("%Y-%m-%d %H:%M:%S UTC"),
    "fraction": lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    "day first": lambda t: t.strftime("%d/%m/%Y %H:%M"),
    "date number": lambda t: t.strftime("%Y%m%d%H%M"),
    "spreadsheet": lambda t: f"{(t - datetime(1899, 12, 30, tzinfo=UTC)) / timedelta(days=1):.6f}",
    "scientific": lambda t: f"{t.timestamp() * 1000:.5E}",
}
REFUSED = {"day first", "date number", "spreadsheet", "scientific"}
NAMES = {
    "open_ts": ["timestamp", "Date", "open_time", "Open time", "time", "datetime", "Unix"],
    "open": ["open", "Open", " open ", "OPEN", "<OPEN>", "o"],
    "high": ["high", "High", "h"],
    "low": ["low", "Low", "l"],
    "close": ["close", "Close", "c"],
    "volume": ["volume", "Volume", " volume ", "vol", "v", "Amount"],
}


@settings(max_examples=amount(150, 50))
@given(data=st.data())
def test_every_way_of_writing_one_table_gives_the_same_bars_or_a_refusal(tmp_path, data):
    form = data.draw(st.sampled_from(list(TIME_FORMS)))
    roles = data.draw(st.permutations(list(NAMES)))
    names = [data.draw(st.sampled_from(NAMES[role])) for role in roles]
    separator = data.draw(st.sampled_from([",", ";", "\t", "|"]))
    comma = separator != "," and data.draw(st.booleans())
    newest_first = data.draw(st.booleans())
    extra = data.draw(st.booleans())
    quoted = data.draw(st.booleans())
    lines = []
    for k, bar in enumerate(BARS):
        values = dict(zip(("open", "high", "low", "close", "volume"), bar, strict=False))
        cells = [
            TIME_FORMS[form](TIMES[k]) if role == "open_ts" else str(values[role]).replace(".", "," if comma else ".")
            for role in roles
        ]
        lines.append(separator.join([*(f'"{cell}"' if quoted else cell for cell in cells), *(["x"] if extra else [])]))
    if newest_first:
        lines.reverse()
    header = separator.join([*names, *(["note"] if extra else [])])
    content = ("\ufeff" if data.draw(st.booleans()) else "") + "\n".join([header, *lines]) + "\n"
    raw = content.encode()
    packing = data.draw(st.sampled_from(["", "gzip", "zip"]))
    if packing == "gzip":
        raw = gzip.compress(raw)
    elif packing == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive_:
            archive_.writestr("a.csv", raw)
        raw = buffer.getvalue()
    path = tmp_path / "a.csv"
    path.write_bytes(raw)
    if form in REFUSED:
        with pytest.raises(DataError) as error:
            read(path)
        assert len(str(error.value)) - len(str(path)) < 200
        return
    _, columns = read(path)
    assert same(columns)
    assert columns.volume.tolist() == [bar[4] for bar in BARS]


# ---- what can be told ------------------------------------------------------------------------------------------------
def test_columns_can_be_told(tmp_path):
    lines = ["Zeit,Auf,Oben,Unten,Ab,Umsatz", *(plain(f"{TIMES[k]:%d/%m/%Y %H:%M}", k) for k in range(6))]
    path = written(tmp_path / "a.csv", lines)
    columns = parse_columns("open_ts=Zeit,open=Auf,high=Oben,low=Unten,close=Ab,volume=Umsatz")
    assert same(read(path, columns=columns, time_format="%d/%m/%Y %H:%M")[1])
    with pytest.raises(DataError, match=r"has no column Zeitt \(did you mean Zeit\?\)"):
        read(path, columns={**columns, "open_ts": "Zeitt"})
    with pytest.raises(DataError, match="no column for open_ts; give it with --columns open_ts=NAME"):
        read(path)


def test_a_zone_can_be_told(tmp_path):
    zone = ZoneInfo("Europe/Berlin")
    local = [f"{one.astimezone(zone):%Y-%m-%d %H:%M}" for one in TIMES]
    lines = ["date,open,high,low,close,volume", *(plain(time, k) for k, time in enumerate(local))]
    path = written(tmp_path / "a.csv", lines)
    assert same(read(path, timezone="Europe/Berlin")[1])
    assert not same(read(path)[1])


@pytest.mark.parametrize(
    ("times", "zone", "refusal"),
    [
        (["2024-10-27 01:30", "2024-10-27 02:30", "2024-10-27 03:30"], "Europe/Berlin", "row 2: .* occurs twice in"),
        (["2024-03-31 01:30", "2024-03-31 02:30", "2024-03-31 03:30"], "Europe/Berlin", "row 2: .* does not exist in"),
        (["2024-03-01 00:00", "2024-03-01 01:00", "2024-03-01 02:00Z"], None, "row 3: .* has a zone and the times"),
        (["2024-03-01 00:00Z", "2024-03-01 01:00", "2024-03-01 02:00"], None, "row 2: .* has a zone and the times"),
    ],
)
def test_local_hours_that_are_not_one_moment_are_refused_by_row(tmp_path, times, zone, refusal):
    path = written(tmp_path / "a.csv", ["date,open,high,low,close,volume", *map(plain, times, range(3))])
    with pytest.raises(DataError, match=refusal):
        read(path, timezone=zone)


def test_a_layout_without_a_zone_asks_for_it(tmp_path):
    with pytest.raises(DataError, match="MetaTrader's times have no zone; give --timezone"):
        read(written(tmp_path / "a.csv", FILES["metatrader"]()))


def test_a_volume_that_may_be_money_is_asked_for(tmp_path):
    case = Case(tmp_path)
    lines = ["Date,Open,High,Low,Close,Adj Close,Volume"]
    lines += [f"2024-01-{k + 1:02d},100,101,99,100,90,5000" for k in range(6)]
    text = "\n".join(lines) + "\n"
    with pytest.raises(PaperbotError, match="does not say what its volume counts; give --volume-unit"):
        case.run("BTC/USDT", text)
    assert case.run("BTC/USDT", text, reading=Reading(volume_unit="base"))["fills"] == 2
    assert case.run("AAPL/USD", text, "exchange=alpaca", "environment=paper")["fills"] == 2
    case.run("BTC/USDT", text, "risk.fixed_quote=1000", reading=Reading(volume_unit="quote"))
    assert case.fills()[0][2] == pytest.approx(4.95049)  # A tenth of 5,000 USDT at 101.


def test_turnover_is_not_taken_for_volume(tmp_path):
    """A tenth of 1.5 a bar, whether the turnover is called vol or turnover."""
    case = Case(tmp_path)
    for name in ("vol", "turnover"):
        lines = [f"timestamp,open,close,low,high,amount,{name},count"]
        for k in range(6):
            prices = "42300,42310" if k % 2 == 0 else "42310,42300"
            lines.append(f"{1_704_067_200 + 60 * k},{prices},42290,42320,1.5,63450,50")
        summary = case.run("BTC/USDT", "\n".join(lines) + "\n", "risk.fixed_quote=9000")
        assert [fill[2] for fill in case.fills()] == [0.15, 0.06276, 0.15, 0.06276]
        assert summary["equity"] == 9978.39809439


def test_two_volumes_that_price_cannot_tell_apart_are_asked_for(tmp_path):
    lines = ["time,open,high,low,close,volume,quote_volume", *(plain(ms(k), k, 77) for k in range(3))]
    with pytest.raises(DataError, match=r"row 1: no two columns fit price x volume \(volume = 12.5, quote"):
        read(written(tmp_path / "a.csv", lines))
    file, columns = read(tmp_path / "a.csv", columns={"volume": "quote_volume"})
    assert columns.volume.tolist() == [77, 77, 77]
    assert file.volume_unit is None


# ---- times -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("20200102", "if it is a date, give --time-format %Y%m%d"),
        ("202001020900", "%Y%m%d%H%M"),
        ("20200102090000", "%Y%m%d%H%M%S"),
        *((value, "is not an epoch of 1990") for value in ("43831", "60", "-5", "631151999", "1e999", "abc", "")),
    ],
)
def test_numbers_that_are_no_epoch_are_refused_with_what_they_may_be(tmp_path, value, hint):
    path = written(tmp_path / "a.csv", ["date,open,high,low,close,volume", f"{value},1,2,1,2,3", f"{value},1,2,1,2,3"])
    with pytest.raises(DataError) as error:
        read(path)
    assert hint in str(error.value)
    assert f"row 1: date = {value}" in str(error.value)


def test_dates_are_dates_when_that_is_said(tmp_path):
    case = Case(tmp_path)
    days = ("20200102", "20200103", "20200106", "20200107", "20200108", "20200109", "20200110")
    prices = (100, 100, 100, 110, 110, 110, 110)
    rows = [f"{day},{p},{p},{p},{p},1000" for day, p in zip(days, prices, strict=True)]
    lines = ["date,open,high,low,close,volume", *rows]
    case.run("SPY/USD", "\n".join(lines) + "\n", reading=Reading(time_format="%Y%m%d"), cash=["USD=10000"])
    assert case.fills()[0][0] == "2020-01-06 00:00:00"


def test_the_unit_of_an_epoch_is_decided_in_each_row(tmp_path):
    summary = Case(tmp_path).run("BTC/USDT", "\n".join(archive(k, 1000 if k > 3 else 1) for k in range(6)) + "\n")
    assert summary["bars"] == 6
    _, columns = read(tmp_path / "bars.csv")
    assert np.diff(columns.open_ts).tolist() == [3600 * 10**9] * 5


# ---- closes ----------------------------------------------------------------------------------------------------------
MONTHS = [
    ("2023-01-01", "16541.77,23960.54,16499.01,23125.13"),
    ("2023-02-01", "23125.13,25250.00,21351.07,23141.57"),
    ("2023-03-01", "23141.57,29184.68,19549.09,28465.36"),
    ("2023-04-01", "28465.36,31000.00,26942.82,29233.21"),
    ("2023-05-01", "29233.20,29820.00,25811.46,27210.35"),
    ("2023-06-01", "27210.36,31431.94,24800.00,30472.00"),
    ("2023-07-01", "30471.99,31804.20,28861.90,29232.25"),
    ("2023-08-01", "29232.26,30244.00,25166.00,25940.78"),
]


@pytest.mark.parametrize("with_closes", [True, False])
def test_months_close_with_the_calendar(tmp_path, with_closes):
    lines = ["open_time,open,high,low,close,volume" + (",close_time" if with_closes else "")]
    for k, (day, prices) in enumerate(MONTHS):
        following = MONTHS[k + 1][0] if k + 1 < len(MONTHS) else "2023-09-01"
        open_ms, close_ms = (int(np.datetime64(one, "ms").astype(np.int64)) for one in (day, following))
        lines.append(f"{open_ms},{prices},1000000" + (f",{close_ms - 1}" if with_closes else ""))
    case = Case(tmp_path)
    case.run("BTC/USDT", "\n".join(lines) + "\n", buy=4, sell=6)
    assert [fill[:2] + fill[3:4] for fill in case.fills()] == [
        ("2023-05-01 00:00:00", "buy", 29239.05),
        ("2023-07-01 00:00:00", "sell", 30465.89),
    ]
    assert any("timeframe 1M" in note for note in case.notes)


def test_local_days_have_23_24_or_25_hours():
    zone = ZoneInfo("America/New_York")
    opens = np.array([round(datetime(2024, 3, 8 + k, tzinfo=zone).timestamp()) for k in range(5)]) * 10**9
    closes = parse_timeframe("1d@America/New_York").closes(opens)
    assert closes[:-1].tolist() == opens[1:].tolist()
    assert np.diff(opens).tolist() == [hours * 3600 * 10**9 for hours in (24, 24, 23, 24)]
    with pytest.raises(ConfigError, match="23, 24 and 25 hours; give their zone"):
        told_by(opens, None)


def test_months_labelled_by_their_last_day_are_refused():
    ends = np.array(["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"], dtype="datetime64[ns]").astype(np.int64)
    with pytest.raises(ConfigError, match="must open on the first of a month"):
        told_by(ends, None)


def test_a_close_that_contradicts_the_step_is_refused_by_row(tmp_path):
    lines = [archive(0), archive(1), archive(2).replace(str(ms(2) + 3_599_999), str(ms(2) + 3_500_000))]
    with pytest.raises(DataError, match=r"row 3 .*close_ts = .* is not the close of a bar of 1h"):
        Case(tmp_path).run("BTC/USDT", "\n".join(lines) + "\n")


# ---- what a sceptical reader found -----------------------------------------------------------------------------------
def test_round_prices_do_not_make_a_tick(tmp_path):
    """A stable coin at 1: its tick is not 1, and a sale of it is paid."""
    case = Case(tmp_path)
    rows = ["time,open,high,low,close,volume", *(f"{1_704_067_200 + 60 * k},1,1,1,1,1000000" for k in range(8))]
    case.run("FOO/USDT", "\n".join(rows) + "\n")
    assert [fill[3] for fill in case.fills()] == [1.0002, 0.9998]
    case.run("FOO/USDT", ("\n".join(rows) + "\n").replace(",1,1,1,1,", ",1.00,1.00,1.00,1.00,"))
    assert [fill[3] for fill in case.fills()] == [1.01, 0.99]  # Written with its decimals, the tick is shown.


def test_thousands_in_volumes_are_seen_beside_prices_with_a_decimal_comma(tmp_path):
    head = "Datum;Eröffnung;Hoch;Tief;Schlusskurs;Stuecke"
    _, columns = read(written(tmp_path / "a.csv", [head, "2024-01-02;187,15;188,44;183,89;185,64;1.200"]))
    assert (columns.open[0], columns.volume[0]) == (187.15, 1200)
    rows = ["2024-01-02;187,15;188,44;183,89;185,64;1410,75", "2024-01-03;187,15;188,44;183,89;185,64;1200.5"]
    with pytest.raises(DataError, match=r"row 2: volume = '1200.5' is not a number"):
        read(written(tmp_path / "b.csv", [head, *rows]))
    with pytest.raises(DataError, match=r"'42.280' may be thousands or a decimal"):
        read(written(tmp_path / "c.csv", [head, "2024-01-02;42.280;42.355;42.273;42.341;12"]))


@pytest.mark.parametrize("name", ["Volume USD", "Volume_(Currency)", "Volume USDT"])
def test_a_single_volume_in_money_is_asked_for(tmp_path, name):
    lines = [f"time,open,high,low,close,{name}", *(plain(ms(k), k) for k in range(6))]
    with pytest.raises(PaperbotError, match="does not say what its volume counts"):
        Case(tmp_path).run("BTC/USDT", "\n".join(lines) + "\n")


def test_quarters_are_not_months():
    opens = np.array(["2020-01-01", "2020-04-01", "2020-07-01"], dtype="datetime64[ns]").astype(np.int64)
    with pytest.raises(ConfigError, match="more than a month apart"):
        told_by(opens, None)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((168, 167, 168, 168), "some of its bars are an hour shorter"),
        ((4, 4, 3, 4, 4), "some of its bars are an hour shorter"),
        ((504, 504, 168), "not evenly spaced"),
        ((10, 10, 15, 15, 10), "not evenly spaced"),
    ],
)
def test_steps_that_tell_no_timeframe_are_asked_for(steps, message):
    opens = np.cumsum([473_000, *steps]) * 3600 * 10**9
    with pytest.raises(ConfigError, match=message):
        told_by(opens, None)


def test_a_declared_timeframe_must_fit_the_file(tmp_path):
    case = Case(tmp_path)
    text = "\n".join(FILES["no_header"]()) + "\n"
    with pytest.raises(PaperbotError, match="its bars are 1h apart: as bars of 4h they would overlap"):
        case.run("BTC/USDT", text, timeframe="4h")
    assert case.run("BTC/USDT", text, timeframe="1h")["bars"] == 6


@pytest.mark.parametrize("value", ["2020010200", "2020010209300000", "2001020900"])
def test_dates_with_an_hour_are_no_epochs(tmp_path, value):
    with pytest.raises(DataError, match=f"row 1: time = {value} is not an epoch"):
        read(written(tmp_path / "a.csv", ["time,open,high,low,close,volume", f"{value},1,2,1,2,3"]))


def test_the_users_own_volume_unit_wins(tmp_path):
    case = Case(tmp_path)
    lines = ["Date,Open,High,Low,Close,Adj Close,Volume", *(f"2024-01-0{k},100,101,99,100,9,5000" for k in range(1, 7))]
    assert case.run("BTC/USDT", "\n".join(lines) + "\n", "execution.volume_unit=base")["fills"] == 2


def test_several_symbols_in_one_file_are_refused(tmp_path):
    lines = ["date,symbol,open,high,low,close,volume", "2024-01-01,BTC,1,2,1,2,3", "2024-01-02,ETH,1,2,1,2,3"]
    with pytest.raises(DataError, match=r"row 2: holds several symbols \(BTC and ETH\)"):
        read(written(tmp_path / "a.csv", lines))


@pytest.mark.parametrize("text", ["volume=a,volume=b", "open=a,close=a", "opn=a", "open"])
def test_columns_told_twice_or_wrongly_are_refused(text):
    with pytest.raises(PaperbotError, match="--columns"):
        parse_columns(text)


def test_a_lost_unit_is_seen(tmp_path):
    table = TABLE.set_column(0, "date", pa.array([k + 1_704_067_200 for k in range(6)], pa.timestamp("ns")))
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="first days of 1970; it was probably written with the wrong unit"):
        read(tmp_path / "a.parquet")


def test_float32_prices_keep_their_own_decimals(tmp_path):
    table = pa.table({name: column.cast(pa.float32()) if name != "date" else column for name, column in
                      zip(TABLE.column_names, TABLE.columns, strict=True)})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")[1].close.tolist() == [bar[3] for bar in BARS]


def test_a_close_that_is_missing_later_costs_no_traceback(tmp_path):
    table = TABLE.append_column("close_time", pa.array([one // 10**6 + 3_600_000 for one in NS]))
    damaged = table.set_column(6, "close_time", pa.array([*(one // 10**6 + 3_600_000 for one in NS[:5]), None]))
    with pq.ParquetWriter(tmp_path / "a.parquet", table.schema) as writer:
        writer.write_table(table.slice(0, 3))
        writer.write_table(damaged.slice(3))
    assert same(read(tmp_path / "a.parquet")[1])


def test_dates_before_1970_are_refused_as_that(tmp_path):
    lines = ["date,open,high,low,close,volume", *(f"1965-01-0{k},1,2,1,2,3" for k in range(4, 9))]
    with pytest.raises(DataError, match="row 1: open_ts = 1965-01-04T00:00:00Z is before 1970"):
        Case(tmp_path).run("BTC/USDT", "\n".join(lines) + "\n")


def test_a_large_file_in_windows_1252_keeps_its_header(tmp_path):
    lines = ["Datum;Eröffnung;Hoch;Tief;Schlusskurs;Stuecke"]
    days = (datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=k) for k in range(3000))
    lines += [f"{day:%Y-%m-%d};1,5;2,5;1,5;2,5;3" for day in days]
    path = tmp_path / "a.csv"
    path.write_bytes("\n".join(lines).encode("cp1252"))
    assert path.stat().st_size > 1 << 16
    assert len(read(path)[1]) == 3000


def test_a_workbook_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive_:
        archive_.writestr("[Content_Types].xml", "x")
        archive_.writestr("xl/sheet.xml", "x")
    with pytest.raises(DataError, match="is a workbook; save the sheet as CSV"):
        read(tmp_path / "a.xlsx")


# ---- what is refused -------------------------------------------------------------------------------------------------
def test_a_file_without_header_says_how_to_give_one(tmp_path):
    lines = ["2024-01-01 00:00:00,1,2,1,2,10", "2024-01-01 00:01:00,1,2,1,2,10"]
    with pytest.raises(DataError, match=r"has no header, and its 6 columns .* --columns open_ts=0,open=1,high=2"):
        read(written(tmp_path / "a.csv", lines))
    given_names = parse_columns("open_ts=0,open=1,high=2,low=3,close=4,volume=5")
    assert len(read(tmp_path / "a.csv", columns=given_names)[1]) == 2


def test_a_ragged_row_is_named(tmp_path):
    lines = ["date,open,high,low,close,volume", "2024-01-01,1,2,1,2,3", "2024-01-02,1,2,1,2", "2024-01-03,1,2,1,2,3"]
    with pytest.raises(DataError, match="row 2 has 5 fields, not 6"):
        read(written(tmp_path / "a.csv", lines))


@pytest.mark.parametrize("text", ["1,234", "12,345"])
def test_a_comma_that_may_be_either_is_refused(tmp_path, text):
    rows = [f"2024-01-0{k};{text};{text};{text};{text};5" for k in (1, 2)]
    lines = ["Datum;Erster;Hoch;Tief;Schlusskurs;Stuecke", *rows]
    with pytest.raises(DataError, match="may be thousands or a decimal; write"):
        read(written(tmp_path / "a.csv", lines))


def test_bombs_do_not_unpack(tmp_path, monkeypatch):
    monkeypatch.setattr("paperbot.market.unpack.RATIO_FROM", 1 << 20)
    bomb = b"date,open,high,low,close,volume\n" + b"\n" * (8 << 20)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bomb))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive_:
        archive_.writestr("a.csv", bomb)
    for name in ("a.gz", "a.zip"):
        with pytest.raises(DataError, match=r"unpacks to more than [12] MB"):
            read(tmp_path / name)


def test_an_archive_of_several_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive_:
        archive_.writestr("a.csv", "x")
        archive_.writestr("b.csv", "x")
    with pytest.raises(DataError, match="holds 2 files; unpack it and give one of them"):
        read(tmp_path / "a.zip")


SEEDS = [
    *("\n".join(FILES[name]()).encode() for name in ("binance_archive", "cryptodatadownload", "stooq")),
    "\n".join(FILES["named semicolons"]()).encode(),
    json.dumps(JSON["ccxt"]).encode(),
    json.dumps(JSON["alpaca"]).encode(),
    gzip.compress("\n".join(FILES["kraken_ohlcvt"]()).encode()),
]


INSERTED = [b"\r", b"\n\n", b'"', b"\0", b"\xff\xfe", b"9" * 400, b"[" * 50, b",,,,"]
DAMAGED = int(os.environ.get("PAPERBOT_DAMAGED_FILES", amount(300, 100)))


@settings(max_examples=DAMAGED)
@given(data=st.data())
def test_damaged_files_are_one_short_sentence(tmp_path, data):
    """Bytes changed, cut out, doubled: the bars come out, or one sentence without a traceback."""
    content = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        what = data.draw(st.sampled_from(["byte", "cut", "double", "insert"]))
        if what == "byte":
            content[at] = data.draw(st.integers(0, 255))
        elif what == "cut":
            del content[at : at + data.draw(st.integers(1, 40))]
        elif what == "double":
            content[at:at] = content[at : at + 30]
        else:
            content[at:at] = data.draw(st.sampled_from(INSERTED))
        content = content or bytearray(b"x")
    path = tmp_path / "a.csv"
    path.write_bytes(bytes(content))
    said = ""
    try:
        read(path)
    except PaperbotError as error:
        said = str(error)
    assert len(said) - len(str(path)) < 300
    assert "\n" not in said


def test_bytes_that_are_nothing_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(bz2.compress(b"date,open\n"))
    with pytest.raises(DataError):
        read(path)


# ---- the table itself ------------------------------------------------------------------------------------------------
def test_every_layout_has_three_lines_of_example_and_a_name_of_its_own():
    assert all(len(layout.example) == 3 for layout in LAYOUTS)
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)


@pytest.mark.parametrize(
    ("written_as", "plain_form"),
    [
        *(("Open time", "open_time"), ("<OPEN>", "open"), ("Volume_(BTC)", "volume_btc")),
        *((" volume ", "volume"), ("Close/Last", "close_last")),
    ],
)
def test_names_are_compared_in_one_form(written_as, plain_form):
    assert plain_name(written_as) == plain_form
