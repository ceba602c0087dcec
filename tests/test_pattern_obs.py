"""Pattern events: the engine's own, with the RSI of their bar and the intents that follow; and the made-up ones."""

import io
import json

import pytest

from paperbot.clock import SystemClock
from paperbot.core import types as t
from paperbot.engine.names import names_of
from paperbot.llm.advisor import OUTCOMES
from paperbot.llm.guards import CODES
from paperbot.market.feed import REFUSALS
from paperbot.redact import Redactor
from paperbot.settings import PatternFollower
from paperbot.telemetry.logs import make_log
from paperbot.telemetry.metrics import Metrics
from paperbot.telemetry.patterns import DemoEmitter, PatternReporter
from paperbot.telemetry.watch import Telemetry, domains
from recorded import read, run_events
from shell import wait_until
from test_features import feature_series

KEYS = {"event", "market", "symbol", "pattern", "rsi", "side", "ts", "severity", "component", "schema_version"}
FOLLOWER = 'strategies=[{"name": "follower", "kind": "pattern", "enter": ["hammer"], "leave": ["shooting_star"]}]'


class Told:
    """What a telemetry wrote and counted about a run."""

    def __init__(self, symbols, *settings, clock=None):
        self.plan, events = read([f"{symbol}=synthetic:5:600" for symbol in symbols], settings)
        run = run_events(self.plan, events)
        self.run = run
        names = names_of(self.plan)
        out = io.StringIO()
        log = make_log("json", "INFO", Redactor(), out)
        self.metrics = Metrics(domains(names, "crypto", CODES, OUTCOMES, REFUSALS))
        strategies = {
            "follower": PatternFollower(name="follower", kind="pattern", enter=["hammer"], leave=["shooting_star"])
        }
        reporter = PatternReporter("crypto", log, self.metrics)
        telemetry = Telemetry(
            names, strategies, "crypto", 1, log, self.metrics, reporter, clock or SystemClock(), candles=0
        )
        machine_events = [events[k : k + 1] for k in range(len(events))]
        times = run.outputs["ts"]
        at = 0
        for event in machine_events:  # Bar by bar, as a live session hands them over.
            telemetry.events(event)
            is_end = event["flags"][0] & t.BarFlag.END_OF_SLICE
            stop = at
            while stop < len(times) and times[stop] <= event["close_ts"][0]:
                mine = run.outputs["symbol"][stop] in (event["symbol"][0], -1)
                if not is_end and not (mine and run.outputs["kind"][stop] == t.OutputKind.PATTERN):
                    break
                stop += 1
            telemetry.records(run.outputs[at:stop])
            at = stop
        self.lines = [json.loads(line) for line in out.getvalue().splitlines() if line.startswith("{")]

    def of(self, event):
        return [line for line in self.lines if line["event"] == event]


@pytest.fixture(scope="module")
def told():
    return Told(["BTC/USDT", "ETH/USDT"], FOLLOWER)


def test_each_detection_of_the_engine_is_a_line_and_a_count(told):
    records = told.run.outputs[told.run.outputs["kind"] == t.OutputKind.PATTERN].view(t.OUT_PATTERN)
    lines = told.of("pattern_detected")
    assert len(lines) == len(records) > 20
    for line, record in zip(lines, records, strict=True):
        assert set(line) == KEYS | {"source"}
        assert line["pattern"] == t.Pattern(int(record["pattern"])).name.lower()
        assert line["source"] == "engine"
        assert line["side"] == {1: "long", -1: "short", 0: "none"}[int(record["direction"])]
    counted = sum(
        told.metrics.value("pattern_detected_total", "crypto", symbol, pattern)
        for symbol in told.plan.symbols
        for pattern in ("hammer", "shooting_star")
    )
    assert counted == len(lines)


def test_a_detection_carries_the_rsi_of_its_bar():
    told = Told(["BTC/USDT"], FOLLOWER)
    series = feature_series(told.plan, told.run.events)["RSI", 14]
    closes = told.run.events["close_ts"].tolist()
    records = told.run.outputs[told.run.outputs["kind"] == t.OutputKind.PATTERN].view(t.OUT_PATTERN)
    early = [record for record in records if not record["rsi_ready"]]
    for record in records:
        bar = closes.index(int(record["ts"]))
        assert bool(record["rsi_ready"]) == (bar >= 14)
        assert record["rsi"] == (series[bar] if bar >= 14 else 0.0)
    assert [line["rsi"] for line in told.of("pattern_detected")][: len(early)] == [None] * len(early)


def test_each_intent_belongs_to_a_detection_and_to_a_signal(told):
    intents = told.of("pattern_intent")
    signals = told.run.outputs[told.run.outputs["kind"] == t.OutputKind.SIGNAL]
    assert len(intents) == len(signals) > 5
    detected = {(line["ts"], line["symbol"], line["pattern"], line["rsi"]) for line in told.of("pattern_detected")}
    for line in intents:
        assert set(line) == KEYS | {"source"}
        assert (line["ts"], line["symbol"], line["pattern"], line["rsi"]) in detected
        assert line["side"] == {"hammer": "long", "shooting_star": "flat"}[line["pattern"]]


class Steps:
    """A clock that goes on by 0.4 s at each look."""

    def __init__(self):
        self.at_s = 0.0

    def monotonic_s(self):
        self.at_s += 0.4
        return self.at_s

    def now_ns(self):
        return 0


def test_latency_runs_from_the_patterns_bar_to_the_intent():
    """BTC's bar is handed over first, ETH's second: an intent on BTC is one hand-over later than one on ETH."""
    told = Told(["BTC/USDT", "ETH/USDT"], FOLLOWER, clock=Steps())
    (family,) = [one for one in told.metrics.collect() if one.name == "pattern_to_intent_latency_seconds"]
    values = {(s.name.rsplit("_", 1)[1], s.labels.get("le")): s.value for s in family.samples}
    assert values["count", None] == len(told.of("pattern_intent"))
    assert values["bucket", "0.5"] < values["bucket", "1.0"] == values["count", None]


def demo_emitter(every_s):
    """(an emitter, where its lines go)."""
    out = io.StringIO()
    reporter = PatternReporter("crypto", make_log("console", "INFO", Redactor(), out), Told(["BTC/USDT"]).metrics)
    return DemoEmitter(reporter, ("BTC/USDT",), every_s, SystemClock()), out


def test_the_demo_emits_at_once_and_not_again_before_its_interval_is_over():
    emitter, out = demo_emitter(3600)
    emitter.start()
    assert len(out.getvalue().splitlines()) == 2
    emitter.stop()
    assert len(out.getvalue().splitlines()) == 2


def test_the_demo_emits_again_and_again_until_it_is_stopped():
    emitter, out = demo_emitter(0.01)
    emitter.start()
    wait_until(lambda: out.getvalue().count("\n") >= 6, out.getvalue)
    emitter.stop()
    assert not emitter._thread.is_alive()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["pattern_detected", "pattern_intent"] * (len(lines) // 2)
    assert {line["source"] for line in lines} == {"demo"}
    assert all(set(line) == KEYS | {"source"} for line in lines)
