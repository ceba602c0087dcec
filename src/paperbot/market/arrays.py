"""Bars as arrays without names: an exchange's answer as it was dumped. The order is told by the prices themselves.

The high is at least, and the low at most, every other price of its row; where more than one known order fits all
rows, it is asked for.
"""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from paperbot.errors import DataError
from paperbot.market.layouts import LAYOUTS, Layout
from paperbot.market.sheets import Sheet

ORDERS: dict[str, dict[str, int]] = {
    "ccxt and freqtrade": dict(open_ts=0, open=1, high=2, low=3, close=4, volume=5),
    "Coinbase": dict(open_ts=0, low=1, high=2, open=3, close=4, volume=5),
    "Bitfinex": dict(open_ts=0, open=1, close=2, high=3, low=4, volume=5),
    "Bybit": dict(open_ts=0, open=1, high=2, low=3, close=4, volume=5, turnover=6),
    "KuCoin": dict(open_ts=0, open=1, close=2, high=3, low=4, volume=5, turnover=6),
    "Kraken": dict(open_ts=0, open=1, high=2, low=3, close=4, volume=6, other=7),
    "Gate": dict(open_ts=0, close=2, high=3, low=4, open=5, volume=6, other=7),
    "OKX": dict(open_ts=0, open=1, high=2, low=3, close=4, volume=5, other=8),
    "Binance": dict(open_ts=0, open=1, high=2, low=3, close=4, volume=5, close_ts=6, other=11),
}
"""Places of the columns in known orders; the largest place tells how many there are."""

CHECKED_ROWS = 100_000


def recognised(path: Path, sheet: Sheet, chosen: dict[str, list[int]]) -> tuple[Layout, dict[str, list[int]]]:
    """The layout, and the column of each role. Raises DataError when no known order fits, or several do."""
    width = len(sheet.names)
    if {"open_ts", "open", "high", "low", "close", "volume"} <= set(chosen):
        return _layout("told by --columns"), chosen
    rows = [list(row.values()) for batch in sheet.batches() for row in batch.to_pylist()]
    fitting = {name: order for name, order in ORDERS.items() if max(order.values()) + 1 == width and _fits(rows, order)}
    if len(fitting) != 1:
        which = f"fit the order of {' and of '.join(fitting)}" if fitting else f"have {width} values in no known order"
        places = "open_ts=0,open=1,high=2,low=3,close=4,volume=5"
        raise DataError(f"{path}: its rows {which}; tell the order, such as --columns {places}")
    ((name, order),) = fitting.items()
    return _layout(name), {role: [place] for role, place in order.items() if role not in {"turnover", "other"}} | chosen


def _layout(name: str) -> Layout:
    return replace(next(one for one in LAYOUTS if one.name == "no_header"), title=f"JSON arrays: {name}")


def _fits(rows: list[list[str]], order: dict[str, int]) -> bool:
    places = [order[role] for role in ("open", "high", "low", "close")]
    try:
        prices = np.array([[float(row[place]) for place in places] for row in islice(rows, CHECKED_ROWS)])
    except ValueError:
        return False
    opening, high, low, close = prices.T
    return bool(((high >= np.maximum(opening, close)) & (low <= np.minimum(opening, close)) & (low <= high)).all())
