"""Calls a user's strategy in uncompiled runs, where its address is a key of a table of Python functions."""

from collections.abc import Callable

from paperbot.core.types import FRAME_ANSWER, Array, World

TABLE: dict[int, Callable[[int, Array, Array, Array], float]] = {}


def call_strategy(w: World, address: int, ts: int, strategy: int, memory: int) -> int:
    """Call a strategy and store its answer in the frame; returns 1 if it raised, else 0."""
    params = w.strategy_params[strategy]
    try:
        room = w.scratch[memory : memory + int(params["scratch"])]
        w.frame[FRAME_ANSWER] = TABLE[int(address)](int(ts), w.frame, params["value"], room)
    except Exception:  # noqa: BLE001  # Any exception stops the run, as in compiled runs.
        return 1
    return 0
