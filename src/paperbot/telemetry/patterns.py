"""Pattern events: one log line and one count for each detection and each intent.

A detection is a PATTERN record of the engine. An intent is a changed target of a strategy that follows patterns. The
demo emitter invents both, marks each line (`source: demo`), and does not affect deterministic output.
"""

import itertools
import threading
from typing import Any

from paperbot.clock import format_ts
from paperbot.ports import Clock
from paperbot.telemetry.logs import WHOLE, Log
from paperbot.telemetry.metrics import PATTERNS, Metrics

SCHEMA_VERSION = 1
ENGINE, DEMO = "engine", "demo"
DIRECTIONS = {1: "long", -1: "short", 0: "none"}


class PatternReporter:
    """Writes the two lines and updates the three metrics."""

    def __init__(self, market: str, log: Log, metrics: Metrics) -> None:
        self._market = market
        self._log = log
        self._metrics = metrics

    def detected(self, ts: int, symbol: str, pattern: str, rsi: float | None, side: str, source: str = ENGINE) -> None:
        """Report a pattern in the bar that closed at `ts` (ns UTC); `side` is the pattern's direction."""
        self._metrics.inc("pattern_detected_total", self._market, symbol, pattern)
        self._line("pattern_detected", ts, symbol, pattern, rsi, side, source)

    def intent(
        self, ts: int, symbol: str, pattern: str, rsi: float | None, side: str, latency_s: float, source: str = ENGINE
    ) -> None:
        """Report the intent of a pattern (`side`: long or flat), `latency_s` after its bar arrived."""
        self._metrics.inc("pattern_intent_total", self._market, pattern, side)
        self._metrics.observe("pattern_to_intent_latency_seconds", value=latency_s)
        self._line("pattern_intent", ts, symbol, pattern, rsi, side, source)

    def _line(self, event: str, ts: int, symbol: str, pattern: str, rsi: float | None, side: str, source: str) -> None:
        fields: dict[str, Any] = {
            "market": self._market,
            "symbol": symbol,
            "pattern": pattern,
            "rsi": None if rsi is None else round(rsi, 4),
            "side": side,
            "ts": format_ts(ts),
            "severity": "info",
            "component": "patterns",
            "schema_version": SCHEMA_VERSION,
            "source": source,
        }
        self._log.info(event, **{WHOLE: True}, **fields)


class DemoEmitter:
    """Emits an invented detection and its intent at once and every `every_s` seconds, on its own thread."""

    def __init__(self, reporter: PatternReporter, symbols: tuple[str, ...], every_s: float, clock: Clock) -> None:
        self._reporter = reporter
        self._turns = itertools.cycle(itertools.product(PATTERNS, symbols))
        self._every_s = every_s
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pattern-demo", daemon=True)

    def start(self) -> None:
        """Emit the first pair, then continue in the background."""
        self._emit()
        self._thread.start()

    def stop(self) -> None:
        """Stop emitting and wait for the thread to end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._emit()

    def _emit(self) -> None:
        pattern, symbol = next(self._turns)
        bearish = pattern in {"engulfing_bearish", "shooting_star"}
        rsi = 68.0 if bearish else 32.0
        began_s = self._clock.monotonic_s()
        self._reporter.detected(self._clock.now_ns(), symbol, pattern, rsi, "short" if bearish else "long", DEMO)
        side = "flat" if bearish else "long"
        latency_s = self._clock.monotonic_s() - began_s
        self._reporter.intent(self._clock.now_ns(), symbol, pattern, rsi, side, latency_s, DEMO)
