"""Recorded trades."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from paperbot.errors import DataError

TRADE_COLUMNS = ("ts", "price", "qty", "is_buyer_maker", "trade_id")


def read_trades(path: Path) -> tuple[Any, ...] | None:
    """The columns of a Parquet file of trades (`ts` in ms UTC), None when it is a file of something else.

    Raises DataError when there is no such file, or no trade in it.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    if not is_parquet or not set(TRADE_COLUMNS) <= set(pq.read_schema(path).names):
        return None
    table = pq.read_table(path, columns=list(TRADE_COLUMNS))
    if table.num_rows == 0:
        raise DataError(f"{path}: holds no trade")
    return tuple(table[name].to_numpy(zero_copy_only=False) for name in TRADE_COLUMNS)
