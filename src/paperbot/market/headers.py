"""What the first row of a file tells: the layout, and which columns may be a volume."""

import re
from collections.abc import Iterable, Sequence

from paperbot.market.layouts import LAYOUTS, Layout


def plain_name(name: str) -> str:
    """A column's name in the form that is compared."""
    return re.sub(r"[\W_]+", "_", name.strip().strip("\ufeff").lower()).strip("_")


_INDICATORS = (
    *("ma", "sma", "ema", "wma", "avg", "mean", "std", "delta", "ratio", "osc", "profile", "change", "weighted", "24h"),
    *("atility", "pct", "spike", "up", "down", "buy", "sell", "score", "zscore", "trend", "signal", "index"),
)
"""Suffixes after `volume_` or `vol_` that mark an indicator rather than an asset."""


def volume_columns(names: Sequence[str]) -> list[str]:
    """All columns (in plain form) that may count what was traded, in the base or in the quote. A name that ends as any
    asset may (`volume_xyz`) needs another column beside it, by which price x volume proves it.
    """
    certain = (
        r"^(base_|base_asset_|quote_|quote_asset_)?(volume|vol|turnover|amount|qty|quantity|v)$",
        r"^(volume|vol)_?(from|to|base|quote|currency|usd[tc]?|busd|fdusd|eur|gbp|jpy|try|brl|krw|btc|eth|xbt)$",
        r"^(stuecke|stück|umsatz|candle_acc_trade_(price|volume))$",
    )
    possible = r"^(volume|vol)_[a-z0-9]{1,10}$"
    named = [name for name in names if any(re.match(pattern, name) for pattern in certain)]
    others = [
        name
        for name in names
        if re.match(possible, name) and name not in named and name.partition("_")[2] not in _INDICATORS
    ]
    if "v" in named and "sum" in names:  # Gate's turnover.
        others.append("sum")
    found = {*named, *others}
    return [name for name in names if name in found] if len(found) > 1 or named else []


def layout_of_names(names: Iterable[str]) -> Layout:
    """The first layout with a header of these names (in plain form)."""
    present = set(names)
    fitting = (one for one in LAYOUTS if not one.fields and one.has <= present)
    return next(fitting)


def layout_without_header(fields: Sequence[str]) -> Layout | None:
    """The layout of a file whose first row has these fields, or None."""
    fitting = (one for one in LAYOUTS if len(fields) in one.fields and re.match(one.first, fields[0].strip()))
    return next(fitting, None)
