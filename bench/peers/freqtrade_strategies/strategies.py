"""The jobs as freqtrade strategies; freqtrade finds them by file and class name.

A backtest's market orders fill at the next open and know no slippage (custom prices are clamped to the candle), so the
slippage is part of the fee, and the amount bought is that of the slipped price.
"""

from typing import ClassVar

import talib
from freqtrade.strategy import IStrategy
from harness import ATR_STOPS, FAST, FRACTION, OVERSOLD, PERIOD, RECOVERED, RISK, SLIPPAGE, SLOW, TIE
from pandas import DataFrame


class LongOrFlat(IStrategy):
    """Market orders at signals and nothing else: no take-profit table, a stop out of reach."""

    INTERFACE_VERSION = 3
    timeframe = "1m"
    minimal_roi: ClassVar[dict[str, float]] = {}
    stoploss = -0.99
    startup_candle_count = 0
    order_types: ClassVar[dict[str, str | bool]] = {
        "entry": "market",
        "exit": "market",
        "stoploss": "market",
        "stoploss_on_exchange": False,
    }


class SmaCross(LongOrFlat):
    """The sma job."""

    def populate_indicators(self, dataframe: DataFrame, metadata: dict) -> DataFrame:
        dataframe["spread"] = talib.SMA(dataframe["close"], FAST) - talib.SMA(dataframe["close"], SLOW)
        return dataframe

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict) -> DataFrame:
        dataframe.loc[dataframe["spread"] > TIE, "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict) -> DataFrame:
        dataframe.loc[~(dataframe["spread"] > TIE), "exit_long"] = 1
        return dataframe

    def custom_stake_amount(self, max_stake: float, **_: object) -> float:
        return FRACTION * max_stake / (1 + SLIPPAGE)


class RsiAtr(LongOrFlat):
    """The rsi job."""

    def populate_indicators(self, dataframe: DataFrame, metadata: dict) -> DataFrame:
        high, low, close = dataframe["high"], dataframe["low"], dataframe["close"]
        dataframe["rsi"] = talib.RSI(close, PERIOD)
        dataframe["atr"] = talib.ATR(high, low, close, PERIOD)
        return dataframe

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict) -> DataFrame:
        dataframe.loc[dataframe["rsi"] < OVERSOLD, "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict) -> DataFrame:
        dataframe.loc[dataframe["rsi"] > RECOVERED, "exit_long"] = 1
        return dataframe

    def custom_stake_amount(self, pair: str, current_rate: float, max_stake: float, **_: object) -> float:
        analyzed, _time = self.dp.get_analyzed_dataframe(pair, self.timeframe)
        signal = analyzed.iloc[-1]
        per_cash = min(RISK / (signal["atr"] * ATR_STOPS), FRACTION / signal["close"])
        return per_cash * max_stake * current_rate
