"""Watches a run: writes a log line and updates metrics for each output record of the engine, in order."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from paperbot.core import types as t
from paperbot.core.fields import of_kind
from paperbot.events import Events, Records
from paperbot.figures import drawdown
from paperbot.names import Names
from paperbot.ports import Clock
from paperbot.settings import PatternFollower, Strategy
from paperbot.telemetry import lines
from paperbot.telemetry.logs import PLAIN, Log
from paperbot.telemetry.metrics import BACKGROUND, BLOCK_REASONS, PATTERNS, SIDES, Metrics
from paperbot.telemetry.patterns import DIRECTIONS, PatternReporter

Notes = Callable[[int, str], Mapping[str, Any]]
"""Returns further fields for an external signal, by time (ns UTC) and symbol: the advisor's reason and numbers."""


def domains(
    names: Names,
    market: str,
    denials: tuple[str, ...],
    outcomes: tuple[str, ...],
    refusals: tuple[str, ...],
) -> dict[str, Any]:
    """Return the possible values of each label, for the zero series.

    `denials`: codes of the advisor's guards; `outcomes`: of its questions; `refusals`: codes of the feed.
    """
    return {
        "symbol": names.symbols,
        "strat": names.strategies,
        "side": SIDES,
        "market": (market,),
        "pattern": PATTERNS,
        "type": tuple(kind.name.lower() for kind in t.OrderType),
        "liquidity": tuple(kind.name.lower() for kind in t.Liquidity),
        "orders_blocked_total.reason": BLOCK_REASONS,
        "pattern_intent_total.side": ("long", "flat"),
        "llm_guard_denied_total.reason": denials,
        "llm_advice_accepted_total.side": ("long", "flat"),
        "llm_questions_total.outcome": outcomes,
        "llm_tokens_total.kind": ("prompt", "answer"),
        "paperbot_feed_refused_total.code": refusals,
        "paperbot_background_faults_total.task": BACKGROUND,
        "paperbot_notifications_total.outcome": ("sent", "failed", "dropped"),
    }


class Telemetry:
    """A watcher that writes log lines and updates metrics.

    `strategies`: settings by name; `features`: features computed per bar; `candles`: how many bars get a line, None for
    all; `notes`: see `Notes`; `usd_rate`: returns the oracle's value of one unit of the account currency in USD; it is
    called for each batch of events if there is no fixed rate.
    """

    def __init__(
        self,
        names: Names,
        strategies: Mapping[str, Strategy],
        market: str,
        features: int,
        log: Log,
        metrics: Metrics,
        patterns: PatternReporter,
        clock: Clock,
        *,
        candles: int | None = None,
        notes: Notes = lambda _ts, _symbol: {},
        usd_rate: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._names = names
        self._strategies = strategies
        self._market = market
        self._features = features
        self._log = log
        self._metrics = metrics
        self._patterns = patterns
        self._clock = clock
        self._candles_left = candles
        self._notes = notes
        self._oracle_usd = usd_rate
        self._usd: float | None = names.usd_rate
        self._handed_s = 0.0
        self._patterns_ts = 0
        self._bar_patterns: dict[int, dict[str, tuple[float | None, float]]] = {}
        self._handlers: dict[int, tuple[np.dtype[np.void], Callable[[np.void], None]]] = {
            t.OutputKind.SIGNAL: (t.OUT_SIGNAL, self._signal),
            t.OutputKind.ORDER: (t.OUT_ORDER, self._order),
            t.OutputKind.BLOCKED: (t.OUT_ORDER, self._blocked),
            t.OutputKind.FILL: (t.OUT_FILL, self._fill),
            t.OutputKind.ORDER_END: (t.OUT_ORDER_END, self._order_end),
            t.OutputKind.LEDGER: (t.OUT_LEDGER, self._ledger),
            t.OutputKind.HALT: (t.OUT_HALT, self._halt),
            t.OutputKind.RESUME: (t.OUT_HALT, self._resume),
            t.OutputKind.PATTERN: (t.OUT_PATTERN, self._pattern),
        }

    # ---- the Watcher protocol
    def events(self, events: Events) -> None:
        """Report the bars that are about to enter the core."""
        self._handed_s = self._clock.monotonic_s()
        self._usd = self._oracle_usd() if self._names.usd_rate is None else self._names.usd_rate
        with self._metrics.together():
            for bar in events[events["kind"] == t.EventKind.BAR]:
                self._bar(bar)

    def records(self, records: Records) -> None:
        """Report the output records, in order."""
        with self._metrics.together():
            for index, kind in enumerate(records["kind"].tolist()):
                handler = self._handlers.get(kind)
                if handler is not None:
                    dtype, handle = handler
                    handle(records[index : index + 1].view(dtype)[0])

    def catch_up(self, account: np.void, symbols: Records, positions: Records, orders: Records) -> None:
        """Set the gauges from a loaded state; earlier records are not reported again."""
        n_symbols = len(self._names.symbols)
        with self._metrics.together():
            self._metrics.set("paperbot_killswitch_active", self._market, to=int(account["halted"] != 0))
            for index, position in enumerate(positions):
                strategy, symbol = divmod(index, n_symbols)
                held = self._names.quantity(int(position["quantity"]), symbol)
                labels = (self._names.strategies[strategy], self._names.symbols[symbol])
                self._metrics.set("paperbot_position_qty", *labels, to=held)
            for symbol, name in enumerate(self._names.symbols):
                count = np.count_nonzero((orders["id"] > 0) & (orders["symbol"] == symbol))
                self._metrics.set("paperbot_open_orders", name, to=float(count))
                if symbols[symbol]["last_close_ts"]:
                    last_s = int(symbols[symbol]["last_close_ts"]) / 1e9
                    self._metrics.set("paperbot_last_bar_timestamp_seconds", name, to=last_s)
            if account["valued"]:
                self._set_equity(int(account["equity"]))
                ratio = drawdown(int(account["equity"]), int(account["peak"]))
                self._metrics.set("paperbot_drawdown_ratio", to=ratio)
                unrealized = int(account["unrealized"]) / self._names.account_unit()
                self._metrics.set("paperbot_unrealized_pnl", to=unrealized)

    def catch_up_realized(self, records: Records) -> None:
        """Add what earlier fills realized: unlike a counter, this gauge must not restart at 0 with the process."""
        fills = of_kind(records, t.OutputKind.FILL, t.OUT_FILL)
        usd = self._oracle_usd() if self._names.usd_rate is None else self._names.usd_rate
        if usd is None or len(fills) == 0:
            return
        rate = usd / self._names.account_unit()
        with self._metrics.together():
            for symbol in np.unique(fills["symbol"]).tolist():
                realized = int(fills["realized_account"][fills["symbol"] == symbol].sum())
                self._metrics.inc("realized_pnl_total", self._names.symbols[symbol], by=realized * rate)

    def _set_equity(self, equity: int | None) -> None:
        unit = self._names.account_unit()
        self._metrics.set("equity_gauge", to=None if equity is None else equity / unit)
        in_usd = None if equity is None or self._usd is None else equity / unit * self._usd
        self._metrics.set("account_equity_usd", self._market, to=in_usd)

    # ---- one event or record
    def _bar(self, bar: np.void) -> None:
        symbol = self._names.symbols[int(bar["symbol"])]
        self._metrics.inc("candles_fetched_total", symbol)
        self._metrics.inc("features_computed_total", symbol, by=self._features)
        self._metrics.set("paperbot_last_bar_timestamp_seconds", symbol, to=int(bar["close_ts"]) / 1e9)
        if bar["flags"] & t.BarFlag.WARMUP:
            return
        if self._candles_left is None:
            self._plain("candle", lines.candle(bar, self._names))
        elif self._candles_left > 0:
            self._candles_left -= 1
            self._plain("candle", lines.candle(bar, self._names))
            if self._candles_left == 0:
                self._plain("candle demo complete", {})

    def _signal(self, record: np.void) -> None:
        name = self._names.strategies[int(record["strategy"])]
        symbol = self._names.symbols[int(record["symbol"])]
        strategy = self._strategies.get(name)
        patterns = self._bar_patterns.get(int(record["symbol"]), {}) if record["ts"] == self._patterns_ts else {}
        fields = lines.signal(record, self._names, strategy, tuple(patterns))
        if strategy is None:
            fields.update(self._notes(int(record["ts"]), symbol))
        self._metrics.inc("signals_emitted_total", name, fields["side"], symbol)
        self._plain("strategy signal", fields)
        if isinstance(strategy, PatternFollower):
            for pattern in fields["params"]["patterns"]:
                rsi, handed_s = patterns[pattern]
                latency_s = self._clock.monotonic_s() - handed_s
                self._patterns.intent(int(record["ts"]), symbol, pattern, rsi, fields["side"], latency_s)

    def _order(self, record: np.void) -> None:
        fields = lines.order(record, self._names)
        self._metrics.inc("orders_submitted_total", fields["type"], fields["symbol"])
        self._metrics.inc("paperbot_open_orders", fields["symbol"])
        self._plain("order submitted", fields)

    def _blocked(self, record: np.void) -> None:
        reason = t.Code(int(record["code"])).name.lower()
        self._metrics.inc("orders_blocked_total", reason)
        self._log.warning("order_blocked", reason=reason, **lines.order(record, self._names))

    def _fill(self, record: np.void) -> None:
        fields = lines.fill(record, self._names)
        symbol = fields["symbol"]
        self._metrics.inc("fills_total", fields["liquidity"], symbol)
        if self._usd is not None:
            rate = self._usd / self._names.account_unit()
            self._metrics.inc("fees_paid_total", symbol, by=int(record["fee_account"]) * rate)
            self._metrics.inc("realized_pnl_total", symbol, by=int(record["realized_account"]) * rate)
        held = self._names.quantity(int(record["position"]), int(record["symbol"]))
        self._metrics.set("paperbot_position_qty", fields["strategy"], symbol, to=held)
        if fields["liquidity"] == "taker":
            self._metrics.observe("paperbot_fill_slippage_bps", symbol, value=fields["slippage_bps"])
        self._plain("fill", fields)

    def _order_end(self, record: np.void) -> None:
        fields = lines.order_end(record, self._names)
        self._metrics.inc("paperbot_open_orders", fields["symbol"], by=-1.0)
        self._log.info("order_ended", **fields)

    def _ledger(self, record: np.void) -> None:
        valued = record["valued"] != 0
        unit = self._names.account_unit()
        self._set_equity(int(record["equity"]) if valued else None)
        self._metrics.set("paperbot_drawdown_ratio", to=int(record["drawdown_ppb"]) / 1e9 if valued else None)
        self._metrics.set("paperbot_unrealized_pnl", to=int(record["unrealized"]) / unit if valued else None)

    def _halt(self, record: np.void) -> None:
        self._metrics.set("paperbot_killswitch_active", self._market, to=1)
        self._metrics.inc("killswitch_trips_total")
        self._log.error("killswitch_tripped", **lines.halt(record, self._names))

    def _resume(self, record: np.void) -> None:
        self._metrics.set("paperbot_killswitch_active", self._market, to=0)
        self._log.warning("killswitch_lifted", **lines.halt(record, self._names))

    def _pattern(self, record: np.void) -> None:
        ts, symbol = int(record["ts"]), int(record["symbol"])
        pattern = t.Pattern(int(record["pattern"])).name.lower()
        rsi = float(record["rsi"]) if record["rsi_ready"] else None
        if ts != self._patterns_ts:
            self._patterns_ts, self._bar_patterns = ts, {}
        self._bar_patterns.setdefault(symbol, {})[pattern] = (rsi, self._handed_s)
        side = DIRECTIONS[int(record["direction"])]
        self._patterns.detected(ts, self._names.symbols[symbol], pattern, rsi, side)

    def _plain(self, words: str, fields: dict[str, Any]) -> None:
        self._log.info(words, **{PLAIN: True}, **fields)
