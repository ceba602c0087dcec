"""Bars as arrays without column names, as exchanges return them; the column order is found from the prices.

The high is the largest price of its row and the low the smallest. If more than one known order fits every row, the
user must name the columns.
"""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from paperbot.errors import DataError
from paperbot.market.layouts import LAYOUTS, Layout
from paperbot.market.sheets import Sheet

ORDERS: dict[str, dict[str, int]] = {
    "ccxt and freqtrade": dict(open_ts=0, open=1, high=2, low=3, close=4, volume=5, last=5),
    "Coinbase": dict(open_ts=0, low=1, high=2, open=3, close=4, volume=5, last=5),
    "Bitfinex": dict(open_ts=0, open=1, close=2, high=3, low=4, volume=5, last=5),
    "Bybit": dict(open_ts=0, open=1, high=2, low=3, close=4, volume=5, turnover=6, last=6),
    "KuCoin": dict(open_ts=0, open=1, close=2, high=3, low=4, volume=5, turnover=6, last=6),
    "Kraken": dict(open_ts=0, open=1, high=2, low=3, close=4, mean=5, volume=6, last=7),
    "Gate": dict(open_ts=0, turnover=1, close=2, high=3, low=4, open=5, volume=6, final=7, last=7),
    "MEXC": dict(open_ts=0, open=1, high=2, low=3, close=4, volume=5, close_ts=6, turnover=7, last=7),
    "Bitget": dict(open_ts=0, open=1, high=2, low=3, close=4, volume=5, turnover=6, last=7),
    "OKX": dict(open_ts=0, open=1, high=2, low=3, close=4, volume=5, turnover=7, final=8, last=8),
    "OKX swaps": dict(open_ts=0, open=1, high=2, low=3, close=4, volume=6, turnover=7, final=8, last=8),
    "Poloniex": dict(low=0, high=1, open=2, close=3, turnover=4, volume=5, mean=10, open_ts=12, close_ts=13, last=13),
    "Binance": dict(open_ts=0, open=1, high=2, low=3, close=4, volume=5, close_ts=6, turnover=7, last=11),
}
"""Index of each column in the known orders; `last` is the largest index. `turnover` is the volume in the quote, `mean`
an average price: both must fit the prices of every row. `final` is 0 in the row of an unfinished bar.
"""

_CHECKS = ("turnover", "mean", "last")
_SLACK = 2e-3
CHECKED_ROWS = 100_000
_WITHOUT_VOLUME = 5


def recognised(path: Path, sheet: Sheet, chosen: dict[str, list[int]]) -> tuple[Layout, dict[str, list[int]]]:
    """Return the layout and the column of each role. Raises DataError unless exactly one known order fits."""
    width = len(sheet.names)
    if {"open_ts", "open", "high", "low", "close", "volume"} <= set(chosen):
        return _layout("columns given with --columns"), chosen
    rows = [list(row.values()) for batch in sheet.batches() for row in batch.to_pylist()]
    fitting = {name: order for name, order in ORDERS.items() if order["last"] + 1 == width and _fits(rows, order)}
    if width == _WITHOUT_VOLUME:
        raise DataError(f"{path}: its rows have {width} values and no volume; orders cannot fill without a volume")
    if "ccxt and freqtrade" in fitting and all(str(row[5]) in {"0", "1"} for row in rows):
        raise DataError(
            f"{path}: the sixth value of every row is 0 or 1: probably a flag, not a volume (as in mark prices);"
            " if it is the volume, give --columns open_ts=0,open=1,high=2,low=3,close=4,volume=5"
        )
    if len(fitting) != 1:
        fit = f"fit the order of {' and of '.join(fitting)}" if fitting else f"have {width} values in no known order"
        example = "open_ts=0,open=1,high=2,low=3,close=4,volume=5"
        raise DataError(f"{path}: its rows {fit}; give the order, such as --columns {example}")
    ((name, order),) = fitting.items()
    return _layout(name), {role: [place] for role, place in order.items() if role not in _CHECKS} | chosen


def _layout(name: str) -> Layout:
    return replace(next(layout for layout in LAYOUTS if layout.name == "no_header"), title=f"JSON arrays: {name}")


def _fits(rows: list[list[str]], order: dict[str, int]) -> bool:
    checked = ("open", "high", "low", "close", "volume", *(role for role in ("turnover", "mean") if role in order))
    try:
        table = np.array([[float(row[order[role]] or "nan") for role in checked] for row in islice(rows, CHECKED_ROWS)])
    except ValueError:
        return False
    opening, high, low, close, volume, *rest = table.T
    fits = (high >= np.maximum(opening, close)) & (low <= np.minimum(opening, close)) & (low <= high)
    traded = volume > 0
    if "turnover" in order:
        lowest, highest = volume * low * (1 - _SLACK), volume * high * (1 + _SLACK)
        fits &= ~traded | ((rest[0] >= lowest) & (rest[0] <= highest))
    if "mean" in order:
        fits &= ~traded | ((rest[-1] >= low * (1 - _SLACK)) & (rest[-1] <= high * (1 + _SLACK)))
    if "close_ts" in order:
        try:
            first, last = order["open_ts"], order["close_ts"]
            closes = [float(row[last]) > float(row[first]) for row in islice(rows, CHECKED_ROWS)]
        except ValueError:
            return False
        return all(closes) and bool(fits.all())
    return bool(fits.all())
