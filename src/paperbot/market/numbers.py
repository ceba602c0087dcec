"""Reads numbers in data files, typed or as text: empty cells, thousands, decimal commas, currency signs, K, M and B.

The first rows of all number columns decide the file's number format; every cell must then fit it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from paperbot.errors import DataError

_PLAIN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_WITH_COMMA = r"^[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?([eE][+-]?\d+)?$"
_GROUPED = r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$"
_EMPTY = r"^(nan|null|none|n/a|-)?$"
_SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9}


class Numbers:
    """Reads the number columns of one file. `for_people`: the layout uses thousands separators and K, M, B.

    `decimals`: the most decimals of any price in the first rows; None if prices are not text.
    """

    def __init__(self, source: str, *, for_people: bool) -> None:
        self._source, self._for_people = source, for_people
        self._comma: bool | None = None
        self._grouped = for_people
        self.decimals: int | None = None

    def decide(self, columns: Sequence[Any]) -> None:
        """Decide the number format from the file's first rows. Raises DataError if two formats are possible."""
        texts = [self._text(column) for column in columns if _is_text(column)]
        cells = pa.concat_arrays(texts) if texts else pa.array([], pa.string())

        def shows(pattern: str) -> bool:
            return bool(pc.any(pc.match_substring_regex(cells, pattern)).as_py())

        if not shows(","):
            self._comma = False
            if self._for_people and shows(r"^\d{1,3}\.\d{3}$") and not shows(r"\.(\d{1,2}|\d{4,})$"):
                self._refuse_ambiguous(cells, r"^\d{1,3}\.\d{3}$")
            return
        if shows(r"\.\d+,") or shows(r",\d{1,2}[KMB]?$") or shows(r",\d{4,}$") or shows(r",\d+[eE][+-]?\d+$"):
            self._comma = True
        elif shows(r",\d{3}\.") or shows(r"^\d{1,3}(,\d{3}){2,}$") or shows(r"^\d+\.(\d{1,2}|\d{4,})$"):
            self._comma, self._grouped = False, True
        else:
            self._refuse_ambiguous(cells, ",")

    def _refuse_ambiguous(self, cells: Any, pattern: str) -> None:
        shown = cells.filter(pc.match_substring_regex(cells, pattern))[0].as_py()[:40]
        raise DataError(f"{self._source}: {shown!r} may be thousands or a decimal; write numbers with a decimal point")

    def note_decimals(self, column: Any) -> None:
        """Raise `decimals` to the most decimals in this price column, if it is text."""
        if not _is_text(column):
            return
        point = "," if self._comma else "."
        fractions = pc.replace_substring_regex(self._text(column), rf"^[^{point}]*[{point}]?", "")
        digits = pc.max(pc.utf8_length(pc.replace_substring_regex(fractions, r"[^0-9].*$", ""))).as_py() or 0
        self.decimals = max(self.decimals or 0, int(digits))

    def read(self, column: Any, role: str, row: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return a column as float64; empty cells are NaN. `row`: each cell's row in the file, for messages."""
        kind = column.type
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if pa.types.is_float32(kind):  # Through text, so that 0.1 stays 0.1 and does not become 0.10000000149.
            column = column.cast(pa.string()).cast(pa.float64())
            kind = column.type
        if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
            return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        if not _is_text(column):
            raise DataError(f"{self._source}: the column for {role} is {kind}, not a number")
        text = self._text(column)
        if not self._comma:
            try:
                return np.asarray(text.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
            except pa.ArrowInvalid:
                pass  # Some cells are not plain numbers.
        return self._formatted(text, role, row)

    def _formatted(self, text: Any, role: str, row: NDArray[np.int64]) -> NDArray[np.float64]:
        cells = text
        factor = np.ones(len(cells))
        for suffix, scale in _SUFFIXES.items() if self._for_people else ():
            factor[np.asarray(pc.ends_with(cells, suffix))] = scale
            cells = pc.replace_substring_regex(cells, f"{suffix}$", "")
        fits = np.asarray(pc.match_substring_regex(cells, _WITH_COMMA if self._comma else _PLAIN))
        if self._comma:
            cells = pc.replace_substring(pc.replace_substring(cells, ".", ""), ",", ".")
        elif self._grouped:
            fits |= np.asarray(pc.match_substring_regex(cells, _GROUPED))
            cells = pc.replace_substring(cells, ",", "")
        empty = np.asarray(pc.match_substring_regex(pc.utf8_lower(text), _EMPTY))
        wrong = ~(fits | empty)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise DataError(f"{self._source}: row {row[at]}: {role} = {text[at].as_py()[:60]!r} is not a number")
        values = np.full(len(cells), np.nan)
        values[fits] = cells.filter(pa.array(fits)).cast(pa.float64()).to_numpy(zero_copy_only=False)
        return values * factor

    @staticmethod
    def _text(column: Any) -> Any:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        text = pc.fill_null(pc.utf8_trim_whitespace(column.cast(pa.string())), "")
        return pc.replace_substring_regex(text, r"^\$", "")


def _is_text(column: Any) -> bool:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
