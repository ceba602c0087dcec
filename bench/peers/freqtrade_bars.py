"""The jobs in freqtrade's `Backtesting`, offline: an exchange object that never loads its markets.

There is one fee for both sides and no slippage, so the fee is `FEE + SLIPPAGE`. The cross term is paid on one side and
saved on the other: what is left of it is `FEE * SLIPPAGE` of each trade's profit.
"""

import logging
import tempfile
import time
from pathlib import Path

from harness import FEE, SLIPPAGE, START_CASH, Bars, Job, Outcome, main

_start = time.perf_counter()
import pandas as pd
from freqtrade import __version__
from freqtrade.configuration import TimeRange
from freqtrade.enums import RunMode
from freqtrade.exchange.binance import Binance
from freqtrade.optimize.backtesting import Backtesting
from freqtrade.persistence import LocalTrade

IMPORT_S = time.perf_counter() - _start
PAIR = "COIN/USDT"
MARKET = {
    "id": "COINUSDT",
    "symbol": PAIR,
    "base": "COIN",
    "quote": "USDT",
    "active": True,
    "spot": True,
    "type": "spot",
    "contractSize": None,
    "precision": {"amount": None, "price": None},
    "limits": {"amount": {"min": None, "max": None}, "cost": {"min": None, "max": None}},
    "info": {},
}


class OfflineExchange(Binance):
    """One pair of any precision, no network."""

    def reload_markets(self, force: bool = False, *, load_leverage_tiers: bool = True) -> None:
        self._markets = {PAIR: MARKET}


def settings(strategy: str, folder: str) -> dict:
    """What a configuration file would say."""
    return {
        "runmode": RunMode.BACKTEST,
        "strategy": strategy,
        "strategy_path": str(Path(__file__).with_name("freqtrade_strategies")),
        "user_data_dir": Path(folder),
        "datadir": Path(folder),
        "dataformat_ohlcv": "feather",
        "exportdirectory": Path(folder),
        "export": "none",
        "exchange": {"name": "binance", "pair_whitelist": [PAIR], "pair_blacklist": []},
        "pairlists": [{"method": "StaticPairList"}],
        "stake_currency": "USDT",
        "stake_amount": "unlimited",
        "tradable_balance_ratio": 1.0,
        "dry_run": True,
        "dry_run_wallet": START_CASH,
        "max_open_trades": 1,
        "fee": FEE + SLIPPAGE,
        "timeframe": "1m",
        "trading_mode": "spot",
        "margin_mode": "",
        "entry_pricing": {"price_side": "other", "use_order_book": False},
        "exit_pricing": {"price_side": "other", "use_order_book": False},
        "internals": {},
    }


class FreqtradeJob(Job):
    """A strategy of freqtrade_strategies/strategies.py."""

    strategy: str

    def __init__(self, bars: Bars) -> None:
        super().__init__(bars)
        logging.disable(logging.WARNING)
        columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
        self.frame = pd.DataFrame({"date": pd.to_datetime(bars.open_ms, unit="ms", utc=True), **columns})
        config = settings(self.strategy, tempfile.mkdtemp())
        exchange = OfflineExchange(config, validate=False)
        exchange.reload_markets()
        self.backtesting = Backtesting(config, exchange)

    def reset(self) -> None:
        self.data = {PAIR: self.frame.copy()}

    def run(self) -> None:
        [strategy] = self.backtesting.strategylist
        self.backtesting.backtest_one_strategy(strategy, self.data, TimeRange())

    def outcome(self) -> Outcome:
        trades = LocalTrade.bt_trades
        [content] = self.backtesting.all_bt_content.values()
        equity = content["final_balance"]
        forced = [trade for trade in trades if trade.exit_reason == "force_exit"]
        for trade in forced:  # freqtrade sells what is left at the last open; the job values it at the last close
            equity += trade.amount * self.bars.close[-1] - trade.calc_close_trade_value(trade.close_rate)
        return Outcome(len(trades), len(trades) - len(forced), float(equity))


class Sma(FreqtradeJob):
    strategy = "SmaCross"


class Rsi(FreqtradeJob):
    strategy = "RsiAtr"


if __name__ == "__main__":
    main("freqtrade", __version__, IMPORT_S, {"sma": Sma, "rsi": Rsi})
