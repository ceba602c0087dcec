"""Hosts the core: owns the memory of state and outputs, and passes events to it.

The whole state is one block of bytes, so a snapshot is a copy, and equal states have equal bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.core.numeric import JIT
from paperbot.core.oracle import affordable, worth
from paperbot.core.step import run, value_of
from paperbot.core.world import PLACES, SLOTS, plain_world
from paperbot.events import Records, no_bars

if JIT:
    from paperbot.core.step import advance, affordable_at, value_at, worth_at

_FAULT = dict(t.MARKET.fields or {})["fault"][1] // 8
_BARS = PLACES["bars"]


@dataclass(frozen=True)
class Params:
    """The core's parameters as arrays (see `core/types.py`), and the opening balances in minor units."""

    risk: Records
    symbols: Records
    assets: Records
    strategies: Records
    features: Records
    enabled: NDArray[np.int64]
    opening: NDArray[np.int64]


@dataclass
class State:
    """Named views over one block of memory: the market part, then, from byte `account_at`, the account part."""

    memory: NDArray[np.uint8]
    account_at: int
    market: Records
    symbols: Records
    features: Records
    candles: Records
    rings: NDArray[np.float64]
    slice_symbols: NDArray[np.int64]
    account: Records
    chains: Records
    assets: Records
    positions: Records
    orders: Records
    draft: Records
    scratch: NDArray[np.float64]
    rate_ts: NDArray[np.int64]
    frame: NDArray[np.float64]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The views by name, in memory order."""
        return {name: getattr(self, name) for name in ARRAYS}


ARRAYS = tuple(field.name for field in fields(State) if field.name not in {"memory", "account_at"})
_INTEGER, _FLOAT = np.dtype(np.int64), np.dtype(np.float64)
Layout = dict[str, tuple[np.dtype[Any], int]]


def market_layout(params: Params) -> Layout:
    """(dtype, length) of each array of the market part, which depends on bars alone."""
    risk = params.risk[0]
    n_symbols = int(risk["n_symbols"])
    return {
        "market": (t.MARKET, 1),
        "symbols": (t.SYMBOL, n_symbols),
        "features": (t.FEATURE, n_symbols * int(risk["n_features"])),
        "candles": (t.CANDLES, n_symbols),
        "rings": (_FLOAT, n_symbols * int(risk["ring_size"])),
        "slice_symbols": (_INTEGER, n_symbols),
    }


def account_layout(params: Params) -> Layout:
    """(dtype, length) of each array of the account part."""
    risk = params.risk[0]
    n_symbols = int(risk["n_symbols"])
    n_positions = n_symbols * int(risk["n_strategies"])
    return {
        "account": (t.ACCOUNT, 1),
        "chains": (t.CHAIN, n_symbols),
        "assets": (t.ASSET, len(params.assets)),
        "positions": (t.POSITION, n_positions),
        "orders": (t.ORDER, int(risk["order_capacity"]) + n_positions),
        "draft": (t.ORDER, 1),
        "scratch": (_FLOAT, int(params.strategies["scratch"].sum()) * n_symbols),
        "rate_ts": (_INTEGER, int(risk["rate_orders"])),
        "frame": (_FLOAT, t.FRAME_SIZE),
    }


def _layout(params: Params) -> Layout:
    return {**market_layout(params), **account_layout(params)}


def allocate(params: Params) -> State:
    """Allocate a new state: no bars seen, and all opening balances free."""
    layout = _layout(params)
    sizes = {name: dtype.itemsize * count for name, (dtype, count) in layout.items()}
    memory = np.zeros(sum(sizes.values()), dtype=np.uint8)
    views: dict[str, NDArray[Any]] = {}
    at = 0
    for name, (dtype, _) in layout.items():
        views[name] = memory[at : at + sizes[name]].view(dtype)
        at += sizes[name]
    state = State(memory, sum(sizes[name] for name in market_layout(params)), **views)
    state.account["next_order_id"] = 1
    state.assets["opening"] = params.opening
    state.assets["free"] = params.opening
    state.chains["head"] = t.NOBODY
    state.chains["tail"] = t.NOBODY
    state.orders["next"] = np.arange(1, len(state.orders) + 1)
    state.orders["next"][-1] = t.NOBODY
    return state


def outputs_per_event(params: Params) -> int:
    """An upper bound of the output records that one event can cause.

    Per open order: a fill, its end, changes or ends of both legs of a pair and of an entry, and two new legs. Per
    position at the end of a slice: a signal, a new order and a block. Plus patterns, halt, resume and ledger rows.
    """
    risk = params.risk[0]
    positions = int(risk["n_symbols"]) * int(risk["n_strategies"])
    orders = int(risk["order_capacity"]) + positions
    return 8 * orders + 4 * positions + 16


class Machine:
    """One engine: parameters, state and an output buffer, advanced by events.

    `spare_rows`: records of the output buffer beyond what one event can cause. Neither its size nor the cutting of
    events into calls changes the output.
    """

    def __init__(self, params: Params, spare_rows: int = 1 << 14) -> None:
        self.params = params
        self.state = allocate(params)
        self.room = outputs_per_event(params)
        self._outputs = np.zeros(self.room + spare_rows, dtype=t.OUT_HEAD)
        self._cursor = np.zeros(1, dtype=np.int64)
        # Copying records loops over them; copying bytes copies one block.
        self._output_bytes = self._outputs.view(np.uint8)
        # Memory views of words: indexing an array from Python costs several times as much.
        self._count = self._cursor.data
        self._market_words = self.state.market.view(np.int64).data
        self._table = np.zeros(2 * len(SLOTS), dtype=np.int64)
        self._table_address = self._table.ctypes.data
        self._words = self._table.data
        parameters = [getattr(params, field.name) for field in fields(Params)][:6]
        blank = np.zeros(1, dtype=t.OUT_HEAD)
        buffers = [no_bars(), self._outputs, blank, self._cursor]
        self._arrays = dict(zip(SLOTS, [*parameters, *self.state.arrays().values(), *buffers], strict=True))
        self._events: Records | None = None
        self._events_address = 0
        for name, array in self._arrays.items():
            self._place(name, array)

    def _place(self, name: str, array: NDArray[np.generic]) -> None:
        place = PLACES[name]
        self._words[place] = array.ctypes.data
        self._words[place + len(SLOTS)] = len(array)

    def replace_params(self, params: Params) -> None:
        """Use other parameters from the next event on. They must need a state of the same layout."""
        assert _layout(params) == _layout(self.params)
        self.params = params
        for name, field in zip(SLOTS, fields(Params)[:6], strict=False):
            self._arrays[name] = getattr(params, field.name)
            self._place(name, self._arrays[name])

    @property
    def market(self) -> np.void:
        """The position in the stream of events: clock, slice and fault."""
        return self.state.market[0]  # type: ignore[no-any-return]

    @property
    def account(self) -> np.void:
        """The account's record."""
        return self.state.account[0]  # type: ignore[no-any-return]

    def advance(self, events: Records, start: int = 0, stop: int | None = None) -> Iterator[Records]:
        """Step through the events from index `start` up to `stop`; yields copies of the output records.

        Stops early if the run has failed; `market["fault"]` is then the reason.
        """
        stop = len(events) if stop is None else stop
        while start < stop and not self._market_words[_FAULT]:
            start += self._call(events, start, stop)
            count = self._count[0]
            if count:
                self._count[0] = 0
                yield self._output_bytes[: count * t.OUTPUT_BYTES].copy().view(t.OUT_HEAD)

    @property
    def failed(self) -> bool:
        """Whether the run has stopped with a fault."""
        return self._market_words[_FAULT] != t.Fault.NONE

    def value(self, asset: int, amount: int) -> int | None:
        """Convert an amount of an asset to the account currency, both in minor units; None without a price."""
        return self._query(value_at if JIT else value_of, asset, amount)

    def worth(self, symbol: int, quantity: int) -> int | None:
        """The cost of a quantity of the base at the last close, in the account currency, rounded up (minor units).

        Returns 2^62 for anything larger, and None without a price.
        """
        return self._query(worth_at if JIT else worth, symbol, quantity)

    def affordable(self, symbol: int, amount: int) -> int | None:
        """The largest quantity of the base whose `worth` is at most `amount` (minor units); None without a price."""
        return self._query(affordable_at if JIT else affordable, symbol, amount)

    def _query(self, function: Any, index: int, number: int) -> int | None:
        answer = int(function(self._table_address if JIT else plain_world(self._arrays), index, number))
        return answer if answer >= 0 else None

    def _call(self, events: Records, start: int, stop: int) -> int:
        if not JIT:
            world = plain_world({**self._arrays, "bars": events[start:stop]})
            return int(run(world, stop - start, self.room))
        if events is not self._events:  # Reading an array's address takes as long as half a step.
            self._events, self._events_address = events, events.ctypes.data
        self._words[_BARS] = self._events_address + start * t.EVENT_BYTES
        self._words[_BARS + len(SLOTS)] = stop - start
        return int(advance(self._table_address, stop - start, self.room))
