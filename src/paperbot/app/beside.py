"""Slow work beside the event loop."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any


async def in_thread(function: Callable[[], Any]) -> Any:
    """Run something slow beside the loop. Unlike the loop's own pool, its thread never keeps the process from
    ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any) -> None:
        if not done.done():
            done.set_result(result)

    def work() -> None:
        result = function()
        with contextlib.suppress(RuntimeError):  # The loop may be gone.
            loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=work, daemon=True).start()
    return await done
