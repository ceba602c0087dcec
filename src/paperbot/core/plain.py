"""Calling a user's strategy in uncompiled runs: its address is a number in a table of plain functions."""

from collections.abc import Callable

from paperbot.core.types import FRAME_ANSWER, Array, World

TABLE: dict[int, Callable[[int, Array, Array, Array], float]] = {}


def call_strategy(w: World, address: int, ts: int, strategy: int, memory: int) -> int:
    """Call it and leave its answer in the frame; 1 when it raised."""
    params = w.strategy_params[strategy]
    try:
        room = w.scratch[memory : memory + int(params["scratch"])]
        w.frame[FRAME_ANSWER] = TABLE[int(address)](int(ts), w.frame, params["value"], room)
    except Exception:  # noqa: BLE001  # Whatever a user's code raises stops the run, as it does compiled.
        return 1
    return 0
