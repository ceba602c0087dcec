"""The jobs as vectorbt users write them: whole-column signals, simulated by `Portfolio.from_signals`.

Signals are moved one bar on and filled at that bar's open. A `percent` order spends that share of the cash with the
fee included, so a share `x` of the cash in base currency is `x * (1 + FEE)`.
"""

import time

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
import pandas as pd
import talib
import vectorbt as vbt

IMPORT_S = time.perf_counter() - _start
VERSION = vbt.__version__


class VectorbtJob(Job):
    """Signals and sizes of a job over pandas columns."""

    engine = "auto"

    def __init__(self, bars: Bars) -> None:
        super().__init__(bars)
        vbt.settings["engine"] = self.engine
        index = pd.to_datetime(bars.open_ms, unit="ms")
        self.open, self.high, self.low, self.close = (
            pd.Series(column, index=index) for column in (bars.open, bars.high, bars.low, bars.close)
        )

    def simulate(self, long: pd.Series, flat: pd.Series, share: float | pd.Series) -> None:
        """Trade at the open after each signal, a buy for this share of the cash."""
        self.portfolio = vbt.Portfolio.from_signals(
            self.close,
            entries=long.shift(1, fill_value=False),
            exits=flat.shift(1, fill_value=False),
            price=self.open,
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
        fast, slow = vbt.MA.run(self.close, FAST), vbt.MA.run(self.close, SLOW)
        long = fast.ma - slow.ma > TIE
        self.simulate(long, ~long, FRACTION)


class Rsi(VectorbtJob):
    def run(self) -> None:
        close = self.close.to_numpy()
        strength = pd.Series(talib.RSI(close, PERIOD), index=self.close.index)
        atr = talib.ATR(self.high.to_numpy(), self.low.to_numpy(), close, PERIOD)
        per_cash = np.minimum(RISK / (atr * ATR_STOPS), FRACTION / close)  # base currency bought per unit of equity
        per_cash = pd.Series(per_cash, index=self.close.index).shift(1)
        self.simulate(strength < OVERSOLD, strength > RECOVERED, per_cash * self.open * (1 + SLIPPAGE))


def jobs(engine: str) -> dict[str, type[VectorbtJob]]:
    """The jobs on one of vectorbt's engines."""
    return {name: type(job.__name__, (job,), {"engine": engine}) for name, job in (("sma", Sma), ("rsi", Rsi))}
