"""The jobs in NautilusTrader: quotes at the opens, bars at the closes.

A market order sent from a bar's handler fills at that bar's close, so the next open is a quote of its own, `SLIPPAGE`
wide on both sides. The strategy decides in `on_bar` and trades in `on_quote_tick`.
"""

import time
from decimal import Decimal

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
import nautilus_trader
import pandas as pd
import talib
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.common.config import LoggingConfig
from nautilus_trader.config import RiskEngineConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import Currency
from nautilus_trader.model.data import Bar, BarType, QuoteTick
from nautilus_trader.model.enums import AccountType, CurrencyType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler, QuoteTickDataWrangler
from nautilus_trader.trading.strategy import Strategy

IMPORT_S = time.perf_counter() - _start
VENUE = Venue("SIM")
PRICE_DIGITS, SIZE_DIGITS, MONEY_DIGITS = 8, 16, 16
PLENTY = 1e9
COIN, CASH = (Currency(code, MONEY_DIGITS, 0, code, CurrencyType.CRYPTO) for code in ("COIN", "CASH"))
PAIR = CurrencyPair(
    instrument_id=InstrumentId(Symbol("COIN/CASH"), VENUE),
    raw_symbol=Symbol("COIN/CASH"),
    base_currency=COIN,
    quote_currency=CASH,
    price_precision=PRICE_DIGITS,
    size_precision=SIZE_DIGITS,
    price_increment=Price(10.0**-PRICE_DIGITS, PRICE_DIGITS),
    size_increment=Quantity(10.0**-SIZE_DIGITS, SIZE_DIGITS),
    maker_fee=Decimal(str(FEE)),
    taker_fee=Decimal(str(FEE)),
    ts_event=0,
    ts_init=0,
)
BAR_TYPE = BarType.from_str(f"{PAIR.id}-1-MINUTE-LAST-EXTERNAL")


def feed(bars: Bars) -> list[QuoteTick | Bar]:
    """Each bar as a quote at its open and a bar just before the next one's."""
    opens, closes = (
        pd.DatetimeIndex(milliseconds * 1_000_000, tz="UTC")
        for milliseconds in (bars.open_ms, bars.open_ms + MINUTE_MS - 1)
    )
    quotes = pd.DataFrame(
        {
            "bid_price": bars.open * (1 - SLIPPAGE),
            "ask_price": bars.open * (1 + SLIPPAGE),
            "bid_size": PLENTY,
            "ask_size": PLENTY,
        },
        index=opens,
    )
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    frame = pd.DataFrame(columns, index=closes)
    return [*QuoteTickDataWrangler(PAIR).process(quotes), *BarDataWrangler(BAR_TYPE, PAIR).process(frame)]


class LongOrFlat(Strategy):
    """Wants a position at a close and trades at the quote that follows."""

    def __init__(self, bars: Bars) -> None:
        super().__init__()
        self.all_bars = bars
        self.held = self.order = 0.0
        self.entries = self.exits = 0

    def on_start(self) -> None:
        self.subscribe_bars(BAR_TYPE)
        self.subscribe_quote_ticks(PAIR.id)

    def cash(self) -> float:
        return self.portfolio.account(VENUE).balance_free(CASH).as_double()

    def buy(self, size: float) -> None:
        quantity = Quantity(size, SIZE_DIGITS)
        self.held = quantity
        self.entries += 1
        self.submit_order(self.order_factory.market(PAIR.id, OrderSide.BUY, quantity))

    def sell(self) -> None:
        self.submit_order(self.order_factory.market(PAIR.id, OrderSide.SELL, self.held))
        self.held = 0.0
        self.exits += 1

    def final_equity(self) -> float:
        return self.cash() + float(self.held) * float(self.all_bars.close[-1])


class SmaCross(LongOrFlat):
    """The sma job, with the library's own indicators."""

    def on_start(self) -> None:
        super().on_start()
        self.fast, self.slow = SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)
        self.register_indicator_for_bars(BAR_TYPE, self.fast)
        self.register_indicator_for_bars(BAR_TYPE, self.slow)
        self.long = False

    def on_bar(self, bar: Bar) -> None:
        self.long = self.slow.initialized and self.fast.value - self.slow.value > TIE

    def on_quote_tick(self, tick: QuoteTick) -> None:
        if self.long and not self.held:
            self.buy(FRACTION * self.cash() / tick.ask_price.as_double())
        elif not self.long and self.held:
            self.sell()


class RsiAtr(LongOrFlat):
    """The rsi job; TA-Lib's columns, as the library's own Wilder means are seeded with the first value instead."""

    def on_start(self) -> None:
        super().on_start()
        bars = self.all_bars
        strength = talib.RSI(bars.close, PERIOD)
        atr = talib.ATR(bars.high, bars.low, bars.close, PERIOD)
        self.columns = zip(strength.tolist(), atr.tolist(), strict=True)
        self.size = 0.0
        self.leave = False

    def on_bar(self, bar: Bar) -> None:
        strength, atr = next(self.columns)
        if self.held:
            self.leave = strength > RECOVERED
        elif strength < OVERSOLD:
            cash = self.cash()
            self.size = min(cash * RISK / (atr * ATR_STOPS), FRACTION * cash / bar.close.as_double())

    def on_quote_tick(self, tick: QuoteTick) -> None:
        if self.size:
            self.buy(self.size)
            self.size = 0.0
        elif self.leave:
            self.sell()
            self.leave = False


class NautilusJob(Job):
    """A strategy in a `BacktestEngine`."""

    strategy: type[LongOrFlat]

    def __init__(self, bars: Bars) -> None:
        super().__init__(bars)
        self.feed = feed(bars)
        self.engine: BacktestEngine | None = None

    def reset(self) -> None:
        if self.engine:
            self.engine.dispose()
        config = BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True), risk_engine=RiskEngineConfig(bypass=True), run_analysis=False
        )
        self.engine = BacktestEngine(config)
        self.engine.add_venue(
            VENUE, OmsType.NETTING, AccountType.CASH, [Money(START_CASH, CASH), Money(0, COIN)], bar_execution=False
        )
        self.engine.add_instrument(PAIR)
        self.engine.add_data(self.feed)
        self.trader = self.strategy(self.bars)
        self.engine.add_strategy(self.trader)

    def run(self) -> None:
        self.engine.run()

    def outcome(self) -> Outcome:
        trader = self.trader
        return Outcome(trader.entries, trader.exits, trader.final_equity())


class Sma(NautilusJob):
    strategy = SmaCross


class Rsi(NautilusJob):
    strategy = RsiAtr


if __name__ == "__main__":
    main("NautilusTrader", nautilus_trader.__version__, IMPORT_S, {"sma": Sma, "rsi": Rsi})
