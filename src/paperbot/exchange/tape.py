"""Turns recorded bars or trades into the klines and trades that Binance Spot sends, in time order.

Field names, order and number formats follow Binance's documentation of the kline and trade streams and of
`GET /api/v3/klines` (developers.binance.com, Spot), and match the recorded raw feed in `tests/test_venue.py`.
"""

import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

INTERVALS_MS = {
    "1s": 1_000,
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}
"""Binance's timeframe names."""


def number(value: float) -> str:
    """Format a number as the venue does: at least eight decimals, and all decimals of the recorded value."""
    exact = format(Decimal(repr(float(value))), "f")
    whole, _, decimals = exact.partition(".")
    return f"{whole}.{decimals.ljust(8, '0')}"


@dataclass(frozen=True)
class Trades:
    """Recorded trades: times in ms UTC, ids in ascending order."""

    ts: Integers
    price: Floats
    qty: Floats
    is_buyer_maker: NDArray[np.bool_]
    trade_id: Integers


@dataclass(frozen=True)
class Market:
    """One symbol's recording: bars (open times in ms UTC), and the trades if the bars were built from them."""

    symbol: str
    interval_ms: int
    open_ms: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    trades: Trades | None = None

    @property
    def id(self) -> str:
        """The symbol's name at the venue."""
        return self.symbol.replace("/", "")

    @property
    def interval(self) -> str:
        """The timeframe's name at the venue."""
        return next(name for name, ms in INTERVALS_MS.items() if ms == self.interval_ms)

    def kline(self, index: int, at_ms: int, updates: int) -> "Kline":
        """Return the bar as of `at_ms`: final from its close on, before that one of `updates` unfinished states."""
        opened = int(self.open_ms[index])
        if at_ms >= opened + self.interval_ms:
            opening, high, low = float(self.open[index]), float(self.high[index]), float(self.low[index])
            close, volume = float(self.close[index]), float(self.volume[index])
            return Kline(self, opened, opening, high, low, close, volume, final=True)
        return self._unfinished(
            index, min(max((at_ms - opened) * updates // self.interval_ms, 0), updates - 1), updates
        )

    def _unfinished(self, index: int, step: int, updates: int) -> "Kline":
        """Return the bar after `step` of `updates` steps: flat at first, then its full range and part of its volume."""
        opening, share = float(self.open[index]), step / updates
        if step == 0:
            return Kline(self, int(self.open_ms[index]), opening, opening, opening, opening, 0.0, final=False)
        high, low = float(self.high[index]), float(self.low[index])
        volume = float(self.volume[index]) * share
        return Kline(self, int(self.open_ms[index]), opening, high, low, (high + low) / 2, volume, final=False)


@dataclass(frozen=True)
class Kline:
    """One kline of a market, final or unfinished."""

    market: Market
    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    final: bool

    @property
    def last_ms(self) -> int:
        """The last millisecond of the bar, the venue's close time."""
        return self.open_ms + self.market.interval_ms - 1

    def _quote(self) -> float:
        return self.volume * (self.open + self.close) / 2

    def event(self, at_ms: int) -> dict[str, Any]:
        """Return the payload for a `<symbol>@kline_<interval>` stream."""
        n = 1 if self.volume > 0 else 0
        return {
            "e": "kline",
            "E": at_ms,
            "s": self.market.id,
            "k": {
                "t": self.open_ms,
                "T": self.last_ms,
                "s": self.market.id,
                "i": self.market.interval,
                "f": self.open_ms if n else -1,
                "L": self.open_ms if n else -1,
                "o": number(self.open),
                "c": number(self.close),
                "h": number(self.high),
                "l": number(self.low),
                "v": number(self.volume),
                "n": n,
                "x": self.final,
                "q": number(round(self._quote(), 8)),
                "V": number(round(self.volume / 2, 8)),
                "Q": number(round(self._quote() / 2, 8)),
                "B": "0",
            },
        }

    def row(self) -> list[Any]:
        """Return the row for `GET /api/v3/klines`."""
        quote = self._quote()
        prices = [number(value) for value in (self.open, self.high, self.low, self.close, self.volume)]
        taken = [number(round(self.volume / 2, 8)), number(round(quote / 2, 8))]
        return [self.open_ms, *prices, self.last_ms, number(round(quote, 8)), int(self.volume > 0), *taken, "0"]


@dataclass(frozen=True)
class Message:
    """A message sent at `at_ms`: its stream, its payload, and whether it is a bar's final kline."""

    at_ms: int
    stream: str
    payload: str
    final: bool


def from_trades(symbol: str, interval_ms: int, trades: Trades) -> Market:
    """Build bars from trades; an interval without trades has no bar."""
    bucket = trades.ts // interval_ms * interval_ms
    edges = np.flatnonzero(np.diff(bucket)) + 1
    starts = np.concatenate(([0], edges))
    stops = np.concatenate((edges, [len(bucket)]))
    spans = [slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True)]
    return Market(
        symbol,
        interval_ms,
        bucket[starts],
        trades.price[starts],
        np.array([trades.price[span].max() for span in spans]),
        np.array([trades.price[span].min() for span in spans]),
        trades.price[stops - 1],
        np.array([trades.qty[span].sum() for span in spans]),
        trades,
    )


def trade_event(market: Market, index: int, at_ms: int) -> dict[str, Any]:
    """Return the payload for a `<symbol>@trade` stream."""
    trades = market.trades
    assert trades is not None
    return {
        "e": "trade",
        "E": at_ms,
        "s": market.id,
        "t": int(trades.trade_id[index]),
        "p": number(trades.price[index]),
        "q": number(trades.qty[index]),
        "T": int(trades.ts[index]),
        "m": bool(trades.is_buyer_maker[index]),
        "M": True,
    }


def _of_market(market: Market, rank: int, updates: int) -> Iterator[tuple[int, int, int, Message]]:
    """Yield (time, phase, rank, message) of one market's klines.

    Phase orders equal times: final klines (0), then unfinished ones (1), then trades (2).
    """
    stream = f"{market.id.lower()}@kline_{market.interval}"
    for index, opened in enumerate(market.open_ms.tolist()):
        for step in range(updates):
            at = opened + market.interval_ms * step // updates
            payload = json.dumps(market.kline(index, at, updates).event(at))
            yield at, 1, rank, Message(at, stream, payload, final=False)
        closed = opened + market.interval_ms
        payload = json.dumps(market.kline(index, closed, updates).event(closed))
        yield closed, 0, rank, Message(closed, stream, payload, final=True)


def _trades_of(market: Market, rank: int) -> Iterator[tuple[int, int, int, Message]]:
    assert market.trades is not None
    stream = f"{market.id.lower()}@trade"
    for index, at in enumerate(market.trades.ts.tolist()):
        yield at, 2, rank, Message(at, stream, json.dumps(trade_event(market, index, at)), final=False)


def messages(markets: list[Market], updates: int) -> Iterator[Message]:
    """Yield all messages of the venue in time order."""
    sources = [_of_market(market, rank, updates) for rank, market in enumerate(markets)]
    sources += [_trades_of(market, rank) for rank, market in enumerate(markets) if market.trades is not None]
    for _, _, _, message in heapq.merge(*sources, key=lambda entry: entry[:3]):
        yield message
