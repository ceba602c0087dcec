"""The offline demo: runs a synthetic market through the real engine and logs it line by line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paperbot.app.replay import ReplayResult
from paperbot.config import load, shipped
from paperbot.engine.names import facts_of, names_of
from paperbot.engine.replay import run_replay
from paperbot.environment import Environment
from paperbot.live.advisor import AdviceDesk, make_provider
from paperbot.live.observers import Observers
from paperbot.provenance import settings_of
from paperbot.research.job import ReplayRequest, prepare
from paperbot.signals import holding, terminable
from paperbot.store.recorder import Recorder
from paperbot.telemetry.logs import PLAIN

CANDLE_LINES = 10

Tree = dict[str, Any]


@dataclass(frozen=True)
class DemoRequest:
    """The options of `paperbot demo`."""

    environment: Environment
    config: Path | None = None
    out: Path = Path("data")
    overrides: Sequence[Tree] = ()


def demo(request: DemoRequest, say: Callable[[str], None], present: Callable[[ReplayResult], None]) -> None:
    """Run the demo, write its artifacts, then hold `/metrics` as long as the environment says.

    `say` prints notes, `present` prints the summary. Raises PaperbotError.
    """
    configured = load(request.config, request.overrides).settings
    sources = [f"{symbol}=synthetic:{configured.demo.seed}:{configured.demo.bars}" for symbol in configured.symbols]
    recorded = shipped(configured.demo.answers)
    job = prepare(ReplayRequest(sources, request.config, overrides=request.overrides, advice=recorded), say)
    provider = make_provider(job.configuration, recorded)
    assert provider is not None
    environment = request.environment
    settings = settings_of(job.configuration, job.plan)
    with (
        terminable() as stopper,
        Recorder(request.out, names_of(job.plan), facts_of(job.plan), settings) as recorder,
        Observers(environment, job.configuration, job.plan) as observers,
    ):
        desks: list[AdviceDesk] = []

        def askers(machine: Any) -> list[AdviceDesk]:
            observers.machine = machine
            names, log, metrics = observers.names, observers.log, observers.metrics
            desks.append(AdviceDesk(job.configuration, job.plan, names, machine, provider, log, metrics))
            return desks

        def notes(ts: int, symbol: str) -> Mapping[str, Any]:
            return desks[0].notes(ts, symbol)

        telemetry = observers.telemetry(notes, CANDLE_LINES)
        machine, digest = run_replay(job.plan, job.batches, [telemetry, stopper], 1, askers, [recorder])
        log = observers.log
        log.info("strategy demo complete", **{PLAIN: True})
        summary = recorder.finish(digest, machine.account)
        files = [*recorder.files, desks[0].store(request.out)]
        result = ReplayResult(summary, recorder.statistics, files)
        if environment.log_format == "json":
            log.info("summary", **result.summary)
        else:
            present(result)
        with holding(environment.hold_metrics_seconds):
            if environment.hold_metrics_seconds > 0:
                log.info("holding_metrics", seconds=environment.hold_metrics_seconds)
            log.info("execution demo complete", **{PLAIN: True})
