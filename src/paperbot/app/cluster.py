"""Trials on a Ray cluster: the only file that imports it. Bars go into its object store once, and every worker of a
machine reads them there.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from paperbot.app.trials import Bars, Task, Tree, Trials
from paperbot.errors import CommandError

Run = Callable[[Trials, Bars, Iterable[Task], int], Iterator[tuple[Task, Tree]]]
LOCAL = "local"
TASKS_AT_A_TIME = 8
QUEUED = 4
KNOCK_S = 5.0


def on_ray(address: str) -> Run:
    """A runner of tasks on the cluster at an address; `local`: a cluster of this machine, for as long as it takes.

    Raises CommandError when Ray is not installed or does not answer.
    """
    try:
        import ray  # noqa: PLC0415
    except ImportError:
        raise CommandError("--ray needs ray: pip install 'paperbot[ray]'") from None

    def run(trials: Trials, bars: Bars, tasks: Iterable[Task], jobs: int) -> Iterator[tuple[Task, Tree]]:
        if not ray.is_initialized():
            _knock(address)
            try:
                ray.init(
                    address=None if address == LOCAL else address,
                    num_cpus=jobs if address == LOCAL else None,
                    include_dashboard=False,
                    log_to_driver=False,
                    configure_logging=False,
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise CommandError(f"--ray {address}: {str(error).splitlines()[0]}") from None
        yield from _run(ray, trials, bars, tasks)

    return run


def _knock(address: str) -> None:
    """Ray itself tries for minutes, and then ends the process. Raises CommandError when nobody is there."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
    except (OSError, ValueError) as error:
        raise CommandError(f"--ray {address}: nobody answers there: {error}") from None


def _run(ray: Any, trials: Trials, bars: Bars, tasks: Iterable[Task]) -> Iterator[tuple[Task, Tree]]:
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
            yield from zip(running.pop(reference), ray.get(reference), strict=True)


def _some(bars: Bars, trials: Trials, work: list[tuple[Any, Any]]) -> list[Tree]:
    """Runs on a worker."""
    return [trials.run(values, span, bars) for values, span in work]
