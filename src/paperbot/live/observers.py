"""The observers of a run: log, metrics, metrics server and pattern demo, built from the environment."""

from typing import TYPE_CHECKING, Self

from paperbot import __version__
from paperbot.clock import SystemClock
from paperbot.config import Configuration
from paperbot.core.numeric import CACHE_FOLDER
from paperbot.engine.names import names_of
from paperbot.engine.params import Plan
from paperbot.engine.rates import usd_rate_of
from paperbot.environment import Environment, credential_names, known_secrets
from paperbot.llm.advisor import OUTCOMES
from paperbot.llm.guards import CODES
from paperbot.market.feed import REFUSALS
from paperbot.redact import Redactor
from paperbot.telemetry.logs import Log, make_log
from paperbot.telemetry.metrics import Metrics, MetricsServer
from paperbot.telemetry.notify import report_fault
from paperbot.telemetry.patterns import DemoEmitter, PatternReporter
from paperbot.telemetry.watch import Notes, Telemetry, domains

if TYPE_CHECKING:
    from paperbot.engine.machine import Machine

IN_USD = ("fees_paid_total", "realized_pnl_total")
"""Metrics that have no series before the account's currency has a value in USD: a 0 would be wrong."""


def make_redactor(configuration: Configuration) -> Redactor:
    """A redactor for the venue's credentials, the advisor's key, the notification URLs, and all environment variables
    that are named like secrets.
    """
    settings = configuration.settings
    names = credential_names(settings.exchange, settings.environment)
    return Redactor(known_secrets([*names, settings.llm.credential_env, settings.notify.urls_env]))


class Observers:
    """Log and metrics of one run. A context manager for the metrics server and the pattern demo's thread."""

    def __init__(self, environment: Environment, configuration: Configuration, plan: Plan) -> None:
        self.environment = environment
        self.log: Log = make_log(environment.log_format, environment.log_level, make_redactor(configuration))
        self.names = names_of(plan)
        self._market = configuration.market
        self._plan = plan
        self._strategies = {item.name: item for item in configuration.settings.strategies if item.kind != "external"}
        self._clock = SystemClock()
        late = frozenset() if self.names.usd_rate is not None else frozenset(IN_USD)
        self.metrics = Metrics(domains(self.names, self._market, CODES, OUTCOMES, REFUSALS), late)
        self.machine: Machine | None = None
        self.metrics.set("paperbot_build_info", __version__, CACHE_FOLDER.name, to=1)
        self.patterns = PatternReporter(self._market, self.log, self.metrics)
        self._server: MetricsServer | None = None
        self._emitter: DemoEmitter | None = None

    def __enter__(self) -> Self:
        """Serve the metrics if the port is free, and start the pattern demo if it is enabled."""
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
        """Stop the pattern demo and the server."""
        if self._emitter is not None:
            self._emitter.stop()
        if self._server is not None:
            self._server.stop()

    def background_fault(self, task: str, error: Exception) -> None:
        """Report the error of a background task."""
        report_fault(self.log, self.metrics, task, error)

    def telemetry(self, notes: Notes = lambda _ts, _symbol: {}, candles: int | None = None) -> Telemetry:
        """The watcher that logs and counts a run; see `Telemetry` for its arguments."""
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
            usd_rate=self._usd_rate,
        )

    def _usd_rate(self) -> float | None:
        return None if self.machine is None else usd_rate_of(self.names, self.machine)
