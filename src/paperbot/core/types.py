"""Every record and code of the core, in one place.

Inside the core a symbol, an asset, a side or a reason is a small integer; names exist only at the edges. Records are
NumPy structured types without implicit padding: a gap between fields would hold different garbage in each process and
break the comparison of state by bytes. `record` refuses a gap at import.

Units: `*_ts` and `*_ns` are int64 nanoseconds UTC; prices are int64 in the symbol's price unit (10^-price_decimals of
the quote); money is int64 in the minor unit of its asset; `*_ppb` are parts per 10^9.
"""

from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np

from paperbot.core.records import record, words

World: TypeAlias = Any
"""What each function of the core is handed first; see `core/world.py`."""
Record: TypeAlias = Any
"""One record of a structured array, by reference: assigning to a field changes the array."""

Array: TypeAlias = Any
"""A one-dimensional array."""

PPB: Any = np.int64(1_000_000_000)
DAY_NS: Any = np.int64(86_400_000_000_000)
NOBODY: Any = np.int64(-1)
"""An index that points at nothing: no slot, no symbol, no asset."""


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
    """Why an order was blocked (in the gate's order of precedence), and how an order ended."""

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
    # Further format rules; `docs/fills.md` §2 has the order of all.
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


def _tagged(dtype_words: int, *extra: tuple[str, str]) -> np.dtype[np.void]:
    """An output record: the common head, `extra` fields, and a filler up to 160 bytes."""
    head = [("seq", "<i8"), ("ts", "<i8"), ("kind", "<i2"), ("symbol", "<i2"), ("strategy", "<i2"), ("code", "<i2")]
    filler = [(f"filler_{k}", "<i8") for k in range(17 - dtype_words)]
    return record(160, *head, *extra, *filler)


FRAME_HEAD, FRAME_FEATURES = 7, 8
FRAME_ANSWER = FRAME_HEAD + FRAME_FEATURES
FRAME_SIZE = FRAME_ANSWER + 1
"""What a compiled strategy is called with, in float64 words: head, features, and room for its answer."""

# ---- events -------------------------------------------------------------------------------------------------------
EVENT_BYTES = 64
_TAIL = [("symbol", "<i2"), ("kind", "i1"), ("flags", "i1")]

BAR_EVENT = record(
    EVENT_BYTES,
    *words("open_ts", "close_ts", "open", "high", "low", "close"),
    ("volume", "<f8"),
    *_TAIL,
    ("filler", "<i4"),
)
"""A final bar: prices in price units, volume as the venue said it (base or quote)."""

ORDER_EVENT = record(
    EVENT_BYTES,
    *words("ts", "quantity", "limit_price", "stop_price", "expires_ts", "stop_distance", "target_distance"),
    *_TAIL,
    ("strategy", "i1"),
    ("side", "i1"),
    ("order_type", "i1"),
    ("time_in_force", "i1"),
)
"""A user's order. Distances of the protective pair count from the first fill's price; 0 means none."""

SIGNAL_EVENT = record(
    EVENT_BYTES,
    *words("ts", "strength_ppb", "max_quantity", "filler_0", "filler_1", "filler_2", "filler_3"),
    *_TAIL,
    ("strategy", "i1"),
    ("target", "i1"),
    ("filler_4", "<i2"),
)
"""A target from outside the core. `max_quantity`: the most that an entry may buy; 0: what the sizing rule allows."""

CONTROL_EVENT = record(
    EVENT_BYTES,
    *words("ts", "order_id", "reason", "filler_0", "filler_1", "filler_2", "filler_3"),
    *_TAIL,
    ("filler_4", "<i4"),
)
"""CANCEL (`order_id`), HALT (`reason`) and RESUME."""

# ---- parameters ---------------------------------------------------------------------------------------------------
SYMBOL_PARAMS = record(
    200,
    *words("tick", "step", "min_notional", "scale", "timeframe_ns", "stale_ns", "latency_ns", "fixed_quote"),
    *words("min_quantity", "max_quantity", "max_market_quantity"),
    *words("maker_ppb", "taker_ppb", "slippage_ppb", "atr_slippage_ppb", "liquidity_ppb"),
    ("price_unit", "<f8"),
    ("base_unit", "<f8"),
    ("quote_unit", "<f8"),
    ("base", "<i8"),
    ("quote", "<i8"),
    ("fee_asset", "<i8"),
    ("volume_in_quote", "<i8"),
    ("slippage_model", "<i8"),
    ("touch_fills", "<i8"),
)
"""`scale` = 10^(base decimals + price decimals - quote decimals): quote minor = quantity * price / scale.
`price_unit`, `base_unit`, `quote_unit` are 10^decimals as float64. `atr_slippage_ppb` = base_bps * atr_slip_mult."""

ASSET_PARAMS = record(40, *words("rate_num", "rate_den"), ("via", "<i8"), ("symbol", "<i8"), ("next", "<i8"))
"""One oracle step: amount in `next` = amount * rate (override: rate_num / rate_den; symbol: its last close)."""

STRATEGY_PARAMS = record(
    248,
    *words("kind", "needs", "scratch", "address", "scratch_at", "enter_mask", "leave_mask"),
    ("feature", "<i8", 8),
    ("value", "<f8", 16),
)
"""`feature`: slots in the feature table; `needs`: bars until all of them count; `value`: the strategy's numbers; masks:
sums of 1 << pattern; `address`: a compiled strategy's code; `scratch`, `scratch_at`: size of its memory for each
symbol, and where it starts."""

FEATURE_PARAMS = record(40, ("kind", "<i8"), ("window", "<i8"), ("ring", "<i8"), ("source", "<i8"), ("needs", "<i8"))
"""`ring`: offset of its ring buffer within a symbol's block; `source`: slot of the feature it reads, or NOBODY;
`needs`: bars until its value counts."""

RISK_PARAMS = record(
    232,
    *words("risk_ppb", "atr_stop_ppb", "atr_target_ppb", "fraction_ppb", "max_position_ppb", "gross_ppb"),
    *words("max_open_positions", "max_open_orders", "collar_ppb", "rate_orders", "rate_window_ns", "cooldown_bars"),
    *words("entry_timeout_bars", "daily_loss_ppb", "max_drawdown_ppb", "funds_margin_ppb", "ledger_every_ns"),
    *words("account_asset", "order_capacity", "n_symbols", "n_strategies", "n_features"),
    ("sizing", "<i8"),
    ("attach_stop", "<i8"),
    ("flatten_on_trip", "<i8"),
    ("atr_feature", "<i8"),
    ("rsi_feature", "<i8"),
    ("ring_size", "<i8"),
    ("pattern_mask", "<i8"),
)
"""Settings of the whole account: sizing, caps, the kill switch, cadence, counts. `*_feature`: a slot or NOBODY."""

# ---- state --------------------------------------------------------------------------------------------------------
ACCOUNT = record(
    344,
    *words("seq", "next_order_id", "clock_ts", "slice_ts", "day_end_ts", "last_row_ts", "next_row_ts"),
    *words("equity", "start_equity", "day_reference", "day_floor", "peak", "risk_peak", "peak_floor", "trough"),
    *words("max_drawdown_ppb", "realized", "unrealized", "fees", "gross"),
    *words("slices", "exposed_slices", "trips", "rate_next", "rate_count"),
    ("open_orders", "<i8"),
    ("reserved_orders", "<i8"),
    ("free_slot", "<i8"),
    ("slice_symbols", "<i8"),
    ("halted", "<i8"),
    ("catching_up", "<i8"),
    ("valued", "<i8"),
    ("started", "<i8"),
    ("row_due", "<i8"),
    ("fault", "<i8"),
    ("fault_symbol", "<i8"),
    ("fault_strategy", "<i8"),
    ("entry_orders", "<i8"),
    ("exit_orders", "<i8"),
    ("holdings", "<i8"),
    ("idle_value", "<i8"),
    ("idle_state", "<i8"),
    ("arrivals", "<i8"),
)
"""`peak` and `trough`: of the whole run; `risk_peak`: the highest equity since a RESUME, which `max_drawdown` measures
from. `holdings`: positions with any quantity. `idle_value`: what no position holds, as last valued; `idle_state` says
how long that stands (see `IdleState`). `arrivals`: whether anything has arrived in this slice (see `ASSET`)."""

ASSET = record(56, *words("free", "locked", "opening", "venue", "fees", "held", "arriving"))
"""The double entry of one asset: opening + venue - fees = free + locked, where `venue` is what fills brought in and
took out, `fees` what the venue kept. Of `locked`, `held` belongs to strategies' positions and `arriving` becomes free
at the end of the slice."""

SYMBOL = record(
    104,
    *words("last_open", "last_high", "last_low", "last_close", "last_close_ts", "bars", "atr", "patterns"),
    ("oracle_close", "<i8"),
    ("last_volume", "<f8"),
    ("head", "<i8"),
    ("tail", "<i8"),
    ("orders", "<i8"),
)
"""What the core knows of a symbol: its last bar, its close at the last slice's end (what the oracle sees), the bars
seen, the ATR in whole price units (0 while warming up), the last bar's patterns, its open orders by ascending id."""

POSITION = record(
    80,
    *words("quantity", "cost", "realized", "fees", "cooldown_until", "target", "dust", "entries", "exits", "exit_due"),
)
"""One strategy's holding of one symbol. Cost, realized and fees are in the quote's minor unit; `realized` is gross of
`fees`. `entries` and `exits` count its open orders. `exit_due`: the role of an exit to be sent again, or 0."""

ORDER = record(
    200,
    *words("id", "parent", "created_ts", "expires_ts", "quantity", "filled", "limit_price", "stop_price"),
    *words("locked", "stop_distance", "target_distance", "bars", "fresh"),
    ("previous", "<i8"),
    ("next", "<i8"),
    ("stop_slot", "<i8"),
    ("target_slot", "<i8"),
    ("parent_slot", "<i8"),
    ("symbol", "<i8"),
    ("strategy", "<i8"),
    ("flags", "<i8"),
    ("side", "<i8"),
    ("order_type", "<i8"),
    ("time_in_force", "<i8"),
    ("role", "<i8"),
)
"""`bars`: bars that it took part in; `fresh`: what a protective target gained in the bar at hand."""

FEATURE = record(64, ("count", "<i8"), ("at", "<i8"), *[(name, "<f8") for name in ("value", "a", "b", "c", "d", "e")])

_TEN_BARS = [("bodies", "<i8", 10), ("ranges", "<i8", 10)]
CANDLES = record(208, *words("count", "open", "low", "close", "body_sum", "range_sum"), *_TEN_BARS)
"""What pattern recognition remembers of a symbol: the bar before, and bodies and ranges of the ten bars before."""

# ---- outputs ------------------------------------------------------------------------------------------------------
OUTPUT_BYTES = 160

OUT_HEAD = _tagged(0)

OUT_SIGNAL = _tagged(
    7,
    *words("strength_ppb", "target", "atr", "close"),
    ("value_0", "<f8"),
    ("value_1", "<f8"),
    ("value_2", "<f8"),
)
"""`atr`: whole price units, 0 while warming up. `value_*`: the features that the strategy looked at."""

OUT_ORDER = _tagged(
    12,
    *words("order_id", "parent", "quantity", "limit_price", "stop_price", "expires_ts", "locked"),
    *words("stop_distance", "target_distance", "atr"),
    ("side", "<i2"),
    ("order_type", "<i2"),
    ("time_in_force", "<i2"),
    ("role", "<i2"),
    ("flags", "<i8"),
)
"""An order that the gate accepted (`ORDER`) or refused (`BLOCKED`, `code` says why, `order_id` is 0)."""

OUT_FILL = _tagged(
    17,
    *words("order_id", "parent", "quantity", "price", "reference", "notional", "fee_quote", "fee", "fee_account"),
    *words("realized", "realized_account", "position", "cost", "remaining", "atr"),
    ("side", "<i2"),
    ("liquidity", "<i2"),
    ("fee_asset", "<i2"),
    ("role", "<i2"),
    ("open_ts", "<i8"),
)
"""`reference`: the price before slippage. `realized` is gross of the fee. `position` and `cost`: after the fill."""

OUT_ORDER_END = _tagged(5, *words("order_id", "quantity", "filled", "released", "parent"))
"""`ORDER_CHANGE`: a new total quantity. `ORDER_END`: `code` says how it ended."""

OUT_LEDGER = _tagged(
    12,
    *words("equity", "peak", "drawdown_ppb", "realized", "unrealized", "fees", "fx_revaluation", "gross"),
    *words("day_reference", "open_positions", "open_orders", "valued"),
)
"""`code` is 1 on the first row. Equity and what follows it are void while `valued` is 0."""

OUT_HALT = _tagged(4, *words("reason", "equity", "reference", "trips"))
OUT_PATTERN = _tagged(5, *words("pattern", "direction", "close", "rsi_ready"), ("rsi", "<f8"))
"""`direction`: 1 bullish, -1 bearish, 0 neither. `rsi` is void while `rsi_ready` is 0."""
