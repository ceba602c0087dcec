"""Records that the core puts out, 160 bytes each: a common head, then what each kind has to say.

Units are those of `core/inputs.py`. Unused words are 0.
"""

import numpy as np

from paperbot.core.fields import Field, fillers, number, record, short, word

OUTPUT_BYTES = 160
_WORDS = 17

_HEAD = (
    word("seq", "Number of the record, from 1."),
    word("ts", "When it happened."),
    short("kind", "OutputKind."),
    short("symbol", "Id of the symbol, or NOBODY."),
    short("strategy", "Id of the strategy, or NOBODY."),
    short("code", "Code; of a ledger row 1 for the first."),
)


def _tagged(*fields: Field) -> np.dtype[np.void]:
    """An output record: the head, its own fields, and unused words up to 160 bytes."""
    used = sum(np.dtype(field.kind).itemsize for field in fields) // 8
    return record(OUTPUT_BYTES, *_HEAD, *fields, *fillers(0, _WORDS - used))


OUT_HEAD = _tagged()

OUT_SIGNAL = _tagged(
    word("strength_ppb", "Between 0 and 10^9."),
    word("target", "Target."),
    word("atr", "The ATR in whole price units; 0 while it warms up."),
    word("close", "The symbol's last close."),
    number("value_0", "The first feature that the strategy looked at."),
    number("value_1", "The second one."),
    number("value_2", "The third one."),
)
"""A changed target."""

OUT_ORDER = _tagged(
    word("order_id", "Its id; 0 for a refused one."),
    word("parent", "Id of the entry that it protects, or 0."),
    word("quantity", "How much of the base."),
    word("limit_price", "Of a limit order, else 0."),
    word("stop_price", "Of a stop order, else 0."),
    word("expires_ts", "End of a GTD order, else 0."),
    word("locked", "What it locks of the quote."),
    word("stop_distance", "Distance of its protective stop, or 0."),
    word("target_distance", "Distance of its protective target, or 0."),
    word("atr", "The ATR in whole price units; 0 while it warms up."),
    short("side", "Side."),
    short("order_type", "OrderType."),
    short("time_in_force", "TimeInForce."),
    short("role", "Role."),
    word("flags", "OrderFlag."),
)
"""An order that the gate accepted (`ORDER`), or refused (`BLOCKED`: `code` says why)."""

OUT_FILL = _tagged(
    word("order_id", "Which order."),
    word("parent", "Id of the entry that it protects, or 0."),
    word("quantity", "How much of the base."),
    word("price", "At which price."),
    word("reference", "The price before slippage."),
    word("notional", "Quantity times price, in the quote."),
    word("fee_quote", "The fee's value in the quote."),
    word("fee", "The fee, in the asset that paid it."),
    word("fee_account", "The fee's value in the account's currency."),
    word("realized", "Realized profit in the quote, before the fee."),
    word("realized_account", "The same in the account's currency."),
    word("position", "What the strategy holds after the fill."),
    word("cost", "What that cost, in the quote."),
    word("remaining", "What of the order is not filled yet."),
    word("atr", "The ATR in whole price units; 0 while it warms up."),
    short("side", "Side."),
    short("liquidity", "Liquidity."),
    short("fee_asset", "Id of the asset that paid the fee."),
    short("role", "Role."),
    word("open_ts", "Open of the bar that filled it."),
)
"""A fill."""

OUT_ORDER_END = _tagged(
    word("order_id", "Which order."),
    word("quantity", "Its total quantity; of an ORDER_CHANGE the new one."),
    word("filled", "What of it was filled."),
    word("released", "What of the quote it gave back."),
    word("parent", "Id of the entry that it protects, or 0."),
)
"""A new total quantity (`ORDER_CHANGE`), or the end of an order (`ORDER_END`: `code` says how)."""

OUT_LEDGER = _tagged(
    word("equity", "Value of everything; like all that follows void while `valued` is 0."),
    word("peak", "Highest equity of the run."),
    word("drawdown_ppb", "Fall from the peak, as a share of it."),
    word("realized", "Realized profit, before fees."),
    word("unrealized", "Unrealized profit."),
    word("fees", "Fees."),
    word("fx_revaluation", "What changed rates of other currencies have done to the equity."),
    word("gross", "Value of all positions."),
    word("day_reference", "Equity that the day's loss is measured from."),
    word("open_positions", "Positions that are not flat."),
    word("open_orders", "Open orders."),
    word("valued", "1: everything held has a price."),
)
"""A ledger row, in the account's currency."""

OUT_HALT = _tagged(
    word("reason", "HaltReason."),
    word("equity", "Equity at that moment."),
    word("reference", "Equity that the loss was measured from."),
    word("trips", "How often the kill switch has tripped."),
)
"""The kill switch has tripped (`HALT`), or was reset (`RESUME`)."""

OUT_PATTERN = _tagged(
    word("pattern", "Pattern."),
    word("direction", "1 bullish, -1 bearish, 0 neither."),
    word("close", "Close of its bar."),
    word("rsi_ready", "1: `rsi` counts."),
    number("rsi", "The RSI at that bar."),
)
"""A candlestick pattern."""
