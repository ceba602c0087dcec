"""Where trials run: on threads of this process, or on a Ray cluster (the only file that imports it).

AllBars go into Ray's object store once, and every worker of a machine reads them there.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

from paperbot.errors import CommandError
from paperbot.research.trials import AllBars, Task, Tree, Trials

Runner = Callable[[Trials, AllBars, Iterable[Task], int], Iterator[tuple[Task, Tree]]]
"""Runs tasks somewhere, and yields each with its figures as it is done."""

QUEUED_A_WORKER = 2
LOCAL = "local"
TASKS_AT_A_TIME = 8
QUEUED = 4
KNOCK_S = 5.0


def runner_at(ray: str | None, jobs: int) -> Runner:
    """What runs the tasks. Raises CommandError when the cluster cannot be reached."""
    return on_threads if ray is None else on_ray(ray, jobs)


def on_threads(trials: Trials, bars: AllBars, tasks: Iterable[Task], jobs: int) -> Iterator[tuple[Task, Tree]]:
    """Run tasks on threads of this process: the compiled engine leaves the interpreter to the others meanwhile."""
    waiting = iter(tasks)
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="trial") as pool:
        running: dict[Future[Tree], Task] = {}
        try:
            while True:
                for task in islice(waiting, QUEUED_A_WORKER * jobs - len(running)):
                    running[pool.submit(trials.run, task.values, task.span, bars)] = task
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                # Of those that are done at once, one that fails for a fault of ours comes last: the others are kept.
                for future in sorted(done, key=lambda one: one.exception() is not None):
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def on_ray(address: str, jobs: int = 0) -> Runner:
    """A runner of tasks on the cluster at an address; `local`: a cluster of this machine, for as long as it takes.

    It is reached now. Raises CommandError when Ray is not installed or does not answer.
    """
    try:
        import ray  # noqa: PLC0415
    except ImportError:
        raise CommandError("--ray needs ray: pip install 'paperbot[ray]'") from None
    if not ray.is_initialized():
        _knock(address)
        try:
            ray.init(
                address=None if address == LOCAL else address,
                num_cpus=(jobs or os.cpu_count()) if address == LOCAL else None,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise CommandError(f"--ray {address}: {str(error).splitlines()[0]}") from None

    def run(trials: Trials, bars: AllBars, tasks: Iterable[Task], _: int) -> Iterator[tuple[Task, Tree]]:
        try:
            yield from _run(ray, trials, bars, tasks)
        except ray.exceptions.RayError as error:
            raise CommandError(f"--ray {address}: {_reason(error)}") from None

    return run


def _reason(error: Exception) -> str:
    """Ray's errors hold whole reports: of one that wraps another, the other; else the first line."""
    cause = getattr(error, "cause", None)
    lines = str(cause or error).strip().splitlines() or [type(error).__name__]
    return f"{type(cause).__name__}: {lines[0]}" if cause else lines[0]


def _knock(address: str) -> None:
    """Ray itself tries for minutes, and then ends the process. Raises CommandError when nobody is there."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
    except (OSError, ValueError) as error:
        raise CommandError(f"--ray {address}: nobody answers there: {error}") from None


def _run(ray: Any, trials: Trials, bars: AllBars, tasks: Iterable[Task]) -> Iterator[tuple[Task, Tree]]:
    shared = ray.put(bars), ray.put(trials)
    remote = ray.remote(_some)
    waiting = iter(tasks)
    running: dict[Any, list[Task]] = {}
    most = QUEUED * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    while True:
        while len(running) < most and (batch := list(islice(waiting, TASKS_AT_A_TIME))):
            running[remote.remote(*shared, [(task.values, task.span) for task in batch])] = batch
        if not running:
            return
        done, _ = ray.wait(list(running), num_returns=1)
        for reference in done:
            for task, outcome in zip(running.pop(reference), ray.get(reference), strict=False):
                if isinstance(outcome, Exception):
                    raise outcome
                yield task, outcome


def _some(bars: AllBars, trials: Trials, work: list[tuple[Any, Any]]) -> list[Tree | Exception]:
    """Runs on a worker. A fault of ours ends the batch as its last outcome, so that those before it are kept."""
    outcomes: list[Tree | Exception] = []
    for values, span in work:
        try:
            outcomes.append(trials.run(values, span, bars))
        except Exception as error:  # noqa: BLE001
            return [*outcomes, error]
    return outcomes
