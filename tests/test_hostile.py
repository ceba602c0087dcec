"""Whatever a venue sends: no answer and no message ends a bot, stops its stream, or moves it by more than it proves."""

import asyncio
import contextlib
import json

import pytest
from aiohttp import web

from paperbot.clock import SystemClock
from paperbot.exchange.hostile import ANSWERS, MESSAGES, YEAR_2100_MS
from paperbot.market.ccxt_source import BinanceSource, Endpoint
from paperbot.market.feed import Feed
from paperbot.market.source import SourceError
from shell import PATIENCE_S

BTC, STEP_MS = "BTC/USDT", 60_000
T0 = 1_700_000_040_000
NOW = T0 + 10_000
ROW = [T0, "1", "1", "1", "1", "1", T0 + STEP_MS - 1, "1", 1, "1", "1", "0"]
INFO = {
    "symbols": [
        {
            "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
            "baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8,
            "isSpotTradingAllowed": True, "permissions": ["SPOT"], "orderTypes": ["LIMIT"],
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0.01", "minPrice": "0.01", "maxPrice": "1000000"},
                {"filterType": "LOT_SIZE", "stepSize": "0.00001", "minQty": "0.00001", "maxQty": "9000"},
                {"filterType": "NOTIONAL", "minNotional": "5"},
            ],
        }
    ]
}
LONGEST_WAIT_S = 300


class Server:
    """A venue that answers properly, but for the next request, and streams what it is handed."""

    def __init__(self) -> None:
        self.next = None
        self.socket = None
        self.subscribed = asyncio.Event()
        self.connections = 0

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/api/v3/{route}", self._answer)
        app.router.add_get("/ws/{name:.*}", self._stream)
        app.router.add_get("/ws", self._stream)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.port = self.runner.addresses[0][1]
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()

    def source(self):
        rest_url, ws_url = f"http://127.0.0.1:{self.port}", f"ws://127.0.0.1:{self.port}"
        return BinanceSource(Endpoint("mainnet", rest_url, ws_url), [BTC], "1m")

    async def _answer(self, request):
        answer, self.next = self.next, None
        if answer is not None:
            headers = {**answer.headers, "Content-Type": answer.content_type}
            return web.Response(body=answer.body, status=answer.status, headers=headers)
        good = {"time": {"serverTime": NOW}, "klines": [ROW], "exchangeInfo": INFO}
        return web.json_response(good[request.match_info["route"]])

    async def _stream(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.socket, self.connections = socket, self.connections + 1
        async for message in socket:
            await socket.send_str(json.dumps({"result": None, "id": json.loads(message.data)["id"]}))
            self.subscribed.set()
        return socket

    async def send(self, content):
        await (self.socket.send_bytes(content) if isinstance(content, bytes) else self.socket.send_str(content))


def run(story):
    async def patient():
        async with asyncio.timeout(PATIENCE_S), Server() as server:
            await story(server)

    asyncio.run(patient())


async def asked(source, route):
    if route == "time":
        return await source.time_ms()
    if route == "klines":
        return await source.candles(BTC, T0)
    await source.open()
    return source.rules(BTC)


async def outcome(source, route):
    """(answer, None) or (None, the source error); nothing else may be raised."""
    try:
        return await asked(source, route), None
    except SourceError as error:
        return None, error


@pytest.mark.parametrize("route", ANSWERS)
def test_an_answer_is_understood_or_a_source_error_and_the_next_one_counts(route):
    """One rule at the border; a wait that is asked for is one that a bot can live with."""

    async def story(server):
        for name, answer in ANSWERS[route].items():
            source = server.source()
            if route != "exchangeInfo":
                await source.open()
            server.next = answer
            got, error = await outcome(source, route)
            if error is not None:
                assert 0 <= error.wait_s <= LONGEST_WAIT_S, name
                assert len(str(error)) <= 300, name
            else:
                assert route != "time" or got in {1, YEAR_2100_MS}, name  # Two of them hold a time.
                assert route != "exchangeInfo", name
            assert server.next is None, name
            assert await asked(source, route), name
            await source.close()

    run(story)


def kline(k, **changes):
    kline = {"t": T0 + k * STEP_MS, "T": T0 + (k + 1) * STEP_MS - 1, "s": "BTCUSDT", "i": "1m", "x": True}
    kline |= dict.fromkeys("ohlcv", "1") | {"f": 1, "L": 2, "n": 1, "q": "1", "V": "1", "Q": "1", "B": "0"}
    return {"e": "kline", "E": T0 + (k + 1) * STEP_MS, "s": "BTCUSDT", "k": kline, **changes}


@contextlib.asynccontextmanager
async def listening(server, refused=lambda *_: None):
    source = server.source()
    await source.open()
    feed = Feed(source, [BTC], [8], "1m", STEP_MS, 2000, SystemClock(), refused, lambda _: None)
    feed.begin(T0)
    feed.server.hear(NOW, exact=True)
    task = asyncio.create_task(source.listen(feed.on_kline, lambda **_: None))
    await server.subscribed.wait()
    try:
        yield feed, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await source.close()


def test_a_message_stops_no_stream_and_moves_no_clock():
    """After each of them the next good bar is taken, over the same connection."""

    async def story(server):
        refusals = []
        async with listening(server, lambda *what: refusals.append(what)) as (feed, task):
            for k, (name, make) in enumerate(MESSAGES.items()):
                good = kline(k)
                await server.send(make(good))
                await server.send(json.dumps(good))
                while (arrival := await feed.take()).close_ts != good["E"] * 10**6:
                    assert arrival.event is None, name
                assert arrival.source == "stream", name
                assert feed.server.now_ms() < good["E"] + 2 * STEP_MS, name
                assert not task.done(), name
            assert server.connections == 1
            assert {code for code, *_ in refusals} >= {"malformed", "off_grid"}
            assert all(len(detail) <= 300 for *_, detail in refusals)

    run(story)
