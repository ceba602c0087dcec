"""Finds the column that counts the traded base among several candidates, by price x volume in each row.

A bar's turnover lies between low x quantity and high x quantity. If two columns of a row have that relation, the
quantity is the base, whatever their names say: some files have wrong names, or columns that swap places.
If no row decides, the user must choose.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from paperbot.errors import DataError

Floats = NDArray[np.float64]
_SLACK = 2e-3
"""Relative tolerance for rounded prices and turnovers."""

_BASE = re.compile(r"^(base_?volume|volume_?base|volume_?from|vol_?base)$")
_MONEY = re.compile(r"^(volume|vol)_?(usd[tc]?|busd|fdusd|eur|gbp|jpy|try|brl|krw|currency)$")
_QUOTE = re.compile(r"^(quote_?(asset_?)?volume|volume_?quote|volume_?to|turnover|vol_?quote|quote_?amount)$")


def is_money(name: str) -> bool:
    """Whether a column's name ends with a currency that may be the quote, which leaves its unit open."""
    return bool(_MONEY.match(name))


def is_quote(name: str) -> bool:
    """Whether a column's name says that it is in the quote."""
    return bool(_QUOTE.match(name))


class Volumes:
    """The possible volume columns (`places`) of one file. `shown` returns a column's name for messages."""

    def __init__(self, source: str, names: Sequence[str], places: Sequence[int], shown: Callable[[int], str]) -> None:
        self._source, self._shown = source, shown
        candidates = [place for place in places if not names[place].startswith("taker")] or list(places)
        self.places = candidates
        self._names = [names[place] for place in candidates]
        self._usual: int | None = None

    def base(self, raw: Sequence[Floats], low: Floats, high: Floats, row: NDArray[np.int64]) -> Floats:
        """Return the volume in the base for each row. Raises DataError if a row leaves it open."""
        if len(raw) == 1:
            return raw[0]
        fits = [self._is_base(raw, index, low, high) for index in range(len(raw))]
        count = np.sum(fits, axis=0)
        decided = count == 1
        if self._usual is None:
            self._usual = self._usually(fits, decided)
        result = np.zeros(len(low))
        for index, values in enumerate(raw):
            chosen = decided & fits[index]
            result[chosen] = values[chosen]
        # A row without prices or trades decides nothing; impossible prices are refused later.
        nothing = np.all([np.nan_to_num(values) == 0 for values in raw], axis=0) | ~(low > 0) | ~(high >= low)
        result[nothing] = 0.0
        unclear = ~decided & ~nothing
        if unclear.any():
            # Several columns fit only if the price is near 1 or a turnover is repeated.
            if self._usual is not None and (count[unclear] > 1).all():
                result[unclear] = raw[self._usual][unclear]
            else:
                at = int(np.argmax(unclear & (count != 1)))
                self._refuse(raw, at, row, none_fits=not count[at])
        return result

    def _usually(self, fits: Sequence[NDArray[np.bool_]], decided: NDArray[np.bool_]) -> int | None:
        """Return the column that most decided rows chose, else the one that the names suggest, or None."""
        counts = [int((decided & fit).sum()) for fit in fits]
        if max(counts) > 0:
            return int(np.argmax(counts))
        named = [index for index, name in enumerate(self._names) if _BASE.match(name)]
        others = [index for index, name in enumerate(self._names) if not _QUOTE.match(name)]
        suggested = named or others
        return suggested[0] if len(suggested) == 1 else None

    @staticmethod
    def _is_base(raw: Sequence[Floats], index: int, low: Floats, high: Floats) -> NDArray[np.bool_]:
        quantity = raw[index]
        others = [values for other, values in enumerate(raw) if other != index]
        lowest, highest = quantity * low * (1 - _SLACK), quantity * high * (1 + _SLACK)
        matches = [(values >= lowest) & (values <= highest) & (quantity > 0) for values in others]
        is_base: NDArray[np.bool_] = np.any(matches, axis=0)
        return is_base

    def _refuse(self, raw: Sequence[Floats], at: int, row: NDArray[np.int64], *, none_fits: bool) -> None:
        pairs = zip(self.places, raw, strict=True)
        shown = ", ".join(f"{self._shown(place)} = {values[at]:g}" for place, values in pairs)
        if none_fits:
            raise DataError(
                f"{self._source}: row {row[at]}: no two columns fit price x volume ({shown[:120]});"
                " if one is the volume in coins (not contracts), give it with --columns volume=NAME"
            )
        raise DataError(
            f"{self._source}: row {row[at]}: several columns may be the volume ({shown[:120]});"
            f" give --columns volume={self._shown(self.places[0])}"
        )
