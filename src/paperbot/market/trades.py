"""Reads recorded trades from Parquet files."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from paperbot.errors import DataError

TRADE_COLUMNS = ("ts", "price", "qty", "is_buyer_maker", "trade_id")


def read_trades(path: Path) -> tuple[Any, ...] | None:
    """Return the columns of a Parquet file of trades (`ts` in ms UTC), or None if the file holds something else.

    Raises DataError if the file is missing or has no trades.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    if not is_parquet or not set(TRADE_COLUMNS) <= set(pq.read_schema(path).names):
        return None
    table = pq.read_table(path, columns=list(TRADE_COLUMNS))
    if table.num_rows == 0:
        raise DataError(f"{path}: holds no trades")
    return tuple(table[name].to_numpy(zero_copy_only=False) for name in TRADE_COLUMNS)
