"""An exchange by hand: klines in any order, REST answers from the same bars, and a clock that only the test moves."""

import asyncio
import itertools

import numpy as np

from paperbot.core import types as t
from paperbot.engine.merge import Merger
from paperbot.market.feed import Feed
from paperbot.market.source import SourceError

STEP_MS = 300_000
GRACE_MS = 2_000


class HandClock:
    def __init__(self):
        self.at_s = 1000.0

    def now_ns(self):
        return int(self.at_s * 1e9)

    def monotonic_s(self):
        return self.at_s


class HandSource:
    """`bars`: {symbol: {open_ms: (o, h, l, c, v)}}. `now_ms` is the server's time. `errors`: raised one by one."""

    def __init__(self, bars, now_ms):
        self.bars, self.now_ms = bars, now_ms
        self.errors, self.asked, self.hidden = [], [], set()
        self.answer = None

    async def time_ms(self):
        if self.errors:
            raise self.errors.pop(0)
        return self.now_ms

    async def candles(self, symbol, since_ms):
        self.asked.append((symbol, since_ms))
        if self.answer is not None:
            return self.answer
        opens = sorted(o for o in self.bars[symbol] if since_ms <= o <= self.now_ms and o not in self.hidden)[:1000]
        return [[o, *(repr(float(v)) for v in self.bars[symbol][o])] for o in opens]

    async def listen(self, on_kline, on_state):
        on_state(listening=True)
        await asyncio.Event().wait()


def kline(symbol, open_ms, values, *, final=True, at_ms=None, step_ms=STEP_MS):
    o, h, low, c, v = (repr(float(one)) for one in values)
    k = {"t": open_ms, "o": o, "h": h, "l": low, "c": c, "v": v, "x": final, "i": "5m"}
    return {"e": "kline", "E": at_ms or open_ms + step_ms, "symbol": symbol, "k": k}


class Hand:
    """A feed over a source by hand. `refusals` and `arrivals` collect what it says."""

    def __init__(self, bars, now_ms, *, decimals=8, step_ms=STEP_MS):
        self.source = HandSource(bars, now_ms)
        self.clock = HandClock()
        self.refusals, self.failures, self.arrivals = [], [], []
        symbols = sorted(bars)
        self.step_ms = step_ms
        self.feed = Feed(
            self.source,
            symbols,
            [decimals] * len(symbols),
            "5m",
            step_ms,
            GRACE_MS,
            self.clock,
            lambda code, symbol, _detail: self.refusals.append((code, symbol)),
            self.failures.append,
        )

    def say(self, symbol, open_ms, **how):
        self.feed.on_kline(kline(symbol, open_ms, self.source.bars[symbol][open_ms], step_ms=self.step_ms, **how))
        return self.collect()

    async def prove(self, rounds=1):
        """What the prover would do, once for each lane that is due."""
        for _ in range(rounds):
            for lane in self.feed._lanes.values():
                if self.feed._due(lane):
                    await self.feed._ask(lane)
        return self.collect()

    def collect(self):
        fresh = []
        while (arrival := self.feed.take_now()) is not None:
            fresh.append(arrival)
        self.arrivals += fresh
        return fresh


def opens(arrivals, step_ms=STEP_MS):
    """(open in ms, source, whether there is a bar) of each arrival."""
    return [(a.close_ts // 1_000_000 - step_ms, a.source, a.event is not None) for a in arrivals]


def bars_of(events, symbols, price_decimals):
    """{symbol: {open_ms: values}} of BAR events."""
    found = {symbol: {} for symbol in symbols}
    for bar in events:
        unit = 10.0 ** price_decimals[int(bar["symbol"])]
        values = [int(bar[name]) / unit for name in ("open", "high", "low", "close")]
        found[symbols[int(bar["symbol"])]][int(bar["open_ts"]) // 1_000_000] = (*values, float(bar["volume"]))
    return found


def slices_of(arrivals, timeframes_ns):
    """The slices that the merger releases, arrival by arrival."""
    merger = Merger(timeframes_ns)
    for arrival in arrivals:
        if arrival.event is None:
            merger.advance(arrival.symbol, arrival.close_ts)
        else:
            merger.push(arrival.symbol, arrival.event)
        events = merger.release()
        if len(events):
            ends = np.flatnonzero(events["flags"] & t.BarFlag.END_OF_SLICE) + 1
            yield from np.split(events, ends[:-1])


def shuffled(bars, random, *, lost=0.05, twice=0.05, window=8, step_ms=STEP_MS):
    """Final klines of all symbols in an order that a bad network might give: (symbol, open_ms) pairs."""
    said = [(o + random.random() * window * step_ms, symbol, o) for symbol in bars for o in bars[symbol]]
    said = [one for one in said if random.random() >= lost]
    again = [(at + random.random() * window * step_ms, symbol, o) for at, symbol, o in said if random.random() < twice]
    return [(symbol, o) for _, symbol, o in sorted(itertools.chain(said, again))]


def failure(wait_s=0.0):
    return SourceError("no answer", wait_s)
