"""Numbers in data files, typed or as text: empty cells, thousands, decimal commas, currency signs, K, M and B.

How a file writes its numbers is decided once, from all number columns of its first rows; each cell must then fit that.
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
    """Reads the number columns of one file. `for_people`: its layout writes thousands and K, M, B.

    `decimals`: the largest number of decimals among the prices of the first rows; None if prices are not text.
    """

    def __init__(self, source: str, *, for_people: bool) -> None:
        self._source, self._for_people = source, for_people
        self._comma: bool | None = None
        self._grouped = for_people
        self.decimals: int | None = None

    def decide(self, columns: Sequence[Any]) -> None:
        """Tell from the file's first rows how it writes numbers. Raises DataError for two possible readings."""
        texts = [self._text(column) for column in columns if _is_text(column)]
        cells = pa.concat_arrays(texts) if texts else pa.array([], pa.string())

        def shows(pattern: str) -> bool:
            return bool(pc.any(pc.match_substring_regex(cells, pattern)).as_py())

        if not shows(","):
            self._comma = False
            if self._for_people and shows(r"^\d{1,3}\.\d{3}$") and not shows(r"\.(\d{1,2}|\d{4,})$"):
                self._ask(cells, r"^\d{1,3}\.\d{3}$")
            return
        if shows(r"\.\d+,") or shows(r",\d{1,2}[KMB]?$") or shows(r",\d{4,}$") or shows(r",\d+[eE][+-]?\d+$"):
            self._comma = True
        elif shows(r",\d{3}\.") or shows(r"^\d{1,3}(,\d{3}){2,}$") or shows(r"^\d+\.(\d{1,2}|\d{4,})$"):
            self._comma, self._grouped = False, True
        else:
            self._ask(cells, ",")

    def _ask(self, cells: Any, pattern: str) -> None:
        shown = cells.filter(pc.match_substring_regex(cells, pattern))[0].as_py()[:40]
        raise DataError(f"{self._source}: {shown!r} may be thousands or a decimal; write numbers with a point")

    def note_decimals(self, column: Any) -> None:
        """Count the decimals that prices are written with."""
        if not _is_text(column):
            return
        point = "," if self._comma else "."
        behind = pc.replace_substring_regex(self._text(column), rf"^[^{point}]*[{point}]?", "")
        digits = pc.max(pc.utf8_length(pc.replace_substring_regex(behind, r"[^0-9].*$", ""))).as_py() or 0
        self.decimals = max(self.decimals or 0, int(digits))

    def read(self, column: Any, role: str, row: NDArray[np.int64]) -> NDArray[np.float64]:
        """A column as float64; what is empty is NaN. `row`: where each cell stands in the file, for messages."""
        kind = column.type
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if pa.types.is_float32(kind):  # Its own decimals, not those of the float64 beside it.
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
                pass  # Not all of it is plain.
        return self._dressed(text, role, row)

    def _dressed(self, text: Any, role: str, row: NDArray[np.int64]) -> NDArray[np.float64]:
        cells = text
        factor = np.ones(len(cells))
        for suffix, worth in _SUFFIXES.items() if self._for_people else ():
            factor[np.asarray(pc.ends_with(cells, suffix))] = worth
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
