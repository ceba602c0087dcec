"""`paperbot sweep`: many parameter sets over the same bars, on threads or on a Ray cluster, with the same results.

Without folds, each set runs once over all bars. With folds (walk-forward), each set runs over each fold's training
window, and the best set of a fold over the test window after it, which had no part in the choice.
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
"""The possible objectives, and whether more (1) or less (-1) is better."""

SWEEPS = Path("data/sweeps")


@dataclass(frozen=True)
class SweepRequest:
    """The options of `paperbot sweep`. `replay`: bars, settings and the window to split; `out`: see `_Ready.folder`."""

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
        """How to split the bars."""
        return Walk(self.replay.start, self.replay.end, self.folds, self.train, self.anchored)


@dataclass(frozen=True)
class SweepResult:
    """All rows by (fold, part, set), and the path of their file. Folds count from 1; 0: no folds."""

    rows: list[Row]
    axes: tuple[Axis, ...]
    objective: str
    path: Path

    def best(self, count: int, fold: int = 0) -> list[Row]:
        """The best rows of a fold's training, or without folds of all sets; best first."""
        mine = [row for row in self.rows if row["fold"] == fold and row["part"] != "test"]
        return ranked(mine, self.objective)[:count]

    def folds(self) -> list[tuple[Row, Row]]:
        """(training row, test row) of each fold's chosen set, except for folds without a choice."""
        trained = {(row["fold"], row["set"]): row for row in self.rows if row["part"] == "train"}
        return [(trained[row["fold"], row["set"]], row) for row in self.rows if row["part"] == "test"]

    @property
    def page(self) -> Path:
        """The path of the page about the sweep."""
        return self.path.with_name(PICTURE)

    @property
    def failed(self) -> list[Row]:
        """The rows of sets that failed midway."""
        return [row for row in self.rows if row[ERROR] is not None]


def ranked(rows: Sequence[Row], objective: str) -> list[Row]:
    """Sort rows: the best first, of equals the lower number first; then rows without the figure, then sets that never
    traded, then sets that failed.
    """
    sign = OBJECTIVES[objective]

    def place(row: Row) -> tuple[bool, bool, bool, float, int]:
        value = row[objective]
        return row[ERROR] is not None, not row["fills"], value is None, -sign * (value or 0.0), row["set"]

    return sorted(rows, key=place)


@dataclass(frozen=True)
class _Ready:
    """A sweep that was checked and is ready to run. `spans`: see `spans_of`."""

    request: SweepRequest
    bars: AllBars
    spans: list[Span]
    trials: Trials
    sets: list[tuple[Value, ...]]
    fingerprint: str

    @property
    def folder(self) -> Path:
        """The folder of the results; by default each sweep has its own."""
        return self.request.out or SWEEPS / self.fingerprint[:12]

    def tasks(self, fold: int = -1) -> list[Task]:
        """The tasks of all sets over a fold's training window, or over all bars."""
        span = self.spans[max(2 * fold, 0)]
        part: Part = "train" if fold >= 0 else "all"
        return [Task(fold, part, number, values, span) for number, values in enumerate(self.sets)]


def sweep(request: SweepRequest, say: Callable[[str], None], progress: Progress) -> SweepResult:
    """Run the missing trials and write the results. Raises PaperbotError; for a mistake, before anything is written.

    `progress(done, total)` is called after each trial.
    """
    ready = _prepare(request, say)
    run = runner_at(request.ray, request.jobs)
    axes = ready.trials.axes
    with TrialLog(ready.folder, ready.fingerprint, afresh=request.afresh) as log:
        total = _run(ready, run, log, say, progress)
        # In the log, folds count from 0, and -1 means none; in results they count from 1.
        kept = [{ERROR: None, **row, "fold": row["fold"] + 1} for row in log.rows.values() if LEFT_OUT not in row]
        rows = sorted(kept, key=lambda row: (row["fold"], row["part"] == "test", row["set"]))
        result = SweepResult(rows, axes, request.objective, ready.folder / RESULTS)
        if len(kept) < total:
            say(f"{total - len(kept)} of {total} trials are left out, because their settings contradict each other")
        if len(result.failed) == len(rows):
            raise CommandError(f"all trials failed; the first: {rows[0][ERROR]}")
        if result.failed:
            first = result.failed[0][ERROR]
            say(f"{len(result.failed)} of {total} trials failed and have no figures; the first: {first}")
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
        raise CommandError("--folds must not be below 0, and --train must be between 0 and 1")
    space = Space(tuple(parse_axis(text) for text in request.vary), request.draws, request.seed)
    if request.draws is not None and not space.is_drawn:
        say(f"--random {request.draws}: the grid has {space.size:,} sets, so all of them are run")
    # Read all bars: each set warms up on the bars before its window.
    job = prepare(replace(request.replay, start=None, end=None), say)
    configured = [item.name for item in job.configuration.settings.strategies]
    check_strategies(space.axes, configured, job.plan.strategies)
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
    """Plan sets until each value was part of a valid one. Raises PaperbotError for a mistake, or if no set is valid."""
    unseen = {(place, value) for values in sets for place, value in enumerate(values)}
    n_values, reason = len(unseen), ""
    for values in sets:
        if unseen.isdisjoint(enumerate(values)):
            continue
        try:
            trials.plan(values)
        except ConfigError as error:  # Single sets may be invalid, but not all of them.
            reason = reason or str(error)
            continue
        except StrategyError as error:
            raise StrategyError(f"{trials.named(values)}: {error}") from None
        unseen.difference_update(enumerate(values))
    if len(unseen) == n_values:
        raise CommandError(f"none of the sets can be run: {reason}")


def _run(ready: _Ready, run: Runner, log: TrialLog, say: Callable[[str], None], progress: Progress) -> int:
    """Run the trials that are not in the log yet. Returns the number of all trials."""
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
            why = f"no set that traded in its training has a value of {request.objective}"
            say(f"fold {fold + 1} has no chosen set and no test: {why}")
        else:
            finish([Task(fold, "test", chosen, ready.sets[chosen], ready.spans[2 * fold + 1])])
    return total


def _choose(rows: Sequence[Row], objective: str) -> int | None:
    """The number of the best set of a training window, or None if no set traded and has the objective."""
    best = ranked([{ERROR: None, **row} for row in rows if LEFT_OUT not in row], objective)[0]
    return best["set"] if best["fills"] and best[objective] is not None else None


def _read(job: Job) -> AllBars:
    """Read all bars into memory. Raises DataError when there are none."""
    by_symbol = []
    for batches in job.batches:
        parts = list(batches)
        by_symbol.append(parts[0] if len(parts) == 1 else joined(parts))
    if not any(len(events) for events in by_symbol):
        raise DataError("the files hold no bars")
    return AllBars(tuple(by_symbol), job.plan.timeframes_ns)


def _fingerprint(request: SweepRequest, job: Job, bars: AllBars, space: Space) -> str:
    """A hash of everything that must be equal to reuse trials: bars, settings, space, folds and engine. The form of the
    options does not matter, nor do options without effect.
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
    """The SHA-256 of each strategy file that is named in the settings or in the space."""
    own = [item for item in job.configuration.settings.strategies if isinstance(item, UserStrategy)]
    paths = {item.path for item in own if item.name in job.plan.strategies}
    for axis in space.axes:
        if axis.strategy is not None and axis.key.endswith(".path"):
            paths |= {Path(str(value)) for value in axis.values}
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}
