"""All codes of the core, as small integers: kinds of events and records, sides, reasons and rules."""

from enum import IntEnum
from typing import Any

import numpy as np

PPB: Any = np.int64(1_000_000_000)
DAY_NS: Any = np.int64(86_400_000_000_000)
NOBODY: Any = np.int64(-1)
"""The index of no slot, symbol or asset."""
HOLD = 9.0
"""A strategy's answer that keeps its target; all other answers lie between -1 and 1."""


class EventKind(IntEnum):
    """Kinds of events. Each kind has its own view of the same 64 bytes.

    END only asks for the closing ledger row: it is never journaled, and that row is not part of the digest.
    """

    BAR = 1
    SIGNAL = 2
    ORDER = 3
    CANCEL = 4
    HALT = 5
    RESUME = 6
    END = 7


class BarFlag(IntEnum):
    """Bits of `BAR_EVENT.flags`."""

    END_OF_SLICE = 1
    WARMUP = 2
    CATCH_UP = 4


class OrderFlag(IntEnum):
    """Bits of `ORDER_EVENT.flags` and `ORDER.flags`."""

    POST_ONLY = 1
    REDUCE_ONLY = 2
    TRIGGERED = 4


class Side(IntEnum):
    """The sign of an order's effect on the position."""

    BUY = 1
    SELL = -1


class Target(IntEnum):
    """The position that a strategy wants to hold."""

    SHORT = -1
    FLAT = 0
    LONG = 1


class OrderType(IntEnum):
    """How an order is priced. Trailing and stop-limit orders will continue this numbering."""

    MARKET = 1
    LIMIT = 2
    STOP = 3


class TimeInForce(IntEnum):
    """How long an order works."""

    GTC = 1
    IOC = 2
    FOK = 3
    GTD = 4


class Role(IntEnum):
    """Why an order exists. The role of the last exit gives the reason of a round trip."""

    ENTRY = 1
    EXIT = 2
    STOP = 3
    TARGET = 4
    FLATTEN = 5
    REDUCE = 6


class Liquidity(IntEnum):
    """Whether a fill pays the taker or the maker fee."""

    TAKER = 1
    MAKER = 2


class Code(IntEnum):
    """Why an order was blocked, or how it ended. `docs/fills.md` §2 has the order in which the gate checks."""

    NONE = 0
    # Format rules: every order.
    UNKNOWN_SYMBOL = 1
    INVALID_ORDER = 2
    INVALID_PRICE = 3
    BELOW_STEP = 4
    MIN_NOTIONAL = 5
    OVERFLOW = 6
    SHORT_NOT_ALLOWED = 7
    REDUCE_ONLY = 8
    CAPACITY = 9
    # Risk rules: every order except reduce-only ones.
    KILLSWITCH = 10
    CATCHING_UP = 11
    NO_PRICE = 12
    STALE = 13
    COOLDOWN = 14
    ORDER_RATE = 15
    PRICE_COLLAR = 16
    MAX_POSITION_VALUE = 17
    GROSS_EXPOSURE = 18
    MAX_OPEN_POSITIONS = 19
    MAX_OPEN_ORDERS = 20
    FUNDS = 21
    # Further format rules.
    MIN_QUANTITY = 22
    MAX_QUANTITY = 23
    # Ends of an accepted order.
    FILLED = 30
    CANCELLED = 31
    EXPIRED = 32
    IOC = 33
    FOK = 34
    WOULD_TAKE = 35
    FUNDS_AT_FILL = 36
    ENTRY_TIMEOUT = 37
    OCO = 38
    STOPPED = 39
    SUPERSEDED = 40
    POSITION_CLOSED = 41


class Fault(IntEnum):
    """Why a run stopped early: a strategy failed, an event was invalid, or a number left its range."""

    NONE = 0
    STRATEGY_RAISED = 1
    STRATEGY_NOT_FINITE = 2
    OVERFLOW = 3
    TIME_WENT_BACK = 4
    BAD_EVENT = 5


class HaltReason(IntEnum):
    """Why trading is halted."""

    NONE = 0
    DAILY_LOSS = 1
    MAX_DRAWDOWN = 2
    MANUAL = 3
    FEED = 4
    JOURNAL = 5


class OutputKind(IntEnum):
    """Kinds of output records. Each kind has its own view of the same 160 bytes."""

    SIGNAL = 1
    ORDER = 2
    BLOCKED = 3
    FILL = 4
    ORDER_CHANGE = 5
    ORDER_END = 6
    LEDGER = 7
    HALT = 8
    RESUME = 9
    PATTERN = 10


class IdleState(IntEnum):
    """Whether `idle_value`, the value of balances outside positions, must be computed again."""

    CHANGED = 0
    FIXED = 1
    FLOATING = 2
    UNPRICED = 3


class FeatureKind(IntEnum):
    """Streaming features; see `core/features.py` for the formulas."""

    SMA = 1
    EMA = 2
    RSI = 3
    ATR = 4
    VWAP = 5
    ZSCORE = 6
    VOLATILITY = 7


class StrategyKind(IntEnum):
    """Which evaluation a strategy runs."""

    EXTERNAL = 0
    MEAN_REVERSION = 1
    SMA_CROSS = 2
    MOMENTUM = 3
    PATTERN = 4
    COMPILED = 5


class Pattern(IntEnum):
    """Candlestick patterns; a bar's patterns are the sum of 1 << pattern."""

    ENGULFING_BULLISH = 0
    ENGULFING_BEARISH = 1
    HAMMER = 2
    SHOOTING_STAR = 3
    DOJI = 4


class Sizing(IntEnum):
    """The sizing rule: how a long signal becomes a quantity."""

    ATR = 1
    FIXED_QUOTE = 2
    FIXED_FRACTION = 3


class SlippageModel(IntEnum):
    """How slippage is computed."""

    FIXED_BPS = 1
    ATR_SCALED = 2


class FeeAsset(IntEnum):
    """Negative values of `SYMBOL_PARAMS.fee_asset`; all others are asset ids."""

    QUOTE = -1
    RECEIVED = -2


class RateVia(IntEnum):
    """How the oracle converts an asset to the next one on its path to the account currency."""

    NONE = 0
    ACCOUNT = 1
    OVERRIDE = 2
    SYMBOL = 3
    INVERSE = 4
