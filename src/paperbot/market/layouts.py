"""The known layouts of bar files, as a table: how each is recognised, and what its columns mean.

`docs/data.md` is generated from it. Column names are compared in lower case, with an underscore for everything but
letters and digits (`Open time`, `<OPEN>`, `Volume_(BTC)` become `open_time`, `open`, `volume_btc`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Volume = Literal["base", "quote", "two", "unsaid"]
PRICES = ("open", "high", "low", "close")
ROLES = ("open_ts", *PRICES, "volume", "close_ts")


@dataclass(frozen=True)
class Layout:
    """One layout.

    `columns`: the possible names of each role (two names joined by a space are a date and a time column). `has`: names
    that must all be present. `fields`: possible column counts of a file without header; `first`: pattern of its first
    cell. `formats`: of times that are neither epoch nor ISO 8601. `volume`: `two` for two columns that price x volume
    tells apart, `unsaid` if the file alone does not show the unit. `zone`: of times without one; None: the user must
    give it. `label`: whether the time is the bar's open or the last second of its day. `thousands`: whether numbers use
    thousands separators or suffixes (`1,234.5`, `1.2K`). `scaled`: whether whole prices may be scaled integers.
    `refused`: why the layout is refused.
    """

    name: str
    title: str
    columns: Mapping[str, Sequence[str]]
    has: frozenset[str] = frozenset()
    fields: tuple[int, ...] = ()
    first: str = ""
    formats: tuple[str, ...] = ()
    volume: Volume = "base"
    zone: str | None = "UTC"
    label: Literal["open", "day_end"] = "open"
    thousands: bool = False
    scaled: bool = False
    refused: str = ""
    example: Sequence[str] = field(default=(), compare=False)
    note: str = ""


_TIME = (
    "candle_date_time_utc",  # Upbit's `timestamp` is the time of the last trade.
    *("open_ts", "open_time", "opentime", "ts", "time", "timestamp", "datetime", "date", "start", "t", "unix"),
    *("unix_timestamp", "time_open", "timeopen", "gmt_time", "local_time", "index_level_0", "window_start", "start_at"),
    "id",
)
_COMMON: dict[str, Sequence[str]] = {
    "open_ts": ("date time", *_TIME),
    "open": ("open", "o", "open_price", "opening_price", "first"),
    "high": ("high", "h", "high_price", "max"),
    "low": ("low", "l", "low_price", "min"),
    "close": ("close", "c", "close_price", "last", "trade_price"),
    "volume": ("volume", "v", "base_volume", "volume_base", "vol", "amount", "qty"),
    "close_ts": ("close_time", "closetime"),
}
_INDEXED = {"open_ts": ("0",), "open": ("1",), "high": ("2",), "low": ("3",), "close": ("4",), "volume": ("5",)}
_DATE_TIME = {"open_ts": ("0 1",), "open": ("2",), "high": ("3",), "low": ("4",), "close": ("5",), "volume": ("6",)}
_EPOCH_FIRST = r"^\d{9,19}(\.0*)?$"


def _named(**other: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return the common columns with the given replacements; a role without names is left out."""
    return {role: names for role, names in {**_COMMON, **other}.items() if names}


LAYOUTS = (
    Layout(
        "binance_archive",
        "Binance archive: klines, CSV or zip, with or without header, times in ms, from 2025 on in us",
        {**_INDEXED, "close_ts": ("6",)},
        fields=(12,),
        first=_EPOCH_FIRST,
        example=(
            "1735689540000,93020.00,93040.00,93000.00,93025.00,12.5,1735689599999,1162500.0,100,6.0,558000.0,0",
            "1735689600000000,93030.00,93050.00,93010.00,93035.00,12.5,1735689659999999,1162500.0,100,6.0,558000.0,0",
            "1735689660000000,93040.00,93060.00,93020.00,93045.00,12.5,1735689719999999,1162500.0,100,6.0,558000.0,0",
        ),
    ),
    Layout(
        "coinmarketcap",
        "CoinMarketCap: newest first, semicolons, volume in USD",
        _named(open_ts=("timeopen",), close_ts=("timeclose",)),
        has=frozenset({"timeopen", "timeclose", "open", "marketcap"}),
        volume="quote",
        example=(
            "timeOpen;timeClose;timeHigh;timeLow;name;open;high;low;close;volume;marketCap;circulatingSupply;timestamp",
            '"2024-01-02T00:00:00.000Z";"2024-01-02T23:59:59.999Z";…;44187.1;45899.7;44176.9;44957.9;39335274536;…',
            '"2024-01-01T00:00:00.000Z";"2024-01-01T23:59:59.999Z";…;42280.2;44175.4;42214.9;44167.3;18426978443;…',
        ),
    ),
    Layout(
        "kaggle_coin",
        "Kaggle's coin_*.csv: a day is labelled by its last second, volume in USD",
        _named(open_ts=("date",)),
        has=frozenset({"sno", "name", "date", "marketcap"}),
        volume="quote",
        label="day_end",
        example=(
            "SNo,Name,Symbol,Date,High,Low,Open,Close,Volume,Marketcap",
            "1,Bitcoin,BTC,2013-04-29 23:59:59,147.488,134.0,134.444,144.54,0.0,1603768864.5",
            "2,Bitcoin,BTC,2013-04-30 23:59:59,146.93,134.05,144.0,139.0,0.0,1542813125.0",
        ),
    ),
    Layout(
        "cryptodatadownload",
        "CryptoDataDownload: a banner line, newest first, two volume columns",
        _named(open_ts=("unix", "unix_timestamp", "date"), volume=()),
        has=frozenset({"date", "symbol", "open"}),
        formats=("%Y-%m-%d %I-%p",),
        volume="two",
        example=(
            "https://www.CryptoDataDownload.com",
            "Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USD",
            "2019-10-17 09-AM,BTCUSD,8006.10,8041.02,7991.44,8020.55,310.24,2487512.30",
        ),
        note="price x volume decides in each row which of the two volumes is the base, whatever their names say",
    ),
    Layout(
        "kraken_ohlcvt",
        "Kraken OHLCVT: no header, seven columns",
        _INDEXED,
        fields=(7,),
        first=_EPOCH_FIRST,
        example=(
            "1704067200,42280.2,42355.0,42273.4,42341.1,12.4178,214",
            "1704070800,42341.1,42390.0,42310.0,42377.7,9.0311,180",
            "1704074400,42377.7,42380.0,42301.2,42320.0,7.5512,155",
        ),
        note="a bar without a trade has no row",
    ),
    Layout(
        "bitstamp_dump",
        "Bitstamp 1-minute dump: minutes without a trade are NaN",
        _named(volume=()),
        has=frozenset({"timestamp", "volume_btc", "volume_currency", "weighted_price"}),
        volume="two",
        example=(
            "Timestamp,Open,High,Low,Close,Volume_(BTC),Volume_(Currency),Weighted_Price",
            "1514764800,13880,13880,13876.5,13877,3.1,43023.1,13878.4",
            "1514764860,NaN,NaN,NaN,NaN,NaN,NaN,NaN",
        ),
    ),
    Layout(
        "yahoo",
        "Yahoo and yfinance: one to three header rows",
        _named(open_ts=("yfinance_date", "date", "datetime")),
        has=frozenset({"open", "high", "low", "close", "volume", "adj_close"}),
        volume="unsaid",
        example=(
            "Date,Open,High,Low,Close,Adj Close,Volume",
            "2024-01-02,187.149994,188.440002,183.889999,185.639999,184.938217,82488700",
            "2024-01-03,184.220001,185.880005,183.429993,184.250000,183.553482,58414500",
        ),
        note="Close is used, not Adj Close; a share's volume is in shares, a coin's in USD: use --volume-unit",
    ),
    Layout(
        "yfinance",
        "yfinance's three header rows",
        _named(open_ts=("yfinance_date",)),
        has=frozenset({"yfinance_date"}),
        volume="unsaid",
        example=("Price,Close,High,Low,Open,Volume", "Ticker,AAPL,AAPL,AAPL,AAPL,AAPL", "Date,,,,,"),
    ),
    Layout(
        "yfinance_history",
        "yfinance's Ticker.history",
        _named(),
        has=frozenset({"open", "dividends", "stock_splits"}),
        volume="unsaid",
        example=(
            "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits",
            "2024-01-02 00:00:00-05:00,187.15,188.44,183.89,185.64,82488700,0.0,0.0",
            "2024-01-03 00:00:00-05:00,184.22,185.88,183.43,184.25,58414500,0.0,0.0",
        ),
    ),
    Layout(
        "metatrader",
        "MetaTrader: 2020.01.02 09:00, tabs, <DATE>; times in the broker's zone, volume in ticks",
        _named(open_ts=("date time", "date"), volume=("tickvol", "volume", "vol")),
        has=frozenset({"date", "open", "tickvol"}),
        volume="unsaid",
        zone=None,
        example=(
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
            "2020.01.02\t09:00:00\t1.12120\t1.12153\t1.12093\t1.12140\t512\t0\t3",
            "2020.01.02\t10:00:00\t1.12140\t1.12171\t1.12101\t1.12110\t487\t0\t3",
        ),
        note="use --timezone and --volume-unit",
    ),
    Layout(
        "metatrader_history",
        "MetaTrader 4 history: no header, date and time in two columns",
        _DATE_TIME,
        fields=(7,),
        first=r"^\d{4}\.\d{2}\.\d{2}$",
        volume="unsaid",
        zone=None,
        example=(
            "2020.01.02,09:00,1.12120,1.12153,1.12093,1.12140,512",
            "2020.01.02,10:00,1.12140,1.12171,1.12101,1.12110,487",
            "2020.01.02,11:00,1.12110,1.12140,1.12080,1.12099,455",
        ),
        note="use --timezone and --volume-unit",
    ),
    Layout(
        "stooq",
        "Stooq and Finam: <TICKER>, <PER>, <DATE>, <TIME>",
        _named(open_ts=("date time", "date"), volume=("vol",)),
        has=frozenset({"ticker", "per", "date", "open"}),
        formats=("%Y%m%d %H%M%S", "%Y%m%d"),
        zone=None,
        example=(
            "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
            "SPY.US,D,20240102,000000,472.16,473.67,470.49,472.65,123623700,0",
            "SPY.US,D,20240103,000000,470.43,471.19,468.17,468.79,103585900,0",
        ),
        note="use --timezone for bars shorter than a day",
    ),
    Layout(
        "investing",
        "investing.com: Price is the close, Vol. is rounded (1.2K), newest first",
        _named(close=("price",), volume=("vol",)),
        has=frozenset({"date", "price", "vol"}),
        formats=("%b %d, %Y", "%d.%m.%Y"),
        thousands=True,
        example=(
            '"Date","Price","Open","High","Low","Vol.","Change %"',
            '"Jan 03, 2024","42,836.1","44,943.7","45,492.7","40,888.3","117.65K","-4.69%"',
            '"Jan 02, 2024","44,943.7","44,182.9","45,885.4","44,166.0","97.84K","1.72%"',
        ),
    ),
    Layout(
        "german",
        "German brokers: semicolons, decimal comma",
        {
            "open_ts": ("datum zeit", "datum"),
            "open": ("erster", "eröffnung", "eröffn", "open"),
            "high": ("hoch",),
            "low": ("tief",),
            "close": ("schlusskurs", "schluss", "zuletzt"),
            "volume": ("stuecke", "stück", "volumen", "umsatz", "vol"),
        },
        has=frozenset({"datum", "hoch", "tief"}),
        volume="two",
        formats=("%d.%m.%Y", "%d.%m.%Y %H:%M"),
        thousands=True,
        example=(
            "Datum;Erster;Hoch;Tief;Schlusskurs;Stuecke;Volumen",
            "2024-01-03;184,22;185,88;183,43;184,25;1200;221100",
            "2024-01-02;187,15;188,44;183,89;185,64;1410;262752",
        ),
    ),
    Layout(
        "histdata",
        "histdata.com and NinjaTrader: no header, 20240102 030000, semicolons",
        _INDEXED,
        fields=(6,),
        first=r"^\d{8} \d{6}$",
        formats=("%Y%m%d %H%M%S",),
        volume="unsaid",
        zone=None,
        example=(
            "20240102 030000;1.104200;1.104260;1.104150;1.104180;0",
            "20240102 030100;1.104180;1.104230;1.104160;1.104200;0",
            "20240102 030200;1.104200;1.104210;1.104100;1.104110;0",
        ),
        note="histdata's times are in fixed EST: use --timezone Etc/GMT+5; NinjaTrader labels bars by the close",
    ),
    Layout(
        "lean_crypto",
        "QuantConnect Lean crypto, hour and day: no header",
        _INDEXED,
        fields=(6,),
        first=r"^\d{8} \d{2}:\d{2}$",
        formats=("%Y%m%d %H:%M",),
        scaled=True,
        example=(
            "20240101 00:00,42280.2,42355.0,42273.4,42341.1,1207.3",
            "20240101 01:00,42341.1,42390.0,42310.0,42377.7,903.1",
            "20240101 02:00,42377.7,42380.0,42301.2,42320.0,755.1",
        ),
    ),
    Layout(
        "stooq_polish",
        "Stooq with its Polish header",
        {
            "open_ts": ("data czas", "data"),
            "open": ("otwarcie",),
            "high": ("najwyzszy",),
            "low": ("najnizszy",),
            "close": ("zamkniecie",),
            "volume": ("wolumen",),
        },
        has=frozenset({"data", "otwarcie", "zamkniecie"}),
        volume="unsaid",
        zone=None,
        example=(
            "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen",
            "2024-01-02,42280.2,42355.0,42273.4,42341.1,12.41",
            "2024-01-03,42341.1,42390.0,42310.0,42377.7,9.03",
        ),
        note="use --volume-unit, and --timezone for bars shorter than a day",
    ),
    Layout(
        "dukascopy",
        "Dukascopy: 31.01.2020 00:00:00.000, also local times with their offset (… GMT+0200)",
        _named(),
        has=frozenset({"gmt_time", "open"}),
        formats=("%d.%m.%Y %H:%M:%S.%f",),
        example=(
            "Gmt time,Open,High,Low,Close,Volume",
            "31.01.2024 00:00:00.000,1.08441,1.08452,1.08430,1.08438,1204.5",
            "31.01.2024 01:00:00.000,1.08438,1.08460,1.08420,1.08455,1310.2",
        ),
    ),
    Layout(
        "nasdaq",
        "Nasdaq: $, newest first, Close/Last",
        _named(close=("close_last",)),
        has=frozenset({"date", "close_last", "open"}),
        thousands=True,
        example=(
            "Date,Close/Last,Volume,Open,High,Low",
            "12/13/2024,$248.13,33155290,$247.815,$249.2902,$246.24",
            "12/12/2024,$247.96,32777530,$246.89,$248.74,$245.68",
        ),
        note="use --time-format",
    ),
    Layout(
        "tradingview",
        "TradingView export: epoch seconds or ISO, indicator columns",
        _named(open_ts=("date time", "time")),
        has=frozenset({"time", "open", "high", "low", "close", "volume"}),
        example=(
            "time,open,high,low,close,Volume,Volume MA",
            "1704067200,42280.2,42355.0,42273.4,42341.1,12.41,11.9",
            "1704070800,42341.1,42390.0,42310.0,42377.7,9.03,11.5",
        ),
    ),
    Layout(
        "no_header",
        "No header: time, open, high, low, close, volume",
        _INDEXED,
        fields=(6,),
        first=_EPOCH_FIRST,
        example=(
            "1704067200000,42280.2,42355.0,42273.4,42341.1,12.41",
            "1704070800000,42341.1,42390.0,42310.0,42377.7,9.03",
            "1704074400000,42377.7,42380.0,42301.2,42320.0,7.55",
        ),
    ),
    Layout(
        "bitmex",
        "BitMEX buckets",
        {},
        has=frozenset({"timestamp", "symbol", "open", "trades", "volume", "vwap"}),
        refused="BitMEX labels bars by the close and counts contracts; shift the times, use homeNotional, omit trades",
        example=(
            "timestamp,symbol,open,high,low,close,trades,volume,vwap,lastSize,turnover,homeNotional,foreignNotional",
            "2024-01-01T00:01:00.000Z,XBTUSD,42280.0,42280.5,42270.0,42271.5,61,82100,42275.1,100,194205034,1.94,82100",
            "2024-01-01T00:02:00.000Z,XBTUSD,42271.5,42275.0,42260.0,42262.0,55,71200,42268.2,500,168451210,1.68,71200",
        ),
        note="refused: bars are labelled by the close, and the volume is in contracts",
    ),
    Layout(
        "named",
        "A header with the usual names: ts, time, date … open, high, low, close, volume",
        _named(),
        has=frozenset({"open", "high", "low", "close"}),
        example=(
            "timestamp,open,high,low,close,volume",
            "2024-01-01 00:00:00,42280.2,42355.0,42273.4,42341.1,12.41",
            "2024-01-01 01:00:00,42341.1,42390.0,42310.0,42377.7,9.03",
        ),
        note="also o, h, l, c, v; Date and Time columns; Alpaca, HTX, OKX, Bybit and KuCoin dumps; pandas' time index",
    ),
    Layout(
        "named_otherwise",
        "A header with other names, to be given with --columns",
        _named(),
        example=("Zeit,Auf,Ab,Oben,Unten,Umsatz", "…", "…"),
    ),
)
