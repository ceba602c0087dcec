"""Answers of exchanges as files: JSON in every shape, and bars that had not ended when the answer was given."""

import gzip
import io
import json
import zipfile

import pyarrow as pa
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest

from cases import Case
from paperbot.errors import DataError
from paperbot.market.candles import Columns
from paperbot.market.files import BarFile

NAMES = ("timestamp", "open", "high", "low", "close", "volume")
ROWS = [(1704067200000 + 60_000 * k, 100.5 + k, 102.0 + k, 99.25 + k, 101.0 + k, 10.0 + k) for k in range(6)]
BY_NAME = [dict(zip(NAMES, row, strict=True)) for row in ROWS]


def read(path):
    file = BarFile(path)
    return file, Columns.join(list(file.batches()))


def rows_of(columns):
    times = columns.open_ts // 10**6
    return list(zip(times.tolist(), *(getattr(columns, name).tolist() for name in NAMES[1:]), strict=True))


def zipped(content):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bars", content)
    return packed.getvalue()


def lines(values):
    return "\n".join(map(json.dumps, values)) + "\n"


SHAPES = {
    "one object on each line": lines(BY_NAME),
    "one array on each line": lines(ROWS),
    "a list for each column": json.dumps({name: [row[k] for row in ROWS] for k, name in enumerate(NAMES)}),
    "TradingView's UDF": json.dumps({"s": "ok", **{c: [r[k] for r in ROWS] for k, c in enumerate("tohlcv")}}),
    "pandas by column": json.dumps(
        {name: {str(row[0]): row[k] for row in ROWS} for k, name in enumerate(NAMES) if k > 0}
    ),
    "pandas by column, numbered": json.dumps(
        {name: {str(number): row[k] for number, row in enumerate(ROWS)} for k, name in enumerate(NAMES)}
    ),
    "pandas split": json.dumps({"columns": NAMES, "index": list(range(6)), "data": ROWS}),
    "inside an answer": json.dumps({"retCode": 0, "result": {"list": ROWS}}),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_each_shape_of_json_gives_the_same_bars(tmp_path, shape, pack):
    path = tmp_path / "bars.json"
    path.write_bytes(pack(SHAPES[shape].encode()))
    assert rows_of(read(path)[1]) == ROWS


@pytest.mark.parametrize(
    "text",
    [
        lines(ROWS) + "{\n",
        json.dumps({"open": [1, 2], "high": [3], "low": [1, 1], "close": [2, 2]}),
        json.dumps({"open": {"0": 1}, "high": {"1": 3}}),
        json.dumps({"open": [], "high": [], "low": [], "close": []}),
    ],
)
def test_json_that_is_no_table_is_refused(tmp_path, text):
    path = tmp_path / "bars.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"bars\.json: "):
        read(path)


def okx(k, final, swap):
    at, opening, high, low, close, volume = ROWS[k]
    counted = [volume * 100, volume] if swap else [volume, volume * close]
    return [str(at), *map(str, (opening, high, low, close, *counted, volume * close, final))]


@pytest.mark.parametrize("swap", [False, True])
def test_the_bar_that_okx_calls_unconfirmed_is_left_out(tmp_path, swap):
    path = tmp_path / "okx.json"
    path.write_text(json.dumps({"code": "0", "data": [okx(k, int(k < 5), swap) for k in reversed(range(6))]}))
    file, columns = read(path)
    assert rows_of(columns) == ROWS[:5]
    assert "unfinished bars left out: 1" in file.notes


@pytest.mark.parametrize(("name", "yes", "no"), [("confirm", "1", "0"), ("complete", "true", "false")])
def test_a_column_that_says_which_bars_have_ended(tmp_path, name, yes, no):
    path = tmp_path / "dump.csv"
    text = [",".join([*NAMES, name]), *(",".join(map(str, [*row, yes])) for row in ROWS[:5])]
    path.write_text("\n".join([*text, ",".join(map(str, [*ROWS[5], no]))]) + "\n")
    assert rows_of(read(path)[1]) == ROWS[:5]
    path.write_text("\n".join([*text, ",".join(map(str, [*ROWS[5], "perhaps"]))]) + "\n")
    with pytest.raises(DataError, match=rf"row 6: {name} = perhaps is not valid; allowed: 1 or true"):
        read(path)


def test_what_a_file_says_only_at_its_end_is_said(tmp_path):
    """Rows without prices after those from which the rules are learnt."""
    case = Case(tmp_path)
    start = 1704067200
    text = ["timestamp,open,high,low,close,volume"]
    text += [f"{start + 60 * k},100,101,99,100,5" for k in range(5100)]
    text += [f"{start + 60 * 5100},,,,,", f"{start + 60 * 5101},100,101,99,100,5"]
    case.run("BTC/USDT", "\n".join(text) + "\n")
    assert case.notes[-1] == "BTC/USDT: rows without prices left out: 1"


@pytest.mark.parametrize("write", [pq.write_table, pf.write_feather])
@pytest.mark.parametrize("pack", [gzip.compress, zipped])
def test_a_packed_table_is_read(tmp_path, write, pack):
    write(pa.table({name: [row[k] for row in ROWS] for k, name in enumerate(NAMES)}), tmp_path / "plain")
    (tmp_path / "packed").write_bytes(pack((tmp_path / "plain").read_bytes()))
    assert rows_of(read(tmp_path / "packed")[1]) == ROWS
