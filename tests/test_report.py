"""The page about a run: its figures are the run's, and a browser shows it without a network and without a complaint."""

import base64
import itertools
import json
import re
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperbot.app.replay import replay
from paperbot.app.report import ReportRequest, page_of, report
from paperbot.config import parse_assignment
from paperbot.errors import CommandError, DataError
from paperbot.research.job import ReplayRequest
from paperbot.store.parquet import FILES
from paperbot.store.periods import by_day
from paperbot.store.results import read_results
from paperbot.web.report import thinned
from shell import ROOT, run
from stack import need
from test_live import two_markets

NASTY = "</script><b>x"
CONFIG = ROOT / "config/config.yaml"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(folder of a run over three weeks of two symbols, its summary, its sources); some orders are blocked."""
    folder = tmp_path_factory.mktemp("ran")
    _, sources = two_markets(folder, 30_000)
    settings = ("strategies=[{name: back, kind: mean_reversion}, {name: cross, kind: sma_cross, fast: 20, slow: 50}]",)
    request = ReplayRequest(
        sources, CONFIG, out=folder / "data", overrides=[parse_assignment(text) for text in settings]
    )
    return folder / "data", replay(request, lambda _: None).summary, sources


# ---- figures ------------------------------------------------------------------------------------------------------
def test_a_run_leaves_its_summary_and_the_page_shows_it(ran):
    folder, summary, _ = ran
    assert json.loads((folder / "run.json").read_text()) == summary
    shown = page_of(ReportRequest(folder, folder / "x", (), CONFIG), lambda _: None)
    assert shown.title == "BTC/USDT, ETH/USDT: back, cross"
    assert shown.statistics["Sharpe"] == summary["sharpe"] is not None
    assert shown.statistics["buy and hold %"] == summary["buy_and_hold_pct"] is not None
    assert shown.statistics["exposure %"] == summary["exposure_pct"] > 0
    assert shown.facts["digest"] == summary["digest"]
    assert shown.facts["symbols"] == "BTC/USDT (1m), ETH/USDT (1m)"
    assert shown.facts["period"] == "2023-11-15 00:00 to 2023-12-05 20:00, 20.8 days"
    halted = f"halted {summary['halted_pct']:.1f} % of the run"
    assert shown.facts["kill switch"] == f"max_drawdown at 2023-11-28 04:47; {halted}"
    assert "risk.max_drawdown" not in shown.facts["settings that differ from the defaults"]


def test_blocked_orders_have_a_row_each_with_the_code_of_the_rule(ran):
    folder, summary, _ = ran
    rows = pq.read_table(folder / "blocked.parquet").to_pylist()
    assert Counter(row["code"] for row in rows) == summary["blocked"]
    shown = page_of(ReportRequest(folder, folder / "x", (), CONFIG), lambda _: None).blocked
    assert shown == summary["blocked"]
    assert list(shown.values()) == sorted(shown.values(), reverse=True)
    full = [row for row in rows if row["code"] == "max_position_value"]
    assert full
    assert all((row["side"], row["type"], row["role"]) == ("buy", "market", "entry") for row in full)
    assert {row["strategy"] for row in rows} <= {"back", "cross"}


def test_days_and_groups_add_up_to_the_whole(ran):
    results = read_results(ran[0])
    whole, days = ran[1], by_day(results)
    assert len(days["day"]) == 21
    assert np.sum(days["equity"]) == pytest.approx(whole["equity"] - whole["start_equity"])
    assert np.sum(days["fees"]) == pytest.approx(whole["fees"])
    assert np.sum(days["fills"]) == whole["fills"]
    for column in ("symbol", "strategy"):
        groups = whole[f"by_{column}"]
        assert sum(group["fills"] for group in groups) == whole["fills"]
        assert sum(group["round_trips"] for group in groups) == whole["round_trips"]
        assert sum(group["fees"].get("USDT", 0) for group in groups) == pytest.approx(whole["fees"])


def test_midnight_ends_a_day(ran):
    """The row at 00:00 is the old day's last, as in the summary's daily equity."""
    results = read_results(ran[0])
    midnight = np.flatnonzero(results.ledger["ts"] == np.datetime64("2023-11-16T00:00:00"))[-1]
    days = by_day(results)
    before = results.ledger["equity"][0] + days["equity"][0]
    assert str(days["day"][0]) == "2023-11-15"
    assert before == pytest.approx(results.ledger["equity"][midnight])


@pytest.mark.parametrize("every", ["1m", "1d"])
def test_days_without_a_price_lose_no_fill_and_no_fee(tmp_path, every):
    """An opening balance of BTC has no value before the first bar, so the opening row has none either."""
    _, sources = two_markets(tmp_path, 30_000)
    overrides = [parse_assignment(text) for text in ("account.balances={USDT: 10000, BTC: 1}", f"ledger.every={every}")]
    summary = replay(ReplayRequest(sources, CONFIG, out=tmp_path / "data", overrides=overrides), lambda _: None).summary
    results = read_results(tmp_path / "data")
    assert np.isnan(results.ledger["equity"][0])
    days = by_day(results)
    assert len(days["day"]) == 21
    assert np.sum(days["fills"]) == summary["fills"] > 0
    assert np.sum(days["fees"]) == pytest.approx(summary["fees"])
    results.ledger["equity"][-200:] = np.nan  # The price is gone for the rest.
    results.ledger["equity"][1 : len(results.ledger["ts"]) // 2] = np.nan
    days = by_day(results)
    assert np.sum(days["fills"]) == summary["fills"]
    assert np.sum(days["fees"]) == pytest.approx(summary["fees"])


@given(values=st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), max_size=300), most=st.integers(4, 60))
def test_a_thinned_line_keeps_its_ends_its_order_and_its_extremes(values, most):
    line = np.array(values, dtype=np.float64)
    kept = thinned(line, most)
    assert all(a < b for a, b in itertools.pairwise(kept))
    assert len(kept) <= max(most + 2, 0)
    if len(line):
        assert {kept[0], kept[-1]} == {0, len(line) - 1}
    if not np.isnan(line).all():
        assert np.nanmax(line[kept]) == np.nanmax(line)
        assert np.nanmin(line[kept]) == np.nanmin(line)


# ---- the page -----------------------------------------------------------------------------------------------------
def page(ran, tmp_path, *sources):
    path = report(ReportRequest(ran[0], tmp_path / "report.html", sources, CONFIG), lambda _: None)
    return path, path.read_text()


def copied(ran, folder):
    for name in FILES:
        (folder / name).write_bytes((ran[0] / name).read_bytes())


def test_pictures_are_of_what_they_say(ran):
    """Each figure's numbers, against the Parquet rows."""
    folder, _, sources = ran
    page = page_of(ReportRequest(folder, folder / "x", sources, CONFIG), lambda _: None)
    ledger = {row["ts"]: row for row in pq.read_table(folder / "ledger.parquet").to_pylist()}
    trades = pq.read_table(folder / "trades.parquet").to_pylist()
    trips = pq.read_table(folder / "round_trips.parquet").to_pylist()
    for line, column in ((page.equity, "equity"), (page.drawdown, "drawdown"), (page.fees, "fees")):
        known = {np.datetime64(ts.replace(tzinfo=None), "ns"): row[column] for ts, row in ledger.items()}
        assert len(line.ts) > 1000
        for ts, value in list(zip(line.ts, line.values, strict=True))[::97]:
            assert value == known[ts]
    for market in page.markets:
        mine = [row for row in trades if row["symbol"] == market.symbol]
        for marks, side in ((market.buys, "buy"), (market.sells, "sell")):
            assert marks.price.tolist() == [row["price"] for row in mine if row["side"] == side]
        closed = [row for row in trips if row["symbol"] == market.symbol][-500:]
        assert [trip[2:] for trip in market.trips] == [
            (row["entry_price"], row["exit_price"], row["pnl"] > 0) for row in closed
        ]
        bars = read_bars(sources, market.symbol)
        assert market.candles["volume"].sum() == pytest.approx(sum(bars["volume"]))
        assert (market.candles["high"].max(), market.candles["low"].min()) == (max(bars["high"]), min(bars["low"]))
        assert (market.candles["open"][0], market.candles["close"][-1]) == (bars["open"][0], bars["close"][-1])
    assert page.tables["By day"][0]["fills"] == page.days["fills"][0]
    assert page.tables["By day"][0]["fees"] == page.days["fees"][0] > 0
    assert page.tables["By day"][0]["change of equity"] == page.days["equity"][0]
    last = page.tables["Round trips"][0]
    assert (last["entry price"], last["exit price"], last["why"]) == (
        *(trips[-1][name] for name in ("entry_price", "exit_price", "reason")),
    )


def read_bars(sources, symbol):
    source = next(one for one in sources if one.startswith(symbol))
    return pq.read_table(source.partition("=")[2]).to_pydict()


def test_groups_are_those_of_the_fills_and_round_trips_and_the_page_shows_them(ran):
    folder, summary, _ = ran
    trips, fills = (pq.read_table(folder / f"{name}.parquet").to_pylist() for name in ("round_trips", "trades"))
    page = page_of(ReportRequest(folder, folder / "x", (), CONFIG), lambda _: None)
    for column in ("symbol", "strategy"):
        for group, shown in zip(summary[f"by_{column}"], page.tables[f"By {column}"], strict=True):
            won = sum(row["pnl"] > 0 for row in trips if row[column] == group[column])
            mine = [row for row in fills if row[column] == group[column]]
            net = sum(row["realized_pnl"] - row["fee"] for row in mine)  # All fees are in USDT here.
            assert (group["wins"], group["fills"]) == (won, len(mine))
            assert group["net_pnl"] == {"USDT": pytest.approx(net)}
            assert shown[column] == group[column]
            assert (shown["won"], shown["PnL net of fees"], shown["fees"]) == (won, group["net_pnl"], group["fees"])


def traces(text):
    """The traces of each figure of the page, by name, as they are handed to plotly.js."""
    found = []
    for part in text.split("Plotly.newPlot(")[1:]:
        start = part.index("[")
        found.append({trace.get("name"): trace for trace in json.JSONDecoder().raw_decode(part[start:])[0]})
    return found


def test_figures_are_drawn_from_the_pages_numbers(ran, tmp_path):
    path, text = page(ran, tmp_path)
    shown = page_of(ReportRequest(ran[0], path, (), CONFIG), lambda _: None)
    equity, btc, _, days, fees, blocked = traces(text.partition("</head>")[2])
    assert numbers(equity["equity"]["y"]) == shown.equity.values.tolist()
    assert max(numbers(equity["drawdown, %"]["y"])) == 0
    assert min(numbers(equity["drawdown, %"]["y"])) == pytest.approx(-100 * np.nanmax(shown.drawdown.values))
    assert numbers(btc["buy"]["y"]) == shown.markets[0].buys.price.tolist()
    assert btc["buy"]["marker"]["symbol"] == "triangle-up"
    assert numbers(btc["price"]["close"]) == shown.markets[0].candles["close"].tolist()
    assert numbers(btc["volume"]["y"]) == shown.markets[0].candles["volume"].tolist()
    assert btc["round trips that won"]["line"]["color"] != btc["round trips that lost"]["line"]["color"]
    change = days["change of equity"]
    assert numbers(change["y"]) == shown.days["equity"].tolist()
    for color, value in zip(change["marker"]["color"], numbers(change["y"]), strict=True):
        assert (color == btc["sell"]["marker"]["color"]) == (value < 0)
    assert numbers(fees["fees"]["y"]) == shown.fees.values.tolist()
    assert dict(zip(blocked["orders"]["x"], numbers(blocked["orders"]["y"]), strict=True)) == shown.blocked


def numbers(values):
    """A column of a trace: a list, or base64 of little-endian numbers."""
    if isinstance(values, list):
        return values
    kind = {"f8": "<f8", "i2": "<i2", "i1": "<i1", "i4": "<i4"}[values["dtype"]]
    return np.frombuffer(base64.b64decode(values["bdata"]), dtype=kind).tolist()


def test_the_page_is_self_contained_and_escapes_what_it_is_given(ran, tmp_path):
    copied(ran, tmp_path)
    for name, column in (("trades", "strategy"), ("round_trips", "strategy"), ("blocked", "code")):
        table = pq.read_table(tmp_path / f"{name}.parquet")
        nasty = pa.array([NASTY] * table.num_rows, type=pa.string())
        pq.write_table(table.set_column(table.column_names.index(column), column, nasty), tmp_path / f"{name}.parquet")
    text = report(ReportRequest(tmp_path, tmp_path / "report.html"), lambda _: None).read_text()
    ours = text.partition("</script>\n</head>")[2]
    assert NASTY not in ours
    assert "&lt;/script&gt;&lt;b&gt;x" in ours
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", ours)
    for heading in ("Equity and drawdown", "BTC/USDT: price and fills", "Per day", "Fees", "Blocked orders"):
        assert f"<h2>{heading}</h2>" in ours
    for heading in ("By symbol", "By strategy", "By day", "Round trips"):
        assert f"<h2>{heading}</h2>" in ours
    assert "BTC/USDT: a candle spans 15m" in ours


def test_a_browser_shows_it_without_a_network_and_without_a_complaint(ran, tmp_path):
    path, _ = page(ran, tmp_path, *ran[2])
    browser_path = need("chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here (make stack-tools)")
    said, asked = [], []
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=browser_path, args=flags)
        shown = browser.new_page()
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(path.as_uri())
        figures = shown.locator(".plotly-graph-div").count()
        shown.wait_for_function(f"document.querySelectorAll('.plotly-graph-div .main-svg').length >= {figures}")
        drawn = shown.locator("text.legendtext").all_text_contents()
        titles = shown.locator("h2").all_inner_texts()
        browser.close()
    assert said == []
    assert asked == [path.as_uri()]
    assert figures == 6
    assert {"equity", "price", "volume", "buy", "sell"} <= set(drawn)
    assert titles[0] == "Statistics"


def test_bars_that_are_given_take_the_place_of_the_runs_candles(ran, tmp_path):
    """Those of another file, within the run's time."""
    _, (btc, _) = two_markets(tmp_path, 31_000)
    given = page_of(ReportRequest(ran[0], tmp_path / "x", [btc], CONFIG), lambda _: None).markets[0]
    own = page_of(ReportRequest(ran[0], tmp_path / "x"), lambda _: None).markets[0]
    assert given.candles["close"].tolist() == own.candles["close"].tolist()
    other = page_of(ReportRequest(ran[0], tmp_path / "x", ["BTC/USDT=synthetic:1:50"], CONFIG), lambda _: None)
    assert len(other.markets[0].candles["close"]) == 0


# ---- what goes wrong ----------------------------------------------------------------------------------------------
def test_nothing_to_report_on_is_one_sentence(tmp_path):
    code, _, err = run(["report", "--data", "nowhere"], tmp_path)
    assert code == 2
    assert (
        " ".join(err.split())
        == "error: nowhere/trades.parquet: does not exist; a demo, a replay or a session writes it"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"), [(b"no", "cannot be read as Parquet"), (None, "has no column ts; it was not written")]
)
def test_a_foreign_file_is_refused(ran, tmp_path, content, words):
    copied(ran, tmp_path)
    if content is None:
        table = pq.read_table(tmp_path / "ledger.parquet").drop_columns(["ts"])
        pq.write_table(table, tmp_path / "ledger.parquet")
    else:
        (tmp_path / "ledger.parquet").write_bytes(content)
    with pytest.raises(DataError, match=words):
        report(ReportRequest(tmp_path, tmp_path / "report.html"), lambda _: None)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"\xff", b'{"digest": "1"}'])
def test_a_foreign_summary_is_refused(ran, tmp_path, content):
    copied(ran, tmp_path)
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(DataError, match=r"run\.json: was not written by a run of this version"):
        report(ReportRequest(tmp_path, tmp_path / "report.html"), lambda _: None)


def test_without_plotly_it_says_what_to_install(ran, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "paperbot.web.page", raising=False)
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(CommandError, match=r"pip install 'paperbot\[report\]'"):
        report(ReportRequest(ran[0], tmp_path / "report.html"), lambda _: None)


def test_a_run_without_a_fill_has_a_page_too(tmp_path):
    _, sources = two_markets(tmp_path, 120)
    request = ReplayRequest(sources, CONFIG, out=tmp_path / "data", overrides=[parse_assignment("strategies=[]")])
    replay(request, lambda _: None)
    path = report(ReportRequest(tmp_path / "data", tmp_path / "report.html"), lambda _: None)
    assert "<title>BTC/USDT, ETH/USDT: no strategy</title>" in path.read_text()
