"""What watches a run for people: log, metrics, their server, the pattern demo; built from the environment."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from paperbot import __version__
from paperbot.app.recorder import names_of
from paperbot.clock import SystemClock
from paperbot.config import Configuration
from paperbot.core.numeric import CACHE_FOLDER
from paperbot.engine.params import Plan
from paperbot.environment import Environment, credential_names, known_secrets, secret
from paperbot.llm.advisor import OUTCOMES
from paperbot.llm.guards import CODES
from paperbot.market.feed import REFUSALS
from paperbot.redact import Redactor
from paperbot.telemetry.logs import Log, make_log
from paperbot.telemetry.metrics import Metrics, MetricsServer
from paperbot.telemetry.patterns import DemoEmitter, PatternReporter
from paperbot.telemetry.watch import Notes, Telemetry, domains

TERMINATED = 143
"""Exit code of a process that SIGTERM ended, as shells count it."""


def make_redactor(configuration: Configuration) -> Redactor:
    """A redactor that knows the venue's credentials, the advisor's key, and whatever else is named like a secret."""
    settings = configuration.settings
    names = [*credential_names(settings.exchange, settings.environment), settings.llm.credential_env]
    values = [secret(name) for name in names]
    return Redactor([*(value.get_secret_value() for value in values if value is not None), *known_secrets()])


class Observers:
    """Log and metrics of one run. A context manager: the port and the pattern demo's thread end with it."""

    def __init__(self, environment: Environment, configuration: Configuration, plan: Plan) -> None:
        self.environment = environment
        self.log: Log = make_log(environment.log_format, environment.log_level, make_redactor(configuration))
        self.names = names_of(plan)
        self._market = configuration.market
        self._plan = plan
        self._strategies = {one.name: one for one in configuration.settings.strategies if one.kind != "external"}
        self._clock = SystemClock()
        self.metrics = Metrics(domains(self.names, self._market, CODES, OUTCOMES, REFUSALS))
        self.metrics.set("paperbot_build_info", __version__, CACHE_FOLDER.name, to=1)
        self.patterns = PatternReporter(self._market, self.log, self.metrics)
        self._server: MetricsServer | None = None
        self._emitter: DemoEmitter | None = None

    def __enter__(self) -> Self:
        """Serve the metrics, where the port is free, and start the pattern demo, where it is asked for."""
        environment = self.environment
        try:
            self._server = MetricsServer(self.metrics, environment.metrics_host, environment.prometheus_port)
            self.log.info("metrics_served", url=self._server.url)
        except OSError as error:
            address = f"{environment.metrics_host}:{environment.prometheus_port}"
            self.log.warning("metrics_not_served", address=address, error=str(error), go_on=True)
        if environment.enable_pattern_obs_demo:
            every_s = environment.pattern_obs_demo_seconds
            self._emitter = DemoEmitter(self.patterns, self.names.symbols, every_s, self._clock)
            self._emitter.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop both."""
        if self._emitter is not None:
            self._emitter.stop()
        if self._server is not None:
            self._server.stop()

    def telemetry(self, notes: Notes = lambda _ts, _symbol: {}, candles: int | None = None) -> Telemetry:
        """The watcher that tells the run; see `Telemetry` for its arguments."""
        return Telemetry(
            self.names,
            self._strategies,
            self._market,
            len(self._plan.params.features),
            self.log,
            self.metrics,
            self.patterns,
            self._clock,
            candles=candles,
            notes=notes,
        )


@contextmanager
def terminable() -> Iterator[threading.Event]:
    """SIGTERM ends the run as Ctrl-C does: everything on the way out is closed. The event is set by either of them once
    somebody waits for it in `hold`.
    """
    told = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)


def hold(told: threading.Event, seconds: float) -> None:
    """Wait so long, or until Ctrl-C or SIGTERM."""

    def stop(*_: Any) -> None:
        told.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        told.wait(seconds)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
