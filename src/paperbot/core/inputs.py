"""Records that go into the core: events, and the parameters of a run.

Units: `*_ts` and `*_ns` are nanoseconds UTC; prices are in price units (10^-price_decimals of the quote); money is in
the minor unit of its asset; `*_ppb` are parts per 10^9.
"""

from paperbot.core.fields import byte, fillers, half, number, record, short, word

FRAME_HEAD, FRAME_FEATURES = 7, 8
FRAME_ANSWER = FRAME_HEAD + FRAME_FEATURES
FRAME_SIZE = FRAME_ANSWER + 1
"""What a compiled strategy is called with, in float64 words: head, features, and room for its answer."""

# ---- events -------------------------------------------------------------------------------------------------------
EVENT_BYTES = 64

_TAIL = (
    short("symbol", "Id of the symbol."),
    byte("kind", "EventKind."),
    byte("flags", "BarFlag or OrderFlag, by kind."),
)

BAR_EVENT = record(
    EVENT_BYTES,
    word("open_ts", "When the bar opens."),
    word("close_ts", "When it closes; bars with one close are a slice."),
    word("open", "First price."),
    word("high", "Highest price."),
    word("low", "Lowest price."),
    word("close", "Last price."),
    number("volume", "As the venue counts it, in the base or in the quote."),
    *_TAIL,
    half("filler", "Unused."),
)
"""A final bar."""

ORDER_EVENT = record(
    EVENT_BYTES,
    word("ts", "When it was sent."),
    word("quantity", "How much of the base."),
    word("limit_price", "Of a limit order, else 0."),
    word("stop_price", "Of a stop order, else 0."),
    word("expires_ts", "End of a GTD order, else 0."),
    word("stop_distance", "From the first fill's price to the protective stop; 0: none."),
    word("target_distance", "From the first fill's price to the protective target; 0: none."),
    *_TAIL,
    byte("strategy", "Id of the strategy that it is for."),
    byte("side", "Side."),
    byte("order_type", "OrderType."),
    byte("time_in_force", "TimeInForce."),
)
"""A user's order."""

SIGNAL_EVENT = record(
    EVENT_BYTES,
    word("ts", "When it was given."),
    word("strength_ppb", "Between 0 and 10^9."),
    word("max_quantity", "The most that an entry may buy; 0: what the sizing rule allows."),
    *fillers(0, 4),
    *_TAIL,
    byte("strategy", "Id of the strategy that it is for."),
    byte("target", "Target."),
    short("filler_4", "Unused."),
)
"""A target from outside the core."""

CONTROL_EVENT = record(
    EVENT_BYTES,
    word("ts", "When it was given."),
    word("order_id", "CANCEL: which order."),
    word("reason", "HALT: HaltReason."),
    *fillers(0, 4),
    *_TAIL,
    half("filler_4", "Unused."),
)
"""CANCEL, HALT, RESUME and END."""

# ---- parameters ---------------------------------------------------------------------------------------------------
SYMBOL_PARAMS = record(
    200,
    word("tick", "Order prices are multiples of it."),
    word("step", "Order quantities are multiples of it."),
    word("min_notional", "Smallest value of an order, in the quote."),
    word("scale", "10^(base decimals + price decimals - quote decimals): quote = quantity * price / scale."),
    word("timeframe_ns", "Length of a bar."),
    word("stale_ns", "Age of the last bar from which on entries are refused; 0: never."),
    word("latency_ns", "Time from sending an order until it can take part in a bar."),
    word("fixed_quote", "Value of an entry under the sizing rule FIXED_QUOTE."),
    word("min_quantity", "Smallest quantity of an order."),
    word("max_quantity", "Largest quantity of an order."),
    word("max_market_quantity", "Largest quantity of a market order."),
    word("maker_ppb", "Fee of a maker, as a share of the notional."),
    word("taker_ppb", "Fee of a taker, as a share of the notional."),
    word("slippage_ppb", "How far a taker's price moves against it under FIXED_BPS."),
    word("atr_slippage_ppb", "The same under ATR_SCALED, for an ATR of the whole price."),
    word("liquidity_ppb", "Share of a bar's volume that all orders of the symbol may take together."),
    number("price_unit", "10^price_decimals."),
    number("base_unit", "10^decimals of the base."),
    number("quote_unit", "10^decimals of the quote."),
    word("base", "Id of the asset that is traded."),
    word("quote", "Id of the asset that it is traded for."),
    word("fee_asset", "Id of the asset that pays fees, or FeeAsset."),
    word("volume_in_quote", "1: volumes count the quote."),
    word("slippage_model", "SlippageModel."),
    word("touch_fills", "1: a resting limit order fills when a price only touches it."),
)
"""Instrument rules and execution assumptions of a symbol."""

ASSET_PARAMS = record(
    40,
    word("rate_num", "Of an override: amount in `next` = amount * rate_num / rate_den."),
    word("rate_den", "See `rate_num`."),
    word("via", "RateVia."),
    word("symbol", "Id of the symbol whose close is the rate."),
    word("next", "Id of the asset that the step leads to."),
)
"""An asset's first step towards the account's currency."""

STRATEGY_PARAMS = record(
    248,
    word("kind", "StrategyKind."),
    word("needs", "Bars until all its features count."),
    word("scratch", "Words of memory that a compiled strategy has for each symbol."),
    word("address", "Where a compiled strategy's code lies in this process."),
    word("scratch_at", "Where its memory starts."),
    word("enter_mask", "Patterns that it buys on: sum of 1 << pattern."),
    word("leave_mask", "Patterns that it sells on."),
    word("feature", "Slots of its features in the feature table, or NOBODY.", 8),
    number("value", "Its numbers: thresholds, or a user's PARAMS.", 16),
)
"""A strategy's kind, features and numbers."""

FEATURE_PARAMS = record(
    40,
    word("kind", "FeatureKind."),
    word("window", "How many bars it looks at."),
    word("ring", "Where its ring buffer starts within a symbol's block."),
    word("source", "Slot of the feature that it reads, or NOBODY."),
    word("needs", "Bars until its value counts."),
)
"""A slot of the feature table, which every symbol has."""

RISK_PARAMS = record(
    232,
    word("risk_ppb", "Share of the equity that an entry may lose at its stop (sizing ATR)."),
    word("atr_stop_ppb", "Distance of the protective stop, in ATRs."),
    word("atr_target_ppb", "Distance of the protective target, in ATRs; 0: none."),
    word("fraction_ppb", "Share of the equity that an entry buys for (sizing FIXED_FRACTION)."),
    word("max_position_ppb", "Largest value of a symbol's position, as a share of the equity."),
    word("gross_ppb", "Largest value of all positions, as a share of the equity."),
    word("max_open_positions", "Most positions at a time."),
    word("max_open_orders", "Most open orders at a time."),
    word("collar_ppb", "Largest distance of an order's price from the last close."),
    word("rate_orders", "Most orders within `rate_window_ns`."),
    word("rate_window_ns", "See `rate_orders`."),
    word("cooldown_bars", "Bars without an entry after a stop."),
    word("entry_timeout_bars", "Bars after which an open entry is given up; 0: never."),
    word("daily_loss_ppb", "Loss of a UTC day that trips the kill switch; 0: never."),
    word("max_drawdown_ppb", "Drawdown that trips the kill switch; 0: never."),
    word("funds_margin_ppb", "What a market buy locks beyond its value at the last close."),
    word("ledger_every_ns", "How often a ledger row is written when nothing happens."),
    word("account_asset", "Id of the account's currency."),
    word("order_capacity", "Room for open orders."),
    word("n_symbols", "Number of symbols."),
    word("n_strategies", "Number of strategies."),
    word("n_features", "Number of features of each symbol."),
    word("sizing", "Sizing."),
    word("attach_stop", "1: entries get a protective stop."),
    word("flatten_on_trip", "1: a halt closes all positions."),
    word("atr_feature", "Slot of the ATR, or NOBODY."),
    word("rsi_feature", "Slot of the RSI that patterns report, or NOBODY."),
    word("ring_size", "Words of ring buffers of each symbol."),
    word("pattern_mask", "Patterns that are looked for: sum of 1 << pattern."),
)
"""Settings of the whole account: sizing, caps, the kill switch, cadence, counts."""
