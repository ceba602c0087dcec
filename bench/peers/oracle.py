"""The jobs as plain loops: the specification that every peer is compared with."""

import platform

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
    TICKS,
    Bars,
    Job,
    Outcome,
    main,
)


def sma(bars: Bars) -> Outcome:
    """Long while the fast mean of closes is above the slow one; decided at a close, traded at the next open.

    The means are compared as sums of whole ticks: sums of floats would decide a tie by their rounding.
    """
    opens, closes = bars.open.tolist(), bars.close.tolist()
    ticks = [round(close * TICKS) for close in closes]
    cash, held, want = START_CASH, 0.0, False
    fast = slow = entries = exits = 0
    for i, tick in enumerate(ticks):
        if want and held == 0:
            price = opens[i] * (1 + SLIPPAGE)
            held = FRACTION * cash / price
            cash -= held * price * (1 + FEE)
            entries += 1
        elif not want and held > 0:
            cash += held * opens[i] * (1 - SLIPPAGE) * (1 - FEE)
            held = 0.0
            exits += 1
        fast += tick - (ticks[i - FAST] if i >= FAST else 0)
        slow += tick - (ticks[i - SLOW] if i >= SLOW else 0)
        want = i >= SLOW - 1 and fast * SLOW > slow * FAST
    return Outcome(entries, exits, cash + held * closes[-1])


def rsi(bars: Bars) -> Outcome:
    """Buy oversold, sell recovered, sized by the average true range; decided at a close, traded at the next open.

    RSI and ATR are Wilder's, seeded with the mean of the first `PERIOD` values (as TA-Lib does).
    """
    opens, highs, lows, closes = (column.tolist() for column in (bars.open, bars.high, bars.low, bars.close))
    cash, held = START_CASH, 0.0
    order = 0.0  # quantity to trade at the next open; negative sells all
    gain = loss = atr = 0.0
    entries = exits = 0
    for i, close in enumerate(closes):
        if order > 0:
            held = order
            cash -= held * opens[i] * (1 + SLIPPAGE) * (1 + FEE)
            entries += 1
        elif order < 0:
            cash += held * opens[i] * (1 - SLIPPAGE) * (1 - FEE)
            held = 0.0
            exits += 1
        order = 0.0
        if i == 0:
            continue
        last = closes[i - 1]
        change = close - last
        true_range = max(highs[i], last) - min(lows[i], last)
        if i <= PERIOD:
            gain += max(change, 0.0) / PERIOD
            loss += max(-change, 0.0) / PERIOD
            atr += true_range / PERIOD
        else:
            gain += (max(change, 0.0) - gain) / PERIOD
            loss += (max(-change, 0.0) - loss) / PERIOD
            atr += (true_range - atr) / PERIOD
        if i < PERIOD:
            continue
        strength = 100 * gain / (gain + loss) if gain + loss > 0 else 0.0
        if held == 0 and strength < OVERSOLD:
            order = min(cash * RISK / (atr * ATR_STOPS), FRACTION * cash / close)
        elif held > 0 and strength > RECOVERED:
            order = -held
    return Outcome(entries, exits, cash + held * closes[-1])


class Loop(Job):
    """A specification as a job."""

    def outcome(self) -> Outcome:
        return self.result


class Sma(Loop):
    def run(self) -> None:
        self.result = sma(self.bars)


class Rsi(Loop):
    def run(self) -> None:
        self.result = rsi(self.bars)


if __name__ == "__main__":
    main("plain Python loop", platform.python_version(), 0.0, {"sma": Sma, "rsi": Rsi})
