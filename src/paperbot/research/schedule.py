"""Runs trials on threads of this process or on a Ray cluster (the only file that imports Ray).

AllBars is put into Ray's object store once, and all workers of a machine read it there.
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
"""Runs tasks, and yields each with its figures once it is finished."""

QUEUED_A_WORKER = 2
LOCAL = "local"
TASKS_AT_A_TIME = 8
QUEUED = 4
CONNECT_S = 5.0


def runner_at(ray: str | None, jobs: int) -> Runner:
    """The runner for the options --ray and --jobs. Raises CommandError when the cluster cannot be reached."""
    return on_threads if ray is None else on_ray(ray, jobs)


def on_threads(trials: Trials, bars: AllBars, tasks: Iterable[Task], jobs: int) -> Iterator[tuple[Task, Tree]]:
    """Run tasks on threads of this process; the compiled engine releases the GIL."""
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
                # Yield failed tasks last, so that the results of the others are kept.
                for future in sorted(done, key=lambda future: future.exception() is not None):
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def on_ray(address: str, jobs: int = 0) -> Runner:
    """Connect to the Ray cluster at an address and return its runner. `local`: start a cluster on this machine.

    Raises CommandError when Ray is not installed or cannot be reached.
    """
    try:
        import ray  # noqa: PLC0415
    except ImportError:
        raise CommandError("--ray needs ray: pip install 'paperbot[ray]'") from None
    if not ray.is_initialized():
        _check_reachable(address)
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
    """The first line of an error, because Ray's errors hold whole reports; of its cause if it has one."""
    cause = getattr(error, "cause", None)
    lines = str(cause or error).strip().splitlines() or [type(error).__name__]
    return f"{type(cause).__name__}: {lines[0]}" if cause else lines[0]


def _check_reachable(address: str) -> None:
    """Check that an address accepts connections: Ray itself would retry for minutes and then end the process.

    Raises CommandError when it does not.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise CommandError(f"--ray {address}: cannot connect: {error}") from None


def _run(ray: Any, trials: Trials, bars: AllBars, tasks: Iterable[Task]) -> Iterator[tuple[Task, Tree]]:
    shared = ray.put(bars), ray.put(trials)
    remote = ray.remote(_run_batch)
    waiting = iter(tasks)
    running: dict[Any, list[Task]] = {}
    max_running = QUEUED * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    while True:
        while len(running) < max_running and (batch := list(islice(waiting, TASKS_AT_A_TIME))):
            running[remote.remote(*shared, [(task.values, task.span) for task in batch])] = batch
        if not running:
            return
        done, _ = ray.wait(list(running), num_returns=1)
        for reference in done:
            for task, outcome in zip(running.pop(reference), ray.get(reference), strict=False):
                if isinstance(outcome, Exception):
                    raise outcome
                yield task, outcome


def _run_batch(bars: AllBars, trials: Trials, work: list[tuple[Any, Any]]) -> list[Tree | Exception]:
    """Run a batch on a worker. An unexpected error is its last outcome, so that the outcomes before it are kept."""
    outcomes: list[Tree | Exception] = []
    for values, span in work:
        try:
            outcomes.append(trials.run(values, span, bars))
        except Exception as error:  # noqa: BLE001
            return [*outcomes, error]
    return outcomes
