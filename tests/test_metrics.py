"""The metrics: the contract's names and labels, zeros from the start, and each one moved by what the engine did."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from desk import Desk
from paperbot.clock import SystemClock
from paperbot.core import types as t
from paperbot.engine.names import names_of
from paperbot.engine.rates import usd_rate_of
from paperbot.live.observers import IN_USD
from paperbot.llm.advisor import OUTCOMES
from paperbot.llm.guards import CODES
from paperbot.market.feed import REFUSALS
from paperbot.redact import Redactor
from paperbot.telemetry.logs import make_log
from paperbot.telemetry.metrics import BLOCK_REASONS, SPECS, TABLE, Metrics, MetricsServer
from paperbot.telemetry.patterns import PatternReporter
from paperbot.telemetry.watch import Telemetry, domains
from shell import scrape

CONTRACT = {
    "candles_fetched_total": ("counter", ("symbol",)),
    "features_computed_total": ("counter", ("symbol",)),
    "signals_emitted_total": ("counter", ("strat", "side", "symbol")),
    "orders_submitted_total": ("counter", ("type", "symbol")),
    "orders_blocked_total": ("counter", ("reason",)),
    "fills_total": ("counter", ("liquidity", "symbol")),
    "fees_paid_total": ("counter", ("symbol",)),
    "realized_pnl_total": ("gauge", ("symbol",)),
    "equity_gauge": ("gauge", ()),
    "account_equity_usd": ("gauge", ("market",)),
    "paperbot_killswitch_active": ("gauge", ("market",)),
    "killswitch_trips_total": ("counter", ()),
    "pattern_detected_total": ("counter", ("market", "symbol", "pattern")),
    "pattern_intent_total": ("counter", ("market", "pattern", "side")),
    "pattern_to_intent_latency_seconds": ("histogram", ()),
}


class WatchedDesk(Desk):
    """A desk whose events and records a telemetry watches."""

    def __init__(self, *overrides, symbols=("BTC/USD",), strategies=None):
        super().__init__(*overrides, symbols=symbols)
        names = names_of(self.plan)
        log = make_log("json", "ERROR", Redactor())
        late = frozenset() if names.usd_rate is not None else frozenset(IN_USD)
        self.metrics = Metrics(domains(names, "crypto", CODES, OUTCOMES, REFUSALS), late)
        reporter = PatternReporter("crypto", log, self.metrics)
        features = len(self.plan.params.features)
        self.telemetry = Telemetry(
            *(names, strategies or {}, "crypto", features, log, self.metrics, reporter, SystemClock()),
            usd_rate=lambda: usd_rate_of(names, self.machine),
        )

    def _feed(self, event):
        self.telemetry.events(event)
        before = len(self.records)
        super()._feed(event)
        for record in self.records[before:]:
            self.telemetry.records(record.reshape(1))
        return self

    def value(self, name, *labels):
        return self.metrics.value(name, *labels)


def test_the_table_has_the_contracts_names_and_labels():
    for name, (kind, labels) in CONTRACT.items():
        assert (SPECS[name].kind, SPECS[name].labels) == (kind, labels)
    assert SPECS["pattern_to_intent_latency_seconds"].buckets == (0.5, 1, 2, 5, 10, 30, 60)


def test_names_are_unique_well_formed_and_explained():
    assert len(SPECS) == len(TABLE)
    for spec in TABLE:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", spec.name)
        assert spec.help.endswith(".")
        assert spec.unit
        assert (spec.kind == "counter") == (spec.name.endswith("_total") and spec.name != "realized_pnl_total")
        assert spec.name in CONTRACT or spec.name.startswith(("paperbot_", "llm_"))


def families(metrics):
    server = MetricsServer(metrics, "127.0.0.1", 0)
    try:
        return {family.name: family for family in text_string_to_metric_families(scrape(server.url))}
    finally:
        server.stop()


def test_everything_known_is_zero_from_the_first_scrape_on():
    desk = WatchedDesk()
    seen = families(desk.metrics)
    blocked = {sample.labels["reason"]: sample.value for sample in seen["orders_blocked"].samples}
    assert blocked == dict.fromkeys(BLOCK_REASONS, 0.0)
    assert set(BLOCK_REASONS) == {code.name.lower() for code in t.Code if 0 < code < t.Code.FILLED}
    assert [(s.labels, s.value) for s in seen["paperbot_killswitch_active"].samples] == [({"market": "crypto"}, 0.0)]
    for spec in TABLE:
        family = seen.get(spec.name.removesuffix("_total") if spec.kind == "counter" else spec.name)
        if spec.zeros:
            assert family is not None, spec.name
            assert {sample.value for sample in family.samples} == {0.0}
        else:
            assert family is None, spec.name
    assert not any("_created" in sample.name for family in seen.values() for sample in family.samples)
    assert "process_resident_memory_bytes" in seen


def test_built_several_times_in_one_process():
    """Nothing is registered anywhere but in a registry of its own."""
    for _ in range(3):
        families(WatchedDesk().metrics)


def test_no_equity_without_a_price():
    desk = WatchedDesk({"account": {"balances": {"XYZ": 5}}})
    desk.bar(100)
    assert desk.value("equity_gauge") is None
    assert "equity_gauge" not in families(desk.metrics)
    assert "account_equity_usd" not in families(desk.metrics)


def test_a_round_trip_moves_its_metrics():
    fees = {"execution": {"fees": {"maker_bps": 0, "taker_bps": 100}, "slippage_bps": 20}}
    desk = WatchedDesk(fees, {"ledger": {"every": "1m"}})
    desk.bar(100).signal(t.Target.LONG).bar(1000).signal(t.Target.FLAT)
    assert desk.value("signals_emitted_total", "manual", "long", "BTC/USD") == 1
    assert desk.value("orders_submitted_total", "market", "BTC/USD") == 2
    assert desk.value("paperbot_open_orders", "BTC/USD") == 1
    assert desk.value("fills_total", "taker", "BTC/USD") == 1
    held = desk.value("paperbot_position_qty", "manual", "BTC/USD")
    assert held == desk.position() > 0
    desk.bar(2000)
    fill, sold = desk.of(t.OutputKind.FILL, t.OUT_FILL)
    assert desk.value("paperbot_open_orders", "BTC/USD") == 0
    assert desk.value("paperbot_position_qty", "manual", "BTC/USD") == 0
    assert desk.value("fees_paid_total", "BTC/USD") == pytest.approx((fill["fee_account"] + sold["fee_account"]) / 1e8)
    assert desk.value("realized_pnl_total", "BTC/USD") == pytest.approx(sold["realized"] / 1e8)
    assert desk.value("equity_gauge") == desk.value("account_equity_usd", "crypto") == float(desk.equity)
    assert desk.value("candles_fetched_total", "BTC/USD") == 3
    assert desk.value("paperbot_last_bar_timestamp_seconds", "BTC/USD") == desk.now_ns / 1e9
    slippage = families(desk.metrics)["paperbot_fill_slippage_bps"].samples
    buckets = {sample.labels["le"]: sample.value for sample in slippage if sample.name.endswith("_bucket")}
    assert (buckets["10.0"], buckets["25.0"], buckets["+Inf"]) == (0, 2, 2)


def test_realized_pnl_may_fall():
    desk = WatchedDesk().bar(1000).signal(t.Target.LONG).bar(1000).signal(t.Target.FLAT).bar(900)
    assert desk.value("realized_pnl_total", "BTC/USD") == -100


def test_usd_figures_of_an_account_in_another_currency():
    """One EUR is 1.25 USD by override: fees and profit are shown in USD, equity in both."""
    account = {"account": {"currency": "EUR", "balances": {"EUR": 10_000}}, "oracle": {"overrides": {"EUR": "1.25"}}}
    fees = {"execution": {"fees": {"taker_bps": 100}}}
    desk = WatchedDesk(account, fees, symbols=("BTC/EUR",))
    desk.bar(1000).signal(t.Target.LONG).bar(1000)
    assert desk.value("fees_paid_total", "BTC/EUR") == pytest.approx(12.5)
    assert desk.value("account_equity_usd", "crypto") == pytest.approx(1.25 * desk.value("equity_gauge"))


def test_usd_figures_of_an_account_that_the_stream_prices():
    """The account is in BTC, and BTC/USDT is traded: a fee is worth what the oracle saw before its bar."""
    account = {"account": {"currency": "BTC", "balances": {"USDT": 10_000}}}
    desk = WatchedDesk(account, {"execution": {"fees": {"taker_bps": 100}}}, symbols=("BTC/USDT",))
    desk.bar(1000).signal(t.Target.LONG).bar(1000, 1000, 1000, 2000)
    assert desk.value("fees_paid_total", "BTC/USDT") == pytest.approx(10.0, rel=1e-6)


def test_what_has_no_value_in_usd_has_no_series():
    desk = WatchedDesk({"account": {"currency": "EUR", "balances": {"EUR": 10_000, "USD": 0}}}, symbols=("BTC/EUR",))
    desk.bar(1000).signal(t.Target.LONG).bar(1000)
    assert desk.value("fees_paid_total", "BTC/EUR") is None
    assert desk.value("account_equity_usd", "crypto") is None
    assert desk.value("equity_gauge") is not None


def test_types_liquidity_and_feature_updates_are_told_apart():
    desk = WatchedDesk({"features": {"always": ["rsi", "vwap"]}, "execution": {"slippage_bps": 20}})
    desk.bar(100).buy(1, limit=95).buy(1, stop=105).bar(100, 100, 90, 100).bar(100, 110, 100, 100)
    assert desk.value("orders_submitted_total", "limit", "BTC/USD") == 1
    assert desk.value("orders_submitted_total", "stop", "BTC/USD") == 1
    assert desk.value("orders_submitted_total", "market", "BTC/USD") == 0
    assert desk.value("fills_total", "maker", "BTC/USD") == 1
    assert desk.value("fills_total", "taker", "BTC/USD") == 1
    (family,) = [one for one in desk.metrics.collect() if one.name == "paperbot_fill_slippage_bps"]
    assert [s.value for s in family.samples if s.name.endswith("_count")] == [1]  # A maker slips by nothing.
    assert desk.value("features_computed_total", "BTC/USD") == 3 * len(desk.plan.params.features)


def test_unrealized_profit_is_that_of_the_last_row():
    desk = WatchedDesk({"ledger": {"every": "1m"}}).bar(1000).signal(t.Target.LONG).bar(1000).bar(900)
    assert desk.value("paperbot_unrealized_pnl") == -100


def test_killswitch_gauge_follows_halt_and_resume():
    desk = WatchedDesk({"risk": {"daily_loss_cap": "0.05"}}).bar(100).buy(50).bar(100).bar(89)
    assert desk.value("paperbot_killswitch_active", "crypto") == 1
    assert desk.value("killswitch_trips_total") == 1
    desk.buy(1).buy(1)
    assert desk.value("orders_blocked_total", "killswitch") == 2
    assert desk.value("paperbot_drawdown_ratio") == pytest.approx(0.055)
    desk.resume()
    assert desk.value("paperbot_killswitch_active", "crypto") == 0
    assert desk.value("killswitch_trips_total") == 1


def test_gauges_are_set_again_from_a_state_that_is_loaded():
    halted = WatchedDesk({"risk": {"daily_loss_cap": "0.05"}}).bar(100).buy(50).bar(100).sell(5, limit=200).bar(89)
    fresh = WatchedDesk({"risk": {"daily_loss_cap": "0.05"}})
    state = halted.machine.state
    fresh.telemetry.catch_up(state.account[0], state.symbols, state.positions, state.orders)
    for name, labels in (
        ("paperbot_killswitch_active", ("crypto",)),
        ("paperbot_position_qty", ("manual", "BTC/USD")),
        ("paperbot_open_orders", ("BTC/USD",)),
        ("equity_gauge", ()),
        ("account_equity_usd", ("crypto",)),
        ("paperbot_drawdown_ratio", ()),
        ("paperbot_unrealized_pnl", ()),
        ("paperbot_last_bar_timestamp_seconds", ("BTC/USD",)),
    ):
        assert fresh.value(name, *labels) == pytest.approx(halted.value(name, *labels))
        assert fresh.value(name, *labels) != 0


def test_a_scrape_never_sees_half_of_a_batch():
    desk = WatchedDesk()
    with desk.metrics.together():
        desk.metrics.inc("fills_total", "taker", "BTC/USD")
        desk.metrics.inc("fees_paid_total", "BTC/USD", by=2.0)
    seen = families(desk.metrics)
    fills = sum(sample.value for sample in seen["fills"].samples)
    assert (fills, seen["fees_paid"].samples[0].value) == (1, 2)


def test_a_counter_does_not_go_back():
    with pytest.raises(AssertionError):
        WatchedDesk().metrics.inc("killswitch_trips_total", by=-1)


def test_every_metric_is_moved_by_something():
    """No metric stands in the table that nothing sets."""
    root = Path(__file__).resolve().parent.parent / "src" / "paperbot"
    code = "\n".join(path.read_text() for path in root.rglob("*.py") if path.name != "metrics.py")
    for spec in TABLE:
        assert re.search(rf'(inc|set|observe)\(\s*\*?\(?"{spec.name}"', code), spec.name
