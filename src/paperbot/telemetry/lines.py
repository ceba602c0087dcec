"""Converts events and output records to the fields of log lines, with names for ids and whole units for amounts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from paperbot.clock import format_ts
from paperbot.core import types as t
from paperbot.figures import slippage_bps
from paperbot.names import Names
from paperbot.settings import MeanReversion as Reversion
from paperbot.settings import Momentum, PatternFollower, SmaCross, Strategy, UserStrategy

Fields = dict[str, Any]
_DIGITS = 6


def candle(bar: np.void, names: Names) -> Fields:
    """Return the fields of a bar event; `ts` is its open."""
    symbol = int(bar["symbol"])
    prices = {name: names.price(int(bar[name]), symbol) for name in ("open", "high", "low", "close")}
    return {
        "ts": format_ts(int(bar["open_ts"])),
        "symbol": names.symbols[symbol],
        **prices,
        "volume": float(bar["volume"]),
    }


def order(record: np.void, names: Names) -> Fields:
    """Return the fields of an OUT_ORDER record, accepted or blocked."""
    symbol = int(record["symbol"])
    is_known = 0 <= symbol < len(names.symbols)
    flags = int(record["flags"])
    fields: Fields = {
        "ts": format_ts(int(record["ts"])),
        "order_id": int(record["order_id"]),
        "symbol": names.symbols[symbol] if is_known else None,
        "strategy": _strategy(record, names),
        "side": _name(t.Side, record["side"]),
        "type": _name(t.OrderType, record["order_type"]),
        "time_in_force": _name(t.TimeInForce, record["time_in_force"]),
        "role": _name(t.Role, record["role"]),
        "reduce_only": bool(flags & t.OrderFlag.REDUCE_ONLY),
    }
    if is_known:
        fields["qty"] = names.quantity(int(record["quantity"]), symbol)
        for name in ("limit_price", "stop_price"):
            if record[name]:
                fields[name] = names.price(int(record[name]), symbol)
    if record["parent"]:
        fields["parent_id"] = int(record["parent"])
    return fields


def open_order(record: np.void, names: Names) -> Fields:
    """Return the fields of an open order in the state (ORDER)."""
    symbol = int(record["symbol"])
    fields: Fields = {
        "order_id": int(record["id"]),
        "symbol": names.symbols[symbol],
        "strategy": _strategy(record, names),
        "side": _name(t.Side, record["side"]),
        "type": _name(t.OrderType, record["order_type"]),
        "role": _name(t.Role, record["role"]),
        "qty": names.quantity(int(record["quantity"]), symbol),
        "filled": names.quantity(int(record["filled"]), symbol),
    }
    for name in ("limit_price", "stop_price"):
        if record[name]:
            fields[name] = names.price(int(record[name]), symbol)
    return fields


def fill(record: np.void, names: Names) -> Fields:
    """Return the fields of an OUT_FILL record."""
    symbol = int(record["symbol"])
    return {
        "ts": format_ts(int(record["ts"])),
        "symbol": names.symbols[symbol],
        "order_id": int(record["order_id"]),
        "strategy": _strategy(record, names),
        "side": _name(t.Side, record["side"]),
        "qty": names.quantity(int(record["quantity"]), symbol),
        "price": names.price(int(record["price"]), symbol),
        "fee": names.amount(int(record["fee"]), int(record["fee_asset"])),
        "fee_asset": names.assets[int(record["fee_asset"])],
        "fee_usd": names.usd(int(record["fee_account"])),
        "realized_pnl": names.quote_amount(int(record["realized"]), symbol),
        "liquidity": _name(t.Liquidity, record["liquidity"]),
        "slippage_bps": round(slippage_bps(*(int(record[name]) for name in ("price", "reference", "side"))), _DIGITS),
        "role": _name(t.Role, record["role"]),
        "remaining": names.quantity(int(record["remaining"]), symbol),
    }


def order_end(record: np.void, names: Names) -> Fields:
    """Return the fields of an OUT_ORDER_END record."""
    symbol = int(record["symbol"])
    return {
        "ts": format_ts(int(record["ts"])),
        "order_id": int(record["order_id"]),
        "symbol": names.symbols[symbol],
        "reason": _name(t.Code, record["code"]),
        "qty": names.quantity(int(record["quantity"]), symbol),
        "filled": names.quantity(int(record["filled"]), symbol),
    }


def halt(record: np.void, names: Names) -> Fields:
    """Return the fields of an OUT_HALT record, for a halt or a resume."""
    unit = names.account_unit()
    return {
        "ts": format_ts(int(record["ts"])),
        "reason": _name(t.HaltReason, record["reason"]),
        "equity": int(record["equity"]) / unit,
        "reference": int(record["reference"]) / unit,
        "trips": int(record["trips"]),
    }


def signal(record: np.void, names: Names, strategy: Strategy | None, patterns: Sequence[str]) -> Fields:
    """Return the fields of an OUT_SIGNAL record. `strategy`: None if external; `patterns`: found in its bar."""
    side = _name(t.Target, record["target"])
    values = [round(float(record[f"value_{k}"]), _DIGITS) for k in range(3)]
    reason, params = why(strategy, side, values, patterns)
    return {
        "ts": format_ts(int(record["ts"])),
        "symbol": names.symbols[int(record["symbol"])],
        "strategy": _strategy(record, names),
        "side": side,
        "strength": int(record["strength_ppb"]) / 1e9,
        "reason": reason,
        "params": params,
    }


def why(strategy: Strategy | None, side: str, values: Sequence[float], patterns: Sequence[str]) -> tuple[str, Fields]:
    """Return a signal's reason in words and its numbers. `values`: the features that the strategy read."""
    first, second = values[0], values[1]
    if isinstance(strategy, Reversion):
        numbers = {"zscore": first, "enter": strategy.enter, "leave": strategy.leave}
        bound = f"below {strategy.enter:g}" if side == "long" else f"above {strategy.leave:g}"
        return f"z-score {first:.2f} at or {bound}", numbers
    if isinstance(strategy, SmaCross):
        relation = "above" if side == "long" else "not above"
        numbers = {"fast": strategy.fast, "slow": strategy.slow, "sma_fast": first, "sma_slow": second}
        return f"SMA({strategy.fast}) {relation} SMA({strategy.slow})", numbers
    if isinstance(strategy, Momentum):
        numbers = {"rsi": first, "ema": second, **strategy.model_dump(include={"enter", "leave", "trend"})}
        return f"RSI {first:.1f} against EMA({strategy.trend})", numbers
    if isinstance(strategy, PatternFollower):
        followed = [name for name in patterns if name in {*strategy.enter, *strategy.leave}]
        return f"pattern {', '.join(followed)}", {"patterns": followed}
    if isinstance(strategy, UserStrategy):
        return f"answer of {strategy.path.name}", {"features": list(values), **strategy.params}
    return "from outside", {}


def _strategy(record: np.void, names: Names) -> str | None:
    index = int(record["strategy"])
    return names.strategies[index] if 0 <= index < len(names.strategies) else None


def _name(members: Any, value: Any) -> str:
    """Return the name of a code, or its number if it has none: a blocked order may hold any number."""
    member = members._value2member_map_.get(int(value))
    return str(int(value)) if member is None else member.name.lower()
