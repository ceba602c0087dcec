"""Which of several columns counts the base that was traded: told by price x volume in each row, else asked for.

A bar's turnover lies between its low and its high times the quantity, so where two columns of a row stand in that
relation, the smaller one in it is the base, whatever the names say: files exist in which names are wrong, or in which
two columns change places.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from paperbot.errors import DataError

Floats = NDArray[np.float64]
_SLACK = 2e-3
"""Relative room for prices and turnovers that were rounded."""

_BASE = re.compile(r"^(base_?volume|volume_?base|volume_?from|vol_?base)$")
_MONEY = re.compile(r"^(volume|vol)_?(usd[tc]?|busd|fdusd|eur|gbp|jpy|try|brl|krw|currency)$")
_QUOTE = re.compile(r"^(quote_?(asset_?)?volume|volume_?quote|volume_?to|turnover|vol_?quote|quote_?amount)$")


def is_money(name: str) -> bool:
    """Whether a column's name ends as a currency does that may be the quote: what it counts must be asked for."""
    return bool(_MONEY.match(name))


def is_quote(name: str) -> bool:
    """Whether a column's name says that it counts money."""
    return bool(_QUOTE.match(name))


class Volumes:
    """The columns (`places`) of one file that may count what was traded. `shown` names a column for people."""

    def __init__(self, source: str, names: Sequence[str], places: Sequence[int], shown: Callable[[int], str]) -> None:
        self._source, self._shown = source, shown
        candidates = [place for place in places if not names[place].startswith("taker")] or list(places)
        self.places = candidates
        self._names = [names[place] for place in candidates]
        self._usual: int | None = None

    def base(self, raw: Sequence[Floats], low: Floats, high: Floats, row: NDArray[np.int64]) -> Floats:
        """The base's volume of each row. Raises DataError where that cannot be told."""
        if len(raw) == 1:
            return raw[0]
        fits = [self._is_base(raw, index, low, high) for index in range(len(raw))]
        count = np.sum(fits, axis=0)
        decided = count == 1
        if self._usual is None:
            self._usual = self._usually(fits, decided)
        result = np.zeros(len(low))
        for index, values in enumerate(raw):
            mine = decided & fits[index]
            result[mine] = values[mine]
        # A row without prices or trades decides nothing; prices that cannot be are refused later.
        nothing = np.all([np.nan_to_num(values) == 0 for values in raw], axis=0) | ~(low > 0) | ~(high >= low)
        result[nothing] = 0.0
        unclear = ~decided & ~nothing
        if unclear.any():
            # More than one reading fits at a price near 1 only, or for turnovers that stand twice.
            if self._usual is not None and (count[unclear] > 1).all():
                result[unclear] = raw[self._usual][unclear]
            else:
                at = int(np.argmax(unclear & (count != 1)))
                self._refuse(raw, at, row, none_fits=not count[at])
        return result

    def _usually(self, fits: Sequence[NDArray[np.bool_]], decided: NDArray[np.bool_]) -> int | None:
        """The base in the rows that decide, else what the names say."""
        counts = [int((decided & one).sum()) for one in fits]
        if max(counts) > 0:
            return int(np.argmax(counts))
        named = [index for index, name in enumerate(self._names) if _BASE.match(name)]
        others = [index for index, name in enumerate(self._names) if not _QUOTE.match(name)]
        found = named or others
        return found[0] if len(found) == 1 else None

    @staticmethod
    def _is_base(raw: Sequence[Floats], index: int, low: Floats, high: Floats) -> NDArray[np.bool_]:
        mine = raw[index]
        others = [values for other, values in enumerate(raw) if other != index]
        least, most = mine * low * (1 - _SLACK), mine * high * (1 + _SLACK)
        matches = [(values >= least) & (values <= most) & (mine > 0) for values in others]
        found: NDArray[np.bool_] = np.any(matches, axis=0)
        return found

    def _refuse(self, raw: Sequence[Floats], at: int, row: NDArray[np.int64], *, none_fits: bool) -> None:
        pairs = zip(self.places, raw, strict=True)
        shown = ", ".join(f"{self._shown(place)} = {values[at]:g}" for place, values in pairs)
        if none_fits:
            raise DataError(
                f"{self._source}: row {row[at]}: price x volume fits no two of its columns ({shown[:120]});"
                " if one counts coins, and not contracts, give it with --columns volume=NAME"
            )
        raise DataError(
            f"{self._source}: row {row[at]}: which column is the volume is not clear ({shown[:120]});"
            f" give --columns volume={self._shown(self.places[0])}"
        )
