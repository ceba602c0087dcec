"""Decides which live bars are final, which are absent, and in what order they enter the engine, for each symbol.

- *Final*: the stream says so, or REST returns the bar after its close plus the grace, in the server's time.
- *Absent*: a REST answer that covers the interval, requested after its close plus the grace, has no row for it. A newer
  bar on the stream proves nothing: the old bar's last update may have been lost.
- A bar enters only when all bars before it have entered or are proven absent. A late, repeated or changed bar is
  refused with a code; the message shows both versions if they differ.

This module knows no exchange; it asks a `Source`.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

import numpy as np

from paperbot.errors import DataError
from paperbot.events import Bars, joined
from paperbot.market.candles import Checker, Columns, Grid
from paperbot.market.lane import Arrival, Lane
from paperbot.market.source import MS, Candle, ServerTime, Source, SourceError, agreed_time_ms, is_time_ms
from paperbot.ports import Clock
from paperbot.timeframe import DAY_NS, fixed

REMEMBERED = 2_000
REFUSALS = ("malformed", "contradictory", "off_grid", "duplicate_bar", "late_bar", "bar_changed", "unfinished")
POLL_S = 0.25
VALUES = 5
FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 30.0
BELIEVED_STEPS, BELIEVED_MS = 2, 60_000
"""By how many bars, or milliseconds if that is more, an event time of the stream may be ahead of the server's time."""

SILENT_BARS, SILENT_S = 3, 3.0
"""Bars that REST has and seconds of our clock without a message, after which a stream is opened anew."""


class Feed:
    """The live bars of all symbols. `take` returns arrivals, in time order for each symbol.

    `refused(code, symbol, detail)` is called for every row that is refused, `failed(reason)` for every failed request.
    Bars that close at or before `present_ms` count as catch-up.
    """

    def __init__(
        self,
        source: Source,
        symbols: Iterable[str],
        price_decimals: Iterable[int],
        timeframe: str,
        timeframe_ms: int,
        grace_ms: int,
        clock: Clock,
        refused: Callable[[str, str, str], None],
        failed: Callable[[str], None],
    ) -> None:
        self._source = source
        self._interval = timeframe
        self._step_ms = timeframe_ms
        self._grace_ms = grace_ms
        self._refused, self._failed = refused, failed
        self._clock = clock
        self._lanes = {
            symbol: Lane(symbol, index, Checker(symbol, index, fixed(timeframe_ms * MS), Grid(decimals)))
            for index, (symbol, decimals) in enumerate(zip(symbols, price_decimals, strict=True))
        }
        self.server = ServerTime(clock)
        self.present_ms = 0
        self.listening = False
        self.reconnects = -1
        self._out: asyncio.Queue[Arrival] = asyncio.Queue()
        self._wake = asyncio.Event()
        self._not_before_s = 0.0
        self._failures = 0
        self._is_time_doubted, self._is_time_checked = False, False
        self._reopen = asyncio.Event()
        self._stream_ms, self._stream_at_s = 0, 0.0

    # ---- start
    async def ask_time(self) -> int:
        """Ask the server for its time and return it in ms UTC. Raises SourceError."""
        at = await agreed_time_ms(self._source, self.server.proven_now_ms())
        self.server.hear(at, exact=True)
        self._is_time_checked = True
        return at

    def begin(self, next_ms: int) -> None:
        """Set the open of the first expected bar, in ms UTC."""
        for lane in self._lanes.values():
            lane.next_ms = next_ms

    async def history(self, symbol: str, bars: int, before_ms: int) -> Bars:
        """Return BAR_EVENTs of the last `bars` bars closed at or before `before_ms`. Raises SourceError, DataError."""
        lane = self._lanes[symbol]
        since, candles = before_ms - bars * self._step_ms, []
        while since < before_ms:
            page = await self._page(lane, since)
            kept = [page[opened_ms] for opened_ms in sorted(page) if opened_ms < before_ms]
            if not kept:
                break
            candles += kept
            since = kept[-1].open_ms + self._step_ms
        events = [self._event(lane, candle) for candle in candles]
        return joined([bars for bars in events if bars is not None])

    # ---- run
    async def run(self) -> None:
        """Listen to the stream and prove bars by REST, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._prove())

    async def _listen(self) -> None:
        """Keep a stream open: one that ends for any reason, or stays silent while REST has bars, is opened anew."""
        ended = 0
        while True:
            self._reopen.clear()
            stream = asyncio.create_task(self._source.listen(self.on_kline, self._on_state))
            silent = asyncio.create_task(self._reopen.wait())
            try:
                await asyncio.wait({stream, silent}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (stream, silent):
                    task.cancel()
                await asyncio.wait({stream, silent})
            self._on_state(listening=False)
            if self._reopen.is_set():
                ended = 0
                self._failed("the stream is silent and is opened anew")
                continue
            error = None if stream.cancelled() else stream.exception()
            why = type(error).__name__ if error else "without an error"
            self._failed(f"the stream ended and is opened anew: {why}")
            await asyncio.sleep(min(FIRST_BACKOFF_S * 2.0**ended, LONGEST_BACKOFF_S))
            ended += 1

    async def take(self) -> Arrival:
        """Wait for the next arrival and return it."""
        return await self._out.get()

    def take_now(self) -> Arrival | None:
        """Return the next arrival, or None if there is none yet."""
        return None if self._out.empty() else self._out.get_nowait()

    def _on_state(self, *, listening: bool) -> None:
        self.listening = listening
        if listening:
            self.reconnects += 1
            self._stream_ms, self._stream_at_s = self.server.now_ms(), self._clock.monotonic_s()
            self._wake.set()

    # ---- the stream
    def on_kline(self, message: dict[str, Any]) -> None:
        """Handle a raw kline event of the stream."""
        kline = message.get("k")
        symbol = message.get("symbol")
        lane = self._lanes.get(symbol) if isinstance(symbol, str) else None
        is_ours = isinstance(kline, dict) and kline.get("i") == self._interval
        if lane is None or not isinstance(kline, dict) or not is_ours or not is_time_ms(message.get("E")):
            self._refused("malformed", str(symbol), _short(message))
            return
        candle = self._parse(lane, [kline.get(key) for key in ("t", "o", "h", "l", "c", "v")])
        if candle is None:
            return
        at_ms = message["E"]
        if not self.server.hear(at_ms, within_ms=max(BELIEVED_STEPS * self._step_ms, BELIEVED_MS)):
            self._is_time_doubted = True  # The bar itself is checked against the server's time once it is known.
            self._wake.set()
        self._is_time_checked = False
        self._stream_ms, self._stream_at_s = self.server.now_ms(), self._clock.monotonic_s()
        if kline.get("x") is True:
            self._offer(lane, candle, "stream")
        if self._due(lane):
            self._wake.set()

    def _parse(self, lane: Lane, row: Any) -> Candle | None:
        """Return a row as a candle; refuse it and return None if it is malformed or off the timeframe's grid."""
        try:
            opened, values = row[0], [float(value) for value in row[1:6]]
        except (TypeError, ValueError, IndexError, KeyError, OverflowError):
            opened, values = None, []
        if not is_time_ms(opened) or len(values) != VALUES or not all(isfinite(value) for value in values):
            self._refused("malformed", lane.symbol, _short(row))
            return None
        if opened % self._step_ms:
            self._refused("off_grid", lane.symbol, _short(row))
            return None
        return Candle(opened, *values)

    def _event(self, lane: Lane, candle: Candle) -> Bars | None:
        """Check a bar and return its event; refuse it and return None if it contradicts itself."""
        try:
            return lane.checker.events(_columns([candle]))
        except DataError as error:
            if candle != lane.contradictory:
                lane.contradictory = candle
                self._refused("contradictory", lane.symbol, str(error))
            return None

    def _offer(self, lane: Lane, candle: Candle, source: str) -> None:
        """Take in a final bar; `source` is where it came from."""
        if candle.open_ms < lane.next_ms:
            self._refuse_old(lane, candle)
            return
        earlier = lane.waiting.get(candle.open_ms)
        if earlier is not None:
            code = "duplicate_bar" if earlier[0] == candle else "bar_changed"
            self._refused(code, lane.symbol, f"first {earlier[0]}, then {candle}")
            return
        lane.waiting[candle.open_ms] = candle, source
        self._drain(lane)
        if lane.waiting:
            self._wake.set()

    def _refuse_old(self, lane: Lane, candle: Candle) -> None:
        entered = lane.taken.get(candle.open_ms)
        if entered == candle:
            self._refused("duplicate_bar", lane.symbol, f"{candle}")
        elif entered is not None:
            self._refused("bar_changed", lane.symbol, f"first {entered}, then {candle}")
        else:
            self._refused("late_bar", lane.symbol, f"{candle}")

    def _drain(self, lane: Lane) -> None:
        while lane.next_ms in lane.waiting:
            candle, source = lane.waiting.pop(lane.next_ms)
            event = self._event(lane, candle)
            if event is None:
                return
            self._enter(lane, source, event)
            lane.taken[candle.open_ms] = candle
            if len(lane.taken) > REMEMBERED:
                del lane.taken[next(iter(lane.taken))]

    def _enter(self, lane: Lane, source: str, event: Bars | None) -> None:
        lane.next_ms += self._step_ms
        lane.contradictory, lane.tries, lane.not_before_s = None, 0, 0.0
        where = "catch_up" if lane.next_ms <= self.present_ms else source
        self._out.put_nowait(Arrival(lane.index, lane.next_ms * MS, where, event))

    # ---- REST
    def _due(self, lane: Lane) -> bool:
        """Whether REST must be asked: the next expected bar is overdue, or a later one is waiting for it."""
        if self._clock.monotonic_s() < lane.not_before_s:
            return False
        return bool(lane.waiting) or self.server.now_ms() >= lane.next_ms + self._step_ms + self._grace_ms

    async def _prove(self) -> None:
        while True:
            self._wake.clear()
            if self._is_time_doubted:
                self._is_time_doubted = False
                await self._update_time()
            pause_s = POLL_S
            for lane in self._lanes.values():
                if self._due(lane):
                    pause_s = min(pause_s, await self._ask(lane))
            try:  # Not wait_for: before Python 3.12 it loses a cancellation that arrives together with the wake-up.
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                if not self.listening:
                    await self._update_time()

    async def _update_time(self) -> None:
        try:
            await self._pause()
            await self.ask_time()
            self._failures = 0
        except SourceError as error:
            self._fail(error)

    async def _ask(self, lane: Lane) -> float:
        """Request a page of bars from the next expected one on, and enter what it proves final or absent.

        Returns the seconds to wait before the next request.
        """
        try:
            await self._pause()
            at_ms = await self.ask_time()
            self._drop_future(lane, at_ms)
            final_ms = at_ms - self._grace_ms - self._step_ms
            candles = await self._page(lane, lane.next_ms)
            covered_ms = max(candles, default=final_ms)
            if covered_ms < final_ms:  # The page may be cut off: the next one shows whether it was.
                more = await self._page(lane, covered_ms + self._step_ms)
                candles |= more
                covered_ms = max(more, default=final_ms)
            self._failures = 0
        except SourceError as error:
            self._fail(error)
            return POLL_S
        began_ms = lane.next_ms
        while lane.next_ms <= min(final_ms, covered_ms):
            opened_ms = lane.next_ms
            if opened_ms in candles:
                lane.waiting[opened_ms] = candles[opened_ms], "backfill"
                self._drain(lane)
                if lane.next_ms == opened_ms:  # It contradicts itself; the venue may correct it.
                    wait_s = min(POLL_S * 2.0**lane.tries, LONGEST_BACKOFF_S)
                    lane.tries += 1
                    lane.not_before_s = self._clock.monotonic_s() + wait_s
                    return POLL_S
            else:
                self._enter(lane, "backfill", None)
                self._drain(lane)
        self._watch_stream(lane.next_ms)
        return 0.0 if began_ms < lane.next_ms <= final_ms else POLL_S

    def _watch_stream(self, proven_ms: int) -> None:
        """Have a stream opened anew that has been silent for bars that REST has, and for some seconds."""
        is_behind = proven_ms - self._stream_ms > SILENT_BARS * self._step_ms
        if self.listening and is_behind and self._clock.monotonic_s() - self._stream_at_s > SILENT_S:
            self._reopen.set()

    async def _page(self, lane: Lane, since_ms: int) -> dict[int, Candle]:
        """Return one page of bars from `since_ms` on, by open.

        Raises SourceError if any row is malformed or was not asked for: such an answer proves nothing.
        """
        parsed = [self._parse(lane, row) for row in await self._source.candles(lane.symbol, since_ms)]
        if None in parsed:
            raise SourceError(f"the server's answer for {lane.symbol} has malformed rows and was ignored")
        candles = {candle.open_ms: candle for candle in parsed if candle is not None}
        latest_ms = self.server.now_ms() + self._step_ms + DAY_NS // MS  # A replayed venue may be far faster than we.
        if candles and not since_ms <= min(candles) <= max(candles) <= latest_ms:
            raise SourceError(f"the server's answer for {lane.symbol} has rows that were not asked for and was ignored")
        return candles

    def _drop_future(self, lane: Lane, at_ms: int) -> None:
        """Refuse waiting bars that the stream called final although they cannot have ended yet."""
        for opened_ms in [open_ms for open_ms in lane.waiting if open_ms + self._step_ms > at_ms + self._grace_ms]:
            candle, _ = lane.waiting.pop(opened_ms)
            self._refused("unfinished", lane.symbol, f"{candle}")

    async def _pause(self) -> None:
        await asyncio.sleep(max(self._not_before_s - self._clock.monotonic_s(), 0.0))

    def _fail(self, error: SourceError) -> None:
        self._is_time_checked = True  # Nothing that could be asked says otherwise.
        self._failures += 1
        backoff_s = min(FIRST_BACKOFF_S * 2.0 ** (self._failures - 1), LONGEST_BACKOFF_S)
        backoff_s *= random.uniform(0.5, 1.0)  # noqa: S311
        self._not_before_s = self._clock.monotonic_s() + max(error.wait_s, backoff_s)
        self._failed(str(error))

    @property
    def age_s(self) -> float:
        """How long the next slice is overdue, in seconds of the server's time; 0 if it is not due yet.

        A stream's event times alone make nothing overdue: they count once a request was answered or has failed.
        """
        proven_ms = 0 if self._is_time_checked else self.server.proven_now_ms()
        now_ms = proven_ms or self.server.now_ms()
        if now_ms == 0:
            return 0.0
        oldest_ms = min(lane.next_ms for lane in self._lanes.values())
        return max(now_ms - oldest_ms - self._step_ms, 0) / 1000.0


def _columns(candles: list[Candle]) -> Columns:
    values = np.array([(c.open, c.high, c.low, c.close, c.volume) for c in candles], dtype=np.float64).reshape(-1, 5)
    opens = np.array([c.open_ms * MS for c in candles], dtype=np.int64)
    return Columns(opens, *values.T)


def _short(value: Any) -> str:
    return str(value)[:200]
