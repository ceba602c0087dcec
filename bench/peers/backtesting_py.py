"""The jobs in backtesting.py.

The library trades whole units only and cuts a fractional order's budget to whole money, so money is counted in
`UNIT`s: prices stay as they are, and one traded unit is `UNIT` of the base currency. Its spread is applied to entries
only, so an exit's slippage is part of that exit's commission.
"""

import time
import warnings

from harness import (
    ATR_STOPS,
    FAST,
    FEE,
    FRACTION,
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
import backtesting
import numpy as np
import pandas as pd
import talib
from numpy.typing import NDArray

IMPORT_S = time.perf_counter() - _start
UNIT = 1e-18
BUDGET = FRACTION * (1 + SLIPPAGE + FEE) / (1 + SLIPPAGE)
"""The share of cash to ask for, of which the library takes off the commission (of the price before the spread)."""

backtesting.backtesting._tqdm = lambda bars, **_: bars  # no progress bar inside a timed run


class Commission:
    """Money per fill; the strategy says which kind of order it places next."""

    entry, exit = FEE, 1 - (1 - SLIPPAGE) * (1 - FEE)

    def __init__(self) -> None:
        self.rate = self.entry

    def __call__(self, units: float, price: float) -> float:
        return abs(units) * price * self.rate


class LongOrFlat(backtesting.Strategy):
    """Buys and closes, each order with its commission rate."""

    commission: Commission

    def enter(self, size: float) -> None:
        self.commission.rate = Commission.entry
        self.buy(size=size)

    def leave(self) -> None:
        self.commission.rate = Commission.exit
        self.position.close()


def filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zero instead of NaN: the library would skip one bar more than the indicator needs."""
    return np.nan_to_num(values)


def spread_of_means(close: NDArray[np.float64]) -> NDArray[np.float64]:
    return filled(talib.SMA(close, FAST) - talib.SMA(close, SLOW))


class SmaCross(LongOrFlat):
    """The sma job."""

    def init(self) -> None:
        self.spread = self.I(spread_of_means, self.data.Close)

    def next(self) -> None:
        long = self.spread[-1] > TIE
        if long and not self.position:
            self.enter(BUDGET)
        elif not long and self.position:
            self.leave()


class RsiAtr(LongOrFlat):
    """The rsi job."""

    def init(self) -> None:
        data = self.data
        self.strength = self.I(lambda: filled(talib.RSI(data.Close, PERIOD)), name="RSI")
        self.atr = self.I(lambda: filled(talib.ATR(data.High, data.Low, data.Close, PERIOD)), name="ATR")

    def next(self) -> None:
        if self.position:
            if self.strength[-1] > RECOVERED:
                self.leave()
        elif self.strength[-1] < OVERSOLD and self.atr[-1] > 0:
            by_risk = self.equity * RISK / (self.atr[-1] * ATR_STOPS)
            self.enter(int(min(by_risk, FRACTION * self.equity / self.data.Close[-1])))


class BacktestingJob(Job):
    """A strategy in the library's `Backtest`."""

    strategy: type[LongOrFlat]

    def __init__(self, bars: Bars) -> None:
        super().__init__(bars)
        warnings.filterwarnings("ignore", message="Some trades remain open")
        columns = {"Open": bars.open, "High": bars.high, "Low": bars.low, "Close": bars.close, "Volume": bars.volume}
        data = pd.DataFrame(columns, index=pd.to_datetime(bars.open_ms, unit="ms"))
        commission = Commission()
        strategy = type(self.strategy.__name__, (self.strategy,), {"commission": commission})
        self.backtest = backtesting.Backtest(
            data, strategy, cash=START_CASH / UNIT, spread=SLIPPAGE, commission=commission
        )

    def run(self) -> None:
        self.stats = self.backtest.run()

    def outcome(self) -> Outcome:
        strategy = self.stats["_strategy"]
        exits = len(strategy.closed_trades)
        return Outcome(exits + len(strategy.trades), exits, self.stats["Equity Final [$]"] * UNIT)


class Sma(BacktestingJob):
    strategy = SmaCross


class Rsi(BacktestingJob):
    strategy = RsiAtr


if __name__ == "__main__":
    main("backtesting.py", backtesting.__version__, IMPORT_S, {"sma": Sma, "rsi": Rsi})
