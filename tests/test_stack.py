"""The observability stack: nothing that is shipped is there unproven. Each query runs on a real Prometheus."""

import contextlib
import json
import re
import sqlite3
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from livelab import Bot, SteeredVenue, kill
from paperbot.telemetry.metrics import SPECS
from shell import KEYS, PATIENCE_S, ROOT, finish, read_until, scrape, start, url_of
from stack import CONFIG, DASHBOARD, Prometheus, need, promql, rows, rules
from test_live import two_markets

sys.path.insert(0, str(ROOT / "scripts"))
PATTERN_PANELS = ["Detections rate by pattern (5m)", "Intents rate by pattern/side (5m)", "Latency P50/P95 (s)"]

LIVE_ONLY = {
    "panel Stream A",
    "panel Feed age A",
    "panel Clock skew A",
    "panel Inputs in the journal A",
    "panel Longest stall of the loop A",
}
"""What a demo has no feed and no journal for."""


# ---- the dashboard ------------------------------------------------------------------------------------------------
def test_dashboard_is_what_the_table_of_metrics_makes_of_it():
    made = pytest.importorskip("make_dashboard", exc_type=ImportError)
    assert DASHBOARD.read_text() == made.dashboard(), "run `make docs`"


def test_dashboard_has_the_rows_of_the_contract():
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["title"] == "Paperbot Overview"
    found = rows()
    assert list(found) == [
        *("Risk", "Equity and PnL", "Orders and fills", "Fees", "Signals"),
        *("Patterns", "Feed and journal health", "LLM guards", "Logs"),
    ]
    assert [panel["title"] for panel in found["Patterns"]] == PATTERN_PANELS
    assert "paperbot_killswitch_active" in str(found["Risk"][0]["targets"])
    assert [one["name"] for one in dashboard["templating"]["list"]] == ["market", "symbol"]
    every = [panel for panels in found.values() for panel in panels]
    assert all(panel["description"] and panel["targets"] for panel in every)
    numbers = [panel["id"] for panel in [*every, *(one for one in dashboard["panels"] if one["type"] == "row")]]
    assert len(set(numbers)) == len(numbers)


SHOWN = {
    "Kill switch": "paperbot_killswitch_active short",
    "Kill switch trips": "killswitch_trips_total short",
    "Blocked orders by reason": "orders_blocked_total short",
    "Drawdown": "paperbot_drawdown_ratio percentunit",
    "Equity, USD": "account_equity_usd currencyUSD",
    "Equity, account currency": "equity_gauge short",
    "Realized PnL, USD": "realized_pnl_total currencyUSD",
    "Unrealized PnL, account currency": "paperbot_unrealized_pnl short",
    "Orders submitted": "orders_submitted_total short",
    "Fills": "fills_total short",
    "Fills per second (5m)": "paperbot:fills:rate5m ops",
    "Open orders": "paperbot_open_orders short",
    "Positions": "paperbot_position_qty short",
    "Slippage P50/P95 (1h)": "paperbot_fill_slippage_bps_bucket suffix: bps",
    "Fees paid": "fees_paid_total currencyUSD",
    "Fees, last 24 h": "paperbot:fees_usd:increase1d currencyUSD",
    "Signals by strategy and side": "signals_emitted_total short",
    "Bars": "candles_fetched_total short",
    "Feature updates": "features_computed_total short",
    "Detections rate by pattern (5m)": "pattern_detected_total ops",
    "Intents rate by pattern/side (5m)": "pattern_intent_total ops",
    "Latency P50/P95 (s)": "pattern_to_intent_latency_seconds_bucket s",
    "Stream": "paperbot_feed_connected short",
    "Scraped": "up short",
    "Feed age": "paperbot_feed_age_seconds s",
    "Since the last bar": "paperbot_last_bar_timestamp_seconds s",
    "Bars refused by code": "paperbot_feed_refused_total short",
    "Reconnects and failed requests": "paperbot_feed_reconnects_total short",
    "Clock skew": "paperbot_feed_clock_skew_seconds s",
    "Journal lag P50/P95 (1h)": "paperbot_journal_lag_seconds_bucket s",
    "Longest stall of the loop": "paperbot_loop_stall_seconds s",
    "Inputs in the journal": "paperbot_journal_inputs short",
    "Messages to people": "paperbot_notifications_total short",
    "Background faults": "paperbot_background_faults_total short",
    "Memory": "process_resident_memory_bytes bytes",
    "Processor (5m)": "process_cpu_seconds_total percentunit",
    "Build": "paperbot_build_info short",
    "Denied by reason": "llm_guard_denied_total short",
    "Accepted": "llm_advice_accepted_total short",
    "Questions by outcome": "llm_questions_total short",
    "Tokens": "llm_tokens_total short",
}
"""What each panel is about, and its unit."""


def test_each_panel_shows_what_its_title_says():
    found = {}
    for panel in [panel for title, panels in rows().items() if title != "Logs" for panel in panels]:
        first = panel["targets"][0]["expr"]
        named = re.findall(r"[a-zA-Z_:][\w:]*", re.sub(r"\"[^\"]*\"", "", first))
        about = next(word for word in named if word in SHOWN_METRICS)
        found[panel["title"]] = f"{about} {panel['fieldConfig']['defaults']['unit']}"
        window = re.search(r"\((\dm|\dh)\)$", panel["title"])
        windows = re.findall(r"\[(\w+)\]", first)
        assert not window or not windows or set(windows) == {window[1]}, panel["title"]
    assert found == SHOWN


SHOWN_METRICS = {about.split()[0] for about in SHOWN.values()}


def test_thresholds_and_words_mean_what_they_look_like():
    panels = {panel["title"]: panel for panels in rows().values() for panel in panels}

    def steps(title):
        return [(one["value"], one["color"]) for one in panels[title]["fieldConfig"]["defaults"]["thresholds"]["steps"]]

    def words(title):
        options = panels[title]["fieldConfig"]["defaults"]["mappings"][0]["options"]
        return {value: (one["text"], one["color"]) for value, one in options.items()}

    assert words("Kill switch") == {"0": ("trading", "green"), "1": ("HALTED", "red")}
    assert words("Stream") == {"0": ("lost", "red"), "1": ("listening", "green")}
    assert words("Scraped") == {"0": ("down", "red"), "1": ("UP", "green")}
    assert steps("Drawdown") == [(None, "green"), (0.05, "yellow"), (0.1, "red")]
    assert steps("Feed age") == [(None, "green"), (60, "yellow"), (180, "red")]
    for panel in panels.values():
        if panel["type"] == "stat":  # The last value of a bot that is dead would look alive.
            assert panel["fieldConfig"]["defaults"]["noValue"] == "no data"
            assert all(target["instant"] and not target.get("range") for target in panel["targets"]), panel["title"]


def test_alerts_look_where_the_dashboard_draws_its_red_line():
    found = rules("alert")
    assert found["PaperbotDrawdownHigh"]["expr"] == "paperbot_drawdown_ratio > 0.1"
    assert found["PaperbotFeedStale"]["expr"] == "paperbot_feed_age_seconds > 180"


def test_legends_name_labels_that_the_series_have(watched):
    for panel in [panel for title, panels in rows().items() if title != "Logs" for panel in panels]:
        for target in panel["targets"]:
            query = target["expr"].replace("$market", ".*").replace("$symbol", ".*")
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                for series in watched.query(query):
                    is_sum = series["metric"] == {} and "== 0" in query
                    assert label in series["metric"] or is_sum, (panel["title"], label)


def test_variables_filter_what_has_their_label(watched):
    """Everything that has a symbol or a market is narrowed by the choice of one."""
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()
        values = {series["metric"][label] for series in watched.query(metric)}
        assert values == ({"BTC/USDT", "ETH/USDT"} if variable["name"] == "symbol" else {"crypto"})
    for panel in [panel for title, panels in rows().items() if title != "Logs" for panel in panels]:
        for target in panel["targets"]:
            for name, value in (("symbol", "ETH/USDT"), ("market", "stocks")):
                query = target["expr"].replace(f"${name}", value).replace("$market", ".*").replace("$symbol", ".*")
                left = {series["metric"].get(name) for series in watched.query(query)} - {None}
                assert left <= {value}, (panel["title"], left)


def test_panels_show_the_numbers_that_are_served(demo, watched):
    text = scrape(demo[2])

    def total(metric):
        found = re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, found))

    panels = {panel["title"]: panel for panels in rows().values() for panel in panels}

    def shown(title):
        query = panels[title]["targets"][0]["expr"].replace("$market", ".*").replace("$symbol", ".*")
        return [float(series["value"][1]) for series in watched.query(query)]

    for title, metric in (
        *(("Fees paid", "fees_paid_total"), ("Fills", "fills_total"), ("Orders submitted", "orders_submitted_total")),
        *(("Realized PnL, USD", "realized_pnl_total"), ("Equity, USD", "account_equity_usd")),
        *(("Drawdown", "paperbot_drawdown_ratio"), ("Denied by reason", "llm_guard_denied_total")),
    ):
        assert sum(shown(title)) == pytest.approx(total(metric)) != 0, title
    assert shown("Blocked orders by reason") == [0.0]
    assert all(seconds > 0 for seconds in shown("Since the last bar"))


def test_panels_do_not_overlap():
    taken = set()
    for panel in [panel for panels in rows().values() for panel in panels]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_metric_is_on_a_panel_or_watched_by_an_alert_and_documented():
    shown = {where: query for where, query in promql().items() if where.split()[0] in {"panel", "alert", "record"}}
    queries = " ".join(shown.values())
    document = (ROOT / "docs/metrics.md").read_text()
    for name in SPECS:
        assert re.search(rf"\b{name}(_bucket)?\b", queries), f"{name} is nowhere to be seen"
        assert f"`{name}`" in document


def test_every_panel_reads_from_a_data_source_that_is_provisioned():
    sources = yaml.safe_load((CONFIG / "grafana/provisioning/datasources/datasources.yml").read_text())["datasources"]
    known = {(source["type"], source["uid"]) for source in sources}
    assert known == {("prometheus", "paperbot-prometheus"), ("loki", "paperbot-loki")}
    for panels in rows().values():
        for panel in panels:
            for asked in [panel["datasource"], *(target["datasource"] for target in panel["targets"])]:
                assert (asked["type"], asked["uid"]) in known


# ---- rules --------------------------------------------------------------------------------------------------------
def promtool(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [need("promtool"), *arguments], cwd=ROOT, input=text, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "config/prometheus.yml"),
        ("check", "rules", "--lint=all", "--lint-fatal", "config/rules/paperbot.yml"),
        ("test", "rules", "tests/prometheus/rules_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing(arguments):
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested_firing_and_silent():
    tests = yaml.safe_load((ROOT / "tests/prometheus/rules_test.yml").read_text())["tests"]
    cases = [case for one in tests for case in one.get("alert_rule_test", [])]
    for name in rules("alert"):
        known = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == name]
        assert True in known, f"{name} is never seen firing"
        assert False in known, f"{name} is never seen silent"


def test_each_alert_says_what_it_means_and_what_to_do():
    for name, rule in rules("alert").items():
        assert set(rule["annotations"]) == {"summary", "description"}, name
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}, name
        assert f"| `{name}` |" in (ROOT / "docs/RUNBOOK.md").read_text(), f"{name} is not in the runbook"


# ---- a demo, scraped ----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """(the runbook's demo in its hold, its output so far, where it serves)."""
    variables = {"ENABLE_PATTERN_OBS_DEMO": "1", "PATTERN_OBS_DEMO_SECONDS": "1", "HOLD_METRICS_SECONDS": "3600"}
    folder = tmp_path_factory.mktemp("demo")
    process = start([], folder, OFFLINE_DEMO="1", PROMETHEUS_PORT="0", **KEYS, **variables)
    before = read_until(process, "execution demo complete")
    yield process, before, url_of(before)
    process.terminate()
    finish(process)


@pytest.fixture(scope="module")
def watched(demo, tmp_path_factory):
    """A Prometheus that has scraped the demo three times."""
    with Prometheus(tmp_path_factory.mktemp("watched") / "prometheus", address(demo[2])) as prometheus:
        prometheus.wait_for_scrapes(3)
        yield prometheus


def answers(prometheus: Prometheus) -> dict[str, list[dict]]:
    return {where: prometheus.query(query) for where, query in promql().items()}


def empty(found: dict[str, list[dict]]) -> set[str]:
    return {where for where, series in found.items() if not series}


def alerts() -> set[str]:
    return {f"alert {name}" for name in rules("alert")}


def address(url: str) -> str:
    return url.removeprefix("http://").removesuffix("/metrics")


def test_every_query_returns_data_on_a_demo(watched):
    assert watched.targets()[0]["labels"]["job"] == "paperbot"
    silent = LIVE_ONLY | alerts()
    watched.wait(
        lambda: empty(answers(watched)) == silent,
        lambda: f"other than expected: {empty(answers(watched)) ^ silent}",
    )
    assert watched.firing() == set()
    rates = watched.query("sum(rate(pattern_detected_total[5m]))")
    assert float(rates[0]["value"][1]) > 0
    for name, label in (("paperbot_killswitch_active", "market"), ("candles_fetched_total", "symbol")):
        assert all(label in series["metric"] for series in watched.query(name))


def test_promtool_objects_to_the_two_names_that_the_runbook_fixes_and_to_nothing_else(demo):
    """`equity_gauge` has its type in its name, and `realized_pnl_total` is a gauge."""
    done = promtool("check", "metrics", text=scrape(demo[2]))
    told = {line.split()[0] for line in (done.stdout + done.stderr).splitlines() if line.strip()}
    assert told == {"equity_gauge", "realized_pnl_total"}


# ---- a live session, scraped; and what makes each alert go off ----------------------------------------------------
BUSY = (
    "strategies=[{name: mean_reversion, kind: mean_reversion, enter: -0.3, leave: 0.3}]",
    "features.patterns=[engulfing_bullish, engulfing_bearish]",
)


class Scraped:
    """A live session against a venue, and a Prometheus that watches it. A bar takes `pace_ms` of real time."""

    def __init__(self, folder: Path, pace_ms: int, *settings: str) -> None:
        bars = 60_000  # More than are needed on the slowest machine.
        _, sources = two_markets(folder, bars)
        self.venue = SteeredVenue(folder, *sources)
        self.bot = Bot(folder, {**self.venue.settings(), **dict(one.split("=", 1) for one in settings)})
        self.process = self.bot.start(LOG_LEVEL="INFO")
        self.venue.play(20)
        self.bot.wait_for_inputs(30, self.process)
        self.venue.pace(pace_ms)
        self.venue.play(bars)
        self.prometheus = Prometheus(folder / "prometheus", address(url_of(self.bot.log())))

    def __enter__(self):
        self.prometheus.__enter__()
        return self

    def __exit__(self, *_):
        self.prometheus.__exit__()
        for process in (self.process, self.venue.process):
            if process.poll() is None:
                process.kill()
                process.wait()

    def set_off(self, alert: str) -> None:
        """Wait until the alert's expression holds."""
        self.prometheus.wait_for_series(rules("alert")[alert]["expr"])


@contextlib.contextmanager
def a_venue_that_only_knows_the_time(url: str):
    """Where the venue was, its time goes on, and everything else fails."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            is_time = self.path.startswith("/api/v3/time")
            self.send_response(200 if is_time else 503)
            self.end_headers()
            self.wfile.write(b'{"serverTime": 1800000000000}' if is_time else b"{}")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", int(url.rsplit(":", 1)[1])), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.long
def test_every_query_returns_data_on_a_live_session_and_drills_set_the_alerts_off(tmp_path):
    with Scraped(tmp_path, 10, *BUSY) as session:
        prometheus = session.prometheus
        prometheus.wait_for_scrapes(3)
        silent = alerts() - {"alert PaperbotJournalLag"}  # This machine may be as slow as that.
        prometheus.wait(
            lambda: silent <= empty(answers(prometheus)) <= alerts(),
            lambda: f"other than expected: {empty(answers(prometheus)) ^ silent}",
        )
        session.bot.ask("halt")
        session.set_off("PaperbotKillSwitchActive")
        session.set_off("PaperbotKillSwitchTripped")
        session.set_off("PaperbotOrderRejectionsSurge")
        prometheus.wait(lambda: "PaperbotKillSwitchActive" in prometheus.firing(), lambda: "does not fire")
        session.venue.close()
        with a_venue_that_only_knows_the_time(session.venue.url):
            session.set_off("PaperbotFeedStale")
            session.set_off("PaperbotFeedDisconnected")
        kill(session.process)
        session.set_off("PaperbotDown")


def hold_up(journal: Path) -> None:
    """Nothing can be written to the journal for twice as long as the alert allows."""
    with contextlib.closing(sqlite3.connect(journal, isolation_level=None, timeout=PATIENCE_S)) as db:
        db.execute("BEGIN IMMEDIATE")
        time.sleep(0.5)
        db.execute("ROLLBACK")


@pytest.mark.long
def test_no_detections_and_a_slow_journal_set_their_alerts_off(tmp_path):
    with Scraped(tmp_path, 200, "features.patterns=[]") as session:
        session.set_off("PaperbotNoDetections")
        (journal,) = tmp_path.glob("data/sessions/*/journal.sqlite")
        lag = rules("alert")["PaperbotJournalLag"]["expr"]

        def is_slow() -> bool:
            session.bot.wait_for_inputs(session.bot.inputs() + 2, session.process)
            hold_up(journal)
            return bool(session.prometheus.query(lag))

        session.prometheus.wait(is_slow, lambda: lag)


def test_a_loss_sets_the_drawdown_alert_off(tmp_path):
    caps = ("risk.daily_loss_cap=0", "risk.max_drawdown=0.15", "risk.max_position_value_per_symbol=0.9")
    arguments = ["drill", "killswitch", "--hold", "3600", *(part for cap in caps for part in ("--set", cap))]
    config = ["--config", str(CONFIG / "config.yaml")]
    process = start([*arguments, *config], tmp_path, PROMETHEUS_PORT="0")
    try:
        url = url_of(read_until(process, "/metrics"))
        with Prometheus(tmp_path / "prometheus", address(url)) as prometheus:
            prometheus.wait_for_series(rules("alert")["PaperbotDrawdownHigh"]["expr"])
            prometheus.wait_for_series('orders_blocked_total{reason="killswitch"} > 0')
    finally:
        process.terminate()
        finish(process)
