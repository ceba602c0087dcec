"""`paperbot sweep`: many parameter sets over the same bars, on threads or on a Ray cluster, with the same results.

Without folds each set runs once over all bars. With folds (walk-forward) each set runs over each fold's training
window, and the best of a fold over the test window behind it: what came out there was not looked at when choosing.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from paperbot import __version__
from paperbot.app.recorder import config_hash
from paperbot.app.sources import Job, ReplayRequest, parse_time, prepare
from paperbot.app.space import Axis, Space, parse_axis
from paperbot.app.trials import FIGURES, Bars, Span, Task, Trials
from paperbot.core import types as t
from paperbot.core.numeric import CACHE_FOLDER
from paperbot.errors import CommandError, ConfigError, DataError
from paperbot.store.durable import write_whole
from paperbot.store.sweeps import TrialLog, write_results
from paperbot.web.model import SweepPage

Row = dict[str, Any]
Progress = Callable[[int, int], None]

OBJECTIVES = {
    "return_pct": 1,
    "net_pnl": 1,
    "sharpe": 1,
    "profit_factor": 1,
    "win_rate_pct": 1,
    "max_drawdown_pct": -1,
}
"""What can be looked for, and whether more of it is better."""

QUEUED_A_WORKER = 2
TOP = 50
WARNING = "The best of many sets is partly the luckiest: trust what walk-forward tests say of it, not its own figure."


@dataclass(frozen=True)
class SweepRequest:
    """What was asked for. `replay` names the bars and settings; its window is split into the folds."""

    replay: ReplayRequest
    vary: Sequence[str]
    out: Path = Path("data/sweep")
    draws: int | None = None
    seed: int = 0
    folds: int = 0
    train: float = 0.7
    anchored: bool = False
    objective: str = "return_pct"
    jobs: int = 0
    ray: str | None = None
    digests: bool = False
    afresh: bool = False


@dataclass(frozen=True)
class SweepResult:
    """All rows by (fold, part, set), and where they are."""

    rows: list[Row]
    axes: tuple[Axis, ...]
    objective: str
    path: Path

    def best(self, count: int, fold: int = -1) -> list[Row]:
        """The best rows of a fold's training (or of everything), best first."""
        mine = [row for row in self.rows if row["fold"] == fold and row["part"] != "test"]
        return ranked(mine, self.objective)[:count]

    def folds(self) -> list[tuple[Row, Row]]:
        """(training row, test row) of each fold's best set."""
        tests = [row for row in self.rows if row["part"] == "test"]
        return [(self.best(1, row["fold"])[0], row) for row in tests]


Runner = Callable[[Trials, Bars, Iterable[Task], int], Iterator[tuple[Task, Row]]]
"""Runs tasks somewhere, and yields each with its figures as it is done."""


def ranked(rows: Sequence[Row], objective: str) -> list[Row]:
    """Best first; rows without a figure come last, and of equals the one with the lower number is first."""
    sign = OBJECTIVES[objective]

    def place(row: Row) -> tuple[bool, float, int]:
        value = row[objective]
        return value is None, -sign * (value or 0.0), row["set"]

    return sorted(rows, key=place)


def sweep(request: SweepRequest, say: Callable[[str], None], progress: Progress) -> SweepResult:
    """Run what is not done yet, and write the results. Raises PaperbotError.

    `progress(done, all)` is told after each trial.
    """
    if request.objective not in OBJECTIVES:
        raise CommandError(f"--objective {request.objective}: expected one of {', '.join(OBJECTIVES)}")
    space = Space(tuple(parse_axis(text) for text in request.vary), request.draws, request.seed)
    # All bars are read: each set warms up on as many of those before its window as it needs.
    job = prepare(replace(request.replay, start=None, end=None), say)
    bars = _read(job)
    spans = _spans(request, bars)
    bars.prepare(spans)
    replayed = request.replay
    strategies = tuple(replayed.strategies) if replayed.strategies else None
    trials = Trials(
        job.files, tuple(job.overrides), job.configuration, job.plan, strategies, space.axes, request.digests
    )
    sets = list(space.sets())
    with contextlib.suppress(ConfigError):  # One set may be impossible; what all have in common may not.
        trials.plan(sets[0])
    run = _runner(request)
    with TrialLog(request.out, _fingerprint(request, job, bars, space), afresh=request.afresh) as log:
        total = len(sets) * max(request.folds, 1) + request.folds
        jobs = request.jobs or os.cpu_count() or 1

        def finish(tasks: Sequence[Task]) -> None:
            progress(len(log.rows), total)
            waiting = [task for task in tasks if task.key not in log.rows]
            for task, figures in run(trials, bars, waiting, jobs):
                named = dict(zip((axis.key for axis in space.axes), task.values, strict=True))
                log.add(task.key, {"fold": task.fold, "part": task.part, "set": task.number, **named, **figures})
                progress(len(log.rows), total)

        if request.folds == 0:
            finish([Task(-1, "all", number, values, spans[0]) for number, values in enumerate(sets)])
        for fold in range(request.folds):
            train, test = spans[2 * fold], spans[2 * fold + 1]
            finish([Task(fold, "train", number, values, train) for number, values in enumerate(sets)])
            mine = [row for row in log.rows.values() if row["fold"] == fold and row["part"] == "train"]
            chosen = ranked(_possible(mine), request.objective)[0]["set"]
            finish([Task(fold, "test", chosen, sets[chosen], test)])
        kept = _possible(list(log.rows.values()))
        if len(kept) < total:
            say(f"{total - len(kept)} of {total} trials are left out: their settings do not go together")
        rows = sorted(kept, key=lambda row: (row["fold"], row["part"] == "test", row["set"]))
        columns = ["fold", "part", "set", *(axis.key for axis in space.axes), *FIGURES]
        path = write_results(request.out, rows, [*columns, *(["digest"] if request.digests else [])])
    return SweepResult(rows, space.axes, request.objective, path)


def picture(result: SweepResult, out: Path) -> Path:
    """The page about a sweep. Raises CommandError without plotly, OutputError when it cannot be written."""
    try:
        from paperbot.web.page import render_sweep  # noqa: PLC0415
    except ImportError:
        raise CommandError("the picture needs plotly: pip install 'paperbot[report]'") from None
    shown: dict[int, list[Row]] = {}
    for row in result.rows:
        if row["part"] != "test":
            shown.setdefault(row["set"], []).append(row)
    folds = result.folds()
    tables = {"Best": result.best(TOP)} if not folds else {}
    for number, (train, test) in enumerate(folds):
        tables[f"Fold {number + 1}: chosen in training, then tested"] = [train, test]
    page = SweepPage(
        title=f"Paperbot: {len(result.rows):,} trials",
        axes={axis.key: [rows[0][axis.key] for rows in shown.values()] for axis in result.axes},
        objective_name=f"{result.objective}, mean of the training windows" if folds else result.objective,
        objective=[_mean([row[result.objective] for row in rows]) for rows in shown.values()],
        tables=tables,
        notes=[WARNING],
    )
    write_whole(out, render_sweep(page).encode())
    return out


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _possible(rows: Sequence[Row]) -> list[Row]:
    """Rows of sets that could be run. Raises CommandError, with a reason, when there is none."""
    kept = [row for row in rows if "error" not in row]
    if not kept:
        raise CommandError(f"none of the sets can be run: {rows[0]['error']}")
    return kept


def _read(job: Job) -> Bars:
    """All bars, in memory once. Raises DataError when there is none."""
    by_symbol = []
    for batches in job.batches:
        parts = list(batches)
        by_symbol.append(np.concatenate(parts) if parts else np.zeros(0, dtype=t.BAR_EVENT))
    if not any(len(events) for events in by_symbol):
        raise DataError("there is no bar")
    return Bars(tuple(by_symbol), job.plan.timeframes_ns)


def _spans(request: SweepRequest, bars: Bars) -> list[Span]:
    """The whole, or each fold's training and test window; all test windows have one length and follow each other."""
    start = parse_time(request.replay.start, "--start")
    stop = parse_time(request.replay.end, "--end")
    opens = [events["open_ts"] for events in bars.by_symbol]
    inside = [ts[(ts >= (start or 0)) & ((stop is None) | (ts < (stop or 0)))] for ts in opens]
    if not any(len(ts) for ts in inside):
        raise DataError("no bar lies between --start and --end")
    if request.folds == 0:
        return [Span(start, stop)]
    if request.folds < 0 or not 0.0 < request.train < 1.0:
        raise CommandError("--folds is a number above 0, and --train is between 0 and 1")
    first = min(int(ts[0]) for ts in inside if len(ts))
    last = max(int(ts[-1]) for ts in inside if len(ts)) + 1
    grid = max(bars.timeframes_ns)
    ratio = request.train / (1.0 - request.train)
    test = int((last - first) / (request.folds + ratio)) // grid * grid
    train = int(test * ratio) // grid * grid
    if test == 0 or train == 0:
        raise CommandError("the bars are too few for so many folds")
    spans = []
    for fold in range(request.folds):
        split = first + train + fold * test
        end = last if fold == request.folds - 1 else split + test
        begin = start if fold == 0 or request.anchored else split - train
        spans += [Span(begin, split), Span(split, end)]
    return spans


def _fingerprint(request: SweepRequest, job: Job, bars: Bars, space: Space) -> str:
    """What must be the same for trials to be taken over: bars, settings, the space, folds, and the engine."""
    digest = hashlib.sha256()
    for events in bars.by_symbol:
        digest.update(events.tobytes())
    what = {
        "version": __version__,
        "core": CACHE_FOLDER.name,
        "settings": config_hash(job.configuration, job.plan),
        "bars": digest.hexdigest(),
        "window": [request.replay.start, request.replay.end],
        "space": [(axis.key, axis.values) for axis in space.axes],
        "draws": [space.draws, space.seed],
        "folds": [request.folds, request.train, request.anchored, request.objective if request.folds else ""],
        "digests": request.digests,
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def _runner(request: SweepRequest) -> Runner:
    if request.ray is None:
        return on_threads
    from paperbot.app.cluster import on_ray  # noqa: PLC0415

    return on_ray(request.ray)


def on_threads(trials: Trials, bars: Bars, tasks: Iterable[Task], jobs: int) -> Iterator[tuple[Task, Row]]:
    """Run tasks on threads of this process: the compiled engine leaves the interpreter to the others meanwhile."""
    waiting = iter(tasks)
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="trial") as pool:
        running: dict[Future[Row], Task] = {}
        try:
            while True:
                for task in islice(waiting, QUEUED_A_WORKER * jobs - len(running)):
                    running[pool.submit(trials.run, task.values, task.span, bars)] = task
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
