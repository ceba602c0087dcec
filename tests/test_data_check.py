"""`paperbot data check` finds what is odd, in made-up files and where the notes of the recorded ones say so."""

import hashlib

import pytest

from paperbot.app.replay import check_file
from paperbot.errors import DataError
from test_files import ROWS, parquet


def found(path, timeframe="1m", decimals=8):
    return {finding["kind"]: finding["count"] for finding in check_file(path, timeframe, decimals)["findings"]}


def with_row(row, **values):
    names = ("ts", "open", "high", "low", "close", "volume")
    rows = [list(one) for one in ROWS]
    for name, value in values.items():
        rows[row][names.index(name)] = value
    return rows


def test_a_clean_file_is_clean_and_unchanged(tmp_path):
    path = parquet(tmp_path / "a.parquet", with_row(0, close=100.75))
    before = hashlib.sha256(path.read_bytes()).digest()
    assert found(path) == {}
    assert hashlib.sha256(path.read_bytes()).digest() == before


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"row": 4, "ts": ROWS[4][0] + 180_000}, "gap"),
        ({"row": 3, "ts": ROWS[2][0]}, "duplicate time"),
        ({"row": 3, "ts": ROWS[1][0]}, "time goes back"),
        ({"row": 4, "ts": ROWS[4][0] - 30_000}, "off the timeframe's grid"),
        ({"row": 4, "ts": ROWS[4][0] - 30_000}, "overlap with the bar before"),
        ({"row": 2, "volume": 0.0}, "zero volume with moving prices"),
        ({"row": 2, "volume": -1.0}, "negative volume"),
        ({"row": 2, "high": 1.0}, "prices contradict each other"),
        ({"row": 2, "close": float("nan")}, "not a finite number"),
        ({"row": 2, "low": 0.0}, "price not above 0"),
        ({"row": 2, "close": 100.123456789}, "price finer than 8 decimals"),
        ({"row": 4, "open": 14.8, "high": 15.0, "low": 14.0, "close": 14.9}, "looks like a split"),
        ({"row": 4, "ts": 4_000_000_020_000}, "unfinished last bar"),
    ],
)
def test_each_oddity_has_a_name(tmp_path, change, kind):
    row = change.pop("row")
    path = parquet(tmp_path / "a.parquet", with_row(row, **change))
    assert found(path)[kind] == 1


def test_straight_lines(tmp_path):
    prices = [100.0, 100.3, 100.1, *[100.5 + 0.7 * k for k in range(7)], 104.0, 104.1, 104.05]
    start = ROWS[0][0]
    rows = [(start + 60_000 * k, p, p + 1, p - 1, p, 5.0) for k, p in enumerate(prices)]
    assert found(parquet(tmp_path / "a.parquet", rows)) == {"straight line": 1}


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds trades"):
        check_file(parquet(tmp_path / "a.parquet", [(1, 2.0, 3.0)], ("ts", "price", "qty")), None, 8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("binance_BTCBUSD_1m_20221213", {}),
        ("binance_BTCUSDT_1d_2020", {"zero volume with moving prices": 1}),
        ("bitstamp_BTCUSD_1m_20200101", {"flat bar without volume": 45}),
        ("ftx_BTCPERP_1m_202201", {"straight line": 2}),
        ("bittrex_ADABTC_5m_201801", {"gap": 5}),
        ("binance_NEOBTC_1h_201806", {"flat bar without volume": 10, "gap": 2}),
        (
            "binance_NEOBTC_4h_201804",
            {"flat bar without volume": 2, "gap": 1, "off the timeframe's grid": 9, "overlap with the bar before": 2},
        ),
    ],
)
def test_recorded_files_are_as_odd_as_their_notes_say(real_data, name, expected):
    assert found(real_data / f"{name}.parquet", None) == expected


def test_missing_bars_are_counted(real_data):
    report = check_file(real_data / "bittrex_ETCBTC_1m_201711.parquet", None, 8)
    gap = next(finding for finding in report["findings"] if finding["kind"] == "gap")
    assert gap["detail"] == "717 bars missing, at most 7 in a row"


def test_an_unadjusted_split_is_seen_and_an_adjusted_one_is_not(real_data):
    assert found(real_data / "nasdaq_AAPL_1d_2014_unadjusted.parquet", None)["looks like a split"] == 1
    assert "looks like a split" not in found(real_data / "nasdaq_AAPL_1d_2012-2014.parquet", None)
