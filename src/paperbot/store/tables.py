"""Output records as tables for people: fills, ledger rows, orders with their end, round trips, blocked orders.

Money and quantities are given as float64 for people, and as int64 in minor units (`*_minor`). This file only adds
names, units and sums to the core's records; it decides nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.core.fields import of_kind
from paperbot.figures import slippage_bps
from paperbot.names import Names
from paperbot.store.statistics import RoundTrips

Records = NDArray[np.void]

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
"""The schemas of the tables that a run writes, by file name."""

_REASONS = {
    t.Role.EXIT: "signal",
    t.Role.REDUCE: "signal",
    t.Role.STOP: "stop",
    t.Role.TARGET: "target",
    t.Role.FLATTEN: "flatten",
}


def _named(ids: NDArray[Any], names: Sequence[str]) -> Any:
    """The names of ids; null for an unknown id."""
    names_or_null = [*names, None]
    indices = np.where((ids < 0) | (ids >= len(names)), len(names), ids)
    return pa.array([names_or_null[index] for index in indices.tolist()], type=_TEXT)


def _lower(members: type[Any], ids: NDArray[Any]) -> Any:
    """The lower-case names of an enumeration's values; null for an unknown value."""
    names = {value: member.name.lower() for value, member in members._value2member_map_.items()}
    return pa.array([names.get(value) for value in ids.tolist()], type=_TEXT)


def _scaled(values: NDArray[Any], ids: NDArray[Any], decimals: Sequence[int]) -> NDArray[np.float64]:
    """Convert minor units to floats. Dividing by a power of ten gives the float nearest to the decimal."""
    units = np.array([10.0**places for places in decimals])
    return np.asarray(values / units[ids], dtype=np.float64)


def _times(values: NDArray[Any], *, zero_is_none: bool = False) -> Any:
    mask = values == 0 if zero_is_none else None
    return pa.array(values, type=pa.int64(), mask=mask).view(_TS)


SourceOf = Callable[[int, int], str]
"""Gives the source of a fill's bar (replay, stream, backfill, catch_up), by its close (ns UTC) and symbol id."""


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
        "slippage_bps": slippage_bps(fills["price"], fills["reference"], side),
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
    """LEDGER records as a LEDGER table; a value that needs a missing price is null."""
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
    """BLOCKED records as a BLOCKED table: the orders that the gate refused, with their block codes. An invalid field,
    which may be the reason for the block, is null.
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


class OrderTracker:
    """Tracks each order from acceptance to its end; holds only the open ones."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._open = np.zeros(0, dtype=t.OUT_ORDER)  # By ascending id, as orders are numbered.
        self._quantity, self._filled = np.zeros((2, 0), dtype=np.int64)

    def ended(self, records: Records) -> Any:
        """An ORDERS table of the orders that end within these records, in the order of their ends."""
        fresh = of_kind(records, t.OutputKind.ORDER, t.OUT_ORDER)
        orders = _joined(self._open, fresh)
        quantity = np.append(self._quantity, fresh["quantity"])
        filled = np.append(self._filled, np.zeros(len(fresh), dtype=np.int64))
        fills = of_kind(records, t.OutputKind.FILL, t.OUT_FILL)
        np.add.at(filled, np.searchsorted(orders["order_id"], fills["order_id"]), fills["quantity"])
        changes = of_kind(records, t.OutputKind.ORDER_CHANGE, t.OUT_ORDER_END)
        quantity[np.searchsorted(orders["order_id"], changes["order_id"])] = changes["quantity"]
        ends = of_kind(records, t.OutputKind.ORDER_END, t.OUT_ORDER_END)
        at = np.searchsorted(orders["order_id"], ends["order_id"])
        quantity[at] = ends["quantity"]
        is_open = np.ones(len(orders), dtype=np.bool_)
        is_open[at] = False
        self._open, self._quantity, self._filled = orders[is_open], quantity[is_open], filled[is_open]
        return self._table(orders[at], quantity[at], filled[at], ends)

    def still_open(self) -> Any:
        """An ORDERS table of the open orders, by id."""
        return self._table(self._open, self._quantity, self._filled, None)

    def _table(
        self, orders: Records, quantity: NDArray[np.int64], filled: NDArray[np.int64], ends: Records | None
    ) -> Any:
        names, symbol = self._names, orders["symbol"]
        base = np.array(names.bases)[symbol]

        def price(name: str) -> Any:
            scaled = _scaled(orders[name], symbol, names.price_decimals)
            return pa.array(scaled, type=_FLOAT, mask=orders[name] == 0)

        columns = {
            "order_id": orders["order_id"],
            "created_ts": _times(orders["ts"]),
            "ended_ts": _times(ends["ts"]) if ends is not None else pa.nulls(len(orders), _TS),
            "symbol": _named(symbol, names.symbols),
            "strategy": _named(orders["strategy"], names.strategies),
            "role": _lower(t.Role, orders["role"]),
            "side": _lower(t.Side, orders["side"]),
            "type": _lower(t.OrderType, orders["order_type"]),
            "time_in_force": _lower(t.TimeInForce, orders["time_in_force"]),
            "state": pa.array(["open" if ends is None else "ended"] * len(orders), type=_TEXT),
            "code": _lower(t.Code, ends["code"]) if ends is not None else pa.nulls(len(orders), _TEXT),
            "qty": _scaled(quantity, base, names.asset_decimals),
            "filled": _scaled(filled, base, names.asset_decimals),
            "limit_price": price("limit_price"),
            "stop_price": price("stop_price"),
            "expires_ts": _times(orders["expires_ts"], zero_is_none=True),
            "parent_id": pa.array(np.ascontiguousarray(orders["parent"]), type=_INT, mask=orders["parent"] == 0),
            "post_only": (orders["flags"] & t.OrderFlag.POST_ONLY) != 0,
            "reduce_only": (orders["flags"] & t.OrderFlag.REDUCE_ONLY) != 0,
            "qty_minor": quantity,
            "filled_minor": filled,
        }
        return _table(columns, ORDERS)


def _joined(before: Records, after: Records) -> Records:
    """Concatenate two arrays of the same layout, as bytes."""
    block = f"V{before.dtype.itemsize}"
    return np.concatenate((before.view(block), after.view(block))).view(before.dtype)


def round_trips_table(trips: Records, names: Names) -> Any:
    """Completed round trips (`statistics.TRIP`) as a ROUND_TRIPS table."""
    symbol = trips["symbol"]
    base, quote = np.array(names.bases)[symbol], np.array(names.quotes)[symbol]
    decimals = names.asset_decimals
    bought, sold = _scaled(trips["bought"], base, decimals), _scaled(trips["sold"], base, decimals)
    paid, received = _scaled(trips["paid"], quote, decimals), _scaled(trips["received"], quote, decimals)
    pnl = trips["realized"] - trips["fees"]
    with np.errstate(divide="ignore", invalid="ignore"):
        entry_price, return_pct = paid / bought, 100.0 * pnl / trips["paid"]
    columns = {
        "symbol": _named(symbol, names.symbols),
        "strategy": _named(trips["strategy"], names.strategies),
        "entry_ts": _times(trips["entry_ts"]),
        "exit_ts": _times(trips["exit_ts"]),
        "duration_s": (trips["exit_ts"] - trips["entry_ts"]) / 1e9,
        "reason": pa.array([_REASONS[t.Role(role)] for role in trips["role"].tolist()], type=_TEXT),
        "qty": bought,
        "entry_price": pa.array(entry_price, type=_FLOAT, mask=trips["bought"] == 0),
        "exit_price": received / sold,
        "pnl": _scaled(pnl, quote, decimals),
        "fees": _scaled(trips["fees"], quote, decimals),
        "return_pct": pa.array(return_pct, type=_FLOAT, mask=trips["paid"] == 0),
        "quote": _named(quote, names.assets),
        "pnl_account_minor": trips["account"],
        "pnl_minor": pnl,
        "fees_minor": trips["fees"],
        "cost_minor": trips["paid"],
    }
    return _table(columns, ROUND_TRIPS)


def tables_of(
    records: Records, names: Names, orders: OrderTracker, round_trips: RoundTrips, source_of: SourceOf
) -> Iterator[tuple[str, Any]]:
    """Yield (name, rows) of each table from these records. The trackers keep open orders and round trips."""
    yield "trades", trades_table(records, names, source_of)
    yield "ledger", ledger_table(records, names)
    yield "orders", orders.ended(records)
    yield "round_trips", round_trips_table(round_trips.add(of_kind(records, t.OutputKind.FILL, t.OUT_FILL)), names)
    yield "blocked", blocked_table(records, names)
