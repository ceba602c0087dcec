"""`data import`: any layout becomes Paperbot's own Parquet, and the same run."""

import json

import numpy as np
import pytest

from cases import Case
from paperbot.app.replay import replay
from paperbot.errors import DataError, PaperbotError
from paperbot.market.files import BarFile, Reading
from paperbot.research.importing import ImportRequest, SyntheticRequest, import_bars, write_synthetic
from paperbot.research.job import ReplayRequest
from paperbot.store.tables import SCHEMAS
from test_layouts import BARS, FILES, MONTHS, NS, TOLD, archive, read, same, written


def imported(tmp_path, paths, **how):
    said = []
    request = ImportRequest(paths, "BTCUSDT", tmp_path / "out.parquet", **how)
    return import_bars(request, said.append, lambda *_: None), said


@pytest.mark.parametrize("name", FILES)
def test_every_layout_is_written_as_the_same_bars(tmp_path, name):
    told = {"volume_unit": "base", **TOLD.get(name, {})}
    report, said = imported(tmp_path, [written(tmp_path / "a.csv", FILES[name]())], reading=Reading(**told))
    assert (report["symbol"], report["bars"], report["timeframe"]) == ("BTC/USDT", 6, "1h")
    assert "BTCUSDT is understood as BTC/USDT" in said
    _, columns = read(tmp_path / "out.parquet")
    assert same(columns)
    assert columns.volume.tolist() == [bar[4] for bar in BARS]


def test_many_files_are_joined_in_order_and_what_they_share_is_kept_once(tmp_path):
    later = written(tmp_path / "2025-01.csv", [archive(k, 1000) for k in (3, 4, 5)])
    earlier = written(tmp_path / "2024-12.csv", [archive(k) for k in (0, 1, 2, 3)])
    report, _ = imported(tmp_path, [later, earlier])
    assert (report["bars"], report["repeated"]) == (6, 1)
    assert same(read(tmp_path / "out.parquet")[1])
    assert report["findings"] == []


def test_files_that_contradict_each_other_write_nothing(tmp_path):
    one = written(tmp_path / "a.csv", [archive(k) for k in (0, 1, 2)])
    two = written(tmp_path / "b.csv", [archive(k).replace("92910.5", "92911.5") for k in (2, 3)])
    with pytest.raises(DataError, match=r"a.csv and b.csv have different bars of 2024-12-31T22:00:00Z"):
        imported(tmp_path, [one, two])
    assert not (tmp_path / "out.parquet").exists()


def test_a_gap_between_files_is_reported(tmp_path):
    one = written(tmp_path / "a.csv", [archive(k) for k in (0, 1)])
    two = written(tmp_path / "b.csv", [archive(k) for k in (4, 5)])
    report, _ = imported(tmp_path, [one, two])
    (gap,) = report["findings"]
    assert (gap["kind"], gap["detail"]) == ("gap", "2 bars missing, at most 2 in a row")


def test_months_keep_their_closes(tmp_path):
    lines = ["date,open,high,low,close,volume", *(f"{day},{prices},1000000" for day, prices in MONTHS)]
    report, _ = imported(tmp_path, [written(tmp_path / "a.csv", lines)])
    assert report["timeframe"] == "1M"
    _, columns = read(tmp_path / "out.parquet")
    assert columns.close_ts.tolist()[:-1] == columns.open_ts.tolist()[1:]
    case = Case(tmp_path)
    case.run("BTC/USDT", (tmp_path / "out.parquet").read_bytes(), name="b.parquet", buy=4, sell=6)
    assert [fill[3] for fill in case.fills()] == [29239.05, 30465.89]


def test_money_stays_money(tmp_path):
    rows = [",".join(map(str, (NS[k] // 10**9, *bar[:4], bar[5]))) for k, bar in enumerate(BARS)]
    lines = ["time,open,high,low,close,volume", *rows]
    report, _ = imported(tmp_path, [written(tmp_path / "a.csv", lines)], reading=Reading(volume_unit="quote"))
    assert report["volume_unit"] == "quote"
    file = BarFile(tmp_path / "out.parquet")
    assert (file.volume_unit, next(file.batches()).volume.tolist()) == ("quote", [bar[5] for bar in BARS])


def test_damaged_rows_write_nothing(tmp_path):
    path = written(tmp_path / "a.csv", [archive(0), archive(1).replace("93080.0", "-1"), archive(2)])
    with pytest.raises(PaperbotError, match=r"row 2 .* must be above 0"):
        imported(tmp_path, [path])
    assert not (tmp_path / "out.parquet").exists()


def test_the_report_is_json(tmp_path):
    report, _ = imported(tmp_path, [written(tmp_path / "a.csv", FILES["no_header"]())])
    assert json.loads(json.dumps(report))["bars"] == 6
    assert np.diff(NS).tolist() == [3600 * 10**9] * 5


# ---- bars to play with --------------------------------------------------------------------------------------------
def test_a_made_up_market_as_a_file_is_the_same_run(tmp_path):
    """Its prices go through a file of floats and come back as the same units."""
    file = tmp_path / "made.parquet"
    said = []
    line = write_synthetic(SyntheticRequest(7, 3000, file), said.append)
    assert line == f"{file}: 3000 bars of 1m, 2024-01-01T00:00:00Z to 2024-01-03T01:59:00Z"
    assert said == [f"replay it with: paperbot replay BTC/USDT={file}"]
    runs = [
        replay(ReplayRequest([f"BTC/USDT={place}"], out=tmp_path / name), lambda _: None).summary
        for name, place in (("made", file), ("direct", "synthetic:7:3000"))
    ]
    assert runs[0]["fills"] > 0
    assert runs[0]["digest"] == runs[1]["digest"]
    for name in SCHEMAS:
        assert (tmp_path / f"made/{name}.parquet").read_bytes() == (tmp_path / f"direct/{name}.parquet").read_bytes()
