"""The jobs in hftbacktest: a bar becomes a book whose best ask and bid are its open, slippage off.

The engine replays order book events, not bars: each bar's open clears the book and sets both sides anew (4 events).
Signals are computed beforehand over whole columns and handed to the Numba strategy, which wakes once a bar, just after
the open, and sends a market order that arrives without latency.
"""

import time

from harness import (
    ATR_STOPS,
    FAST,
    FEE,
    FRACTION,
    MINUTE_MS,
    OVERSOLD,
    PERIOD,
    RECOVERED,
    RISK,
    SLIPPAGE,
    SLOW,
    START_CASH,
    TIE,
    Bars,
    Job,
    Outcome,
    main,
)

_start = time.perf_counter()
import hftbacktest as hft
import numpy as np
import talib
from hftbacktest.types import event_dtype
from numba import njit
from numpy.typing import NDArray

IMPORT_S = time.perf_counter() - _start
MINUTE_NS = MINUTE_MS * 1_000_000
TICK, LOT = 1e-8, 1e-12
PLENTY = 1e12
LONG, FLAT = 1, -1


def book_events(bars: Bars) -> NDArray[np.void]:
    """Per bar: clear the bids, clear the asks, the new bid, the new ask."""
    events = np.zeros((len(bars), 4), dtype=event_dtype)
    both = hft.EXCH_EVENT | hft.LOCAL_EVENT
    events["ev"] = [
        hft.DEPTH_CLEAR_EVENT | hft.BUY_EVENT | both,
        hft.DEPTH_CLEAR_EVENT | hft.SELL_EVENT | both,
        hft.DEPTH_EVENT | hft.BUY_EVENT | both,
        hft.DEPTH_EVENT | hft.SELL_EVENT | both,
    ]
    events["exch_ts"] = events["local_ts"] = bars.open_ms[:, None] * 1_000_000
    events["px"][:, :2] = np.nan
    events["px"][:, 2] = bars.open * (1 - SLIPPAGE)
    events["px"][:, 3] = bars.open * (1 + SLIPPAGE)
    events["qty"][:, 2:] = PLENTY
    return events.reshape(-1)


@njit
def trade(hbt, target, most, per_cash):
    """Hold what the last bar's target says; an entry spends at most `most` of the cash, or `per_cash` base units."""
    entries = exits = 0
    hbt.elapse(1)
    for bar in range(1, len(target)):
        hbt.elapse(MINUTE_NS)
        held = hbt.position(0)
        if target[bar - 1] == LONG and held == 0:
            state = hbt.state_values(0)
            cash = START_CASH + state.balance - state.fee
            ask = hbt.depth(0).best_ask
            hbt.submit_buy_order(
                0, bar, ask, min(most * cash / ask, per_cash[bar - 1] * cash), hft.GTC, hft.MARKET, False
            )
            entries += 1
        elif target[bar - 1] == FLAT and held > 0:
            hbt.submit_sell_order(0, bar, hbt.depth(0).best_bid, held, hft.GTC, hft.MARKET, False)
            exits += 1
        hbt.clear_inactive_orders(0)
    return entries, exits


class HftbacktestJob(Job):
    """A strategy over the book events."""

    def __init__(self, bars: Bars) -> None:
        super().__init__(bars)
        self.events = book_events(bars)

    def reset(self) -> None:
        asset = (
            hft.BacktestAsset()
            .data(self.events)
            .linear_asset(1.0)
            .constant_order_latency(0, 0)
            .risk_adverse_queue_model()
            .no_partial_fill_exchange()
            .trading_value_fee_model(FEE, FEE)
            .tick_size(TICK)
            .lot_size(LOT)
        )
        self.hbt = hft.HashMapMarketDepthBacktest([asset])

    def trade(self, target: NDArray[np.int8], most: float, per_cash: NDArray[np.float64]) -> None:
        self.entries, self.exits = trade(self.hbt, target, most, per_cash)
        state = self.hbt.state_values(0)
        self.final_equity = START_CASH + state.balance - state.fee + self.hbt.position(0) * self.bars.close[-1]
        self.hbt.close()

    def outcome(self) -> Outcome:
        return Outcome(self.entries, self.exits, float(self.final_equity))


class Sma(HftbacktestJob):
    def run(self) -> None:
        close = self.bars.close
        long = talib.SMA(close, FAST) - talib.SMA(close, SLOW) > TIE
        self.trade(np.where(long, LONG, FLAT), FRACTION, np.full(len(close), np.inf))


class Rsi(HftbacktestJob):
    def run(self) -> None:
        bars = self.bars
        strength = talib.RSI(bars.close, PERIOD)
        atr = talib.ATR(bars.high, bars.low, bars.close, PERIOD)
        target = np.where(strength < OVERSOLD, LONG, np.where(strength > RECOVERED, FLAT, 0))
        self.trade(target, np.inf, np.minimum(RISK / (atr * ATR_STOPS), FRACTION / bars.close))


if __name__ == "__main__":
    main("hftbacktest", hft.__version__, IMPORT_S, {"sma": Sma, "rsi": Rsi})
