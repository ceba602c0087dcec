"""`paperbot replay` and `paperbot data check`."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperbot.clock import format_ts
from paperbot.engine.machine import Machine
from paperbot.engine.names import facts_of, names_of
from paperbot.engine.replay import run_replay
from paperbot.errors import DataError
from paperbot.llm.advisor import ADVICE_FILE
from paperbot.market.check import FileCheck
from paperbot.market.files import BarFile, Reading
from paperbot.ports import Watcher
from paperbot.provenance import settings_of
from paperbot.research.job import ReplayRequest, declared_timeframe, prepare, timeframe_of
from paperbot.store.recorder import Recorder
from paperbot.store.statistics import Statistics

if TYPE_CHECKING:
    from paperbot.live.advisor import AdviceDesk
    from paperbot.names import Names
    from paperbot.research.job import Job


@dataclass(frozen=True)
class ReplayResult:
    """The summary (flat, as `--json` prints it) and the figures by symbol and by strategy."""

    summary: dict[str, Any]
    statistics: Statistics
    files: list[Path]


def replay(request: ReplayRequest, say: Callable[[str], None], collectors: Sequence[Watcher] = ()) -> ReplayResult:
    """Run recorded bars through the engine and write the artifacts.

    `say` prints notes; `collectors` watch the run in blocks. Raises PaperbotError.
    """
    job = prepare(request, say)
    is_advised = request.advice is not None or job.configuration.settings.llm.provider != "off"
    make_desk = _desk_maker(job, request.advice) if is_advised else None
    desks: list[AdviceDesk] = []

    def askers(machine: Machine) -> list["AdviceDesk"]:
        if make_desk is not None:
            desks.append(make_desk(recorder.names, machine))
        return desks

    timeframes = {source.symbol: source.traded.text for source in job.sources}
    facts, settings = facts_of(job.plan, timeframes), settings_of(job.configuration, job.plan)
    with Recorder(request.out, names_of(job.plan), facts, settings) as recorder:
        machine, digest = run_replay(job.plan, job.batches, (), request.chunk, askers, [recorder, *collectors])
        if recorder.bars == 0:
            raise DataError("no bar lies between --start and --end")
        summary = recorder.finish(digest, machine.account)
        is_source = request.advice is not None and request.advice.resolve() == (request.out / ADVICE_FILE).resolve()
        files = [*recorder.files, *(desk.store(request.out) for desk in desks if not is_source)]
    return ReplayResult(summary, recorder.statistics, files)


def _desk_maker(job: "Job", recorded: Path | None) -> "Callable[[Names, Machine], AdviceDesk]":
    """A function that makes the advisor's desk. The slow import is here, because most replays have no advisor."""
    from paperbot.live.advisor import AdviceDesk, make_provider  # noqa: PLC0415

    provider = make_provider(job.configuration, recorded)
    assert provider is not None
    return lambda names, machine: AdviceDesk(job.configuration, job.plan, names, machine, provider)


def check_file(
    path: Path, timeframe: str | None, price_decimals: int, reading: Reading | None = None
) -> dict[str, Any]:
    """What `paperbot data check` reports. Raises DataError for a file that cannot be read as bars."""
    file = BarFile(path, reading)
    batches = file.batches()
    first = next(batches)
    step = timeframe_of(str(path), first, declared_timeframe(timeframe))
    check = FileCheck(step, price_decimals)
    last_ts = 0
    for columns in chain([first], batches):
        check.add(columns)
        last_ts = int(columns.open_ts[-1])
    findings = check.finish(path.stat().st_mtime_ns)
    return {
        "file": str(path),
        "layout": file.layout.title,
        "notes": file.notes,
        "volume_unit": file.volume_unit,
        "rows": check.rows,
        "timeframe": step.text,
        "first": format_ts(int(first.open_ts[0])),
        "last": format_ts(last_ts),
        "findings": [asdict(finding) for finding in findings],
    }
