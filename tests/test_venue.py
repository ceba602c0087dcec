"""The venue: its frames against a recorded raw feed, its REST answers, and clients that do not know it is one."""

import asyncio
import contextlib
import gzip
import itertools
import json

import aiohttp
import ccxt
import ccxt.async_support
import ccxt.pro
import numpy as np
import pyarrow.parquet as pq
import pytest

from paperbot.clock import SystemClock
from paperbot.errors import CommandError
from paperbot.exchange.faults import Faults, parse_faults
from paperbot.exchange.serve import market_of
from paperbot.exchange.tape import Market, number
from paperbot.exchange.venue import Venue, VenueClock
from paperbot.market.ccxt_source import BinanceSource, Endpoint
from paperbot.market.source import SourceError
from shell import PATIENCE_S

T0 = 1_700_006_400_000
STEP = 60_000


def market(symbol="BTC/USDT", bars=10, start=T0):
    values = np.arange(bars, dtype=float)
    return Market(
        symbol, STEP, start + STEP * np.arange(bars), 100 + values, 102 + values, 99 + values, 101 + values, 5 + values
    )


def with_venue(story, *markets, **options):
    """Run a coroutine against a venue in this very loop."""

    async def run():
        venue = Venue(list(markets) or [market()], **options)
        await venue.start()
        try:
            async with aiohttp.ClientSession() as client:
                return await asyncio.wait_for(story(venue, client), PATIENCE_S)
        finally:
            await venue.stop()

    return asyncio.run(run())


async def get(venue, client, path, **query):
    async with client.get(f"{venue.url}{path}", params=query) as answer:
        return answer.status, await answer.json()


# ---- frames -------------------------------------------------------------------------------------------------------
def shape(value):
    """Field names in order, and the kind of each value, number text by its decimals."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, str) and value.replace(".", "").isdigit():
        return f"number text with {len(value.partition('.')[2])} decimals"
    return type(value).__name__


def recorded_trades(path, count=500):
    with gzip.open(path, "rt") as file:
        for line in file:
            frame = json.loads(line.partition(" ")[2])
            if frame.get("stream", "").endswith("@trade"):
                yield frame
                count -= 1
                if count == 0:
                    return


def test_trade_frames_are_the_recorded_ones_field_by_field(real_data):
    """The venue is fed with the trades that were made from a raw feed: it says what the feed said, but for the time of
    sending."""
    source = f"BTC/USDT={real_data / 'binance_BTCUSDT_trades_20240808-09.parquet'}"
    feed = list(recorded_trades(real_data / "binance_BTCUSDT_rawfeed_20240808.gz"))

    async def story(venue, client):
        async with client.ws_connect(f"{venue.ws_url}/stream?streams=btcusdt@trade") as socket:
            return [json.loads((await socket.receive()).data) for _ in feed]

    said = with_venue(story, market_of(source, "1m"))
    for ours, theirs in zip(said, feed, strict=True):
        assert list(ours) == list(theirs)
        assert ours["stream"] == theirs["stream"]
        assert list(ours["data"]) == list(theirs["data"])
        assert shape(ours["data"]) == shape(theirs["data"])
        assert {**ours["data"], "E": 0} == {**theirs["data"], "E": 0}
        assert ours["data"]["E"] >= ours["data"]["T"]


KLINE = {"e": "str", "E": "int", "s": "str", "k": {}}
KLINE_FIELDS = "t T s i f L o c h l v n x q V Q B"


def test_kline_frames_have_the_documented_fields_in_their_order():
    async def story(venue, client):
        async with client.ws_connect(f"{venue.ws_url}/ws/btcusdt@kline_1m") as socket:
            return [json.loads((await socket.receive()).data) for _ in range(6)]

    frames = with_venue(story)
    for frame in frames:
        assert list(frame) == list(KLINE)
        assert " ".join(frame["k"]) == KLINE_FIELDS
    assert [frame["k"]["x"] for frame in frames] == [False, False, True] * 2
    final = frames[2]["k"]
    assert (final["t"], final["T"], final["o"], final["v"]) == (T0, T0 + STEP - 1, "100.00000000", "5.00000000")
    assert frames[2]["E"] == T0 + STEP


@pytest.mark.parametrize("value", [1.0, 0.1, 61837.63, 1e-8, 123456.123456789, 5e-9, 2.5e15])
def test_numbers_lose_nothing(value):
    assert float(number(value)) == value
    assert len(number(value).partition(".")[2]) >= 8
    assert "e" not in number(value)


# ---- REST ---------------------------------------------------------------------------------------------------------
def test_rest_never_shows_what_venue_time_has_not_reached():
    async def story(venue, client):
        venue.clock.reach(T0 + 3 * STEP + 30_000)
        status, rows = await get(venue, client, "/api/v3/klines", symbol="BTCUSDT", interval="1m", startTime=T0)
        assert status == 200
        assert [row[0] for row in rows] == [T0, T0 + STEP, T0 + 2 * STEP, T0 + 3 * STEP]
        assert float(rows[2][4]) == 103.0
        assert float(rows[3][4]) != 104.0  # Half a minute in: its close is not known yet.
        assert all(len(row) == 12 for row in rows)
        assert (await get(venue, client, "/api/v3/time"))[1] == {"serverTime": T0 + 3 * STEP + 30_000}
        assert (await get(venue, client, "/api/v3/ping"))[1] == {}
        last = await get(venue, client, "/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=2)
        assert [row[0] for row in last[1]] == [T0 + 2 * STEP, T0 + 3 * STEP]

    with_venue(story)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"symbol": "DOGE", "interval": "1m"}, -1121),
        ({"symbol": "BTCUSDT", "interval": "5m"}, -1120),
        ({"symbol": "BTCUSDT", "interval": "1m", "limit": "many"}, -1100),
    ],
)
def test_bad_requests_have_binances_codes(query, code):
    async def story(venue, client):
        status, body = await get(venue, client, "/api/v3/klines", **query)
        assert (status, body["code"]) == (400, code)

    with_venue(story)


def test_time_stands_still_while_nobody_listens():
    async def story(venue, client):
        before = venue.clock.now_ms()
        await asyncio.sleep(0.2)
        assert venue.clock.now_ms() == before
        async with client.ws_connect(f"{venue.ws_url}/ws") as socket:
            await socket.send_str(json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m"], "id": 7}))
            assert json.loads((await socket.receive()).data) == {"result": None, "id": 7}
            await socket.receive()
            await socket.send_str(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 8}))
            await socket.send_str("nonsense")
            answers = [json.loads((await socket.receive()).data) for _ in range(35)]
        assert {"result": ["btcusdt@kline_1m"], "id": 8} in answers
        assert {"code": 2, "msg": "Invalid request"} in answers
        assert venue.clock.now_ms() > before

    with_venue(story, market(bars=200))


def test_a_speed_moves_time_with_the_machines_clock(monkeypatch):
    at_s = 1000.0
    monkeypatch.setattr(SystemClock, "monotonic_s", staticmethod(lambda: at_s))
    clock = VenueClock(T0, 60.0)
    assert clock.now_ms() == T0
    at_s += 0.5
    assert clock.now_ms() == T0 + 30_000


def test_at_a_speed_frames_come_when_their_time_has_come():
    async def story(venue, client):
        async with client.ws_connect(f"{venue.ws_url}/ws/btcusdt@kline_1m") as socket:
            frame = json.loads((await socket.receive()).data)
            assert T0 <= frame["E"] <= venue.clock.now_ms()

    with_venue(story, market(bars=3000), speed=600.0)


# ---- clients that do not know -------------------------------------------------------------------------------------
def urls(venue):
    api = {"public": f"{venue.url}/api/v3", "private": f"{venue.url}/api/v3"}
    ws = {"spot": f"{venue.ws_url}/ws", "ws-api": {"spot": f"{venue.ws_url}/ws-api/v3"}}
    options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
    return {"urls": {"api": {**api, "ws": ws}}, "options": {"defaultType": "spot", **options}}


def test_ccxt_connects_unmodified_in_its_three_forms():
    async def story(venue, client):
        venue.clock.reach(T0 + 3 * STEP)
        exchange = ccxt.async_support.binance(urls(venue))
        rows = await exchange.fetch_ohlcv("BTC/USDT", "1m", since=T0, limit=3)
        assert [row[0] for row in rows] == [T0, T0 + STEP, T0 + 2 * STEP]
        assert await exchange.fetch_time() == T0 + 3 * STEP
        assert exchange.market("BTC/USDT")["precision"]["price"] == 0.01
        await exchange.close()
        blocking = ccxt.binance(urls(venue))
        assert await asyncio.to_thread(blocking.fetch_ohlcv, "BTC/USDT", "1m", T0, 3) == rows
        pro = ccxt.pro.binance(urls(venue))
        (row, *_) = await pro.watch_ohlcv("BTC/USDT", "1m")
        assert row[0] >= T0
        await pro.close()
        assert client

    with_venue(story, market(bars=500))


# ---- faults -------------------------------------------------------------------------------------------------------
def heard(faults, count=60):
    async def story(venue, client):
        frames = []
        async with client.ws_connect(f"{venue.ws_url}/stream?streams=btcusdt@kline_1m") as socket:
            for _ in range(count):
                message = await socket.receive()
                if message.type != aiohttp.WSMsgType.TEXT:
                    break
                with contextlib.suppress(ValueError):
                    frames.append(json.loads(message.data))
        return frames

    return with_venue(story, market(bars=400), faults=Faults(3, faults))


def finals(frames):
    return [f["data"]["k"]["t"] for f in frames if "data" in f and f["data"].get("k", {}).get("x") is True]


def test_faults_do_what_they_say():
    clean = finals(heard({}))
    assert clean == sorted(set(clean))
    assert len(finals(heard({"lost_last": 0.5}))) < len(clean)
    twice = finals(heard({"duplicate": 0.5}))
    assert len(twice) > len(set(twice))
    mixed = [f["data"]["E"] for f in heard({"reorder": 0.3})]
    assert mixed != sorted(mixed)
    assert sorted(mixed)[:40] == sorted(f["data"]["E"] for f in heard({}))[:40]
    assert any(f["data"]["s"] == 5 for f in heard({"malformed": 0.2}) if "data" in f)
    assert len(heard({"disconnect": 0.1})) < 60
    assert len(heard({"truncated": 0.3})) < 60
    gaps = finals(heard({"gap": 0.3}))
    assert any(b - a > STEP for a, b in itertools.pairwise(gaps))


def test_faults_are_the_same_for_the_same_seed():
    assert heard({"duplicate": 0.3, "lost_last": 0.3}) == heard({"duplicate": 0.3, "lost_last": 0.3})


@pytest.mark.parametrize(("fault", "status"), [("http_429", 429), ("http_418", 418), ("http_500", 502)])
def test_rest_faults(fault, status):
    async def story(venue, client):
        async with client.get(f"{venue.url}/api/v3/time") as answer:
            assert answer.status == status
            assert ("Retry-After" in answer.headers) == (status in {418, 429})

    with_venue(story, faults=Faults(1, {fault: 1.0}))


@pytest.mark.parametrize(
    ("faults", "wait_s", "words"),
    [
        ({"http_429": 1.0}, 1.0, "429"),
        ({"http_418": 1.0}, 2.0, "418"),
        ({"not_json": 1.0}, 0.0, "invalid time|cannot be parsed|binance"),
    ],
)
def test_the_source_waits_as_long_as_it_is_told(faults, wait_s, words):
    """429 and 418 are one class to ccxt: what counts is how long the venue says that nothing may be asked."""

    async def story(venue, client):
        source = BinanceSource(Endpoint("mainnet", venue.url, venue.ws_url), ["BTC/USDT"], "1m")
        try:
            with pytest.raises(SourceError, match=words) as failed:
                await source.time_ms()
        finally:
            await source.close()
        assert failed.value.wait_s == wait_s
        assert client

    with_venue(story, faults=Faults(1, faults))


@pytest.mark.parametrize("text", ["disconect=0.1", "skew=much", "gap=2"])
def test_a_wrong_fault_is_one_sentence(text):
    with pytest.raises(CommandError, match="--fault"):
        parse_faults(1, [text])


@pytest.mark.parametrize("text", ["BTC/USDT", "BTCUSDT=x.parquet"])
def test_a_wrong_source_is_one_sentence(text):
    with pytest.raises(Exception, match="expected"):
        market_of(text, None)


def test_recorded_bars_come_out_as_they_went_in(real_data):
    path = real_data / "binance_BTCBUSD_1m_20221213.parquet"
    recorded = market_of(f"BTC/BUSD={path}", None)
    table = pq.read_table(path)
    for index in (0, 700, 1439):
        row = recorded.kline(index, 1 << 60, 2).row()
        for column, name in enumerate(("open", "high", "low", "close", "volume"), 1):
            assert float(row[column]) == table[name][index].as_py()
