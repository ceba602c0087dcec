"""Records of the state, in two parts: the market and an account.

The market part depends on bars alone, never on an account. Units are those of `core/inputs.py`.
"""

from paperbot.core.fields import number, record, word

# ---- the market ---------------------------------------------------------------------------------------------------
MARKET = record(
    56,
    word("clock_ts", "Closing time of the last finished slice; no later event may be earlier."),
    word("slice_ts", "Closing time of the current slice."),
    word("slice_symbols", "Number of symbols in the current slice."),
    word("catching_up", "1 during a catch-up without new entries."),
    word("fault", "Fault: why the run stopped."),
    word("fault_symbol", "Id of the symbol where it stopped, or NOBODY."),
    word("fault_strategy", "Id of the strategy that failed, or NOBODY."),
)
"""Position in the stream of events: clock, slice and fault."""

SYMBOL = record(
    80,
    word("last_open", "Open of the last bar."),
    word("last_high", "High of the last bar."),
    word("last_low", "Low of the last bar."),
    word("last_close", "Close of the last bar, which is the mark; 0 before the first bar."),
    word("last_close_ts", "Closing time of the last bar."),
    word("bars", "Bars seen, warm-up included."),
    word("atr", "The ATR in whole price units; 0 while it warms up."),
    word("patterns", "Patterns in the last bar: sum of 1 << pattern."),
    word("oracle_close", "Close as of the last finished slice; the oracle uses it."),
    number("last_volume", "Volume of the last bar."),
)
"""The last bar of a symbol, and figures derived from its bars."""

FEATURE = record(
    64,
    word("count", "Bars seen."),
    word("at", "Next index in its ring."),
    number("value", "Its value; 0 while it warms up."),
    number("a", "A running figure; its meaning depends on the feature."),
    number("b", "A running figure."),
    number("c", "A running figure."),
    number("d", "A running figure."),
    number("e", "A running figure."),
)
"""A streaming feature of one symbol."""

CANDLES = record(
    208,
    word("count", "Bars seen."),
    word("open", "Open of the previous bar."),
    word("low", "Low of the previous bar."),
    word("close", "Close of the previous bar."),
    word("body_sum", "Sum of `bodies`."),
    word("range_sum", "Sum of `ranges`."),
    word("bodies", "Absolute bodies of the previous ten bars.", 10),
    word("ranges", "High - low of the previous ten bars.", 10),
)
"""A symbol's history for pattern recognition."""

# ---- an account ---------------------------------------------------------------------------------------------------
ACCOUNT = record(
    288,
    word("seq", "Number of output records so far."),
    word("next_order_id", "Id of the next order."),
    word("day_end_ts", "End of the current UTC day."),
    word("last_row_ts", "Time of the last ledger row."),
    word("next_row_ts", "Time at which `ledger.every` asks for the next row."),
    word("equity", "Equity at the end of the last slice."),
    word("start_equity", "First equity that could be computed."),
    word("day_reference", "Equity from which the day's loss is measured."),
    word("day_floor", "Equity at or below which the day's loss trips the kill switch."),
    word("peak", "Highest equity of the run."),
    word("risk_peak", "Highest equity since the last RESUME, from which the drawdown rule measures."),
    word("peak_floor", "Equity at or below which the drawdown trips the kill switch."),
    word("trough", "Lowest equity since the peak."),
    word("max_drawdown_ppb", "Largest drawdown, as a share of its peak."),
    word("realized", "Realized profit in the account's currency, before fees."),
    word("unrealized", "Unrealized profit in the account's currency."),
    word("fees", "Fees in the account's currency."),
    word("gross", "Value of all positions."),
    word("slices", "Number of slices."),
    word("exposed_slices", "Number of slices at whose end a position was open."),
    word("trips", "How often the kill switch has tripped."),
    word("rate_next", "Index of the next entry in `rate_ts`."),
    word("rate_count", "Number of entries in `rate_ts`."),
    word("open_orders", "Number of open orders, protective pairs included."),
    word("reserved_orders", "Slots reserved for protective orders that are not placed yet."),
    word("free_slot", "First free slot of `orders`, or NOBODY."),
    word("halted", "HaltReason while the kill switch is tripped, else 0."),
    word("valued", "1: every holding has a price."),
    word("started", "1: the opening row is written."),
    word("row_due", "1: a ledger row is due at the end of the slice."),
    word("entry_orders", "Number of open entries."),
    word("exit_orders", "Number of open exits."),
    word("holdings", "Number of positions with any quantity."),
    word("idle_value", "Last computed value of balances outside positions."),
    word("idle_state", "IdleState: how long `idle_value` stays valid."),
    word("arrivals", "1: some asset has an `arriving` amount."),
)
"""An account: its figures, counts and flags."""

CHAIN = record(
    24,
    word("head", "Slot of the open order with the lowest id, or NOBODY."),
    word("tail", "Slot of the open order with the highest id, or NOBODY."),
    word("orders", "Number of open orders."),
)
"""The list of an account's open orders of a symbol, by ascending id."""

ASSET = record(
    56,
    word("free", "Amount that can be spent."),
    word("locked", "Amount reserved by open buys or held in positions."),
    word("opening", "Opening balance."),
    word("venue", "Net amount received from fills."),
    word("fees", "Fees paid."),
    word("held", "Part of `locked` that belongs to positions."),
    word("arriving", "Part of `locked` that becomes free at the end of the slice."),
)
"""The double-entry balance of an asset: opening + venue - fees = free + locked."""

POSITION = record(
    80,
    word("quantity", "Quantity held, in the base."),
    word("cost", "Cost of the quantity, in the quote."),
    word("realized", "Realized profit in the quote, before fees."),
    word("fees", "Fees, in the quote."),
    word("cooldown_until", "Bar number before which no new entry is allowed."),
    word("target", "The strategy's last Target."),
    word("dust", "1: the position was too small to sell; while it still is, it counts as flat."),
    word("entries", "Number of open entries."),
    word("exits", "Number of open exits."),
    word("exit_due", "Role of a due exit, or 0."),
)
"""The position of one strategy in one symbol."""

ORDER = record(
    200,
    word("id", "Id of the order; 0: the slot is free."),
    word("parent", "Id of the entry that a protective leg belongs to, or 0."),
    word("created_ts", "Time at which it was made."),
    word("expires_ts", "End of a GTD order, else 0."),
    word("quantity", "Total quantity, in the base."),
    word("filled", "Filled quantity."),
    word("limit_price", "Limit of a limit order, else 0."),
    word("stop_price", "Trigger price of a stop order, else 0."),
    word("locked", "Quote that a buy still locks; 0 for a sell."),
    word("stop_distance", "Distance of the protective stop of an entry, or 0."),
    word("target_distance", "Distance of the protective target of an entry, or 0."),
    word("bars", "Number of bars that it took part in."),
    word("fresh", "Quantity that a protective leg gained in the current bar."),
    word("previous", "Slot of the previous order in its chain, or NOBODY."),
    word("next", "Slot of the next order in its chain or of the next free slot, or NOBODY."),
    word("stop_slot", "Slot of its protective stop, or NOBODY."),
    word("target_slot", "Slot of its protective target, or NOBODY."),
    word("parent_slot", "Slot of the entry that it protects, or NOBODY."),
    word("symbol", "Id of the symbol."),
    word("strategy", "Id of the strategy."),
    word("flags", "OrderFlag."),
    word("side", "Side."),
    word("order_type", "OrderType."),
    word("time_in_force", "TimeInForce."),
    word("role", "Role."),
)
"""An open order."""
