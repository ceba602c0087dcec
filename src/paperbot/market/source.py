"""An exchange's market data, as the feed asks for it: what an exchange has to answer, and its clock."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from paperbot.ports import Clock

Answer = TypeVar("Answer")
MS = 1_000_000
FIRST_PAUSE_S = 0.1
PAGE = 1000
"""Rows that are asked for at a time."""


@dataclass(frozen=True)
class Candle:
    """One bar as the exchange reported it: its open in ms UTC, prices in the quote."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class SourceError(Exception):
    """The source could not answer. `wait_s`: how long to wait before the next request (429, 418); 0 for no limit."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


async def patiently(
    call: Callable[[], Awaitable[Answer]],
    tries: int,
    failed: Callable[[SourceError], None] = lambda _: None,
    *,
    is_final: Callable[[SourceError], bool] = lambda _: False,
) -> Answer:
    """The call's answer, asked again after pauses that double, or as long as the venue asks for.

    `failed` is told each failure; `is_final`: which ones end it at once. Raises the last SourceError.
    """

    def pause_s(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.wait_s if isinstance(error, SourceError) else 0.0
        return max(asked_s, FIRST_PAUSE_S * 2.0 ** (state.attempt_number - 1))

    async def once() -> Answer:
        try:
            return await call()
        except SourceError as error:
            failed(error)
            raise

    again = retry_if_exception(lambda error: isinstance(error, SourceError) and not is_final(error))
    retrying = AsyncRetrying(stop=stop_after_attempt(tries), wait=pause_s, retry=again, reraise=True)
    return await retrying(once)


class OnState(Protocol):
    """Called when the stream connects or drops."""

    def __call__(self, *, listening: bool) -> None:
        """`listening`: whether the stream is connected now."""


class Source(Protocol):
    """An exchange's market data."""

    async def time_ms(self) -> int:
        """The server's time in ms UTC. Raises SourceError."""

    async def candles(self, symbol: str, since_ms: int) -> list[Any]:
        """Up to a page of rows (open in ms, open, high, low, close, volume) from `since_ms` on. Raises SourceError."""

    async def listen(self, on_kline: Callable[[dict[str, Any]], None], on_state: OnState) -> None:
        """Pass each kline event to `on_kline` as the exchange sent it, until cancelled, and report every connect and
        disconnect to `on_state`.
        """


@dataclass
class ServerTime:
    """The server's time as last heard, carried on by our own clock."""

    clock: Clock
    heard_ms: int = 0
    heard_at_s: float = 0.0
    skew_ms: float | None = None

    def hear(self, server_ms: int, *, exact: bool = False) -> None:
        """The server said its time. `exact`: it was asked for, so it counts whatever was heard before, and the
        difference to our clock is known.
        """
        if exact or server_ms > self.now_ms():
            self.heard_ms, self.heard_at_s = server_ms, self.clock.monotonic_s()
        if exact:
            self.skew_ms = server_ms - self.clock.now_ns() / MS

    def now_ms(self) -> int:
        """What it should be now."""
        if self.heard_ms == 0:
            return 0
        return int(self.heard_ms + (self.clock.monotonic_s() - self.heard_at_s) * 1000)
