"""Every code of the core, as small integers: kinds of events and records, sides, reasons, rules."""

from enum import IntEnum
from typing import Any

import numpy as np

PPB: Any = np.int64(1_000_000_000)
DAY_NS: Any = np.int64(86_400_000_000_000)
NOBODY: Any = np.int64(-1)
"""An index that points at nothing: no slot, no symbol, no asset."""
HOLD = 9.0
"""A strategy's answer that changes nothing; all others lie between -1 and 1."""


class EventKind(IntEnum):
    """What may change money. Each kind has a view of the same 64 bytes. END only asks for the closing ledger row: it is
    never journaled, and what it writes is outside the digest.
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
    """The sign that an order gives to a position."""

    BUY = 1
    SELL = -1


class Target(IntEnum):
    """What a strategy wants to hold."""

    SHORT = -1
    FLAT = 0
    LONG = 1


class OrderType(IntEnum):
    """Trailing and stop-limit orders will follow the same numbering."""

    MARKET = 1
    LIMIT = 2
    STOP = 3


class TimeInForce(IntEnum):
    """How long an order may work."""

    GTC = 1
    IOC = 2
    FOK = 3
    GTD = 4


class Role(IntEnum):
    """Why an order exists; a round trip's reason follows from its last exit's role."""

    ENTRY = 1
    EXIT = 2
    STOP = 3
    TARGET = 4
    FLATTEN = 5
    REDUCE = 6


class Liquidity(IntEnum):
    """Which fee a fill pays."""

    TAKER = 1
    MAKER = 2


class Code(IntEnum):
    """Why an order was blocked, and how an order ended. `docs/fills.md` §2 has the order in which the gate asks."""

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
    # Risk rules: everything but reduce-only.
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
    """Why a run stopped in the middle: a strategy failed, or a number left its range."""

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
    """Tag of an output record; each kind has a view of the same 160 bytes."""

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
    """Whether the value of what no position holds must be found anew."""

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
    """How the gate turns a long signal into a quantity."""

    ATR = 1
    FIXED_QUOTE = 2
    FIXED_FRACTION = 3


class SlippageModel(IntEnum):
    """How far a taker's price moves against it."""

    FIXED_BPS = 1
    ATR_SCALED = 2


class FeeAsset(IntEnum):
    """Values of `SYMBOL_PARAMS.fee_asset` below zero; from zero on it is an asset's id."""

    QUOTE = -1
    RECEIVED = -2


class RateVia(IntEnum):
    """How the oracle steps from one asset to the next on the way to the account currency."""

    NONE = 0
    ACCOUNT = 1
    OVERRIDE = 2
    SYMBOL = 3
    INVERSE = 4
