"""A local venue for tests: serves recorded market data as Binance Spot does, over HTTP and WebSocket.

REST: ping, time, exchangeInfo, klines. Streams: `@kline_*` and `@trade`, raw (`/ws/NAME`), combined
(`/stream?streams=`) and by SUBSCRIBE. The venue has its own clock, and REST never shows data from its future. With
speed 0, time advances as fast as listeners take the messages and stops while there are none. Trading (orders, account,
user stream) is not implemented.
"""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import WSCloseCode, WSMsgType, web

from paperbot.clock import SystemClock
from paperbot.exchange.faults import DELAY_MESSAGES, SILENCE_MESSAGES, Faults
from paperbot.exchange.hostile import Hostility
from paperbot.exchange.tape import INTERVALS_MS, Market, Message, messages

MAX_KLINES = 1000


@dataclass(frozen=True)
class Filters:
    """A symbol's rules in exchangeInfo, as decimal text."""

    tick_size: str = "0.01000000"
    step_size: str = "0.00001000"
    min_notional: str = "5.00000000"


class VenueClock:
    """The venue's time: it follows the tape at speed 0, and the machine's clock at other speeds or after the tape."""

    def __init__(self, start_ms: int, speed: float) -> None:
        self.speed = speed
        self._at_ms = float(start_ms)
        self._since_s = SystemClock.monotonic_s()
        self.runs = speed > 0

    def now_ms(self) -> int:
        """Return the venue's time in ms UTC."""
        if not self.runs:
            return int(self._at_ms)
        return int(self._at_ms + (SystemClock.monotonic_s() - self._since_s) * 1000.0 * (self.speed or 1.0))

    def reach(self, at_ms: int) -> None:
        """Advance to the tape's time, unless the clock runs by itself."""
        if not self.runs:
            self._at_ms = max(self._at_ms, float(at_ms))

    def let_run(self) -> None:
        """Let the clock run by itself from now on."""
        self._at_ms, self._since_s, self.runs = float(self.now_ms()), SystemClock.monotonic_s(), True


@dataclass(eq=False)
class _Listener:
    """One WebSocket connection and its subscribed streams."""

    socket: web.WebSocketResponse
    combined: bool
    streams: set[str] = field(default_factory=set)

    async def send(self, stream: str, payload: str) -> None:
        text = f'{{"stream":"{stream}","data":{payload}}}' if self.combined else payload
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self.socket.send_str(text)


class Venue:
    """The server. `url` and `ws_url` are set by `start`.

    `speed`: venue seconds per real second; 0: as fast as listeners take the messages. `updates`: klines sent for each
    bar before its final one. `start_ms`: when the tape starts; None: at the first bar.
    """

    def __init__(
        self,
        markets: Sequence[Market],
        *,
        speed: float = 0.0,
        updates: int = 2,
        faults: Faults | None = None,
        filters: dict[str, Filters] | None = None,
        start_ms: int | None = None,
    ) -> None:
        self._faults = faults or Faults()
        self._markets = {market.id: self._with_gaps(market) for market in markets}
        self._filters = filters or {}
        self._updates = updates
        self._tape = messages(list(self._markets.values()), updates)
        begin = min(int(market.open_ms[0]) for market in markets) if start_ms is None else start_ms
        self.clock = VenueClock(begin, speed)
        self._begin_ms = begin
        self._listeners: set[_Listener] = set()
        self._has_listeners = asyncio.Event()
        self._silent_for = 0
        self._held: list[tuple[int, Message]] = []
        self._hostility = Hostility()
        self._runner: web.AppRunner | None = None
        self._player: asyncio.Task[None] | None = None
        self.url = ""
        self.ws_url = ""

    def _with_gaps(self, market: Market) -> Market:
        keep = np.array([not self._faults.strikes("gap") for _ in range(len(market.open_ms))], dtype=bool)
        if keep.all():
            return market
        columns = {name: getattr(market, name)[keep] for name in ("open_ms", "open", "high", "low", "close", "volume")}
        return Market(market.symbol, market.interval_ms, **columns)

    # ---- life
    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on an address and start the tape. Raises OSError if the address is in use."""
        app = web.Application(middlewares=[self._rest_faults])
        app.router.add_get("/api/v3/ping", self._ping)
        app.router.add_get("/api/v3/time", self._time)
        app.router.add_get("/api/v3/exchangeInfo", self._exchange_info)
        app.router.add_get("/api/v3/klines", self._klines)
        app.router.add_get("/ws", self._socket)
        app.router.add_get("/ws/{name:.*}", self._socket)
        app.router.add_get("/stream", self._socket)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        actual = self._runner.addresses[0][1]
        self.url, self.ws_url = f"http://{host}:{actual}", f"ws://{host}:{actual}"
        self._player = asyncio.create_task(self._play())

    async def stop(self) -> None:
        """Close all connections and the port."""
        if self._player is not None:
            self._player.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._player
        for listener in list(self._listeners):
            await listener.socket.close(code=WSCloseCode.GOING_AWAY)
        if self._runner is not None:
            await self._runner.cleanup()

    # ---- the tape
    async def _play(self) -> None:
        for message in self._tape:
            if message.at_ms < self._begin_ms:
                continue
            if self.clock.runs:
                await asyncio.sleep(max(message.at_ms - self.clock.now_ms(), 0) / 1000.0 / self.clock.speed)
            else:
                await self._has_listeners.wait()
                self.clock.reach(message.at_ms)
            await self._send(message)
            if not self.clock.runs:
                await asyncio.sleep(0)
        for _, message in self._held:
            await self._broadcast(message.stream, message.payload)
        self.clock.let_run()

    async def _send(self, message: Message) -> None:  # noqa: C901, PLR0912
        faults = self._faults
        due = [held for count, held in self._held if count <= 1]
        self._held = [(count - 1, held) for count, held in self._held if count > 1]
        if faults.strikes("disconnect"):
            for listener in list(self._listeners):
                await listener.socket.close(code=WSCloseCode.GOING_AWAY)
        if faults.strikes("silence"):
            self._silent_for = SILENCE_MESSAGES
        if self._silent_for > 0:
            self._silent_for -= 1
        elif message.final and faults.strikes("lost_last"):
            pass
        elif faults.strikes("reorder"):
            self._held.append((1, message))
        elif faults.strikes("delay"):
            self._held.append((DELAY_MESSAGES, message))
        else:
            await self._broadcast(message.stream, message.payload)
            if faults.strikes("duplicate"):
                await self._broadcast(message.stream, message.payload)
        if faults.strikes("malformed"):
            await self._broadcast(message.stream, '{"e":"kline","E":"soon","s":5,"k":{"t":null,"x":"yes"}}')
        if "@kline" in message.stream and faults.strikes("hostile"):
            await self._broadcast(message.stream, self._hostility.message(message.payload), raw=True)
        if faults.strikes("truncated"):
            await self._broadcast(message.stream, message.payload[: len(message.payload) // 2], raw=True)
        for held in due:
            await self._broadcast(held.stream, held.payload)

    async def _broadcast(self, stream: str, payload: str | bytes, *, raw: bool = False) -> None:
        """Send a payload to those who listen to the stream; `raw`: as it is, without a frame."""
        for listener in list(self._listeners):
            if stream not in listener.streams:
                continue
            if isinstance(payload, bytes):
                with contextlib.suppress(ConnectionError, RuntimeError):
                    await listener.socket.send_bytes(payload)
            elif raw:
                with contextlib.suppress(ConnectionError, RuntimeError):
                    await listener.socket.send_str(payload)
            else:
                await listener.send(stream, payload)

    # ---- streams
    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=30.0)
        await socket.prepare(request)
        combined = request.path == "/stream"
        named = request.query.get("streams", "") if combined else request.match_info.get("name", "")
        listener = _Listener(socket, combined, {name for name in named.split("/") if "@" in name})
        self._listeners.add(listener)
        self._count_listeners()
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await self._request(listener, message.data)
        finally:
            self._listeners.discard(listener)
            self._count_listeners()
        return socket

    async def _request(self, listener: _Listener, text: str) -> None:
        try:
            request = json.loads(text)
            method, streams, number = request["method"], request.get("params", []), request["id"]
        except (ValueError, KeyError, TypeError):
            await listener.socket.send_str('{"code":2,"msg":"Invalid request"}')
            return
        if method == "SUBSCRIBE":
            listener.streams.update(streams)
        elif method == "UNSUBSCRIBE":
            listener.streams.difference_update(streams)
        result = sorted(listener.streams) if method == "LIST_SUBSCRIPTIONS" else None
        await listener.socket.send_str(json.dumps({"result": result, "id": number}))
        self._count_listeners()

    def _count_listeners(self) -> None:
        if any(listener.streams for listener in self._listeners):
            self._has_listeners.set()
        else:
            self._has_listeners.clear()

    # ---- REST
    @web.middleware
    async def _rest_faults(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/api/"):
            if self._faults.strikes("hostile"):
                answer = self._hostility.answer(request.path.rsplit("/", 1)[-1])
                if answer is not None:
                    headers = {**answer.headers, "Content-Type": answer.content_type}
                    return web.Response(body=answer.body, status=answer.status, headers=headers)
            if self._faults.strikes("http_429"):
                text = '{"code":-1003,"msg":"Too many requests."}'
                return web.Response(
                    status=429, text=text, content_type="application/json", headers={"Retry-After": "1"}
                )
            if self._faults.strikes("http_418"):
                text = '{"code":-1003,"msg":"Way too many requests; IP banned."}'
                return web.Response(
                    status=418, text=text, content_type="application/json", headers={"Retry-After": "2"}
                )
            if self._faults.strikes("http_500"):
                return web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html")
            if self._faults.strikes("not_json"):
                return web.Response(text="<html>maintenance</html>", content_type="text/html")
        return await handler(request)  # type: ignore[no-any-return]

    @staticmethod
    async def _ping(_request: web.Request) -> web.Response:
        return web.json_response({})

    async def _time(self, _request: web.Request) -> web.Response:
        return web.json_response({"serverTime": self.clock.now_ms() + self._faults.skew_ms})

    async def _exchange_info(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "timezone": "UTC",
                "serverTime": self.clock.now_ms() + self._faults.skew_ms,
                "rateLimits": [
                    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}
                ],
                "exchangeFilters": [],
                "symbols": [self._symbol_info(market) for market in self._markets.values()],
            }
        )

    def _symbol_info(self, market: Market) -> dict[str, Any]:
        base, quote = market.symbol.split("/")
        filters = self._filters.get(market.symbol, Filters())
        return {
            "symbol": market.id,
            "status": "TRADING",
            "baseAsset": base,
            "baseAssetPrecision": 8,
            "quoteAsset": quote,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
            "icebergAllowed": True,
            "ocoAllowed": True,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "permissions": ["SPOT"],
            "permissionSets": [["SPOT"]],
            "filters": [
                {
                    "filterType": "PRICE_FILTER",
                    "minPrice": filters.tick_size,
                    "maxPrice": "1000000.00000000",
                    "tickSize": filters.tick_size,
                },
                {
                    "filterType": "LOT_SIZE",
                    "minQty": filters.step_size,
                    "maxQty": "9000000.00000000",
                    "stepSize": filters.step_size,
                },
                {
                    "filterType": "NOTIONAL",
                    "minNotional": filters.min_notional,
                    "applyMinToMarket": True,
                    "maxNotional": "9000000.00000000",
                    "applyMaxToMarket": False,
                    "avgPriceMins": 5,
                },
            ],
        }

    async def _klines(self, request: web.Request) -> web.Response:
        market = self._markets.get(request.query.get("symbol", ""))
        if market is None:
            return _refused(-1121, "Invalid symbol.")
        if INTERVALS_MS.get(request.query.get("interval", "")) != market.interval_ms:
            return _refused(-1120, "Invalid interval.")
        try:
            start = int(request.query.get("startTime", "0"))
            end = int(request.query.get("endTime", str(1 << 62)))
            limit = min(max(int(request.query.get("limit", "500")), 1), MAX_KLINES)
        except ValueError:
            return _refused(-1100, "Illegal characters found in a parameter.")
        now = self.clock.now_ms()
        first = int(np.searchsorted(market.open_ms, start))
        stop = int(np.searchsorted(market.open_ms, min(end, now), side="right"))
        chosen = range(first, stop)[:limit] if "startTime" in request.query else range(first, stop)[-limit:]
        return web.json_response([market.kline(index, now, self._updates).row() for index in chosen])


def _refused(code: int, message: str) -> web.Response:
    return web.json_response({"code": code, "msg": message}, status=400)
