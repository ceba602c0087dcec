"""Runs work beside the event loop, and ends it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Any

CANCEL_AGAIN_S = 0.5


async def in_thread(function: Callable[[], Any]) -> Any:
    """Run a slow function on a thread, and return its result or raise its error. Unlike the threads of the loop's own
    pool, this one never keeps the process from exiting.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def deliver(result: Any, error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        result, error = None, None
        try:
            result = function()
        except Exception as raised:  # noqa: BLE001  (it is raised where the result is awaited)
            error = raised
        with contextlib.suppress(RuntimeError):  # The loop may be gone.
            loop.call_soon_threadsafe(deliver, result, error)

    threading.Thread(target=work, daemon=True).start()
    return await done


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until all of them have ended, ignoring their errors.

    Cancellation is repeated, because a library may lose one that coincides with a result.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
        await asyncio.gather(*done, return_exceptions=True)
