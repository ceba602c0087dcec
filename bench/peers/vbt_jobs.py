"""The jobs in vectorbt: whole-column signals, simulated by `Portfolio.from_signals`.

Signals are moved one bar on and filled at that bar's open. A `percent` order spends that share of the cash with the
fee included, so a share `x` of the cash in base currency is `x * (1 + FEE)`.
"""

import time
from typing import Any

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
)

_start = time.perf_counter()
import numpy as np
import talib
import vectorbt as vbt
from numpy.typing import NDArray

IMPORT_S = time.perf_counter() - _start
VERSION = vbt.__version__


def next_bar(column: NDArray[Any], first: Any) -> NDArray[Any]:
    """The column moved one bar on."""
    moved = np.empty_like(column)
    moved[0], moved[1:] = first, column[:-1]
    return moved


class VectorbtJob(Job):
    """Signals and sizes of a job over plain arrays, with TA-Lib's indicators: vectorbt's own take a third longer."""

    engine = "auto"

    def __init__(self, bars: Bars) -> None:
        super().__init__(bars)
        vbt.settings["engine"] = self.engine

    def simulate(self, long: NDArray[np.bool_], flat: NDArray[np.bool_], share: float | NDArray[np.float64]) -> None:
        """Trade at the open after each signal, a buy for this share of the cash."""
        self.portfolio = vbt.Portfolio.from_signals(
            self.bars.close,
            entries=next_bar(long, first=False),
            exits=next_bar(flat, first=False),
            price=self.bars.open,
            size=share * (1 + FEE),
            size_type="percent",
            fees=FEE,
            slippage=SLIPPAGE,
            init_cash=START_CASH,
            freq="1min",
        )
        self.final_equity = float(self.portfolio.final_value())

    def outcome(self) -> Outcome:
        orders = self.portfolio.orders
        return Outcome(int(orders.buy.count()), int(orders.sell.count()), self.final_equity)


class Sma(VectorbtJob):
    def run(self) -> None:
        close = self.bars.close
        long = talib.SMA(close, FAST) - talib.SMA(close, SLOW) > TIE
        self.simulate(long, ~long, FRACTION)


class Rsi(VectorbtJob):
    def run(self) -> None:
        bars = self.bars
        strength = talib.RSI(bars.close, PERIOD)
        atr = talib.ATR(bars.high, bars.low, bars.close, PERIOD)
        per_cash = np.minimum(RISK / (atr * ATR_STOPS), FRACTION / bars.close)  # base bought per unit of equity
        share = next_bar(per_cash, first=np.nan) * bars.open * (1 + SLIPPAGE)
        self.simulate(strength < OVERSOLD, strength > RECOVERED, share)


def jobs(engine: str) -> dict[str, type[VectorbtJob]]:
    """The jobs on one of vectorbt's engines."""
    return {name: type(job.__name__, (job,), {"engine": engine}) for name, job in (("sma", Sma), ("rsi", Rsi))}
