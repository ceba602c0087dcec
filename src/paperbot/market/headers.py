"""What the first row of a file tells: the layout, and which columns may be a volume."""

import re
from collections.abc import Iterable, Sequence

from paperbot.market.layouts import LAYOUTS, Layout


def plain_name(name: str) -> str:
    """A column's name in the form that is compared."""
    return re.sub(r"[\W_]+", "_", name.strip().strip("\ufeff").lower()).strip("_")


def volume_columns(names: Sequence[str]) -> list[str]:
    """All columns (in plain form) that may count what was traded, in the base or in the quote."""
    patterns = (
        r"^(base_|base_asset_|quote_|quote_asset_)?(volume|vol|turnover|amount|qty|quantity|v)$",
        r"^(volume|vol)_?\w{1,9}$",
        r"^(stuecke|stück|umsatz|candle_acc_trade_(price|volume))$",
    )
    others = {"volume_ma", "volume_weighted", "vol_ma", "volume_24h"}
    return [name for name in names if name not in others and any(re.match(pattern, name) for pattern in patterns)]


def layout_of_names(names: Iterable[str]) -> Layout:
    """The first layout with a header of these names (in plain form)."""
    present = set(names)
    fitting = (one for one in LAYOUTS if not one.fields and one.has <= present)
    return next(fitting)


def layout_without_header(fields: Sequence[str]) -> Layout | None:
    """The layout of a file whose first row has these fields, or None."""
    fitting = (one for one in LAYOUTS if len(fields) in one.fields and re.match(one.first, fields[0].strip()))
    return next(fitting, None)
