"""A run's bars, reduced to as many candles as a chart can show, and the buy-and-hold return."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from paperbot.core.types import BarFlag, EventKind
from paperbot.events import Events
from paperbot.names import Names

Records = NDArray[np.void]

CANDLES = pa.schema(
    [("symbol", pa.string()), ("open_ts", pa.timestamp("ns", tz="UTC")), ("width_s", pa.int64())]
    + [(name, pa.float64()) for name in ("open", "high", "low", "close", "volume")]
)
"""`width_s`: the seconds that a candle spans, 0 for an original bar."""

MOST = 3_000
"""The largest number of candles per symbol; a screen cannot show more."""

_NS = 1_000_000_000
_MINUTES = (1, 5, 15, 30, 60, 120, 240, 720)
_DAYS = (1, 7, 28, 364, 3_640)
WIDTHS_NS = [60 * _NS * minutes for minutes in _MINUTES] + [86_400 * _NS * days for days in _DAYS]
"""Each width is a multiple of the one before, so that candles can be merged again."""

_MONDAY_NS = 4 * 86_400 * _NS
"""1970-01-05: spans of seven days are counted from here, so that they begin on Mondays."""

_COLUMNS = ("open_ts", "open", "high", "low", "close")


class Chart:
    """A watcher that keeps each symbol's bars as candles, and merges them into wider ones above `MOST`.

    Apart from the last digit of a volume, the candles do not depend on how the bars are cut into calls.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self.bars = 0
        self._first_close = [0] * len(names.symbols)
        self._last_close = [0] * len(names.symbols)
        self._width = [-1] * len(names.symbols)
        self._candles = [np.zeros(0, dtype=_CANDLE) for _ in names.symbols]
        self._waiting: list[list[Records]] = [[] for _ in names.symbols]

    def events(self, events: Events) -> None:
        """Add the bars, except those of the warm-up."""
        bars = events[(events["kind"] == EventKind.BAR) & ((events["flags"] & BarFlag.WARMUP) == 0)]
        self.bars += len(bars)
        for symbol in np.unique(bars["symbol"]).tolist() if len(bars) else []:
            mine = bars[bars["symbol"] == symbol]
            self._first_close[symbol] = self._first_close[symbol] or int(mine["close"][0])
            self._last_close[symbol] = int(mine["close"][-1])
            self._waiting[symbol].append(_as_candles(mine))
            if sum(map(len, self._waiting[symbol])) > MOST:
                self._settle(symbol)

    def records(self, records: Records) -> None:
        """Ignored: the chart needs only bars."""

    def buy_and_hold(self) -> dict[str, float]:
        """The return from the first close to the last in percent, by symbol."""
        closes = zip(self._names.symbols, self._first_close, self._last_close, strict=True)
        return {symbol: 100.0 * (last / first - 1.0) for symbol, first, last in closes if first}

    def table(self) -> Any:
        """All candles as a CANDLES table, by symbol and time."""
        parts = []
        for symbol, name in enumerate(self._names.symbols):
            self._settle(symbol)
            candles, width = self._candles[symbol], self._width[symbol]
            unit = 10.0 ** self._names.price_decimals[symbol]
            columns = [
                pa.array([name] * len(candles), type=pa.string()),
                pa.array(np.ascontiguousarray(candles["open_ts"])).view(CANDLES.field("open_ts").type),
                pa.array(np.full(len(candles), WIDTHS_NS[width] // _NS if width >= 0 else 0)),
                *(pa.array(candles[column] / unit) for column in _COLUMNS[1:]),
                pa.array(np.ascontiguousarray(candles["volume"])),
            ]
            parts.append(pa.Table.from_arrays(columns, schema=CANDLES))
        return pa.concat_tables(parts)

    def _settle(self, symbol: int) -> None:
        """Merge the waiting bars into the candles, widening them until at most `MOST` remain."""
        candles = np.concatenate([self._candles[symbol], *self._waiting[symbol]])
        self._waiting[symbol].clear()
        width = self._width[symbol]
        merged = _merged(candles, WIDTHS_NS[width]) if width >= 0 else candles
        while len(merged) > MOST and width + 1 < len(WIDTHS_NS):
            width += 1
            merged = _merged(candles, WIDTHS_NS[width])
        self._candles[symbol], self._width[symbol] = merged, width


_CANDLE = np.dtype([*((name, np.int64) for name in _COLUMNS), ("volume", np.float64)])


def _as_candles(bars: Records) -> Records:
    candles = np.zeros(len(bars), dtype=_CANDLE)
    for name in (*_COLUMNS, "volume"):
        candles[name] = bars[name]
    return candles


def _merged(candles: Records, width_ns: int) -> Records:
    """Merge the candles that open within the same span of `width_ns`."""
    span = (candles["open_ts"] - _MONDAY_NS) // width_ns
    first = np.flatnonzero(np.append(True, span[1:] != span[:-1])) if len(span) else np.zeros(0, dtype=np.int64)
    merged = np.zeros(len(first), dtype=_CANDLE)
    if len(first) == 0:
        return merged
    last = np.append(first[1:], len(candles)) - 1
    merged["open_ts"] = span[first] * width_ns + _MONDAY_NS
    merged["open"], merged["close"] = candles["open"][first], candles["close"][last]
    merged["high"] = np.maximum.reduceat(candles["high"], first)
    merged["low"] = np.minimum.reduceat(candles["low"], first)
    merged["volume"] = np.add.reduceat(candles["volume"], first)
    return merged
