"""Output records as tables for people: fills, ledger rows, orders with their end, round trips, blocked orders.

Money and quantities stand as float64 for people and as int64 in minor units (`*_minor`) beside it. Nothing is computed
here that the core has decided: names, units and sums of what it reported.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.core.records import of_kind
from paperbot.names import Names

Records = NDArray[np.void]
Row = dict[str, Any]

_TS = pa.timestamp("ns", tz="UTC")
_TEXT = pa.string()
_INT = pa.int64()
_FLOAT = pa.float64()


def _schema(**columns: Any) -> Any:
    return pa.schema(list(columns.items()))


TRADES = _schema(
    **dict(ts=_TS, symbol=_TEXT, order_id=_INT, strategy=_TEXT, side=_TEXT, qty=_FLOAT, price=_FLOAT, fee=_FLOAT),
    **dict(fee_asset=_TEXT, fee_usd=_FLOAT, fee_account=_FLOAT, realized_pnl=_FLOAT, liquidity=_TEXT),
    **dict(slippage_bps=_FLOAT, role=_TEXT, source=_TEXT, parent_id=_INT, open_ts=_TS, notional=_FLOAT, seq=_INT),
    **dict(qty_minor=_INT, price_units=_INT, notional_minor=_INT, fee_minor=_INT, fee_quote_minor=_INT),
    **dict(fee_account_minor=_INT, realized_pnl_minor=_INT, position_minor=_INT, cost_minor=_INT),
)
LEDGER = _schema(
    **dict(ts=_TS, equity=_FLOAT, peak=_FLOAT, drawdown=_FLOAT, realized_pnl=_FLOAT, unrealized_pnl=_FLOAT),
    **dict(fees=_FLOAT, fx_revaluation=_FLOAT, gross_exposure=_FLOAT, day_reference=_FLOAT, open_positions=_INT),
    **dict(open_orders=_INT, seq=_INT, equity_minor=_INT, peak_minor=_INT, realized_pnl_minor=_INT),
    **dict(unrealized_pnl_minor=_INT, fees_minor=_INT, fx_revaluation_minor=_INT),
)
ORDERS = _schema(
    **dict(order_id=_INT, created_ts=_TS, ended_ts=_TS, symbol=_TEXT, strategy=_TEXT, role=_TEXT, side=_TEXT),
    **dict(type=_TEXT, time_in_force=_TEXT, state=_TEXT, code=_TEXT, qty=_FLOAT, filled=_FLOAT, limit_price=_FLOAT),
    **dict(stop_price=_FLOAT, expires_ts=_TS, parent_id=_INT, post_only=pa.bool_(), reduce_only=pa.bool_()),
    **dict(qty_minor=_INT, filled_minor=_INT),
)
ROUND_TRIPS = _schema(
    **dict(symbol=_TEXT, strategy=_TEXT, entry_ts=_TS, exit_ts=_TS, duration_s=_FLOAT, reason=_TEXT, qty=_FLOAT),
    **dict(entry_price=_FLOAT, exit_price=_FLOAT, pnl=_FLOAT, fees=_FLOAT, return_pct=_FLOAT, quote=_TEXT),
    **dict(pnl_account_minor=_INT, pnl_minor=_INT, fees_minor=_INT, cost_minor=_INT),
)
BLOCKED = _schema(
    **dict(ts=_TS, symbol=_TEXT, strategy=_TEXT, side=_TEXT, type=_TEXT, role=_TEXT, code=_TEXT, qty=_FLOAT),
    **dict(limit_price=_FLOAT, stop_price=_FLOAT, seq=_INT, qty_minor=_INT),
)
SCHEMAS = {"trades": TRADES, "ledger": LEDGER, "orders": ORDERS, "round_trips": ROUND_TRIPS, "blocked": BLOCKED}
"""The files that a run writes, by their names."""

_REASONS = {
    t.Role.EXIT: "signal",
    t.Role.REDUCE: "signal",
    t.Role.STOP: "stop",
    t.Role.TARGET: "target",
    t.Role.FLATTEN: "flatten",
}


def _named(ids: NDArray[Any], names: Sequence[str]) -> Any:
    """Names of ids; null for an id that nobody has."""
    known = [*names, None]
    indices = np.where((ids < 0) | (ids >= len(names)), len(names), ids)
    return pa.array([known[index] for index in indices.tolist()], type=_TEXT)


def _lower(members: type[Any], ids: NDArray[Any]) -> Any:
    """Names of an enumeration's values; null for a value that it does not have."""
    names = {value: member.name.lower() for value, member in members._value2member_map_.items()}
    return pa.array([names.get(value) for value in ids.tolist()], type=_TEXT)


def _scaled(values: NDArray[Any], ids: NDArray[Any], decimals: Sequence[int]) -> NDArray[np.float64]:
    """Whole units: integers divided by their own power of ten, so that the float is the nearest to the decimal."""
    units = np.array([10.0**places for places in decimals])
    return np.asarray(values / units[ids], dtype=np.float64)


def _times(values: NDArray[Any], *, zero_is_none: bool = False) -> Any:
    mask = values == 0 if zero_is_none else None
    return pa.array(values, type=pa.int64(), mask=mask).view(_TS)


SourceOf = Callable[[int, int], str]
"""Where the bar of a fill came from (replay, stream, backfill, catch_up), by its close (ns UTC) and symbol id."""


def replayed(_close_ts: int, _symbol: int) -> str:
    """The source of every bar in a replay."""
    return "replay"


def trades_table(records: Records, names: Names, source_of: SourceOf = replayed) -> Any:
    """FILL records as a TRADES table."""
    fills = of_kind(records, t.OutputKind.FILL, t.OUT_FILL)
    symbol = fills["symbol"]
    base = np.array(names.bases)[symbol]
    quote = np.array(names.quotes)[symbol]
    decimals = names.asset_decimals
    side = fills["side"].astype(np.int64)
    fee_account = fills["fee_account"] / names.account_unit()
    columns = {
        "ts": _times(fills["ts"]),
        "symbol": _named(symbol, names.symbols),
        "order_id": fills["order_id"],
        "strategy": _named(fills["strategy"], names.strategies),
        "side": _lower(t.Side, side),
        "qty": _scaled(fills["quantity"], base, decimals),
        "price": _scaled(fills["price"], symbol, names.price_decimals),
        "fee": _scaled(fills["fee"], fills["fee_asset"], decimals),
        "fee_asset": _named(fills["fee_asset"], names.assets),
        "fee_usd": fee_account * names.usd_rate if names.usd_rate else pa.nulls(len(fills), _FLOAT),
        "fee_account": fee_account,
        "realized_pnl": _scaled(fills["realized"], quote, decimals),
        "liquidity": _lower(t.Liquidity, fills["liquidity"]),
        "slippage_bps": (fills["price"] / fills["reference"] - 1.0) * side * 10_000.0,
        "role": _lower(t.Role, fills["role"]),
        "source": pa.array(map(source_of, fills["ts"].tolist(), symbol.tolist()), type=_TEXT),
        "parent_id": fills["parent"],
        "open_ts": _times(fills["open_ts"]),
        "notional": _scaled(fills["notional"], quote, decimals),
        "seq": fills["seq"],
        "qty_minor": fills["quantity"],
        "price_units": fills["price"],
        "notional_minor": fills["notional"],
        "fee_minor": fills["fee"],
        "fee_quote_minor": fills["fee_quote"],
        "fee_account_minor": fills["fee_account"],
        "realized_pnl_minor": fills["realized"],
        "position_minor": fills["position"],
        "cost_minor": fills["cost"],
    }
    return _table(columns, TRADES)


def ledger_table(records: Records, names: Names) -> Any:
    """LEDGER records as a LEDGER table; what needs a price that is missing is null."""
    rows = of_kind(records, t.OutputKind.LEDGER, t.OUT_LEDGER)
    unvalued = rows["valued"] == 0
    unit = names.account_unit()

    def money(name: str) -> Any:
        mask = None if name in {"realized", "fees"} else unvalued
        return pa.array(rows[name] / unit, type=_FLOAT, mask=mask)

    def minor(name: str) -> Any:
        mask = None if name in {"realized", "fees"} else unvalued
        return pa.array(np.ascontiguousarray(rows[name]), type=_INT, mask=mask)

    columns = {
        "ts": _times(rows["ts"]),
        "equity": money("equity"),
        "peak": money("peak"),
        "drawdown": pa.array(rows["drawdown_ppb"] / 1e9, type=_FLOAT, mask=unvalued),
        "realized_pnl": money("realized"),
        "unrealized_pnl": money("unrealized"),
        "fees": money("fees"),
        "fx_revaluation": money("fx_revaluation"),
        "gross_exposure": money("gross"),
        "day_reference": money("day_reference"),
        "open_positions": rows["open_positions"],
        "open_orders": rows["open_orders"],
        "seq": rows["seq"],
        "equity_minor": minor("equity"),
        "peak_minor": minor("peak"),
        "realized_pnl_minor": minor("realized"),
        "unrealized_pnl_minor": minor("unrealized"),
        "fees_minor": minor("fees"),
        "fx_revaluation_minor": minor("fx_revaluation"),
    }
    return _table(columns, LEDGER)


def blocked_table(records: Records, names: Names) -> Any:
    """BLOCKED records as a BLOCKED table: what the gate refused, and the code of the rule. A field that makes no sense
    (which may be why) is null.
    """
    rows = of_kind(records, t.OutputKind.BLOCKED, t.OUT_ORDER)
    unknown = (rows["symbol"] < 0) | (rows["symbol"] >= len(names.symbols))
    symbol = np.where(unknown, 0, rows["symbol"])

    def price(name: str) -> Any:
        scaled = _scaled(rows[name], symbol, names.price_decimals)
        return pa.array(scaled, type=_FLOAT, mask=unknown | (rows[name] == 0))

    quantity = _scaled(rows["quantity"], np.array(names.bases)[symbol], names.asset_decimals)
    columns = {
        "ts": _times(rows["ts"]),
        "symbol": _named(rows["symbol"], names.symbols),
        "strategy": _named(rows["strategy"], names.strategies),
        "side": _lower(t.Side, rows["side"]),
        "type": _lower(t.OrderType, rows["order_type"]),
        "role": _lower(t.Role, rows["role"]),
        "code": _lower(t.Code, rows["code"]),
        "qty": pa.array(quantity, type=_FLOAT, mask=unknown),
        "limit_price": price("limit_price"),
        "stop_price": price("stop_price"),
        "seq": rows["seq"],
        "qty_minor": rows["quantity"],
    }
    return _table(columns, BLOCKED)


def _table(columns: dict[str, Any], schema: Any) -> Any:
    arrays = [
        pa.array(np.ascontiguousarray(column), type=field_.type) if isinstance(column, np.ndarray) else column
        for field_, column in zip(schema, columns.values(), strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


@dataclass
class OrderTracker:
    """Follows each order from acceptance to its end, holding only the open ones."""

    names: Names
    _open: dict[int, Row] = field(default_factory=dict)

    def rows(self, records: Records) -> Iterator[Row]:
        """A row for each order that ended within these records."""
        for index in np.flatnonzero(np.isin(records["kind"], _ORDER_KINDS)):
            kind = records["kind"][index]
            one = records[index : index + 1]
            if kind == t.OutputKind.ORDER:
                self._begin(one.view(t.OUT_ORDER)[0])
            elif kind == t.OutputKind.FILL:
                fill = one.view(t.OUT_FILL)[0]
                self._open[int(fill["order_id"])]["filled_minor"] += int(fill["quantity"])
            else:
                change = one.view(t.OUT_ORDER_END)[0]
                row = self._open[int(change["order_id"])]
                row["qty_minor"] = int(change["quantity"])
                if kind == t.OutputKind.ORDER_END:
                    del self._open[int(change["order_id"])]
                    yield self._finish(row, "ended", t.Code(int(change["code"])).name.lower(), int(change["ts"]))

    def still_open(self) -> Iterator[Row]:
        """A row for each order that is open at the end, by id."""
        for order_id in sorted(self._open):
            yield self._finish(dict(self._open[order_id]), "open", None, None)

    def _begin(self, order: np.void) -> None:
        symbol = int(order["symbol"])
        price_unit = 10.0 ** self.names.price_decimals[symbol]
        flags = int(order["flags"])
        self._open[int(order["order_id"])] = {
            "order_id": int(order["order_id"]),
            "created_ts": int(order["ts"]),
            "symbol": self.names.symbols[symbol],
            "strategy": self.names.strategies[int(order["strategy"])],
            "role": t.Role(int(order["role"])).name.lower(),
            "side": t.Side(int(order["side"])).name.lower(),
            "type": t.OrderType(int(order["order_type"])).name.lower(),
            "time_in_force": t.TimeInForce(int(order["time_in_force"])).name.lower(),
            "limit_price": int(order["limit_price"]) / price_unit if order["limit_price"] else None,
            "stop_price": int(order["stop_price"]) / price_unit if order["stop_price"] else None,
            "expires_ts": int(order["expires_ts"]) or None,
            "parent_id": int(order["parent"]) or None,
            "post_only": bool(flags & t.OrderFlag.POST_ONLY),
            "reduce_only": bool(flags & t.OrderFlag.REDUCE_ONLY),
            "qty_minor": int(order["quantity"]),
            "filled_minor": 0,
            "_unit": 10.0 ** self.names.asset_decimals[self.names.bases[symbol]],
        }

    def _finish(self, row: Row, state: str, code: str | None, ended_ts: int | None) -> Row:
        unit = row.pop("_unit")
        quantities = {"qty": row["qty_minor"] / unit, "filled": row["filled_minor"] / unit}
        return {**row, **quantities, "state": state, "code": code, "ended_ts": ended_ts}


_ORDER_KINDS = [
    int(kind) for kind in (t.OutputKind.ORDER, t.OutputKind.FILL, t.OutputKind.ORDER_CHANGE, t.OutputKind.ORDER_END)
]


@dataclass
class RoundTripTracker:
    """Follows each (strategy, symbol) from flat to flat."""

    names: Names
    _open: dict[tuple[int, int], Row] = field(default_factory=dict)

    def rows(self, records: Records) -> Iterator[Row]:
        """A row for each round trip that was completed within these records."""
        for fill in of_kind(records, t.OutputKind.FILL, t.OUT_FILL):
            key = (int(fill["strategy"]), int(fill["symbol"]))
            trip = self._open.setdefault(key, self._new(fill))
            quantity, notional = int(fill["quantity"]), int(fill["notional"])
            trip["realized"] += int(fill["realized"])
            trip["fees"] += int(fill["fee_quote"])
            trip["account"] += int(fill["realized_account"]) - int(fill["fee_account"])
            if fill["side"] == t.Side.BUY:
                trip["bought"] += quantity
                trip["paid"] += notional
                continue
            trip["sold"] += quantity
            trip["received"] += notional
            if int(fill["position"]) < self.names.steps[key[1]]:
                del self._open[key]
                yield self._finish(trip, fill)

    def _new(self, fill: np.void) -> Row:
        return {
            "entry_ts": int(fill["ts"]),
            **dict.fromkeys(("realized", "fees", "account", "bought", "paid", "sold", "received"), 0),
        }

    def _finish(self, trip: Row, fill: np.void) -> Row:
        names = self.names
        symbol = int(fill["symbol"])
        base_unit = 10.0 ** names.asset_decimals[names.bases[symbol]]
        quote_unit = 10.0 ** names.asset_decimals[names.quotes[symbol]]
        pnl = trip["realized"] - trip["fees"]
        return {
            "symbol": names.symbols[symbol],
            "strategy": names.strategies[int(fill["strategy"])],
            "entry_ts": trip["entry_ts"],
            "exit_ts": int(fill["ts"]),
            "duration_s": (int(fill["ts"]) - trip["entry_ts"]) / 1e9,
            "reason": _REASONS[t.Role(int(fill["role"]))],
            "qty": trip["bought"] / base_unit,
            "entry_price": trip["paid"] / quote_unit / (trip["bought"] / base_unit) if trip["bought"] else None,
            "exit_price": trip["received"] / quote_unit / (trip["sold"] / base_unit),
            "pnl": pnl / quote_unit,
            "fees": trip["fees"] / quote_unit,
            "return_pct": 100.0 * pnl / trip["paid"] if trip["paid"] else None,
            "quote": names.assets[names.quotes[symbol]],
            "pnl_account_minor": trip["account"],
            "pnl_minor": pnl,
            "fees_minor": trip["fees"],
            "cost_minor": trip["paid"],
        }
