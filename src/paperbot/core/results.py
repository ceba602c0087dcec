"""Output records of the core, 160 bytes each: a common head, then the fields of each kind.

Units are those of `core/inputs.py`. Unused words are 0.
"""

import numpy as np

from paperbot.core.fields import Field, fillers, number, record, short, word

OUTPUT_BYTES = 160
_WORDS = 17

_HEAD = (
    word("seq", "Sequence number, from 1."),
    word("ts", "Time of the decision."),
    short("kind", "OutputKind."),
    short("symbol", "Id of the symbol, or NOBODY."),
    short("strategy", "Id of the strategy, or NOBODY."),
    short("code", "Code; in a ledger row 1 for the opening row, else 0."),
)


def _tagged(*fields: Field) -> np.dtype[np.void]:
    """An output record: the head, its own fields, and unused words up to 160 bytes."""
    used = sum(np.dtype(field.kind).itemsize for field in fields) // 8
    return record(OUTPUT_BYTES, *_HEAD, *fields, *fillers(0, _WORDS - used))


OUT_HEAD = _tagged()

OUT_SIGNAL = _tagged(
    word("strength_ppb", "Strength, 0 to 10^9."),
    word("target", "Target."),
    word("atr", "The ATR in whole price units; 0 while it warms up."),
    word("close", "The symbol's last close."),
    number("value_0", "Value of the strategy's first feature."),
    number("value_1", "Value of its second feature."),
    number("value_2", "Value of its third feature."),
)
"""A changed target."""

OUT_ORDER = _tagged(
    word("order_id", "Id of the order; 0 if it was refused."),
    word("parent", "Id of the entry that it protects, or 0."),
    word("quantity", "Quantity, in the base."),
    word("limit_price", "Limit of a limit order, else 0."),
    word("stop_price", "Trigger price of a stop order, else 0."),
    word("expires_ts", "End of a GTD order, else 0."),
    word("locked", "Quote that it locks."),
    word("stop_distance", "Distance of its protective stop, or 0."),
    word("target_distance", "Distance of its protective target, or 0."),
    word("atr", "The ATR in whole price units; 0 while it warms up."),
    short("side", "Side."),
    short("order_type", "OrderType."),
    short("time_in_force", "TimeInForce."),
    short("role", "Role."),
    word("flags", "OrderFlag."),
)
"""An order that the gate accepted (`ORDER`) or refused (`BLOCKED`, with the reason in `code`)."""

OUT_FILL = _tagged(
    word("order_id", "Id of the order."),
    word("parent", "Id of the entry that it protects, or 0."),
    word("quantity", "Quantity, in the base."),
    word("price", "Price of the fill."),
    word("reference", "Reference price, before slippage."),
    word("notional", "Quantity * price, in the quote."),
    word("fee_quote", "The fee's value in the quote."),
    word("fee", "The fee, in the asset that paid it."),
    word("fee_account", "The fee's value in the account's currency."),
    word("realized", "Realized profit in the quote, before the fee."),
    word("realized_account", "Realized profit in the account's currency, before the fee."),
    word("position", "Quantity of the position after the fill."),
    word("cost", "Cost of the position after the fill, in the quote."),
    word("remaining", "Quantity of the order that is not filled yet."),
    word("atr", "The ATR in whole price units; 0 while it warms up."),
    short("side", "Side."),
    short("liquidity", "Liquidity."),
    short("fee_asset", "Id of the asset that paid the fee."),
    short("role", "Role."),
    word("open_ts", "Opening time of the bar that filled the order."),
)
"""A fill."""

OUT_ORDER_END = _tagged(
    word("order_id", "Id of the order."),
    word("quantity", "Total quantity; in an ORDER_CHANGE the new one."),
    word("filled", "Filled quantity."),
    word("released", "Quote that it released."),
    word("parent", "Id of the entry that it protects, or 0."),
)
"""A new total quantity (`ORDER_CHANGE`) or the end of an order (`ORDER_END`, with its end code in `code`)."""

OUT_LEDGER = _tagged(
    word("equity", "Equity; 0 while `valued` is 0, like every other value that needs prices."),
    word("peak", "Highest equity of the run."),
    word("drawdown_ppb", "Drawdown from the peak, as a share of it."),
    word("realized", "Realized profit, before fees."),
    word("unrealized", "Unrealized profit."),
    word("fees", "Fees."),
    word("fx_revaluation", "Change of equity from the rates of other assets."),
    word("gross", "Value of all positions."),
    word("day_reference", "Equity from which the day's loss is measured."),
    word("open_positions", "Number of positions that are not flat."),
    word("open_orders", "Number of open orders."),
    word("valued", "1: every holding has a price."),
)
"""A ledger row, in the account's currency."""

OUT_HALT = _tagged(
    word("reason", "HaltReason."),
    word("equity", "Equity at that time."),
    word("reference", "Equity from which the loss was measured."),
    word("trips", "How often the kill switch has tripped."),
)
"""The kill switch has tripped (`HALT`), or the halt was lifted (`RESUME`)."""

OUT_PATTERN = _tagged(
    word("pattern", "Pattern."),
    word("direction", "1 bullish, -1 bearish, 0 neither."),
    word("close", "Close of the bar."),
    word("rsi_ready", "1: `rsi` counts."),
    number("rsi", "RSI at that bar."),
)
"""A candlestick pattern."""
