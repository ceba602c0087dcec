"""Recognises the layout and the possible volume columns from the first row of a file."""

import re
from collections.abc import Iterable, Sequence

from paperbot.market.layouts import LAYOUTS, Layout


def plain_name(name: str) -> str:
    """Return a column's name in the form used for comparison: lower case, underscores for other characters."""
    return re.sub(r"[\W_]+", "_", name.strip().strip("\ufeff").lower()).strip("_")


_INDICATORS = (
    *("ma", "sma", "ema", "wma", "avg", "mean", "std", "delta", "ratio", "osc", "profile", "change", "weighted", "24h"),
    *("atility", "pct", "spike", "up", "down", "buy", "sell", "score", "zscore", "trend", "signal", "index"),
)
"""Suffixes after `volume_` or `vol_` that mark an indicator rather than an asset."""


def volume_columns(names: Sequence[str]) -> list[str]:
    """Return all columns (plain names) that may be a volume, in the base or in the quote.

    A name that only ends like an asset (`volume_xyz`) counts if there is a second candidate: price x volume can then
    check it.
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
    candidates = {*named, *others}
    return [name for name in names if name in candidates] if len(candidates) > 1 or named else []


def layout_of_names(names: Iterable[str]) -> Layout:
    """Return the first layout whose required names are all in the header (plain names)."""
    present = set(names)
    fitting = (layout for layout in LAYOUTS if not layout.fields and layout.has <= present)
    return next(fitting)


def layout_without_header(fields: Sequence[str]) -> Layout | None:
    """Return the layout of a file without header whose first row has these fields, or None."""
    width, first = len(fields), fields[0].strip()
    fitting = (layout for layout in LAYOUTS if width in layout.fields and re.match(layout.first, first))
    return next(fitting, None)
