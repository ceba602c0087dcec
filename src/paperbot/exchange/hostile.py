"""What a hostile or broken venue may send: messages beside the stream's own, and answers in place of REST's own.

None of it may end a bot, stop its stream, or change its digest. A stream message is sent beside the true one, so that
nothing is lost; a REST answer replaces the true one, which comes when it is asked for again.
"""

import gzip
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

Tree = dict[str, Any]
DIGITS_400, DIGITS_5000 = "9" * 400, "9" * 5000
YEAR_2100_MS = 4_102_444_800_000
DEEP, DEEPER = 3_000, 100_000
BOMB_BYTES = 64 << 20
"""What the gzipped answer unpacks to: more than any true answer has."""


def _with(**changes: Any) -> Callable[[Tree], str | bytes]:
    """The true message with other fields; those of `k` are given as `k_NAME`."""

    def make(message: Tree) -> str:
        changed = {**message, "k": dict(message["k"])}
        for name, value in changes.items():
            if name.startswith("k_"):
                changed["k"][name[2:]] = value
            else:
                changed[name] = value
        return json.dumps(changed)

    return make


def _digits(name: str, digits: str) -> Callable[[Tree], str | bytes]:
    """The true message with a number that no machine word holds, as JSON allows it."""

    def make(message: Tree) -> str:
        changed = {**message, "k": dict(message["k"])}
        (changed["k"] if name in "tohlcv" else changed)[name] = "DIGITS"
        return json.dumps(changed).replace('"DIGITS"', digits)

    return make


def _text(content: str | bytes) -> Callable[[Tree], str | bytes]:
    return lambda _: content


MESSAGES: dict[str, Callable[[Tree], str | bytes]] = {
    "nothing": _text(""),
    "null": _text("null"),
    "an empty list": _text("[]"),
    "an empty object": _text("{}"),
    "true": _text("true"),
    "a number": _text("1"),
    "a string": _text('"kline"'),
    "a list of lists": _text("[[1,2],[3]]"),
    "cut off": _text('{"e":"kline","E":1'),
    "text that is not JSON": _text("<html>maintenance</html>"),
    "3,000 brackets": _text("[" * DEEP),
    "3,000 closed brackets": _text("[" * DEEP + "]" * DEEP),
    "100,000 brackets": _text("[" * DEEPER),
    "100,000 objects": _text('{"a":' * DEEPER),
    "bytes": _text(bytes(range(256))),
    "bytes that are not UTF-8": _text(b'{"e":"kline","E":1,"s":"\xff\xfe"}'),
    "half a surrogate": _text('{"e":"kline","s":"\\ud800"}'),
    "an error": _text('{"error":{"code":2,"msg":"Invalid request"}}'),
    "a result that nobody asked for": _text('{"result":null,"id":"x"}'),
    "another event": _text('{"e":"executionReport","E":1,"s":5}'),
    "a kline without a kline": _with(k=None),
    "a kline that is a list": _with(k=[]),
    "a kline that is text": _with(k="kline"),
    "an unknown symbol": _with(s="NOBODY", k_s="NOBODY"),
    "a symbol that is a number": _with(s=5, k_s=5),
    "an unknown timeframe": _with(k_i="7m"),
    "a timeframe that is a list": _with(k_i=["1m"]),
    "no event time": _with(E=None),
    "an event time in words": _with(E="soon"),
    "an event time before 1970": _with(E=-1),
    "an event time of 0": _with(E=0),
    "an event time in 2100": _with(E=YEAR_2100_MS),
    "an event time of 400 digits": _digits("E", DIGITS_400),
    "an event time beyond float64": _digits("E", "1e999"),
    "an open time of 400 digits": _digits("t", DIGITS_400),
    "an open time of 5,000 digits": _digits("t", DIGITS_5000),
    "an open time of 2^63": _with(k_t=1 << 63),
    "an open time before 1970": _with(k_t=-60_000),
    "an open time in 2100, final": _with(k_t=YEAR_2100_MS, k_x=True),
    "an open time that is true": _with(k_t=True),
    "an open time with a fraction": _with(k_t=60_000.5),
    "an open time off the grid": _with(k_t=61_001),
    "a price of 400 digits": _digits("c", DIGITS_400),
    "a price in words": _with(k_c="much"),
    "a price that is not a number": _with(k_c="NaN"),
    "an infinite price": _with(k_h="Infinity"),
    "a price that is a list": _with(k_o=["1"]),
    "a price that is missing": _with(k_o=None),
    "final in words": _with(k_x="true", k_c="0"),
}
"""By name: what is sent, made of a true kline message."""


@dataclass(frozen=True)
class Answer:
    """A REST answer in place of the true one."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def _json(value: Any) -> Answer:
    return Answer(json.dumps(value).encode())


def _busy(status: int, retry_after: str) -> Answer:
    return Answer(b'{"code":-1003,"msg":"Too many requests."}', status, {"Retry-After": retry_after})


_ANY: dict[str, Answer] = {
    "nothing": Answer(),
    "null": Answer(b"null"),
    "true": Answer(b"true"),
    "a number": Answer(b"1"),
    "a string": Answer(b'"x"'),
    "an empty list": Answer(b"[]"),
    "an empty object": Answer(b"{}"),
    "a list of numbers": Answer(b"[1,2,3]"),
    "cut off": Answer(b'{"serverTime":16'),
    "HTML": Answer(b"<html>maintenance</html>", content_type="text/html"),
    "bytes that are not UTF-8": Answer(b'{"serverTime":"\xff\xfe"}'),
    "an unknown charset": Answer(b'{"serverTime":1}', content_type="application/json; charset=klingon"),
    "3,000 brackets": Answer(b"[" * DEEP),
    "100,000 brackets": Answer(b"[" * DEEPER),
    "100,000 objects": Answer(b'{"a":' * DEEPER),
    "a body that is not gzip": Answer(b"{}", headers={"Content-Encoding": "gzip"}),
    "a body that unpacks to 64 MB": Answer(
        gzip.compress(b" " * BOMB_BYTES), headers={"Content-Encoding": "gzip"}
    ),
    "a redirect to another host": Answer(status=302, headers={"Location": "http://127.0.0.1:9/api/v3/time"}),
    "an error of the venue": Answer(b'{"code":-1000,"msg":"An unknown error occurred."}', 400),
    "an error without a code": Answer(b'{"msg":[]}', 400),
    "forbidden": Answer(b"", 403),
    "not found": Answer(b"<html></html>", 404, content_type="text/html"),
    "a bad gateway": Answer(b"<html>Bad Gateway</html>", 502, content_type="text/html"),
    "unavailable": Answer(b"", 503),
    "busy, without a time": Answer(b'{"code":-1003,"msg":"Too many requests."}', 429),
    "busy, for 10^18 seconds": _busy(429, "1" + "0" * 18),
    "busy, for a day": _busy(429, "86400"),
    "busy, for an infinite time": _busy(429, "inf"),
    "busy, for a time that is not a number": _busy(429, "nan"),
    "busy, for a negative time": _busy(429, "-5"),
    "busy, in words": _busy(429, "tomorrow"),
}

_TIME: dict[str, Answer] = {
    "a time of 400 digits": Answer(b'{"serverTime":' + DIGITS_400.encode() + b"}"),
    "a time of 5,000 digits": Answer(b'{"serverTime":' + DIGITS_5000.encode() + b"}"),
    "a time in words": _json({"serverTime": "soon"}),
    "no time": _json({"serverTime": None}),
    "a time before 1970": _json({"serverTime": -1}),
    "a time of 0": _json({"serverTime": 0}),
    "a time in 2100": _json({"serverTime": YEAR_2100_MS}),
    "a time beyond float64": Answer(b'{"serverTime":1e999}'),
    "a time that is a list": _json({"serverTime": [1]}),
}

_ROW = [60_000, "1", "1", "1", "1", "1", 119_999, "1", 1, "1", "1", "0"]
_KLINES: dict[str, Answer] = {
    "rows that are numbers": _json([1, 2]),
    "rows that are objects": _json([{}]),
    "rows that are too short": _json([[60_000, "1"]]),
    "rows without prices": _json([[60_000, None, None, None, None, None]]),
    "rows with prices in words": _json([[60_000, "a", "b", "c", "d", "e"]]),
    "an open time of 400 digits": Answer(b"[[" + DIGITS_400.encode() + b',"1","1","1","1","1"]]'),
    "an open time of 5,000 digits": Answer(b"[[" + DIGITS_5000.encode() + b',"1","1","1","1","1"]]'),
    "an open time in words": _json([["soon", *_ROW[1:]]]),
    "a price of 400 digits": Answer(b"[[60000," + DIGITS_400.encode() + b',"1","1","1","1"]]'),
    "rows from before the asked time": _json([_ROW]),
    "rows from 2100": _json([[YEAR_2100_MS, *_ROW[1:]]]),
    "rows off the grid": _json([[60_001, *_ROW[1:]]]),
    "an object of rows": _json({"rows": [_ROW]}),
}

_SYMBOL = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}
_INFO: dict[str, Answer] = {
    "no symbols": _json({"symbols": None}),
    "an empty list of symbols": _json({"symbols": []}),
    "symbols that are numbers": _json({"symbols": [1]}),
    "a symbol without anything": _json({"symbols": [{}]}),
    "a symbol without filters": _json({"symbols": [{**_SYMBOL, "filters": None}]}),
    "filters that are text": _json({"symbols": [{**_SYMBOL, "filters": "all"}]}),
    "filters that are numbers": _json({"symbols": [{**_SYMBOL, "filters": [1]}]}),
    "a tick in words": _json({"symbols": [{**_SYMBOL, "filters": [{"filterType": "PRICE_FILTER", "tickSize": "x"}]}]}),
    "a tick of 0": _json({"symbols": [{**_SYMBOL, "filters": [{"filterType": "PRICE_FILTER", "tickSize": "0"}]}]}),
}

ANSWERS: dict[str, dict[str, Answer]] = {
    "time": {**_ANY, **_TIME},
    # An empty list is left out: it is a valid answer, and says that no bars exist.
    "klines": {**{name: answer for name, answer in _ANY.items() if name != "an empty list"}, **_KLINES},
    "exchangeInfo": {**_ANY, **_INFO},
}
"""By route and name."""


class Hostility:
    """Hands out all of it in turn: messages one after the other, and answers one after the other for each route.

    `longest_wait_s`: answers that ask for a longer wait are left out, so that a short run comes to its end.
    """

    def __init__(self, longest_wait_s: float = 5.0) -> None:
        self._messages = itertools.cycle(MESSAGES.values())
        self._answers = {
            route: itertools.cycle([answer for answer in answers.values() if _waits_s(answer) <= longest_wait_s])
            for route, answers in ANSWERS.items()
        }

    def message(self, payload: str) -> str | bytes:
        """The next message, made of a true kline event."""
        return next(self._messages)(json.loads(payload))

    def answer(self, route: str) -> Answer | None:
        """The next answer to a request of this route, None for one that has none."""
        return next(self._answers[route]) if route in self._answers else None


def _waits_s(answer: Answer) -> float:
    try:
        wait_s = float(answer.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0
    return wait_s if isfinite(wait_s) else 0.0
