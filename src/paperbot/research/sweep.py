"""`paperbot sweep`: many parameter sets over the same bars, on threads or on a Ray cluster, with the same results.

Without folds each set runs once over all bars. With folds (walk-forward) each set runs over each fold's training
window, and the best of a fold over the test window behind it: what came out there was not looked at when choosing.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from paperbot import __version__
from paperbot.clock import parse_time
from paperbot.core.numeric import CACHE_FOLDER
from paperbot.errors import CommandError, ConfigError, DataError, StrategyError
from paperbot.events import joined
from paperbot.provenance import config_hash
from paperbot.research.job import Job, ReplayRequest, prepare
from paperbot.research.schedule import Runner, runner_at
from paperbot.research.space import Axis, Space, Value, check_strategies, parse_axis
from paperbot.research.trials import (
    ERROR,
    FIGURES,
    LEFT_OUT,
    AllBars,
    Part,
    Span,
    Task,
    Trials,
    without_effect,
    without_value,
)
from paperbot.research.walkforward import Walk, spans_of
from paperbot.settings import UserStrategy
from paperbot.store.sweeps import PICTURE, RESULTS, TrialLog, write_results

Row = dict[str, Any]
Progress = Callable[[int, int], None]

OBJECTIVES = {
    "return_pct": 1,
    "net_pnl": 1,
    "sharpe": 1,
    "sortino": 1,
    "calmar": 1,
    "cagr_pct": 1,
    "profit_factor": 1,
    "win_rate_pct": 1,
    "max_drawdown_pct": -1,
}
"""What can be looked for, and whether more of it is better."""

SWEEPS = Path("data/sweeps")


@dataclass(frozen=True)
class SweepRequest:
    """What was asked for. `replay`: bars and settings; its window is split into folds. `out`: see `_Ready.folder`."""

    replay: ReplayRequest
    vary: Sequence[str]
    out: Path | None = None
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

    @property
    def walk(self) -> Walk:
        """How the bars are split."""
        return Walk(self.replay.start, self.replay.end, self.folds, self.train, self.anchored)


@dataclass(frozen=True)
class SweepResult:
    """All rows by (fold, part, set), and where they are. Folds count from 1; 0: there are none."""

    rows: list[Row]
    axes: tuple[Axis, ...]
    objective: str
    path: Path

    def best(self, count: int, fold: int = 0) -> list[Row]:
        """The best rows of a fold's training (or of everything), best first."""
        mine = [row for row in self.rows if row["fold"] == fold and row["part"] != "test"]
        return ranked(mine, self.objective)[:count]

    def folds(self) -> list[tuple[Row, Row]]:
        """(training row, test row) of each fold's chosen set; a fold in which none could be chosen is not there."""
        trained = {(row["fold"], row["set"]): row for row in self.rows if row["part"] == "train"}
        return [(trained[row["fold"], row["set"]], row) for row in self.rows if row["part"] == "test"]

    @property
    def page(self) -> Path:
        """Where the page about it belongs."""
        return self.path.with_name(PICTURE)

    @property
    def failed(self) -> list[Row]:
        """Rows of sets that failed midway."""
        return [row for row in self.rows if row[ERROR] is not None]


def ranked(rows: Sequence[Row], objective: str) -> list[Row]:
    """Best first, and of equals the one with the lower number. Behind those come rows without the figure, behind them
    sets that never traded, and last those that failed.
    """
    sign = OBJECTIVES[objective]

    def place(row: Row) -> tuple[bool, bool, bool, float, int]:
        value = row[objective]
        return row[ERROR] is not None, not row["fills"], value is None, -sign * (value or 0.0), row["set"]

    return sorted(rows, key=place)


@dataclass(frozen=True)
class _Ready:
    """A sweep in which no mistake was found, before anything is written. `spans`: see `spans_of`."""

    request: SweepRequest
    bars: AllBars
    spans: list[Span]
    trials: Trials
    sets: list[tuple[Value, ...]]
    fingerprint: str

    @property
    def folder(self) -> Path:
        """Where the results go: each sweep has a folder of its own."""
        return self.request.out or SWEEPS / self.fingerprint[:12]

    def tasks(self, fold: int = -1) -> list[Task]:
        """All sets over a fold's training window, or over everything."""
        span = self.spans[max(2 * fold, 0)]
        part: Part = "train" if fold >= 0 else "all"
        return [Task(fold, part, number, values, span) for number, values in enumerate(self.sets)]


def sweep(request: SweepRequest, say: Callable[[str], None], progress: Progress) -> SweepResult:
    """Run what is not done yet, and write the results. Raises PaperbotError; for a mistake before anything is written.

    `progress(done, all)` is told after each trial.
    """
    ready = _prepare(request, say)
    run = runner_at(request.ray, request.jobs)
    axes = ready.trials.axes
    with TrialLog(ready.folder, ready.fingerprint, afresh=request.afresh) as log:
        total = _run(ready, run, log, say, progress)
        # Within, folds count from 0, and -1 is none of them; people count from 1.
        kept = [{ERROR: None, **row, "fold": row["fold"] + 1} for row in log.rows.values() if LEFT_OUT not in row]
        rows = sorted(kept, key=lambda row: (row["fold"], row["part"] == "test", row["set"]))
        result = SweepResult(rows, axes, request.objective, ready.folder / RESULTS)
        if len(kept) < total:
            say(f"{total - len(kept)} of {total} trials are left out: their settings do not go together")
        if len(result.failed) == len(rows):
            raise CommandError(f"every trial failed; the first: {rows[0][ERROR]}")
        if result.failed:
            first = result.failed[0][ERROR]
            say(f"{len(result.failed)} of {total} trials failed, and have no figures; the first: {first}")
        for line in without_effect(axes, rows):
            say(line)
        columns = ["fold", "part", "set", *(axis.key for axis in axes), *FIGURES, ERROR]
        write_results(ready.folder, rows, [*columns, *(["digest"] if request.digests else [])], words={ERROR, "digest"})
    return result


def _prepare(request: SweepRequest, say: Callable[[str], None]) -> _Ready:
    """Read and check everything. Raises PaperbotError."""
    if request.objective not in OBJECTIVES:
        raise CommandError(f"--objective {request.objective}: expected one of {', '.join(OBJECTIVES)}")
    if request.folds < 0 or not 0.0 < request.train < 1.0:
        raise CommandError("--folds is not below 0, and --train is between 0 and 1")
    space = Space(tuple(parse_axis(text) for text in request.vary), request.draws, request.seed)
    if request.draws is not None and not space.is_drawn:
        say(f"--random {request.draws}: the grid has {space.size:,} sets, and all of them are run")
    # All bars are read: each set warms up on as many of those before its window as it needs.
    job = prepare(replace(request.replay, start=None, end=None), say)
    known = [one.name for one in job.configuration.settings.strategies]
    check_strategies(space.axes, known, job.plan.strategies)
    ticks = job.plan.params.symbols["tick"].tolist()
    grids = {
        source.symbol: (decimals, tick if source.synthetic else None)
        for source, decimals, tick in zip(job.sources, job.plan.price_decimals, ticks, strict=True)
    }
    chosen = tuple(request.replay.strategies) if request.replay.strategies else None
    trials = Trials(
        *(job.files, tuple(job.overrides), job.configuration, job.timeframes_ns, grids, chosen, space.axes),
        digests=request.digests,
    )
    sets = list(space.sets())
    _check_sets(trials, sets)
    bars = _read(job)
    spans = spans_of(request.walk, bars)
    for line in without_value(request.objective, spans[::2], bars):
        say(line)
    return _Ready(request, bars, spans, trials, sets, _fingerprint(request, job, bars, space))


def _check_sets(trials: Trials, sets: Sequence[tuple[Value, ...]]) -> None:
    """Plan sets until each value was in one that can be run. Raises PaperbotError for a mistake, or if none can be."""
    unseen = {(place, value) for values in sets for place, value in enumerate(values)}
    most, reason = len(unseen), ""
    for values in sets:
        if unseen.isdisjoint(enumerate(values)):
            continue
        try:
            trials.plan(values)
        except ConfigError as error:  # One set may be impossible; what all have in common may not.
            reason = reason or str(error)
            continue
        except StrategyError as error:
            raise StrategyError(f"{trials.named(values)}: {error}") from None
        unseen.difference_update(enumerate(values))
    if len(unseen) == most:
        raise CommandError(f"none of the sets can be run: {reason}")


def _run(ready: _Ready, run: Runner, log: TrialLog, say: Callable[[str], None], progress: Progress) -> int:
    """Run the trials that are not in the log yet; returns how many there are in all."""
    request, axes = ready.request, ready.trials.axes
    jobs = request.jobs or os.cpu_count() or 1
    total = len(ready.sets) * max(request.folds, 1) + request.folds

    def finish(tasks: Sequence[Task]) -> None:
        progress(len(log.rows), total)
        waiting = [task for task in tasks if task.key not in log.rows]
        for task, figures in run(ready.trials, ready.bars, waiting, jobs):
            named = dict(zip((axis.key for axis in axes), task.values, strict=True))
            log.add(task.key, {"fold": task.fold, "part": task.part, "set": task.number, **named, **figures})
            progress(len(log.rows), total)

    if request.folds == 0:
        finish(ready.tasks())
    for fold in range(request.folds):
        tasks = ready.tasks(fold)
        finish(tasks)
        chosen = _choose([log.rows[task.key] for task in tasks], request.objective)
        if chosen is None:
            total -= 1
            why = f"in its training no set that traded has a {request.objective}"
            say(f"fold {fold + 1} has no choice and no test: {why}")
        else:
            finish([Task(fold, "test", chosen, ready.sets[chosen], ready.spans[2 * fold + 1])])
    return total


def _choose(rows: Sequence[Row], objective: str) -> int | None:
    """The number of the best set of a training window, if there is one that traded and can be judged."""
    best = ranked([{ERROR: None, **row} for row in rows if LEFT_OUT not in row], objective)[0]
    return best["set"] if best["fills"] and best[objective] is not None else None


def _read(job: Job) -> AllBars:
    """All bars, in memory once. Raises DataError when there is none."""
    by_symbol = []
    for batches in job.batches:
        parts = list(batches)
        by_symbol.append(parts[0] if len(parts) == 1 else joined(parts))
    if not any(len(events) for events in by_symbol):
        raise DataError("there is no bar")
    return AllBars(tuple(by_symbol), job.plan.timeframes_ns)


def _fingerprint(request: SweepRequest, job: Job, bars: AllBars, space: Space) -> str:
    """What must be the same for trials to be taken over: bars, settings, the space, folds, and the engine. How it was
    typed does not matter, nor does an option that has no effect.
    """
    digest = hashlib.sha256()
    for events in bars.by_symbol:
        digest.update(events.view(np.uint8).data)
    walk = [request.folds, request.train, request.anchored, request.objective]
    what = {
        "version": __version__,
        "core": CACHE_FOLDER.name,
        "settings": config_hash(job.configuration, job.plan),
        "files": _strategy_files(job, space),
        "bars": digest.hexdigest(),
        "window": [parse_time(request.replay.start, "--start"), parse_time(request.replay.end, "--end")],
        "space": [(axis.key, axis.values) for axis in space.axes],
        "draws": [space.draws, space.seed] if space.is_drawn else [],
        "folds": walk if request.folds else [],
        "digests": request.digests,
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def _strategy_files(job: Job, space: Space) -> dict[str, str]:
    """The content, hashed, of each strategy file that the settings or the space name."""
    users = [one for one in job.configuration.settings.strategies if isinstance(one, UserStrategy)]
    paths = {one.path for one in users if one.name in job.plan.strategies}
    for axis in space.axes:
        if axis.strategy is not None and axis.key.endswith(".path"):
            paths |= {Path(str(value)) for value in axis.values}
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}
