"""Records that go into the core: events, and the parameters of a run.

Units: `*_ts` and `*_ns` are nanoseconds UTC; prices are in price units (10^-price_decimals of the quote); money is in
the minor unit of its asset; `*_ppb` are parts per 10^9.
"""

from paperbot.core.fields import byte, fillers, half, number, record, short, word

FRAME_BAR, FRAME_HELD, FRAME_TARGET, FRAME_HEAD = 5, 5, 6, 7
"""A frame begins with the bar (open, high, low, close, volume), what is held, and the target; features follow."""
FRAME_FEATURES = 8
FRAME_ANSWER = FRAME_HEAD + FRAME_FEATURES
FRAME_SIZE = FRAME_ANSWER + 1
"""Size of a compiled strategy's frame, in float64 words: head, features, and its answer."""

# ---- events -------------------------------------------------------------------------------------------------------
EVENT_BYTES = 64

_TAIL = (
    short("symbol", "Id of the symbol."),
    byte("kind", "EventKind."),
    byte("flags", "BarFlag or OrderFlag, by kind."),
)

BAR_EVENT = record(
    EVENT_BYTES,
    word("open_ts", "Opening time."),
    word("close_ts", "Closing time; bars with the same closing time form a slice."),
    word("open", "First price."),
    word("high", "Highest price."),
    word("low", "Lowest price."),
    word("close", "Last price."),
    number("volume", "Volume, in the base or in the quote (`volume_in_quote`)."),
    *_TAIL,
    half("filler", "Unused."),
)
"""A final bar."""

ORDER_EVENT = record(
    EVENT_BYTES,
    word("ts", "Time of sending."),
    word("quantity", "Quantity, in the base."),
    word("limit_price", "Limit of a limit order, else 0."),
    word("stop_price", "Trigger price of a stop order, else 0."),
    word("expires_ts", "End of a GTD order, else 0."),
    word("stop_distance", "Distance from the first fill's price to the protective stop; 0: none."),
    word("target_distance", "Distance from the first fill's price to the protective target; 0: none."),
    *_TAIL,
    byte("strategy", "Id of the strategy."),
    byte("side", "Side."),
    byte("order_type", "OrderType."),
    byte("time_in_force", "TimeInForce."),
)
"""A user's order."""

SIGNAL_EVENT = record(
    EVENT_BYTES,
    word("ts", "Time of the event."),
    word("strength_ppb", "Strength, 0 to 10^9."),
    word("max_quantity", "Largest quantity of an entry; 0: only the sizing rule applies."),
    *fillers(0, 4),
    *_TAIL,
    byte("strategy", "Id of the strategy."),
    byte("target", "Target."),
    short("filler_4", "Unused."),
)
"""A target from outside the core."""

CONTROL_EVENT = record(
    EVENT_BYTES,
    word("ts", "Time of the event."),
    word("order_id", "CANCEL: id of the order."),
    word("reason", "HALT: HaltReason."),
    *fillers(0, 4),
    *_TAIL,
    half("filler_4", "Unused."),
)
"""CANCEL, HALT, RESUME and END."""

# ---- parameters ---------------------------------------------------------------------------------------------------
SYMBOL_PARAMS = record(
    200,
    word("tick", "Order prices are multiples of this."),
    word("step", "Order quantities are multiples of this."),
    word("min_notional", "Smallest value of an order, in the quote."),
    word("scale", "10^(base decimals + price decimals - quote decimals): quote = quantity * price / scale."),
    word("timeframe_ns", "Length of a bar."),
    word("stale_ns", "Age of the last bar beyond which entries are refused; 0: never."),
    word("latency_ns", "Time from sending an order to the open of the first bar it can take part in."),
    word("fixed_quote", "Value of an entry under the sizing rule FIXED_QUOTE."),
    word("min_quantity", "Smallest quantity of an order."),
    word("max_quantity", "Largest quantity of an order."),
    word("max_market_quantity", "Largest quantity of a market order."),
    word("maker_ppb", "Fee of a maker, as a share of the notional."),
    word("taker_ppb", "Fee of a taker, as a share of the notional."),
    word("slippage_ppb", "Slippage under FIXED_BPS, as a share of the price."),
    word("atr_slippage_ppb", "Slippage under ATR_SCALED, as a share of the ATR."),
    word("liquidity_ppb", "Share of a bar's volume that all orders of the symbol together may take."),
    number("price_unit", "10^price_decimals."),
    number("base_unit", "10^decimals of the base."),
    number("quote_unit", "10^decimals of the quote."),
    word("base", "Asset id of the base."),
    word("quote", "Asset id of the quote."),
    word("fee_asset", "Id of the asset that pays fees, or FeeAsset."),
    word("volume_in_quote", "1: volumes are in the quote."),
    word("slippage_model", "SlippageModel."),
    word("touch_fills", "1: a resting limit order fills when the price only touches its limit."),
)
"""Instrument rules and execution assumptions of a symbol."""

ASSET_PARAMS = record(
    40,
    word("rate_num", "Rate of an override: amount in `next` = amount * rate_num / rate_den."),
    word("rate_den", "See `rate_num`."),
    word("via", "RateVia."),
    word("symbol", "Id of the symbol whose close is the rate."),
    word("next", "Id of the asset that it converts to."),
)
"""An asset's first conversion on its path to the account currency."""

STRATEGY_PARAMS = record(
    248,
    word("kind", "StrategyKind."),
    word("needs", "Bars until all its features count."),
    word("scratch", "Words of memory of a compiled strategy for each symbol."),
    word("address", "Address of a compiled strategy's code in this process."),
    word("scratch_at", "Index of its first word in `scratch`."),
    word("enter_mask", "Patterns that it buys on: sum of 1 << pattern."),
    word("leave_mask", "Patterns that it sells on."),
    word("feature", "Slots of its features in the feature table, or NOBODY.", 8),
    number("value", "Its thresholds, or a user's PARAMS.", 16),
)
"""A strategy's kind, features and parameters."""

FEATURE_PARAMS = record(
    40,
    word("kind", "FeatureKind."),
    word("window", "Window, in bars."),
    word("ring", "Start of its ring within a symbol's block of rings."),
    word("source", "Slot of the feature that it reads, or NOBODY."),
    word("needs", "Bars until its value counts."),
)
"""A slot of the feature table, which all symbols share."""

RISK_PARAMS = record(
    232,
    word("risk_ppb", "Share of equity that an entry may lose at its stop (sizing ATR)."),
    word("atr_stop_ppb", "Distance of the protective stop, in ATRs."),
    word("atr_target_ppb", "Distance of the protective target, in ATRs; 0: none."),
    word("fraction_ppb", "Value of an entry, as a share of equity (sizing FIXED_FRACTION)."),
    word("max_position_ppb", "Largest value held in one symbol, as a share of equity."),
    word("gross_ppb", "Largest value of all positions, as a share of equity."),
    word("max_open_positions", "Most positions at a time."),
    word("max_open_orders", "Most open entries at a time."),
    word("collar_ppb", "Largest distance of an order's price from the last close."),
    word("rate_orders", "Most orders within `rate_window_ns`."),
    word("rate_window_ns", "See `rate_orders`."),
    word("cooldown_bars", "Bars without a new entry after a stop."),
    word("entry_timeout_bars", "Bars after which an open entry ends; 0: never."),
    word("daily_loss_ppb", "Loss of a UTC day that trips the kill switch; 0: never."),
    word("max_drawdown_ppb", "Drawdown that trips the kill switch; 0: never."),
    word("funds_margin_ppb", "Extra amount that a buy locks, as a share of its value at the last close."),
    word("ledger_every_ns", "Time between ledger rows when nothing happens."),
    word("account_asset", "Id of the account's currency."),
    word("order_capacity", "Room for open orders."),
    word("n_symbols", "Number of symbols."),
    word("n_strategies", "Number of strategies."),
    word("n_features", "Number of features of each symbol."),
    word("sizing", "Sizing."),
    word("attach_stop", "1: entries get a protective stop."),
    word("flatten_on_trip", "1: a halt closes all positions."),
    word("atr_feature", "Slot of the ATR, or NOBODY."),
    word("rsi_feature", "Slot of the RSI in pattern records, or NOBODY."),
    word("ring_size", "Words of rings of each symbol."),
    word("pattern_mask", "Patterns to detect: sum of 1 << pattern."),
)
"""Parameters of the whole account: sizing, limits, kill switch, ledger rows and counts."""
