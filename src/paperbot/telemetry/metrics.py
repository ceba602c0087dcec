"""All metrics in one table; the registry, `docs/metrics.md` and the dashboards are generated from it.

Each run has its own registry, so a process can hold several. Values are set only from output records and events
(`telemetry/watch.py`), and a scrape sees either all of a batch of records or none of it.
"""

import bisect
import contextlib
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from paperbot.core import types as t


@dataclass(frozen=True)
class Spec:
    """One metric. `zeros`: its series exist from the first scrape on, for all label values."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    unit: str
    help: str
    buckets: tuple[float, ...] = ()
    zeros: bool = True


def _counter(name: str, *labels: str, unit: str, text: str) -> Spec:
    return Spec(name, "counter", labels, unit, text)


def _gauge(name: str, *labels: str, unit: str, text: str, zeros: bool = True) -> Spec:
    return Spec(name, "gauge", labels, unit, text, zeros=zeros)


def _histogram(name: str, *labels: str, unit: str, text: str, buckets: tuple[float, ...]) -> Spec:
    return Spec(name, "histogram", labels, unit, text, buckets)


TABLE: tuple[Spec, ...] = (
    _counter("candles_fetched_total", "symbol", unit="bars", text="Final bars that entered the engine."),
    _counter(
        "features_computed_total", "symbol", unit="values", text="Feature updates: bars times features in use."
    ),
    _counter(
        *("signals_emitted_total", "strat", "side", "symbol"),
        unit="signals",
        text="Changed targets of strategies; side: long, flat or short.",
    ),
    _counter("orders_submitted_total", "type", "symbol", unit="orders", text="Orders that passed the gate."),
    _counter(
        *("orders_blocked_total", "reason"),
        unit="orders",
        text="Orders that the gate blocked, by block code.",
    ),
    _counter("fills_total", "liquidity", "symbol", unit="fills", text="Fills, including partial fills."),
    _counter(
        *("fees_paid_total", "symbol"),
        unit="USD",
        text="Fees, at the oracle's rate at each fill; no series while the account currency has no value in USD.",
    ),
    _gauge(
        *("realized_pnl_total", "symbol"),
        unit="USD",
        text="Realized profit and loss before fees, converted like the fees; a gauge, because it can fall.",
    ),
    _gauge(
        "equity_gauge",
        unit="account currency",
        text="Equity at the last ledger row; no series while any holding has no price.",
        zeros=False,
    ),
    _gauge(
        *("account_equity_usd", "market"),
        unit="USD",
        text="Equity at the last ledger row; no series while a holding has no price or equity has no value in USD.",
        zeros=False,
    ),
    _gauge("paperbot_killswitch_active", "market", unit="0 or 1", text="Whether trading is halted."),
    _counter("killswitch_trips_total", unit="trips", text="Trips of the kill switch, manual halts included."),
    _gauge("paperbot_drawdown_ratio", unit="ratio", text="1 - equity / peak at the last ledger row.", zeros=False),
    _gauge(
        "paperbot_unrealized_pnl",
        unit="account currency",
        text="Unrealized profit and loss at the last ledger row.",
        zeros=False,
    ),
    _gauge("paperbot_open_orders", "symbol", unit="orders", text="Open orders, protective orders included."),
    _gauge("paperbot_position_qty", "strat", "symbol", unit="base asset", text="Quantity that a strategy holds."),
    _histogram(
        *("paperbot_fill_slippage_bps", "symbol"),
        unit="bps",
        text="Slippage of taker fills: adverse distance from the reference price.",
        buckets=(0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0),
    ),
    _gauge(
        *("paperbot_last_bar_timestamp_seconds", "symbol"),
        unit="Unix seconds",
        text="Closing time of the symbol's last bar.",
        zeros=False,
    ),
    _counter(
        *("pattern_detected_total", "market", "symbol", "pattern"),
        unit="detections",
        text="Candlestick patterns found.",
    ),
    _counter(
        *("pattern_intent_total", "market", "pattern", "side"),
        unit="intents",
        text="Changed targets of strategies that follow patterns; side: long or flat.",
    ),
    _histogram(
        "pattern_to_intent_latency_seconds",
        unit="seconds",
        text="Time from a pattern's bar entering the engine to the resulting intent.",
        buckets=(0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
    ),
    _gauge(
        "paperbot_feed_age_seconds",
        unit="seconds",
        text="How long the next slice is overdue.",
        zeros=False,
    ),
    _gauge("paperbot_feed_connected", unit="0 or 1", text="Whether the stream is connected.", zeros=False),
    _gauge(
        "paperbot_feed_clock_skew_seconds",
        unit="seconds",
        text="The venue's clock minus ours, at the last request.",
        zeros=False,
    ),
    _counter("paperbot_feed_reconnects_total", unit="connections", text="Reconnections of the stream."),
    _counter("paperbot_feed_refused_total", "code", unit="bars", text="Bars that the feed refused, by code."),
    _counter("paperbot_feed_errors_total", unit="requests", text="Requests that failed or got an invalid answer."),
    _histogram(
        "paperbot_journal_lag_seconds",
        unit="seconds",
        text="Time from a complete slice to its inputs being durable and processed; catch-up slices are not measured.",
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
    ),
    _gauge(
        "paperbot_loop_stall_seconds",
        unit="seconds",
        text="The event loop's longest stall in the last one to two minutes, not counting waits for commits.",
        zeros=False,
    ),
    _gauge("paperbot_journal_inputs", unit="inputs", text="Inputs in the session's journal.", zeros=False),
    _counter(
        "paperbot_background_faults_total", "task", unit="faults", text="Exceptions raised by background tasks."
    ),
    _counter("paperbot_notifications_total", "outcome", unit="messages", text="Messages to the user, by outcome."),
    _counter("llm_guard_denied_total", "reason", unit="answers", text="Advice denied by a guard, by code."),
    _counter("llm_advice_accepted_total", "symbol", "side", unit="answers", text="Advice that passed all guards."),
    _counter("llm_questions_total", "outcome", unit="questions", text="Questions to the advisor, by outcome."),
    _counter("llm_tokens_total", "kind", unit="tokens", text="Tokens that the endpoint reported."),
    _gauge(
        *("paperbot_build_info", "version", "core"),
        unit="1",
        text="Version and fingerprint of the compiled core.",
        zeros=False,
    ),
)
"""The names in the runbook come first; all others start with `paperbot_` or `llm_`."""

SPECS = {spec.name: spec for spec in TABLE}

PATTERNS = tuple(pattern.name.lower() for pattern in t.Pattern)
SIDES = tuple(target.name.lower() for target in t.Target)
BACKGROUND = ("advisor", "artifacts", "notifier", "snapshot")
"""Background tasks, as label values."""

BLOCK_REASONS = tuple(code.name.lower() for code in t.Code if t.Code.NONE < code < t.Code.FILLED)

Labels = tuple[str, ...]


@dataclass
class _Histogram:
    counts: list[int]
    total: float = 0.0


@dataclass(eq=False)
class Metrics:
    """The values of one run, and the collector that exposes them.

    `domains`: possible values of each label, by `label` or `metric.label`, for the zero series. `late`: metrics without
    zero series in this run.
    """

    domains: Mapping[str, Sequence[str]]
    late: frozenset[str] = frozenset()
    _values: dict[str, dict[Labels, Any]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        """Create all zero series."""
        for spec in TABLE:
            series: dict[Labels, Any] = {}
            if spec.zeros and spec.name not in self.late:
                domains = [self.domains.get(f"{spec.name}.{label}", self.domains.get(label)) for label in spec.labels]
                assert None not in domains, f"{spec.name}: no domain for one of {spec.labels}"
                values = [domain for domain in domains if domain is not None]
                series = {labels: self._zero(spec) for labels in itertools.product(*values)}
            self._values[spec.name] = series

    @staticmethod
    def _zero(spec: Spec) -> Any:
        return _Histogram([0] * (len(spec.buckets) + 1)) if spec.kind == "histogram" else 0.0

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make all changes in the block visible to a scrape at the same moment."""
        with self._lock:
            yield

    def inc(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Increase a counter, or change a gauge; only a gauge may decrease."""
        spec = SPECS[name]
        assert len(labels) == len(spec.labels), (name, labels)
        assert by >= 0 or spec.kind == "gauge", name
        with self._lock:
            series = self._values[name]
            series[labels] = series.get(labels, 0.0) + by

    def set(self, name: str, *labels: str, to: float | None) -> None:
        """Set a gauge; None removes the series."""
        spec = SPECS[name]
        assert spec.kind == "gauge", name
        assert len(labels) == len(spec.labels), (name, labels)
        with self._lock:
            if to is None:
                self._values[name].pop(labels, None)
            else:
                self._values[name][labels] = float(to)

    def observe(self, name: str, *labels: str, value: float) -> None:
        """Add a value to a histogram."""
        spec = SPECS[name]
        assert spec.kind == "histogram", name
        assert len(labels) == len(spec.labels), (name, labels)
        with self._lock:
            histogram = self._values[name].setdefault(labels, self._zero(spec))
            histogram.counts[bisect.bisect_left(spec.buckets, value)] += 1
            histogram.total += value

    def value(self, name: str, *labels: str) -> float | None:
        """Return a counter's or gauge's value, or None if there is no such series."""
        with self._lock:
            return self._values[name].get(labels)

    def collect(self) -> Iterator[Metric]:
        """Yield all families with at least one series, as prometheus_client requires; without `*_created`."""
        with self._lock:
            families = [_family(spec, self._values[spec.name]) for spec in TABLE if self._values[spec.name]]
        yield from families


def _family(spec: Spec, series: Mapping[Labels, Any]) -> Metric:
    if spec.kind == "histogram":
        histogram = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
        for labels, value in series.items():
            counts = itertools.accumulate(value.counts)
            bounds = [*(_bound(edge) for edge in spec.buckets), "+Inf"]
            histogram.add_metric(labels, list(zip(bounds, counts, strict=True)), value.total)
        return histogram
    kind = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
    family = kind(spec.name, spec.help, labels=spec.labels)
    for labels, value in series.items():
        family.add_metric(labels, value)
    return family


def _bound(edge: float) -> str:
    """Format a bucket's upper edge as prometheus_client does, such as `1.0`."""
    return repr(float(edge))


class MetricsServer:
    """Serves `/metrics` on its own thread until stopped. Raises OSError if the address cannot be bound."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        registry = CollectorRegistry()
        registry.register(metrics)
        ProcessCollector(registry=registry)
        self._server, self._thread = start_http_server(port, host, registry)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_port}/metrics"

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
