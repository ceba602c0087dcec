"""Records of the state, in its two parts: what the market says, and what an account has.

The market part follows from bars alone and never from an account. Everything else belongs to an account. Units are
those of `core/inputs.py`.
"""

from paperbot.core.fields import number, record, word

# ---- the market ---------------------------------------------------------------------------------------------------
MARKET = record(
    56,
    word("clock_ts", "Close of the last finished slice; no input may carry an earlier time."),
    word("slice_ts", "Close of the slice at hand."),
    word("slice_symbols", "Symbols in the slice at hand."),
    word("catching_up", "1 while the bars are ones that a session missed."),
    word("fault", "Fault: why the run stopped."),
    word("fault_symbol", "Id of the symbol where it stopped, or NOBODY."),
    word("fault_strategy", "Id of the strategy that failed, or NOBODY."),
)
"""Where the stream of events stands."""

SYMBOL = record(
    80,
    word("last_open", "Open of the last bar."),
    word("last_high", "Its high."),
    word("last_low", "Its low."),
    word("last_close", "Its close, which is the mark; 0 before the first bar."),
    word("last_close_ts", "When it closed."),
    word("bars", "Bars seen, warm-up included."),
    word("atr", "The ATR in whole price units; 0 while it warms up."),
    word("patterns", "Patterns in the last bar: sum of 1 << pattern."),
    word("oracle_close", "Close at the end of the last slice, at which the oracle converts."),
    number("last_volume", "Volume of the last bar."),
)
"""What the market last said of a symbol."""

FEATURE = record(
    64,
    word("count", "Bars that it has seen."),
    word("at", "Place in its ring."),
    number("value", "Its value; 0 while it warms up."),
    number("a", "A running figure; which one depends on the feature."),
    number("b", "A running figure."),
    number("c", "A running figure."),
    number("d", "A running figure."),
    number("e", "A running figure."),
)
"""A streaming feature of one symbol."""

CANDLES = record(
    208,
    word("count", "Bars that it has seen."),
    word("open", "Open of the bar before."),
    word("low", "Low of the bar before."),
    word("close", "Close of the bar before."),
    word("body_sum", "Sum of `bodies`."),
    word("range_sum", "Sum of `ranges`."),
    word("bodies", "Absolute bodies of the ten bars before.", 10),
    word("ranges", "High less low of the ten bars before.", 10),
)
"""What pattern recognition remembers of a symbol."""

# ---- an account ---------------------------------------------------------------------------------------------------
ACCOUNT = record(
    288,
    word("seq", "Output records so far."),
    word("next_order_id", "Id of the next order."),
    word("day_end_ts", "End of the UTC day at hand."),
    word("last_row_ts", "Time of the last ledger row."),
    word("next_row_ts", "Time from which on the cadence asks for the next one."),
    word("equity", "Value of everything, at the end of the last slice."),
    word("start_equity", "The first equity that could be valued."),
    word("day_reference", "Equity that the day's loss is measured from."),
    word("day_floor", "Equity at or below which the day's loss trips the kill switch."),
    word("peak", "Highest equity of the run."),
    word("risk_peak", "Highest equity since a RESUME, from which the drawdown rule measures."),
    word("peak_floor", "Equity at or below which the drawdown trips the kill switch."),
    word("trough", "Lowest equity since the peak."),
    word("max_drawdown_ppb", "Largest fall from a peak, as a share of it."),
    word("realized", "Realized profit in the account's currency, before fees."),
    word("unrealized", "Unrealized profit in the account's currency."),
    word("fees", "Fees in the account's currency."),
    word("gross", "Value of all positions."),
    word("slices", "Slices that counted."),
    word("exposed_slices", "Of those, the ones at whose end a position was open."),
    word("trips", "How often the kill switch has tripped."),
    word("rate_next", "Place of the next entry in `rate_ts`."),
    word("rate_count", "Entries in `rate_ts`."),
    word("open_orders", "Open orders, protective pairs included."),
    word("reserved_orders", "Room kept for protective pairs that may still come."),
    word("free_slot", "First free slot of `orders`, or NOBODY."),
    word("halted", "HaltReason while the kill switch is tripped, else 0."),
    word("valued", "1: everything held has a price."),
    word("started", "1: the books are open."),
    word("row_due", "1: something happened that asks for a ledger row."),
    word("entry_orders", "Open entries."),
    word("exit_orders", "Open exits."),
    word("holdings", "Positions with any quantity."),
    word("idle_value", "Value of what no position holds, as last found."),
    word("idle_state", "IdleState: how long `idle_value` stands."),
    word("arrivals", "1: something has arrived in this slice (see `ASSET`)."),
)
"""One account: its figures, counts and switches."""

CHAIN = record(
    24,
    word("head", "Slot of the open order with the lowest id, or NOBODY."),
    word("tail", "Slot of the one with the highest id, or NOBODY."),
    word("orders", "How many there are."),
)
"""An account's open orders of a symbol, by ascending id."""

ASSET = record(
    56,
    word("free", "What can be spent."),
    word("locked", "What open orders and positions hold."),
    word("opening", "What the account began with."),
    word("venue", "What fills brought in, less what they took out."),
    word("fees", "What the venue kept."),
    word("held", "Of `locked`: what belongs to strategies' positions."),
    word("arriving", "Of `locked`: what becomes free at the end of the slice."),
)
"""The double entry of one asset: opening + venue - fees = free + locked."""

POSITION = record(
    80,
    word("quantity", "What is held, in the base."),
    word("cost", "What it cost, in the quote."),
    word("realized", "Realized profit in the quote, before fees."),
    word("fees", "Fees, in the quote."),
    word("cooldown_until", "Number of the bar before which no entry is allowed."),
    word("target", "Target: what the strategy last wanted."),
    word("dust", "Quantity that is too small to sell and counts as flat."),
    word("entries", "Open entries."),
    word("exits", "Open exits."),
    word("exit_due", "Role of an exit that is to be sent again, or 0."),
)
"""What one strategy holds of one symbol."""

ORDER = record(
    200,
    word("id", "Its id; 0: the slot is free."),
    word("parent", "Id of the entry that a protective leg belongs to, or 0."),
    word("created_ts", "When it was made."),
    word("expires_ts", "End of a GTD order, else 0."),
    word("quantity", "Total quantity, in the base."),
    word("filled", "What of it is filled."),
    word("limit_price", "Of a limit order, else 0."),
    word("stop_price", "Of a stop order, else 0."),
    word("locked", "What it still locks: the quote of a buy, 0 for a sell."),
    word("stop_distance", "Distance of the protective stop that its fill brings, or 0."),
    word("target_distance", "Distance of the protective target that its fill brings, or 0."),
    word("bars", "Bars that it took part in."),
    word("fresh", "What a protective target gained in the bar at hand."),
    word("previous", "Slot of the order before it in its chain, or NOBODY."),
    word("next", "Slot of the order behind it, or of the next free slot, or NOBODY."),
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
