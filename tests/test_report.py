"""The page about a run: its figures are the run's, and a browser shows it without a network and without a complaint."""

import base64
import itertools
import json
import re
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperbot.app.replay import replay
from paperbot.app.report import ReportRequest, compose, report
from paperbot.app.sources import ReplayRequest
from paperbot.config import parse_assignment
from paperbot.errors import CommandError, DataError
from paperbot.store.results import blocked_by_code, by_day, by_group, read_results, statistics, thinned
from paperbot.store.tables import SCHEMAS
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
def test_statistics_are_those_of_the_summary(ran):
    folder, summary, _ = ran
    ours = statistics(read_results(folder))
    same = {
        "start equity": "start_equity",
        "equity": "equity",
        "return, %": "return_pct",
        "Sharpe": "sharpe",
        "realized PnL": "realized_pnl",
        "fees": "fees",
        "net PnL": "net_pnl",
        "orders": "orders",
        "fills": "fills",
        "round trips": "round_trips",
        "win rate, %": "win_rate_pct",
        "profit factor": "profit_factor",
    }
    for name, theirs in same.items():
        assert ours[name] == pytest.approx(summary[theirs]), name
    assert ours["Sharpe"] is not None
    assert ours["largest drawdown, %"] == pytest.approx(summary["max_drawdown_pct"], abs=0.01)  # A row each minute.
    assert (ours["first"], ours["last"]) == ("2023-11-15 00:00:00", "2023-12-05 20:00:00")
    rows = pq.read_table(folder / "ledger.parquet").to_pylist()
    assert ours["open positions"] == rows[-1]["open_positions"]
    assert ours["blocked orders"] == sum(summary["blocked"].values()) > 0


def test_blocked_orders_have_a_row_each_with_the_code_of_the_rule(ran):
    folder, summary, _ = ran
    assert blocked_by_code(read_results(folder)) == summary["blocked"]
    rows = pq.read_table(folder / "blocked.parquet").to_pylist()
    assert {row["code"] for row in rows} == set(summary["blocked"])
    full = [row for row in rows if row["code"] == "max_position_value"]
    assert full
    assert all((row["side"], row["type"], row["role"]) == ("buy", "market", "entry") for row in full)
    assert {row["strategy"] for row in rows} <= {"back", "cross"}


def test_days_and_groups_add_up_to_the_whole(ran):
    results = read_results(ran[0])
    whole, days = statistics(results), by_day(results)
    assert len(days["day"]) == 21
    assert np.sum(days["equity"]) == pytest.approx(whole["equity"] - whole["start equity"])
    assert np.sum(days["fees"]) == pytest.approx(whole["fees"])
    assert np.sum(days["fills"]) == whole["fills"]
    for column in ("symbol", "strategy"):
        groups = by_group(results, column)
        assert sum(group["fills"] for group in groups) == whole["fills"]
        assert sum(group["round trips"] for group in groups) == whole["round trips"]
        assert sum(group["fees"].get("USDT", 0) for group in groups) == pytest.approx(whole["fees"])


def test_midnight_ends_a_day(ran):
    """The row at 00:00 is the old day's last, as in the summary's daily equity."""
    results = read_results(ran[0])
    midnight = np.flatnonzero(results.ledger["ts"] == np.datetime64("2023-11-16T00:00:00"))[-1]
    days = by_day(results)
    before = results.ledger["equity"][0] + days["equity"][0]
    assert str(days["day"][0]) == "2023-11-15"
    assert before == pytest.approx(results.ledger["equity"][midnight])


def test_shares_are_annualised_as_the_summary_does_it(tmp_path):
    _, sources = two_markets(tmp_path, 30_000)
    settings = ("exchange=alpaca", "environment=paper", "account.balances={USDT: 10000}")
    overrides = [parse_assignment(text) for text in settings]
    summary = replay(ReplayRequest(sources, CONFIG, out=tmp_path / "data", overrides=overrides), lambda _: None).summary
    page = compose(ReportRequest(tmp_path / "data", tmp_path / "x", (), CONFIG, overrides), lambda _: None)
    assert summary["sharpe"] is not None
    assert page.statistics["Sharpe"] == pytest.approx(summary["sharpe"])


@pytest.mark.parametrize("every", ["1m", "1d"])
def test_days_without_a_price_lose_no_fill_and_no_fee(tmp_path, every):
    """An opening balance of BTC has no value before the first bar, so the opening row has none either."""
    _, sources = two_markets(tmp_path, 30_000)
    overrides = [parse_assignment(text) for text in ("account.balances={USDT: 10000, BTC: 1}", f"ledger.every={every}")]
    summary = replay(ReplayRequest(sources, CONFIG, out=tmp_path / "data", overrides=overrides), lambda _: None).summary
    results = read_results(tmp_path / "data")
    assert np.isnan(results.ledger["equity"][0])
    days, ours = by_day(results), statistics(results)
    assert ours["Sharpe"] == pytest.approx(summary["sharpe"])
    assert len(days["day"]) == 21
    assert np.sum(days["fills"]) == summary["fills"] > 0
    assert np.sum(days["fees"]) == pytest.approx(summary["fees"])
    results.ledger["equity"][-200:] = np.nan  # The price is gone for the rest.
    results.ledger["equity"][1 : len(results.ledger["ts"]) // 2] = np.nan
    days, ours = by_day(results), statistics(results)
    assert ours["equity"] is None
    assert ours["return, %"] is None
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
    for name in SCHEMAS:
        (folder / f"{name}.parquet").write_bytes((ran[0] / f"{name}.parquet").read_bytes())


def test_pictures_are_of_what_they_say(ran):
    """Each figure's numbers, against the Parquet rows."""
    folder, _, sources = ran
    page = compose(ReportRequest(folder, folder / "x", sources, CONFIG), lambda _: None)
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
        bars = pq.read_table(next(one.partition("=")[2] for one in sources if one.startswith(market.symbol)))
        assert set(market.price.values) <= set(bars["close"].to_pylist())
    assert page.tables["By day"][0]["fills"] == page.days["fills"][0]
    assert page.tables["By day"][0]["fees"] == page.days["fees"][0] > 0
    assert page.tables["By day"][0]["change of equity"] == page.days["equity"][0]
    last = page.tables["Round trips"][0]
    assert (last["entry price"], last["exit price"], last["why"]) == (
        *(trips[-1][name] for name in ("entry_price", "exit_price", "reason")),
    )


def test_groups_are_those_of_the_round_trips(ran):
    trips = pq.read_table(ran[0] / "round_trips.parquet").to_pylist()
    for column in ("symbol", "strategy"):
        for group in by_group(read_results(ran[0]), column):
            mine = [row for row in trips if row[column] == group[column]]
            assert group["wins"] == sum(row["pnl"] > 0 for row in mine)
            assert group["PnL of round trips"]["USDT"] == pytest.approx(sum(row["pnl"] for row in mine))


def traces(text):
    """The traces of each figure of the page, by name, as they are handed to plotly.js."""
    found = []
    for part in text.split("Plotly.newPlot(")[1:]:
        start = part.index("[")
        found.append({trace.get("name"): trace for trace in json.JSONDecoder().raw_decode(part[start:])[0]})
    return found


def test_figures_are_drawn_from_the_pages_numbers(ran, tmp_path):
    path, text = page(ran, tmp_path)
    shown = compose(ReportRequest(ran[0], path, (), CONFIG), lambda _: None)
    equity, btc, _, days, fees, blocked = traces(text.partition("</head>")[2])
    assert numbers(equity["equity"]["y"]) == shown.equity.values.tolist()
    assert max(numbers(equity["drawdown, %"]["y"])) == 0
    assert min(numbers(equity["drawdown, %"]["y"])) == pytest.approx(-100 * np.nanmax(shown.drawdown.values))
    assert numbers(btc["buy"]["y"]) == shown.markets[0].buys.price.tolist()
    assert btc["buy"]["marker"]["symbol"] == "triangle-up"
    assert btc["round trips that won"]["line"]["color"] == btc["buy"]["marker"]["color"]
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
    assert "Prices of BTC/USDT, ETH/USDT are those of the fills" in ours


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
    assert {"equity", "close", "buy", "sell"} <= set(drawn)
    assert titles[0] == "Statistics"


def test_bars_show_between_the_fills_when_they_are_given(ran, tmp_path):
    _, without = page(ran, tmp_path)
    _, text = page(ran, tmp_path, *ran[2])
    assert '"name":"close"' in text
    assert '"name":"close"' not in without
    assert '"name":"price of fills"' in without


# ---- what goes wrong ----------------------------------------------------------------------------------------------
def test_nothing_to_report_on_is_one_sentence(tmp_path):
    code, _, err = run(["report", "--data", "nowhere"], tmp_path)
    assert code == 2
    assert (
        " ".join(err.split()) == "error: nowhere/trades.parquet: is not there; a demo, a replay or a session writes it"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"), [(b"no", "is no Parquet file"), (None, "lacks the column ts; it is not a run's")]
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
    assert "0 fills" in path.read_text()
