"""Work beside the event loop's main line, and its end."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Any

SAID_AGAIN_S = 0.5


async def in_thread(function: Callable[[], Any]) -> Any:
    """Run something slow beside the loop; what it raises is raised here. Unlike the loop's own pool, its thread never
    keeps the process from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: Exception | None) -> None:
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
        except Exception as raised:  # noqa: BLE001  (it is raised where the result is waited for)
            error = raised
        with contextlib.suppress(RuntimeError):  # The loop may be gone.
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=work, daemon=True).start()
    return await done


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until each has ended; what they raise is nobody's concern any more.

    It is said again to those that go on, since a library may lose a cancellation that comes together with a result.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=SAID_AGAIN_S)
        await asyncio.gather(*done, return_exceptions=True)
