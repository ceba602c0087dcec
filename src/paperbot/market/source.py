"""The market data that the feed needs from an exchange: bars, the kline stream and the server's time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from paperbot.ports import Clock

Answer = TypeVar("Answer")
MS = 1_000_000
LARGEST_MS = 1 << 53
FIRST_PAUSE_S = 0.1
DOUBTED_MS = 3_600_000
PAGE = 1000
"""Rows per request."""


def is_time_ms(value: Any) -> bool:
    """Whether a value from outside can be a time in ms: an integer between 0 and 2^53."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < LARGEST_MS


@dataclass(frozen=True)
class Candle:
    """One bar as the exchange reported it: open time in ms UTC, prices in the quote."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class SourceError(Exception):
    """The source could not answer. `wait_s`: seconds to wait before the next request (429, 418); 0: none. `is_final`:
    another request would not help.
    """

    def __init__(self, reason: str, wait_s: float = 0.0, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.is_final = is_final


async def patiently(
    call: Callable[[], Awaitable[Answer]],
    tries: int,
    failed: Callable[[SourceError], None] = lambda _: None,
) -> Answer:
    """Make the call up to `tries` times, with pauses that double or that the venue asks for; return the answer.

    `failed` is called for each failure. Raises the last SourceError, or one that is final at once.
    """

    def pause_s(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        venue_s = error.wait_s if isinstance(error, SourceError) else 0.0
        return max(venue_s, FIRST_PAUSE_S * 2.0 ** (state.attempt_number - 1))

    async def once() -> Answer:
        try:
            return await call()
        except SourceError as error:
            failed(error)
            raise

    retry = retry_if_exception(lambda error: isinstance(error, SourceError) and not error.is_final)
    retrying = AsyncRetrying(stop=stop_after_attempt(tries), wait=pause_s, retry=retry, reraise=True)
    return await retrying(once)


class OnState(Protocol):
    """Called when the stream connects or drops."""

    def __call__(self, *, listening: bool) -> None:
        """`listening`: whether the stream is connected now."""


class Source(Protocol):
    """An exchange's market data."""

    async def time_ms(self) -> int:
        """Return the server's time in ms UTC. Raises SourceError."""

    async def candles(self, symbol: str, since_ms: int) -> list[Any]:
        """Return up to PAGE rows (ms, open, high, low, close, volume) from `since_ms` on. Raises SourceError."""

    async def listen(self, on_kline: Callable[[dict[str, Any]], None], on_state: OnState) -> None:
        """Pass each kline event to `on_kline` as the exchange sent it, until cancelled, and report every connect and
        disconnect to `on_state`.
        """


async def agreed_time_ms(source: Source, expected_ms: int) -> int:
    """Return the server's time in ms UTC; one that is far from what was expected counts only if a second answer agrees.

    Raises SourceError.
    """
    at_ms = await source.time_ms()
    if abs(at_ms - expected_ms) <= DOUBTED_MS:
        return at_ms
    again_ms = await source.time_ms()
    if abs(again_ms - at_ms) > DOUBTED_MS:
        raise SourceError(f"the server's times contradict each other: {at_ms} and {again_ms} ms")
    return again_ms


@dataclass
class ServerTime:
    """Estimates the server's time from its last known time and our own clock."""

    clock: Clock
    heard_ms: int = 0
    heard_at_s: float = 0.0
    skew_ms: float | None = None
    proven_ms: int = 0
    proven_at_s: float = 0.0

    def hear(self, server_ms: int, *, exact: bool = False, within_ms: int | None = None) -> bool:
        """Take in the server's time; returns False for a time that is not believed.

        `exact`: it is the answer to a request, so it replaces the estimate even if it is earlier, and sets `skew_ms`,
        the difference to our clock. `within_ms`: a time further ahead of the estimate than this is not believed.
        """
        now_ms, at_s = self.now_ms(), self.clock.monotonic_s()
        if exact:
            self.skew_ms = server_ms - self.clock.now_ns() / MS
            self.proven_ms, self.proven_at_s = server_ms, at_s
        elif now_ms and within_ms is not None and server_ms > now_ms + within_ms:
            return False
        if exact or server_ms > now_ms:
            self.heard_ms, self.heard_at_s = server_ms, at_s
        return True

    def now_ms(self) -> int:
        """Return the estimated server time in ms UTC, 0 before the first report."""
        return self._carried(self.heard_ms, self.heard_at_s)

    def proven_now_ms(self) -> int:
        """Return the same from answers to requests alone, whatever a stream says; 0 before the first answer."""
        return self._carried(self.proven_ms, self.proven_at_s)

    def _carried(self, at_ms: int, at_s: float) -> int:
        return int(at_ms + (self.clock.monotonic_s() - at_s) * 1000) if at_ms else 0
