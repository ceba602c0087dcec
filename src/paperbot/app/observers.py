"""What watches a run for people: log, metrics, their server, the pattern demo; built from the environment."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from paperbot import __version__
from paperbot.app.recorder import names_of
from paperbot.clock import SystemClock
from paperbot.config import Configuration
from paperbot.core.numeric import CACHE_FOLDER
from paperbot.engine.params import Plan
from paperbot.engine.rates import OVERRIDE_CURRENCY
from paperbot.environment import Environment, credential_names, known_secrets
from paperbot.llm.advisor import OUTCOMES
from paperbot.llm.guards import CODES
from paperbot.market.feed import REFUSALS
from paperbot.names import Names
from paperbot.ports import Records
from paperbot.redact import Redactor
from paperbot.telemetry.logs import Log, make_log
from paperbot.telemetry.metrics import Metrics, MetricsServer
from paperbot.telemetry.notify import report_fault
from paperbot.telemetry.patterns import DemoEmitter, PatternReporter
from paperbot.telemetry.watch import Notes, Telemetry, domains

if TYPE_CHECKING:
    from paperbot.engine.machine import Machine

IN_USD = ("fees_paid_total", "realized_pnl_total")
"""Metrics that have no series before the account's currency has a value in USD: a 0 would be a lie."""

USD_ASKED = 10**6
"""So many USD are converted at once, so that the rate has enough digits."""

LOOKED_EVERY_S = 0.1
TERMINATED = 143
"""Exit code of a process that SIGTERM ended, as shells count it."""


def make_redactor(configuration: Configuration) -> Redactor:
    """A redactor that knows the venue's credentials, the advisor's key, where messages go, and whatever is named like a
    secret.
    """
    settings = configuration.settings
    names = credential_names(settings.exchange, settings.environment)
    return Redactor(known_secrets([*names, settings.llm.credential_env, settings.notify.urls_env]))


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
        late = frozenset() if self.names.usd_rate is not None else frozenset(IN_USD)
        self.metrics = Metrics(domains(self.names, self._market, CODES, OUTCOMES, REFUSALS), late)
        self.machine: Machine | None = None
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

    def background_fault(self, task: str, error: Exception) -> None:
        """Show what work beside the main line raised, when nobody waits for it."""
        report_fault(self.log, self.metrics, task, error)

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
            usd_rate=self._usd_rate,
        )

    def _usd_rate(self) -> float | None:
        return None if self.machine is None else usd_rate_of(self.names, self.machine)


def usd_rate_of(names: Names, machine: "Machine") -> float | None:
    """What the oracle says that one unit of the account's currency is worth in USD, None without a price."""
    usd = names.assets.index(OVERRIDE_CURRENCY)
    worth = machine.value(usd, USD_ASKED * 10 ** names.asset_decimals[usd])
    return USD_ASKED * names.account_unit() / worth if worth else None


class Stopper:
    """A watcher that ends the run at its next call once SIGTERM has come: an exit that is raised in the middle of a
    callback is ignored by the interpreter, and then this is what remembers it.
    """

    told = False

    def events(self, events: Records) -> None:
        """Before each call of the core."""
        del events
        if self.told:
            sys.exit(TERMINATED)

    def records(self, records: Records) -> None:
        """What came out is none of its business."""


@contextmanager
def terminable() -> Iterator[Stopper]:
    """SIGTERM ends the run as Ctrl-C does: everything on the way out is closed. The stopper is to watch the run."""
    stopper = Stopper()

    def stop(*_: object) -> None:
        stopper.told = True
        sys.exit(TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stopper
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def holding(seconds: float) -> Iterator[None]:
    """From here on Ctrl-C and SIGTERM only end the hold, which begins when the block is left.

    It polls: the kernel may deliver a signal to another thread. Python then runs the handler in the main thread, but
    only once that is awake, so a single long wait would ignore the signal.
    """
    told = threading.Event()
    before = {number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
        end_s = SystemClock.monotonic_s() + seconds
        while not told.is_set() and (left_s := end_s - SystemClock.monotonic_s()) > 0:
            time.sleep(min(left_s, LOOKED_EVERY_S))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
