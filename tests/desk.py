"""A trading desk in the domain's notation: bars and orders in, fills and ends out, in whole units.

One account with 10,000 USD. By default: tick 1, step 0.1, no minimum, no slippage, no fees, all of a bar's volume may
be taken, and no rule of risk is on. A test switches on what it is about.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np

from paperbot.config import Layer as _Layer
from paperbot.config import load, merge
from paperbot.core import types as t
from paperbot.engine.machine import Machine
from paperbot.engine.params import NS, make_plan

MINUTE_NS = 60 * NS
START_NS = 1_700_006_400 * NS  # 2023-11-15T00:00:00Z

PLAIN: dict[str, Any] = {
    "strategies": [{"name": "manual", "kind": "external"}],
    "account": {"currency": "USD", "balances": {"USD": 10_000}},
    "execution": {
        "fees": {"maker_bps": 0, "taker_bps": 0},
        "tick_size": 1,
        "step_size": "0.1",
        "min_notional": 0,
        "slippage_bps": 0,
        "liquidity_fraction": 1,
        "symbols": {},
    },
    "risk": {
        "sizing": "fixed_quote",
        "fixed_quote": 1000,
        "attach_stop": False,
        "max_position_value_per_symbol": 0,
        "max_gross_exposure": 0,
        "max_open_positions": 0,
        "max_open_orders": 0,
        "price_collar": 0,
        "max_orders_per_minute": 0,
        "cooldown_bars": 0,
        "stale_after_bars": 0,
        "entry_timeout_bars": 0,
        "funds_margin": 0,
        "daily_loss_cap": 0,
        "max_drawdown": 0,
    },
}


class Desk:
    """Bars of one minute, one after the other; what the core answers is kept in `records`."""

    def __init__(self, *overrides: dict[str, Any], symbols: Iterable[str] = ("BTC/USD",)) -> None:
        bases = {"account": {"decimals": dict.fromkeys((symbol.partition("/")[0] for symbol in symbols), 8)}}
        tree, _ = merge([_Layer("desk", PLAIN), _Layer("desk", bases), *(_Layer("test", one) for one in overrides)])
        self.configuration = load(None, [tree])
        self.plan = make_plan(self.configuration, dict.fromkeys(symbols, MINUTE_NS))
        self.machine = Machine(self.plan.params)
        self.records: list[np.void] = []
        self.now_ns = START_NS

    # ---- events in
    def bar(
        self, *ohlc: float, volume: float = 100, symbol: str | None = None, last: bool = True, catch_up: bool = False
    ) -> "Desk":
        """One bar: open, high, low, close (or one price for a flat bar). Time moves when the slice ends."""
        opening, high, low, close = ohlc if len(ohlc) == 4 else (*ohlc,) * 4
        event = np.zeros(1, dtype=t.BAR_EVENT)
        row = event[0]
        row["kind"], row["symbol"], row["volume"] = t.EventKind.BAR, self._symbol(symbol), volume
        row["open_ts"], row["close_ts"] = self.now_ns, self.now_ns + MINUTE_NS
        for name, price in (("open", opening), ("high", high), ("low", low), ("close", close)):
            row[name] = self._units(price, symbol)
        row["flags"] = (t.BarFlag.END_OF_SLICE if last else 0) | (t.BarFlag.CATCH_UP if catch_up else 0)
        self._feed(event)
        if last:
            self.now_ns += MINUTE_NS
        return self

    def skip(self, minutes: int) -> "Desk":
        """Let time pass without bars."""
        self.now_ns += minutes * MINUTE_NS
        return self

    def buy(self, quantity: float, **how: Any) -> "Desk":
        return self._order(t.Side.BUY, quantity, **how)

    def sell(self, quantity: float, **how: Any) -> "Desk":
        return self._order(t.Side.SELL, quantity, **how)

    def signal(
        self, target: t.Target, symbol: str | None = None, strategy: str = "manual", max_quantity: float = 0
    ) -> "Desk":
        event = np.zeros(1, dtype=t.SIGNAL_EVENT)
        row = event[0]
        row["ts"], row["kind"], row["symbol"] = self.now_ns, t.EventKind.SIGNAL, self._symbol(symbol)
        row["strategy"], row["target"] = self.plan.strategies.index(strategy), target
        row["max_quantity"] = round(Decimal(str(max_quantity)) * 10**8)
        return self._feed(event.view(t.BAR_EVENT))

    def cancel(self, order_id: int) -> "Desk":
        return self._control(t.EventKind.CANCEL, order_id=order_id)

    def halt(self) -> "Desk":
        return self._control(t.EventKind.HALT, reason=int(t.HaltReason.MANUAL))

    def resume(self) -> "Desk":
        return self._control(t.EventKind.RESUME)

    # ---- answers out
    def fills(self) -> list[tuple[Any, ...]]:
        """(side, quantity, price, liquidity) of each fill."""
        return [
            (
                t.Side(int(one["side"])).name.lower(),
                float(one["quantity"]) / 1e8,
                self._price(one["price"], one["symbol"]),
                t.Liquidity(int(one["liquidity"])).name.lower(),
            )
            for one in self.of(t.OutputKind.FILL, t.OUT_FILL)
        ]

    def ends(self) -> list[tuple[int, str]]:
        """(order id, how it ended)."""
        ends = self.of(t.OutputKind.ORDER_END, t.OUT_ORDER_END)
        return [(int(one["order_id"]), t.Code(int(one["code"])).name.lower()) for one in ends]

    def blocked(self) -> list[str]:
        return [t.Code(int(one["code"])).name.lower() for one in self.of(t.OutputKind.BLOCKED, t.OUT_ORDER)]

    def orders(self) -> list[tuple[int, str, float]]:
        """(order id, role, quantity) as accepted."""
        return [
            (int(one["order_id"]), t.Role(int(one["role"])).name.lower(), float(one["quantity"]) / 1e8)
            for one in self.of(t.OutputKind.ORDER, t.OUT_ORDER)
        ]

    def open_orders(self) -> dict[int, float]:
        """Rest of each open order by id."""
        orders = self.machine.state.orders
        return {int(o["id"]): float(o["quantity"] - o["filled"]) / 1e8 for o in orders if o["id"] > 0}

    def balance(self, asset: str) -> tuple[Decimal, Decimal]:
        """(free, locked)."""
        row = self.machine.state.assets[self.plan.assets.index(asset)]
        return Decimal(int(row["free"])) / 10**8, Decimal(int(row["locked"])) / 10**8

    def position(self, strategy: str = "manual", symbol: str | None = None) -> float:
        index = self.plan.strategies.index(strategy) * len(self.plan.symbols) + self._symbol(symbol)
        return float(self.machine.state.positions[index]["quantity"]) / 1e8

    @property
    def equity(self) -> Decimal:
        return Decimal(int(self.machine.account["equity"])) / 10**8

    @property
    def halted(self) -> bool:
        return bool(self.machine.account["halted"])

    def of(self, kind: t.OutputKind, dtype: np.dtype) -> list[np.void]:
        chosen = [one for one in self.records if one["kind"] == kind]
        return [np.array([one]).view(dtype)[0] for one in chosen]

    # ---- inside
    def _feed(self, event: np.ndarray) -> "Desk":
        for out in self.machine.advance(event):
            self.records.extend(out)
        assert self.machine.market["fault"] == t.Fault.NONE
        return self

    def _symbol(self, name: str | None) -> int:
        return 0 if name is None else self.plan.symbols.index(name)

    def _units(self, price: float, symbol: str | None) -> int:
        return round(Decimal(str(price)) * 10 ** self.plan.price_decimals[self._symbol(symbol)])

    def _price(self, units: int, symbol: int) -> float:
        return float(units) / 10.0 ** self.plan.price_decimals[int(symbol)]

    def _order(self, side: t.Side, quantity: float, **how: Any) -> "Desk":
        symbol = how.get("symbol")
        event = np.zeros(1, dtype=t.ORDER_EVENT)
        row = event[0]
        row["ts"], row["kind"], row["symbol"] = self.now_ns, t.EventKind.ORDER, self._symbol(symbol)
        row["side"], row["quantity"] = side, round(Decimal(str(quantity)) * 10**8)
        row["strategy"] = how.get("strategy_id", self.plan.strategies.index(how.get("strategy", "manual")))
        row["order_type"], row["time_in_force"] = t.OrderType.MARKET, t.TimeInForce[how.get("tif", "gtc").upper()]
        for name, kind in (("limit", t.OrderType.LIMIT), ("stop", t.OrderType.STOP)):
            if name in how:
                row["order_type"], row[f"{name}_price"] = kind, self._units(how[name], symbol)
        if "symbol_id" in how:
            row["symbol"] = how["symbol_id"]
        row["expires_ts"] = START_NS + how["expires_min"] * MINUTE_NS if "expires_min" in how else 0
        for name in ("stop_distance", "target_distance"):
            row[name] = self._units(how.get(name, 0), symbol)
        row["flags"] = (how.get("post_only", 0) * t.OrderFlag.POST_ONLY) | (
            how.get("reduce_only", 0) * t.OrderFlag.REDUCE_ONLY
        )
        return self._feed(event.view(t.BAR_EVENT))

    def _control(self, kind: t.EventKind, **fields: int) -> "Desk":
        event = np.zeros(1, dtype=t.CONTROL_EVENT)
        event["ts"], event["kind"] = self.now_ns, kind
        for name, value in fields.items():
            event[name] = value
        return self._feed(event.view(t.BAR_EVENT))
