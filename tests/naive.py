"""The naive twin: a second reading of `docs/fills.md` in plain Python integers, slow and obvious.

`check` redoes a run from its events and parameters and compares every record with the ones that the core wrote. Only
floats are not redone: from the outputs it takes the targets of built-in strategies (the SIGNAL records at the end of a
slice) and the integer ATR that SIGNAL, ORDER, BLOCKED and FILL records carry. When no record carries it and a possible
ATR explains that a sale waits below one tick, the twin believes the core. PATTERN records are passed over.

It shares nothing with the core but the layout of the records.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from paperbot.core import types as t
from paperbot.core.types import Code, EventKind, OutputKind, Role, Side, Target, TimeInForce
from paperbot.core.types import OrderType as Type

PPB = 10**9
LIMIT = 2**62
TOO_LARGE = 2**60
"""A quantity, price or distance from here on is `overflow` before anything is rounded."""
DAY_NS = 86_400 * 10**9
DOWN, UP, EVEN = "down", "up", "even"
EXITS = (Role.EXIT, Role.FLATTEN)
LEGS = (Role.STOP, Role.TARGET)
SUBMITTED_FLAGS = t.OrderFlag.POST_ONLY | t.OrderFlag.REDUCE_ONLY

DTYPES = {
    OutputKind.SIGNAL: t.OUT_SIGNAL,
    OutputKind.ORDER: t.OUT_ORDER,
    OutputKind.BLOCKED: t.OUT_ORDER,
    OutputKind.FILL: t.OUT_FILL,
    OutputKind.ORDER_CHANGE: t.OUT_ORDER_END,
    OutputKind.ORDER_END: t.OUT_ORDER_END,
    OutputKind.LEDGER: t.OUT_LEDGER,
    OutputKind.HALT: t.OUT_HALT,
    OutputKind.RESUME: t.OUT_HALT,
    OutputKind.PATTERN: t.OUT_PATTERN,
}
CARRIES_ATR = (OutputKind.SIGNAL, OutputKind.ORDER, OutputKind.BLOCKED, OutputKind.FILL)
VOID_WHILE_NOT_VALUED = (
    *("equity", "peak", "drawdown_ppb", "realized", "unrealized", "fees", "fx_revaluation", "gross", "day_reference"),
)


class Mismatch(AssertionError):
    """The core's outputs, or the twin's own books, are not what the specification says."""


class Overflow(Exception):
    """A result beyond ±2^62, or a fee that no asset can pay."""


class Stopped(Exception):
    """The run ends in the middle, with a fault."""

    def __init__(self, fault: t.Fault) -> None:
        super().__init__(fault.name)
        self.fault = fault


# ---- numbers --------------------------------------------------------------------------------------------------------
def divide(a: int, b: int, rounding: str) -> int:
    """a / b, rounded once: down toward zero, up away from zero, or half to even."""
    sign = -1 if (a < 0) != (b < 0) else 1
    whole, rest = divmod(abs(a), abs(b))
    if rounding == UP:
        whole += rest > 0
    elif rounding == EVEN:
        twice = 2 * rest
        whole += twice > abs(b) or (twice == abs(b) and whole % 2 == 1)
    return sign * whole


def limited(a: int) -> int:
    if abs(a) > LIMIT:
        raise Overflow
    return a


def mul_div(a: int, b: int, c: int, rounding: str) -> int:
    return limited(divide(a * b, c, rounding))


def saturating(a: int, b: int, c: int, rounding: str) -> int:
    """A product that only bounds something from above: beyond 2^62 it becomes 2^62 - 1."""
    result = divide(a * b, c, rounding)
    return LIMIT - 1 if result > LIMIT else limited(result)


def ppb(a: int, x_ppb: int, rounding: str) -> int:
    return mul_div(a, x_ppb, PPB, rounding)


def floor_to(a: int, unit: int) -> int:
    return a // unit * unit


def ceil_to(a: int, unit: int) -> int:
    return -(-a // unit) * unit


def steps_down(a: int, step: int) -> int:
    """The whole steps of a quantity, toward zero."""
    return divide(a, step, DOWN) * step


def day_of(close_ts: int) -> int:
    return (close_ts - 1) // DAY_NS


def from_float(x: float) -> int:
    """A float volume in minor units: half to even, saturating at 2^62, nothing for what is no positive number."""
    if math.isnan(x) or x <= 0:
        return 0
    return LIMIT if x >= LIMIT else round(x)


# ---- parameters and state -------------------------------------------------------------------------------------------
class Row:
    """One structured record as plain Python numbers."""

    def __init__(self, record: Any) -> None:
        for name in record.dtype.names:
            setattr(self, name, record[name].item())

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@dataclass
class Asset:
    opening: int
    free: int
    locked: int = 0
    held: int = 0
    venue: int = 0
    fees: int = 0
    arriving: int = 0


@dataclass
class Position:
    quantity: int = 0
    cost: int = 0
    realized: int = 0
    fees: int = 0
    cash: int = 0
    """What fills moved in the quote: proceeds less cost and less the fees paid in the quote."""
    cooldown_until: int = 0
    target: int = Target.FLAT
    dust: bool = False
    exit_due: int = 0
    """The role of an exit that must be sent again, or 0."""


@dataclass
class Market:
    """What is known of a symbol. `atr` is None until a record of the outputs has told it for the present bar count; it
    is a mean of true ranges, so it is at most `widest`, the widest of them, and 0 while it warms up."""

    last_close: int = 0
    oracle_close: int = 0
    last_close_ts: int = 0
    bars: int = 0
    atr: int | None = 0
    last_atr: int = 0
    widest: int = 0


@dataclass
class Order:
    symbol: int
    strategy: int
    side: int
    order_type: int
    time_in_force: int
    role: int
    quantity: int
    created_ts: int
    flags: int = 0
    limit_price: int = 0
    stop_price: int = 0
    expires_ts: int = 0
    stop_distance: int = 0
    target_distance: int = 0
    parent: int = 0
    id: int = 0
    filled: int = 0
    locked: int = 0
    bars: int = 0
    fresh: int = 0
    triggered: bool = False

    @property
    def rest(self) -> int:
        return self.quantity - self.filled

    @property
    def buys(self) -> bool:
        return self.side == Side.BUY

    @property
    def post_only(self) -> bool:
        return bool(self.flags & t.OrderFlag.POST_ONLY)

    @property
    def reduce_only(self) -> bool:
        return bool(self.flags & t.OrderFlag.REDUCE_ONLY)

    @property
    def wanted_legs(self) -> int:
        return (self.stop_distance > 0) + (self.target_distance > 0)


@dataclass
class Books:
    """The money part of the state. Balances are in minor units by asset id, positions by (strategy, symbol)."""

    assets: list[Asset]
    positions: dict[tuple[int, int], Position]
    orders: dict[int, Order] = field(default_factory=dict)
    next_order_id: int = 1
    clock_ts: int = 0
    sliced: bool = False
    valued: bool = False
    ever_valued: bool = False
    equity: int = 0
    start_equity: int = 0
    day_reference: int = 0
    peak: int = 0
    rule_peak: int = 0
    realized: int = 0
    unrealized: int = 0
    fees: int = 0
    gross: int = 0
    halted: bool = False
    catching_up: bool = False
    halt_reason: int = 0
    trips: int = 0
    fault: t.Fault = t.Fault.NONE

    @property
    def drawdown_ppb(self) -> int:
        return mul_div(self.peak - self.equity, PPB, self.peak, EVEN) if self.peak > 0 else 0

    @property
    def fx_revaluation(self) -> int:
        return self.equity - self.start_equity - self.realized - self.unrealized + self.fees


# ---- the real outputs and the one place of comparison ---------------------------------------------------------------
class Tape:
    """The core's records in order, and the comparison with what the twin expects next."""

    def __init__(self, outputs: Any) -> None:
        self.count = len(outputs)
        self.head = outputs.view(t.OUT_HEAD)
        self.views = {kind: outputs.view(dtype) for kind, dtype in DTYPES.items()}
        self.at = 0
        self.where = "before the first event"

    def kind(self, index: int) -> int:
        return int(self.head["kind"][index])

    def record(self, index: int) -> Row:
        return Row(self.views[OutputKind(self.kind(index))][index])

    def peek(self) -> Row | None:
        """The next record that is no PATTERN."""
        while self.at < self.count and self.kind(self.at) == OutputKind.PATTERN:
            self.compare_field("PATTERN", "seq", self.at + 1, int(self.head["seq"][self.at]))
            self.at += 1
        if self.at == self.count:
            return None
        if self.kind(self.at) not in DTYPES:
            self.fail(f"record {self.at} has the unknown kind {self.kind(self.at)}")
        return self.record(self.at)

    def expect(self, kind: OutputKind, fields: dict[str, int]) -> None:
        """Compares the next record with the expected one, field by field."""
        actual = self.peek()
        if actual is None:
            self.fail(f"record {self.at} is missing: expected {kind.name} {fields}")
        self.compare_field(kind.name, "kind", kind.name, OutputKind(actual.kind).name, fields)
        for name in DTYPES[kind].names:
            if name == "kind" or name.startswith(("filler", "value_")):
                continue
            if kind == OutputKind.LEDGER and not fields["valued"] and name in VOID_WHILE_NOT_VALUED:
                continue
            expected = self.at + 1 if name == "seq" else int(fields.get(name, 0))
            self.compare_field(kind.name, name, expected, getattr(actual, name), fields)
        self.at += 1

    def expect_end(self) -> None:
        actual = self.peek()
        if actual is not None:
            self.fail(f"record {self.at} is surplus: {OutputKind(actual.kind).name} {vars(actual)}")

    def compare_field(self, kind: str, name: str, expected: Any, actual: Any, fields: Any = "") -> None:
        if expected != actual:
            self.fail(f"record {self.at} {kind}.{name}: expected {expected}, actual {actual}\n  expected {fields}")

    def fail(self, what: str) -> NoReturn:
        before = []
        for index in range(max(0, self.at - 4), min(self.at + 1, self.count)):
            known = self.kind(index) in DTYPES
            shown = {k: v for k, v in vars(self.record(index)).items() if "filler" not in k} if known else "?"
            before.append(f"  [{index}] {OutputKind(self.kind(index)).name if known else self.kind(index)} {shown}")
        raise Mismatch("\n".join([f"{what}\n  {self.where}", *before]))

    def atr_of_coming_fill(self, symbol: int, close_ts: int) -> int | None:
        """The ATR that the next FILL of this bar carries, None when no fill of it follows."""
        for index in range(self.at, self.count):
            head = self.head[index]
            kind = int(head["kind"])
            if int(head["ts"]) != close_ts or kind in (OutputKind.SIGNAL, OutputKind.HALT, OutputKind.LEDGER):
                return None
            if kind == OutputKind.FILL and int(head["symbol"]) == symbol:
                return int(self.views[OutputKind.FILL]["atr"][index])
        return None


# ---- the twin -------------------------------------------------------------------------------------------------------
class Twin:
    """All rules of the specification, one small function each."""

    def __init__(self, symbols: Any, assets: Any, risk: Any, enabled: Any, opening: Any, tape: Tape) -> None:
        self.symbols = [Row(record) for record in symbols]
        self.rates = [Row(record) for record in assets]
        self.risk = Row(risk.reshape(-1)[0] if getattr(risk, "shape", ()) else risk)
        self.enabled = [int(x) for x in enabled]
        self.n_strategies = len(self.enabled) // max(1, len(self.symbols))
        self.markets = [Market() for _ in self.symbols]
        self.tape = tape
        pairs = [(k, s) for s in range(len(self.symbols)) for k in range(self.n_strategies)]
        self.books = Books([Asset(int(x), int(x)) for x in opening], {pair: Position() for pair in pairs})
        self.passed_ts: list[int] = []
        self.events: list[Row] = []
        self.event_index = 0
        self.slice_symbols: list[int] = []
        self.slice_begun = False
        self.in_slice = False
        self.started = False
        self.row_due = False
        self.row_ts: set[int] = set()
        self.next_row_ts = 0
        self.cap = 0
        self.bar: Any = None

    # -- events
    def run(self, events: list[Row]) -> None:
        self.events = events
        for self.event_index, event in enumerate(events):
            self.tape.where = f"at event {self.event_index}: {vars(event)}"
            try:
                self.event(event)
            except Stopped as stop:
                self.books.fault = stop.fault
                break
            self.assert_identities()
        self.tape.expect_end()

    def event(self, event: Row) -> None:
        ts = event.close_ts if event.kind == EventKind.BAR else event.ts
        if ts < self.books.clock_ts:
            raise Stopped(t.Fault.TIME_WENT_BACK)
        if event.kind == EventKind.BAR:
            self.bar_event(event)
        elif event.kind == EventKind.SIGNAL:
            self.signal_event(event)
        elif event.kind == EventKind.ORDER:
            self.order_event(event)
        elif event.kind == EventKind.CANCEL:
            self.cancel(event.order_id, ts)
        elif event.kind == EventKind.HALT:
            if not self.books.halted:
                self.halt(event.reason, 0, ts)
        elif event.kind == EventKind.RESUME:
            if self.books.halted:
                self.resume(ts)
        else:
            raise Stopped(t.Fault.BAD_EVENT)

    def cancel(self, order_id: int, ts: int) -> None:
        """A cancelled leg takes the other leg of its pair along."""
        order = self.books.orders.get(order_id)
        if order is None:
            return
        pair = [order]
        if order.role in LEGS:
            pair += [leg for leg in self.legs_of(order.parent) if leg.id != order_id]
        for each in pair:
            self.end(each, Code.CANCELLED, ts)

    def bar_event(self, bar: Row) -> None:
        if not 0 <= bar.symbol < len(self.symbols):
            raise Stopped(t.Fault.BAD_EVENT)
        market = self.markets[bar.symbol]
        warm_up = bool(bar.flags & t.BarFlag.WARMUP)
        self.books.catching_up = bool(bar.flags & t.BarFlag.CATCH_UP)
        self.in_slice = self.in_slice or not warm_up
        if not warm_up:
            self.rows_before_bar(bar)
            self.match(bar)
            self.slice_symbols.append(bar.symbol)
        before = market.last_close if market.bars else bar.close
        market.widest = max(market.widest, max(bar.high, before) - min(bar.low, before))
        market.last_close, market.last_close_ts = bar.close, bar.close_ts
        market.bars += 1
        market.atr = None
        if warm_up:
            market.oracle_close = bar.close
        if bar.flags & t.BarFlag.END_OF_SLICE:
            if self.slice_symbols:
                self.end_of_slice(bar.close_ts)
            self.slice_symbols, self.slice_begun = [], False

    def signal_event(self, event: Row) -> None:
        known = self.trades(event.strategy, event.symbol) and event.target in tuple(Target)
        if not known or event.max_quantity < 0:
            raise Stopped(t.Fault.BAD_EVENT)
        if event.target != self.position(event.strategy, event.symbol).target:
            score, most = event.strength_ppb, event.max_quantity
            self.change_target(event.symbol, event.strategy, event.target, score, event.ts, most)

    def order_event(self, event: Row) -> None:
        order = Order(
            symbol=event.symbol,
            strategy=event.strategy,
            side=event.side,
            order_type=event.order_type,
            time_in_force=event.time_in_force,
            role=Role.ENTRY if event.side == Side.BUY else Role.REDUCE,
            quantity=event.quantity,
            created_ts=event.ts,
            flags=event.flags & SUBMITTED_FLAGS,
            limit_price=event.limit_price,
            stop_price=event.stop_price,
            expires_ts=event.expires_ts,
            stop_distance=event.stop_distance,
            target_distance=event.target_distance,
        )
        self.gate(order, event.ts)

    # -- small words of the domain
    def trades(self, strategy: int, symbol: int) -> bool:
        known = 0 <= symbol < len(self.symbols) and 0 <= strategy < self.n_strategies
        return known and bool(self.enabled[strategy * len(self.symbols) + symbol])

    def position(self, strategy: int, symbol: int) -> Position:
        return self.books.positions[strategy, symbol]

    def whole_steps(self, strategy: int, symbol: int) -> int:
        return floor_to(self.position(strategy, symbol).quantity, self.symbols[symbol].step)

    def flat(self, strategy: int, symbol: int) -> bool:
        position, params = self.position(strategy, symbol), self.symbols[symbol]
        if self.whole_steps(strategy, symbol) == 0:
            return True
        too_few = position.quantity < params.min_quantity
        return position.dust and (too_few or self.value(symbol, position.quantity) < params.min_notional)

    def open_orders(self, *roles: Role, symbol: int | None = None, strategy: int | None = None) -> list[Order]:
        """Open orders by ascending id, of these roles (all when none is named)."""
        return [
            order
            for _, order in sorted(self.books.orders.items())
            if (not roles or order.role in roles)
            and symbol in (None, order.symbol)
            and strategy in (None, order.strategy)
        ]

    def entries(self, strategy: int, symbol: int) -> list[Order]:
        return self.open_orders(Role.ENTRY, symbol=symbol, strategy=strategy)

    def exits(self, strategy: int, symbol: int) -> list[Order]:
        return self.open_orders(*EXITS, symbol=symbol, strategy=strategy)

    def notional(self, symbol: int, quantity: int, price: int, rounding: str) -> int:
        return mul_div(quantity, price, self.symbols[symbol].scale, rounding)

    def value(self, symbol: int, quantity: int) -> int:
        return self.notional(symbol, quantity, self.markets[symbol].last_close, EVEN)

    def fee_asset(self, order: Order) -> int:
        params = self.symbols[order.symbol]
        if params.fee_asset == t.FeeAsset.QUOTE:
            return params.quote
        if params.fee_asset == t.FeeAsset.RECEIVED:
            return params.base if order.buys else params.quote
        return params.fee_asset

    # -- the oracle
    def steps_to_account(self, asset: int) -> Iterator[Row]:
        """The oracle steps from an asset to the account currency; ends with a step NONE when there is no path."""
        for _ in range(len(self.rates) + 1):
            step = self.rates[asset]
            if step.via == t.RateVia.ACCOUNT:
                return
            yield step
            if step.via == t.RateVia.NONE:
                return
            asset = step.next
        raise AssertionError("an oracle path that does not end")

    def ratio(self, step: Row) -> tuple[int, int]:
        """Amount in the next asset per amount, as a numerator and a denominator; a zero in it is no price."""
        if step.via == t.RateVia.OVERRIDE:
            return step.rate_num, step.rate_den
        if step.via == t.RateVia.SYMBOL:
            return self.markets[step.symbol].oracle_close, self.symbols[step.symbol].scale
        if step.via == t.RateVia.INVERSE:
            return self.symbols[step.symbol].scale, self.markets[step.symbol].oracle_close
        return 0, 0

    def priced(self, asset: int) -> bool:
        return all(0 not in self.ratio(step) for step in self.steps_to_account(asset))

    def to_account(self, asset: int, amount: int, rounding: str) -> int:
        for step in self.steps_to_account(asset):
            amount = mul_div(amount, *self.ratio(step), rounding)
        return amount

    def from_account(self, asset: int, amount: int, rounding: str) -> int:
        for step in reversed(list(self.steps_to_account(asset))):
            num, den = self.ratio(step)
            amount = mul_div(amount, den, num, rounding)
        return amount

    # -- records
    def emit(self, kind: OutputKind, ts: int, symbol: int = -1, strategy: int = -1, **fields: int) -> None:
        fields.update(ts=ts, symbol=symbol, strategy=strategy)
        if kind in CARRIES_ATR:
            fields.setdefault("atr", self.atr(symbol))
        self.tape.expect(kind, fields)

    def atr(self, symbol: int) -> int:
        """The symbol's ATR now; learned from the next record when that is one of this symbol that carries it."""
        if not 0 <= symbol < len(self.symbols):
            return 0
        market = self.markets[symbol]
        if market.atr is None:
            actual = self.tape.peek()
            if actual is None or actual.kind not in CARRIES_ATR or actual.symbol != symbol:
                return market.last_atr
            if actual.code in (Code.UNKNOWN_SYMBOL, Code.OVERFLOW):
                return actual.atr
            market.atr = market.last_atr = actual.atr
        return market.atr

    def atr_for_slippage(self, symbol: int, close_ts: int) -> int:
        """The ATR after the symbol's last bar. When the core made no fill and no record told it, the last one known."""
        market = self.markets[symbol]
        if market.atr is None:
            coming = self.tape.atr_of_coming_fill(symbol, close_ts)
            if coming is None:
                return market.last_atr
            market.atr = market.last_atr = coming
        return market.atr

    def emit_order(self, kind: OutputKind, order: Order, ts: int, code: int = Code.NONE) -> None:
        names = [
            "parent",
            "quantity",
            "limit_price",
            "stop_price",
            "expires_ts",
            "locked",
            "stop_distance",
            "target_distance",
        ]
        names += ["side", "order_type", "time_in_force", "role", "flags"]
        fields = {name: getattr(order, name) for name in names}
        if code == Code.OVERFLOW and self.too_large(order):
            fields["atr"] = 0  # The page does not say what is shown; the core shows 0.
        self.emit(kind, ts, order.symbol, order.strategy, order_id=order.id, code=code, **fields)

    def emit_change(self, order: Order, ts: int) -> None:
        fields = {"order_id": order.id, "quantity": order.quantity, "filled": order.filled, "parent": order.parent}
        self.emit(OutputKind.ORDER_CHANGE, ts, order.symbol, order.strategy, **fields)

    def emit_halt(self, kind: OutputKind, ts: int, reason: int, reference: int) -> None:
        b = self.books
        self.emit(kind, ts, code=reason, reason=reason, equity=b.equity, reference=reference, trips=b.trips)

    def emit_row(self, ts: int, code: int = 0) -> None:
        b = self.books
        self.row_ts.add(ts)
        self.emit(
            OutputKind.LEDGER,
            ts,
            code=code,
            equity=b.equity,
            peak=b.peak,
            drawdown_ppb=b.drawdown_ppb,
            realized=b.realized,
            unrealized=b.unrealized,
            fees=b.fees,
            fx_revaluation=b.fx_revaluation,
            gross=b.gross,
            day_reference=b.day_reference,
            open_positions=sum(not self.flat(*pair) for pair in b.positions),
            open_orders=len(b.orders),
            valued=b.valued,
        )

    def place(self, order: Order, ts: int) -> None:
        order.id = self.books.next_order_id
        self.books.next_order_id += 1
        self.books.orders[order.id] = order
        self.emit_order(OutputKind.ORDER, order, ts)

    def end(self, order: Order, code: Code, ts: int) -> None:
        """An order ends and what it still had locked returns."""
        released, order.locked = order.locked, 0
        quote = self.books.assets[self.symbols[order.symbol].quote]
        if self.in_slice:
            quote.arriving += released
        else:
            quote.locked -= released
            quote.free += released
        del self.books.orders[order.id]
        self.emit(
            OutputKind.ORDER_END,
            ts,
            order.symbol,
            order.strategy,
            code=code,
            order_id=order.id,
            quantity=order.quantity,
            filled=order.filled,
            released=released,
            parent=order.parent,
        )

    # -- the gate
    def gate(self, order: Order, ts: int) -> Code:
        """Places the order or blocks it with the first rule that fails."""
        if self.too_large(order):
            code = Code.OVERFLOW
        else:
            self.put_on_grid(order)
            code = self.first_failing_rule(order, ts)
        if code != Code.NONE:
            self.block(order, code, ts)
            return code
        if not order.reduce_only and self.risk.rate_orders > 0:
            self.passed_ts.append(ts)
        if order.buys:
            order.locked = self.lock(order)
            quote = self.books.assets[self.symbols[order.symbol].quote]
            quote.free -= order.locked
            quote.locked += order.locked
        self.place(order, ts)
        return code

    def block(self, order: Order, code: Code, ts: int) -> None:
        self.emit_order(OutputKind.BLOCKED, order, ts, code)
        if code in {Code.MIN_NOTIONAL, Code.MIN_QUANTITY} and order.role in EXITS:
            self.position(order.strategy, order.symbol).dust = True

    def too_large(self, order: Order) -> bool:
        """Whether a number of the order is 2^60 or more, as it came; not asked of a symbol or strategy that is none."""
        if not (0 <= order.symbol < len(self.symbols) and 0 <= order.strategy < self.risk.n_strategies):
            return False
        names = ("quantity", "limit_price", "stop_price", "stop_distance", "target_distance")
        return any(getattr(order, name) >= TOO_LARGE for name in names)

    def put_on_grid(self, order: Order) -> None:
        """Quantity to whole steps, a limit price toward passive, a stop price away from the market."""
        if not 0 <= order.symbol < len(self.symbols):
            return
        params = self.symbols[order.symbol]
        passive, away = (floor_to, ceil_to) if order.buys else (ceil_to, floor_to)
        order.quantity = steps_down(order.quantity, params.step)
        order.limit_price = passive(order.limit_price, params.tick)
        order.stop_price = away(order.stop_price, params.tick)
        if order.reduce_only and order.side == Side.SELL and self.trades(order.strategy, order.symbol):
            whole = self.whole_steps(order.strategy, order.symbol)
            if whole > 0:
                order.quantity = min(order.quantity, whole)

    def first_failing_rule(self, order: Order, ts: int) -> Code:
        if order.reduce_only:
            rules = FORMAT_RULES
        elif order.buys:
            rules = FORMAT_RULES + RISK_RULES
        else:
            rules = FORMAT_RULES + [rule for rule in RISK_RULES if rule[0] in RISK_RULES_OF_SELLS]
        try:
            return next((code for code, blocks in rules if blocks(self, order, ts)), Code.NONE)
        except Overflow:
            return Code.OVERFLOW

    def close(self, order: Order) -> int:
        return self.markets[order.symbol].last_close

    def gate_price(self, order: Order) -> int:
        if order.order_type == Type.LIMIT:
            return order.limit_price
        return order.stop_price if order.order_type == Type.STOP else self.close(order)

    def lock(self, order: Order) -> int:
        padded = ppb(self.value(order.symbol, order.quantity), PPB + self.risk.funds_margin_ppb, UP)
        return padded + ppb(padded, self.symbols[order.symbol].taker_ppb, UP)

    def unknown_symbol(self, order: Order, ts: int) -> bool:
        return not self.trades(order.strategy, order.symbol)

    def invalid_order(self, order: Order, ts: int) -> bool:
        kind, force = order.order_type, order.time_in_force
        distances = (order.stop_distance, order.target_distance)
        return (
            order.side not in tuple(Side)
            or kind not in tuple(Type)
            or force not in tuple(TimeInForce)
            or (order.post_only and not (kind == Type.LIMIT and force in (TimeInForce.GTC, TimeInForce.GTD)))
            or (kind == Type.STOP and force in (TimeInForce.IOC, TimeInForce.FOK))
            or (force == TimeInForce.GTD and order.expires_ts <= ts)
            or min(distances) < 0
            or (max(distances) > 0 and (not order.buys or order.reduce_only))
            or (order.reduce_only and order.buys)
        )

    def invalid_price(self, order: Order, ts: int) -> bool:
        return order.order_type in (Type.LIMIT, Type.STOP) and self.gate_price(order) <= 0

    def below_step(self, order: Order, ts: int) -> bool:
        return order.quantity <= 0

    def min_quantity(self, order: Order, ts: int) -> bool:
        return order.quantity < self.symbols[order.symbol].min_quantity

    def max_quantity(self, order: Order, ts: int) -> bool:
        """Whether the quantity is above the largest order. The largest market order counts too when the order is a
        market or stop order, or gets a protective stop."""
        params = self.symbols[order.symbol]
        if 0 < params.max_quantity < order.quantity:
            return True
        at_market = order.order_type in (Type.MARKET, Type.STOP) or order.stop_distance > 0
        return at_market and 0 < params.max_market_quantity < order.quantity

    def min_notional(self, order: Order, ts: int) -> bool:
        params, price = self.symbols[order.symbol], self.gate_price(order)
        if price == 0:
            return False
        prices = [price]
        if order.buys and order.stop_distance > 0:
            prices.append(max(price - order.stop_distance, params.tick))
        return any(divide(order.quantity * p, params.scale, EVEN) < params.min_notional for p in prices)

    def overflow(self, order: Order, ts: int) -> bool:
        self.notional(order.symbol, order.quantity, self.gate_price(order), EVEN)
        if order.buys:
            self.lock(order)
        return False

    def short_not_allowed(self, order: Order, ts: int) -> bool:
        held = self.position(order.strategy, order.symbol).quantity
        return not order.buys and not order.reduce_only and order.quantity > held

    def reduce_only(self, order: Order, ts: int) -> bool:
        return order.reduce_only and self.whole_steps(order.strategy, order.symbol) == 0

    def capacity(self, order: Order, ts: int) -> bool:
        if order.role in EXITS:
            return False
        used = len(self.open_orders()) - len(self.open_orders(*EXITS))
        reserved = sum(e.wanted_legs - len(self.legs_of(e.id)) for e in self.open_orders(Role.ENTRY))
        return used + reserved + 1 + order.wanted_legs > self.risk.order_capacity

    def killswitch(self, order: Order, ts: int) -> bool:
        return self.books.halted

    def catching_up(self, order: Order, ts: int) -> bool:
        return self.books.catching_up

    def no_price(self, order: Order, ts: int) -> bool:
        needed = (self.symbols[order.symbol].quote, self.fee_asset(order))
        return self.close(order) == 0 or not self.books.valued or not all(self.priced(asset) for asset in needed)

    def stale(self, order: Order, ts: int) -> bool:
        stale_ns = self.symbols[order.symbol].stale_ns
        return stale_ns > 0 and ts - self.markets[order.symbol].last_close_ts > stale_ns

    def cooldown(self, order: Order, ts: int) -> bool:
        return self.markets[order.symbol].bars < self.position(order.strategy, order.symbol).cooldown_until

    def order_rate(self, order: Order, ts: int) -> bool:
        n = self.risk.rate_orders
        return 0 < n <= len(self.passed_ts) and self.passed_ts[-n] > ts - self.risk.rate_window_ns

    def price_collar(self, order: Order, ts: int) -> bool:
        close = self.close(order)
        if self.risk.collar_ppb == 0 or order.order_type == Type.MARKET:
            return False
        return abs(self.gate_price(order) - close) * PPB > self.risk.collar_ppb * close

    def value_in_symbol(self, symbol: int) -> int:
        """The value of all positions in the symbol and of its open entries' rests, at the last close."""
        held = sum(self.value(s, p.quantity) for (_, s), p in self.books.positions.items() if s == symbol)
        return held + sum(self.value(symbol, o.rest) for o in self.open_orders(Role.ENTRY, symbol=symbol))

    def equity_quote(self, symbol: int) -> int:
        return self.from_account(self.symbols[symbol].quote, self.books.equity, DOWN)

    def max_position(self, symbol: int) -> int:
        return saturating(self.equity_quote(symbol), self.risk.max_position_ppb, PPB, DOWN)

    def max_position_value(self, order: Order, ts: int) -> bool:
        if self.risk.max_position_ppb == 0:
            return False
        value = self.value_in_symbol(order.symbol) + self.value(order.symbol, order.quantity)
        return value > self.max_position(order.symbol)

    def gross_exposure(self, order: Order, ts: int) -> bool:
        if self.risk.gross_ppb == 0:
            return False
        parts = [(s, p.quantity) for (_, s), p in self.books.positions.items()]
        parts += [(o.symbol, o.rest) for o in self.open_orders(Role.ENTRY)]
        parts.append((order.symbol, order.quantity))
        gross = sum(self.to_account(self.symbols[s].quote, self.value(s, q), EVEN) for s, q in parts if q > 0)
        return gross > saturating(self.books.equity, self.risk.gross_ppb, PPB, DOWN)

    def max_open_positions(self, order: Order, ts: int) -> bool:
        busy = {pair for pair in self.books.positions if not self.flat(*pair) or self.entries(*pair)}
        pair = (order.strategy, order.symbol)
        return 0 < self.risk.max_open_positions <= len(busy) and pair not in busy

    def max_open_orders(self, order: Order, ts: int) -> bool:
        return 0 < self.risk.max_open_orders <= len(self.open_orders(Role.ENTRY))

    def funds(self, order: Order, ts: int) -> bool:
        return self.lock(order) > self.books.assets[self.symbols[order.symbol].quote].free

    # -- signals and sizing
    def change_target(
        self, symbol: int, strategy: int, target: int, strength_ppb: int, ts: int, max_quantity: int = 0
    ) -> None:
        position = self.position(strategy, symbol)
        position.target = target
        close = self.markets[symbol].last_close
        self.emit(OutputKind.SIGNAL, ts, symbol, strategy, strength_ppb=strength_ppb, target=target, close=close)
        if target == Target.LONG:
            if position.exit_due == Role.EXIT:
                position.exit_due = 0
            if not self.books.halted:
                for order in self.open_orders(Role.EXIT, symbol=symbol, strategy=strategy):
                    self.end(order, Code.SUPERSEDED, ts)
            if self.flat(strategy, symbol) and not self.entries(strategy, symbol):
                self.send_entry(symbol, strategy, ts, max_quantity)
        elif target == Target.FLAT or not self.flat(strategy, symbol) or self.entries(strategy, symbol):
            for order in self.entries(strategy, symbol):
                self.end(order, Code.SUPERSEDED, ts)
            if not self.flat(strategy, symbol) and not self.exits(strategy, symbol):
                self.send_exit(symbol, strategy, Role.EXIT, ts)
        else:
            refused = self.market_order(symbol, strategy, Side.SELL, Role.EXIT, 0, ts)
            self.block(refused, Code.SHORT_NOT_ALLOWED, ts)

    def market_order(self, symbol: int, strategy: int, side: Side, role: Role, quantity: int, ts: int) -> Order:
        return Order(symbol, strategy, side, Type.MARKET, TimeInForce.GTC, role, quantity, ts)

    def send_exit(self, symbol: int, strategy: int, role: Role, ts: int) -> None:
        """Sells the whole position, or as much of it as one market order may. The rest, or all of it when the gate
        refuses the order, is due from then on."""
        whole = self.whole_steps(strategy, symbol)
        order = self.market_order(symbol, strategy, Side.SELL, role, self.cut_to_market_order(symbol, whole), ts)
        order.flags = int(t.OrderFlag.REDUCE_ONLY)
        code = self.gate(order, ts)
        sells_all = code == Code.NONE and order.quantity == whole
        position = self.position(strategy, symbol)
        if sells_all:
            position.exit_due = 0
        elif position.exit_due != Role.EXIT:
            position.exit_due = int(role)

    def cut_to_market_order(self, symbol: int, quantity: int) -> int:
        """A quantity, or the largest market order when that is smaller."""
        params = self.symbols[symbol]
        largest = [most for most in (params.max_quantity, params.max_market_quantity) if most > 0]
        return min([quantity, *largest])

    def can_send_again(self, symbol: int, strategy: int) -> bool:
        """Whether an exit is due and would pass now."""
        position, params = self.position(strategy, symbol), self.symbols[symbol]
        if position.exit_due == 0 or self.exits(strategy, symbol):
            return False
        wanted = self.books.halted if position.exit_due == Role.FLATTEN else position.target != Target.LONG
        quantity = steps_down(self.cut_to_market_order(symbol, position.quantity), params.step)
        if not wanted or not 0 < quantity < TOO_LARGE or quantity < params.min_quantity:
            return False
        try:
            return self.value(symbol, quantity) >= params.min_notional
        except Overflow:
            return False

    def send_entry(self, symbol: int, strategy: int, ts: int, max_quantity: int) -> None:
        order = self.market_order(symbol, strategy, Side.BUY, Role.ENTRY, 0, ts)
        atr = self.atr(symbol)
        try:
            if self.risk.attach_stop:
                order.stop_distance = ppb(atr, self.risk.atr_stop_ppb, UP)
            if self.risk.atr_target_ppb > 0:
                order.target_distance = ppb(atr, self.risk.atr_target_ppb, UP)
            order.quantity, code = self.size(symbol, atr)
            if max_quantity > 0:
                order.quantity = min(order.quantity, max_quantity)
        except Overflow:
            code = Code.OVERFLOW
        if code == Code.NONE:
            self.gate(order, ts)
        else:
            if self.books.catching_up and code > Code.CATCHING_UP:
                code = Code.CATCHING_UP
            if self.books.halted and code > Code.KILLSWITCH:
                code = Code.KILLSWITCH
            self.block(order, code, ts)

    def size(self, symbol: int, atr: int) -> tuple[int, Code]:
        """The quantity of a long signal's entry before it is put on steps, or 0 and why there is none."""
        params, risk, close = self.symbols[symbol], self.risk, self.markets[symbol].last_close
        if close == 0 or not self.books.valued or not self.priced(params.quote):
            return 0, Code.NO_PRICE
        equity_quote = self.equity_quote(symbol)
        if risk.sizing == t.Sizing.ATR:
            distance = ppb(atr, risk.atr_stop_ppb, UP)
            if distance == 0:
                return 0, Code.NO_PRICE
            budget, per_unit = saturating(equity_quote, risk.risk_ppb, PPB, DOWN), distance
        elif risk.sizing == t.Sizing.FIXED_FRACTION:
            budget, per_unit = saturating(equity_quote, risk.fraction_ppb, PPB, DOWN), close
        else:
            budget, per_unit = params.fixed_quote, close
        quantity = saturating(budget, params.scale, per_unit, DOWN)
        if risk.max_position_ppb > 0:
            room = self.max_position(symbol) - self.value_in_symbol(symbol)
            if room <= 0:
                return 0, Code.MAX_POSITION_VALUE
            quantity = min(quantity, saturating(room, params.scale, close, DOWN))
        return self.cut_to_market_order(symbol, max(quantity, 0)), Code.NONE

    # -- matching one bar
    def match(self, bar: Row) -> None:
        self.bar = bar
        self.cap = self.cap_of(bar)
        ts = bar.close_ts
        for order in self.open_orders(symbol=bar.symbol):
            if order.time_in_force == TimeInForce.GTD and ts > order.expires_ts:
                self.end(order, Code.EXPIRED, ts)
        last_id = self.books.next_order_id - 1
        taking_part = [order for order in self.open_orders(symbol=bar.symbol) if self.takes_part(order, bar)]
        reached: set[int] = set()
        for phase in (self.at_the_open, self.stops_inside, self.limits_inside):
            for order in taking_part:
                if order.id in self.books.orders and order.id not in reached and phase(order, bar):
                    reached.add(order.id)
        for order in self.open_orders(Role.STOP, symbol=bar.symbol):
            if order.id > last_id and order.id in self.books.orders and bar.low <= order.stop_price:
                self.trigger(order, ts)
                self.turn(order, min(order.stop_price, bar.open), t.Liquidity.TAKER)
        for order in self.open_orders(symbol=bar.symbol):
            order.fresh = 0
        for order in taking_part:
            if order.id in self.books.orders:
                order.bars += 1
                if order.role == Role.ENTRY and 0 < self.risk.entry_timeout_bars <= order.bars:
                    self.end(order, Code.ENTRY_TIMEOUT, ts)

    def cap_of(self, bar: Row) -> int:
        """The quantity that orders may take of this bar."""
        params = self.symbols[bar.symbol]
        if params.volume_in_quote:
            quote_minor = from_float(bar.volume * params.quote_unit)
            volume = saturating(quote_minor, params.scale, bar.high, DOWN) if bar.high > 0 else 0
        else:
            volume = from_float(bar.volume * params.base_unit)
        return floor_to(saturating(volume, params.liquidity_ppb, PPB, DOWN), params.step)

    def takes_part(self, order: Order, bar: Row) -> bool:
        latency_ns = 0 if order.role in LEGS else self.symbols[order.symbol].latency_ns
        return bar.open_ts >= order.created_ts + latency_ns

    def first_bar(self, order: Order) -> bool:
        return order.bars == 0 and order.role not in LEGS

    def through(self, order: Order, price: int) -> bool:
        """Whether a price goes through a resting limit by a tick, or touches it where touches fill."""
        params = self.symbols[order.symbol]
        tick = 0 if params.touch_fills else params.tick
        return price <= order.limit_price - tick if order.buys else price >= order.limit_price + tick

    def at_the_open(self, order: Order, bar: Row) -> bool:
        """Phase 1; true when the order was reached."""
        if order.order_type == Type.MARKET:
            return self.turn(order, bar.open, t.Liquidity.TAKER)
        if order.order_type == Type.STOP:
            passed = bar.open >= order.stop_price if order.buys else bar.open <= order.stop_price
            if not order.triggered and passed:
                self.trigger(order, bar.close_ts)
            return order.triggered and self.turn(order, bar.open, t.Liquidity.TAKER)
        if not self.first_bar(order):
            return self.through(order, bar.open) and self.turn(order, order.limit_price, t.Liquidity.MAKER)
        marketable = bar.open <= order.limit_price if order.buys else bar.open >= order.limit_price
        if marketable and order.post_only:
            self.end(order, Code.WOULD_TAKE, bar.close_ts)
        elif marketable:
            return self.turn(order, bar.open, t.Liquidity.TAKER)
        elif order.time_in_force in ENDS_ON_FIRST_BAR:
            self.end(order, ENDS_ON_FIRST_BAR[order.time_in_force], bar.close_ts)
        return False

    def stops_inside(self, order: Order, bar: Row) -> bool:
        """Phase 2."""
        if order.order_type != Type.STOP:
            return False
        if not (bar.high >= order.stop_price if order.buys else bar.low <= order.stop_price):
            return False
        self.trigger(order, bar.close_ts)
        return self.turn(order, order.stop_price, t.Liquidity.TAKER)

    def limits_inside(self, order: Order, bar: Row) -> bool:
        """Phase 3."""
        if order.order_type != Type.LIMIT or not self.through(order, bar.low if order.buys else bar.high):
            return False
        return self.turn(order, order.limit_price, t.Liquidity.MAKER)

    def trigger(self, order: Order, ts: int) -> None:
        """A stop is triggered; a protective one ends the rest of its entry."""
        order.triggered = True
        if order.role == Role.STOP and order.parent in self.books.orders:
            self.end(self.books.orders[order.parent], Code.STOPPED, ts)

    def wait(self, order: Order) -> bool:
        """An order that cannot fill now waits, but IOC and FOK end. Returns true: the order was reached."""
        if order.time_in_force in ENDS_ON_FIRST_BAR:
            self.end(order, ENDS_ON_FIRST_BAR[order.time_in_force], self.bar.close_ts)
        return True

    def fill_price(self, order: Order, reference: int, liquidity: t.Liquidity) -> int:
        if liquidity == t.Liquidity.MAKER:
            return order.limit_price
        return self.taker_price(order, reference, self.atr_for_slippage(order.symbol, self.bar.close_ts))

    def taker_price(self, order: Order, reference: int, atr: int) -> int:
        """The reference after slippage, on the tick; below one tick when a sale comes out there."""
        params = self.symbols[order.symbol]
        if params.slippage_model == t.SlippageModel.ATR_SCALED and atr > 0:
            price = reference + order.side * ppb(atr, params.atr_slippage_ppb, UP)
        else:
            price = ppb(reference, PPB + order.side * params.slippage_ppb, UP if order.buys else DOWN)
        price = max(ceil_to(price, params.tick), params.tick) if order.buys else floor_to(price, params.tick)
        if order.order_type == Type.LIMIT:
            price = min(price, order.limit_price) if order.buys else max(price, order.limit_price)
        return limited(price)

    def waits_below_a_tick(self, order: Order, reference: int, price: int) -> bool:
        """Whether a sale comes out below one tick. When no record tells the ATR, the core has not filled the sale. The
        twin believes that the sale waits if a possible ATR gives such a price."""
        market, tick = self.markets[order.symbol], self.symbols[order.symbol].tick
        if order.buys or order.order_type == Type.LIMIT or market.atr is not None:
            return price < tick
        return any(self.taker_price(order, reference, atr) < tick for atr in (0, market.widest))

    def turn(self, order: Order, reference: int, liquidity: t.Liquidity) -> bool:
        """A reached order fills what it can. Returns true: it was reached."""
        ts, force = self.bar.close_ts, order.time_in_force
        if self.cap == 0:
            return self.wait(order)
        rest = order.rest
        if order.role == Role.TARGET:
            rest = max(order.rest - order.fresh, 0)
            if rest == 0:
                return True
        most = min(rest, self.cap)
        if not order.buys:
            most = min(most, self.whole_steps(order.strategy, order.symbol))
            if most == 0:
                self.end(order, Code.POSITION_CLOSED, ts)
                return True
        try:
            price = self.fill_price(order, reference, liquidity)
            if self.waits_below_a_tick(order, reference, price):
                return self.wait(order)
            quantity = min(most, self.affordable(order, most, price, liquidity)) if order.buys else most
            if force == TimeInForce.FOK and quantity < order.rest:
                self.end(order, Code.FOK, ts)
                return True
            if quantity > 0:
                self.fill(order, quantity, price, reference, liquidity)
        except Overflow:
            self.end(order, Code.OVERFLOW, ts)
            return True
        if order.rest == 0:
            self.end(order, Code.FILLED, ts)
        elif quantity < most:
            self.end(order, Code.FUNDS_AT_FILL, ts)
        elif force == TimeInForce.IOC:
            self.end(order, Code.IOC, ts)
        return True

    # -- money
    def fee_ppb(self, order: Order, liquidity: t.Liquidity) -> int:
        params = self.symbols[order.symbol]
        return params.maker_ppb if liquidity == t.Liquidity.MAKER else params.taker_ppb

    def affordable(self, order: Order, most: int, price: int, liquidity: t.Liquidity) -> int:
        """The largest quantity in whole steps, at most `most`, that the order's lock and the free quote pay."""
        params = self.symbols[order.symbol]
        purse = order.locked + self.books.assets[params.quote].free

        def pays(steps: int) -> bool:
            cost = divide(steps * params.step * price, params.scale, EVEN)
            if self.fee_asset(order) == params.quote:
                cost += divide(cost * self.fee_ppb(order, liquidity), PPB, UP)
            return cost <= purse

        low, high = 0, most // params.step
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if pays(middle) else (low, middle - 1)
        return low * params.step

    def fee_payers(self, order: Order) -> list[tuple[int, bool]]:
        """Who is asked for the fee, in order: an asset, and whether it is the position's quantity that pays."""
        params, asset = self.symbols[order.symbol], self.fee_asset(order)
        received = (params.base, True) if order.buys else (params.quote, False)
        return [(asset, order.buys and asset == params.base), (self.risk.account_asset, False), received]

    def fee_in(self, asset: int, quote: int, fee_quote: int) -> int:
        if asset == quote:
            return fee_quote
        return self.from_account(asset, self.to_account(quote, fee_quote, UP), UP)

    def fill(self, order: Order, quantity: int, price: int, reference: int, liquidity: t.Liquidity) -> None:
        """Books a fill whole or raises Overflow with nothing booked; then writes what follows from it."""
        params = self.symbols[order.symbol]
        quote, base = params.quote, params.base
        assets = copy.deepcopy(self.books.assets)
        position = copy.copy(self.position(order.strategy, order.symbol))
        locked, realized = order.locked, 0

        def pay_quote(amount: int) -> None:
            """Spends the order's own lock first, then the free balance."""
            nonlocal locked
            own = min(locked, amount)
            locked -= own
            assets[quote].locked -= own
            assets[quote].free -= amount - own

        notional = self.notional(order.symbol, quantity, price, EVEN if order.buys else DOWN)
        if order.buys:
            pay_quote(notional)
            assets[quote].venue -= notional
            for name in ("locked", "held", "venue"):
                setattr(assets[base], name, getattr(assets[base], name) + quantity)
            position.quantity += quantity
            position.cost += notional
            position.cash -= notional
            position.dust = False
            position.exit_due = 0
        else:
            assets[quote].locked += notional
            assets[quote].arriving += notional
            assets[quote].venue += notional
            for name in ("locked", "held", "venue"):
                setattr(assets[base], name, getattr(assets[base], name) - quantity)
            cost_taken = mul_div(position.cost, quantity, position.quantity, EVEN)
            position.quantity -= quantity
            position.cost -= cost_taken
            position.cash += notional
            realized = notional - cost_taken

        fee_quote = ppb(notional, self.fee_ppb(order, liquidity), UP)
        for asset, from_position in self.fee_payers(order):
            if not self.priced(asset) or not self.priced(quote):
                continue
            fee = self.fee_in(asset, quote, fee_quote)
            own_lock = (locked if order.buys else notional) if asset == quote else 0
            if fee <= (position.quantity if from_position else assets[asset].free + own_lock):
                break
        else:
            raise Overflow
        assets[asset].fees += fee
        if from_position:
            cost_taken = mul_div(position.cost, fee, position.quantity, EVEN)
            position.quantity -= fee
            position.cost -= cost_taken
            realized += fee_quote - cost_taken
            assets[asset].locked -= fee
            assets[asset].held -= fee
            position.fees += fee_quote
        elif asset == quote:
            if order.buys:
                pay_quote(fee)
            else:
                own = min(fee, notional)
                assets[quote].arriving -= own
                assets[quote].locked -= own
                assets[quote].free -= fee - own
            position.fees += fee_quote
            position.cash -= fee_quote
        else:
            assets[asset].free -= fee
        position.realized += realized
        fee_account = self.to_account(quote, fee_quote, UP)
        realized_account = self.to_account(quote, realized, EVEN)
        for book in assets:
            for amount in (book.free, book.locked, book.free + book.locked, book.fees):
                limited(amount)
        limited(position.cost)

        self.books.assets = assets
        self.books.positions[order.strategy, order.symbol] = position
        self.books.realized += realized_account
        self.books.fees += fee_account
        order.locked = locked
        order.filled += quantity
        self.cap -= quantity
        self.row_due = True
        self.emit(
            OutputKind.FILL,
            self.bar.close_ts,
            order.symbol,
            order.strategy,
            order_id=order.id,
            parent=order.parent,
            quantity=quantity,
            price=price,
            reference=reference,
            notional=notional,
            fee_quote=fee_quote,
            fee=fee,
            fee_account=fee_account,
            realized=realized,
            realized_account=realized_account,
            position=position.quantity,
            cost=position.cost,
            remaining=order.rest,
            side=order.side,
            liquidity=liquidity,
            fee_asset=asset,
            role=order.role,
            open_ts=self.bar.open_ts,
        )
        if order.role == Role.ENTRY:
            self.protect(order, quantity, price)
        elif order.role in LEGS:
            self.leg_filled(order, quantity)
        self.shrink_pairs(order.strategy, order.symbol)

    # -- the protective pair
    def legs_of(self, entry_id: int) -> list[Order]:
        """The open legs of an entry, the stop before the target."""
        legs = [order for order in self.open_orders(*LEGS) if order.parent == entry_id]
        return sorted(legs, key=lambda leg: leg.role)

    def protect(self, entry: Order, quantity: int, price: int) -> None:
        """A fill of an entry adds to its legs; a leg that is not there is made from this fill's price."""
        ts, tick = self.bar.close_ts, self.symbols[entry.symbol].tick
        open_legs = {leg.role: leg for leg in self.legs_of(entry.id)}
        wanted = []
        if entry.stop_distance > 0:
            stop_price = max(floor_to(price - entry.stop_distance, tick), tick)
            wanted.append((Role.STOP, Type.STOP, {"stop_price": stop_price}))
        if entry.target_distance > 0:
            limit_price = ceil_to(price + entry.target_distance, tick)
            wanted.append((Role.TARGET, Type.LIMIT, {"limit_price": limit_price}))
        for role, order_type, prices in wanted:
            if role in open_legs:
                open_legs[role].quantity += quantity
                open_legs[role].fresh += quantity
                self.emit_change(open_legs[role], ts)
                continue
            leg = self.market_order(entry.symbol, entry.strategy, Side.SELL, role, quantity, ts)
            leg.order_type, leg.flags, leg.parent = order_type, int(t.OrderFlag.REDUCE_ONLY), entry.id
            for name, leg_price in prices.items():
                setattr(leg, name, leg_price)
            self.place(leg, ts)

    def cut_leg(self, leg: Order, quantity: int, code: Code) -> None:
        """Takes a quantity off a leg; with nothing left it ends."""
        leg.quantity -= min(quantity, leg.rest)
        if leg.rest == 0:
            self.end(leg, code, self.bar.close_ts)
        elif quantity > 0:
            self.emit_change(leg, self.bar.close_ts)

    def leg_filled(self, leg: Order, quantity: int) -> None:
        for sibling in self.legs_of(leg.parent):
            if sibling is not leg:
                self.cut_leg(sibling, quantity, Code.OCO)
        if leg.role == Role.TARGET and leg.parent in self.books.orders:
            self.end(self.books.orders[leg.parent], Code.OCO, self.bar.close_ts)
        if leg.role == Role.STOP:
            bars = self.markets[leg.symbol].bars + 1
            self.position(leg.strategy, leg.symbol).cooldown_until = bars + self.risk.cooldown_bars

    def shrink_pairs(self, strategy: int, symbol: int) -> None:
        """Takes the oldest pairs back until all of them cover at most the whole steps of the position."""
        legs = [leg for leg in self.open_orders(*LEGS, symbol=symbol, strategy=strategy) if leg.rest > 0]
        pairs: dict[int, list[Order]] = {}
        for leg in legs:
            pairs.setdefault(leg.parent, []).append(leg)
        excess = sum(max(leg.rest for leg in pair) for pair in pairs.values()) - self.whole_steps(strategy, symbol)
        for pair in pairs.values():
            cover = max(leg.rest for leg in pair)
            left = cover - min(cover, max(excess, 0))
            excess -= cover - left
            for leg in sorted(pair, key=lambda leg: leg.role):
                if leg.rest > left:
                    self.cut_leg(leg, leg.rest - left, Code.POSITION_CLOSED)

    # -- the account
    def value_account(self) -> None:
        """Equity, what is realized and not, gross, and the peak; nothing changes while something has no price."""
        b = self.books
        amounts = [(asset, book.free + book.locked - book.held) for asset, book in enumerate(b.assets)]
        held = [(s, p) for (_, s), p in b.positions.items() if p.quantity > 0]
        try:
            values = [(self.symbols[s].quote, self.value(s, p.quantity), p.cost) for s, p in held]
            needed = {asset for asset, amount in amounts if amount} | {quote for quote, _, _ in values}
            b.valued = all(self.priced(asset) for asset in needed)
            if not b.valued:
                return
            cash = sum(self.to_account(asset, amount, EVEN) for asset, amount in amounts if amount)
            b.gross = limited(sum(self.to_account(quote, value, EVEN) for quote, value, _ in values))
            b.unrealized = limited(sum(self.to_account(quote, value - cost, EVEN) for quote, value, cost in values))
            b.equity = limited(cash + b.gross)
            if not b.ever_valued:
                b.ever_valued = True
                b.start_equity = b.day_reference = b.peak = b.rule_peak = b.equity
            b.peak, b.rule_peak = max(b.peak, b.equity), max(b.rule_peak, b.equity)
            limited(b.drawdown_ppb)
        except Overflow:
            raise Stopped(t.Fault.OVERFLOW) from None

    def rows_before_bar(self, bar: Row) -> None:
        """The opening row, and the old day's row before the first bar of a new day's first slice."""
        if not self.started:
            self.started = True
            self.value_account()
            self.emit_row(bar.open_ts, code=1)
            self.next_row_ts = self.next_multiple(bar.open_ts)
        elif not self.slice_begun and self.books.sliced and day_of(bar.close_ts) > day_of(self.books.clock_ts):
            if self.books.clock_ts not in self.row_ts:
                self.emit_row(self.books.clock_ts)
        self.slice_begun = True

    def next_multiple(self, ts: int) -> int:
        every_ns = self.risk.ledger_every_ns
        return (ts // every_ns + 1) * every_ns if every_ns > 0 else 2**63

    def end_of_slice(self, close_ts: int) -> None:
        b = self.books
        new_day = b.sliced and day_of(close_ts) > day_of(b.clock_ts)
        b.clock_ts, b.sliced = close_ts, True
        self.in_slice = False
        for asset in b.assets:
            asset.free += asset.arriving
            asset.locked -= asset.arriving
            asset.arriving = 0
        for symbol in self.slice_symbols:
            self.markets[symbol].oracle_close = self.markets[symbol].last_close
        if new_day and b.valued:
            b.day_reference = b.equity
        self.value_account()
        self.check_killswitch(close_ts)
        for symbol in sorted(set(self.slice_symbols)):
            for strategy in range(self.n_strategies):
                self.turn_of_strategy(symbol, strategy, close_ts)
        if close_ts >= self.next_row_ts:
            self.row_due = True
            self.next_row_ts = self.next_multiple(close_ts)
        if self.row_due:
            self.row_due = False
            self.emit_row(close_ts)

    def turn_of_strategy(self, symbol: int, strategy: int, ts: int) -> None:
        """A changed target, or else the exit that is due."""
        if not self.trades(strategy, symbol):
            return
        signal = self.built_in_target(symbol, strategy, ts)
        if signal is not None:
            self.change_target(symbol, strategy, signal.target, signal.strength_ppb, ts)
        elif self.can_send_again(symbol, strategy):
            self.send_exit(symbol, strategy, Role(self.position(strategy, symbol).exit_due), ts)

    def built_in_target(self, symbol: int, strategy: int, ts: int) -> Row | None:
        """A SIGNAL that stands next in the outputs is a built-in strategy's, unless the next event explains it. No
        event explains it while the slice still has something to write: a ledger row, or an exit sent again."""
        actual = self.tape.peek()
        if actual is None or actual.kind != OutputKind.SIGNAL:
            return None
        if (actual.symbol, actual.strategy, actual.ts) != (symbol, strategy, ts):
            return None
        if actual.target not in tuple(Target) or actual.target == self.position(strategy, symbol).target:
            return None
        turns = sorted((s, k) for k, s in self.books.positions if s in self.slice_symbols)
        exits_left = any(self.can_send_again(s, k) for s, k in turns if (s, k) >= (symbol, strategy))
        row_left = self.row_due or ts >= self.next_row_ts
        return actual if row_left or exits_left or not self.explained_by_event(actual) else None

    def explained_by_event(self, signal: Row) -> bool:
        """Whether the first of the next events that writes a record is this very signal."""
        for index in range(self.event_index + 1, len(self.events)):
            event = self.events[index]
            if event.kind == EventKind.SIGNAL:
                names = ("symbol", "strategy", "target", "strength_ppb", "ts")
                if all(getattr(event, name) == getattr(signal, name) for name in names):
                    return True
                known = self.trades(event.strategy, event.symbol)
                writes = known and event.target != self.position(event.strategy, event.symbol).target
            elif event.kind == EventKind.CANCEL:
                writes = event.order_id in self.books.orders
            elif event.kind == EventKind.HALT:
                writes = not self.books.halted
            elif event.kind == EventKind.RESUME:
                writes = self.books.halted
            else:
                writes = True
            if writes:
                return False
        return False

    # -- the kill switch
    def check_killswitch(self, ts: int) -> None:
        b = self.books
        if b.halted or not b.valued:
            return
        rules = [
            (t.HaltReason.DAILY_LOSS, b.day_reference, self.risk.daily_loss_ppb),
            (t.HaltReason.MAX_DRAWDOWN, b.rule_peak, self.risk.max_drawdown_ppb),
        ]
        for reason, reference, share_ppb in rules:
            if share_ppb > 0 and reference > 0 and b.equity <= reference - ppb(reference, share_ppb, UP):
                self.halt(reason, reference, ts)
                return

    def halt(self, reason: int, reference: int, ts: int) -> None:
        b = self.books
        b.halted, b.halt_reason = True, int(reason)
        b.trips += 1
        self.row_due = True
        self.emit_halt(OutputKind.HALT, ts, int(reason), reference)
        for order in self.open_orders(Role.ENTRY):
            self.end(order, Code.KILLSWITCH, ts)
        if self.risk.flatten_on_trip:
            for strategy, symbol in sorted(b.positions, key=lambda pair: (pair[1], pair[0])):
                if not self.flat(strategy, symbol) and not self.exits(strategy, symbol):
                    self.send_exit(symbol, strategy, Role.FLATTEN, ts)

    def resume(self, ts: int) -> None:
        b = self.books
        reason, b.halted, b.halt_reason = b.halt_reason, False, 0
        b.day_reference = b.rule_peak = b.equity
        self.row_due = True
        self.emit_halt(OutputKind.RESUME, ts, reason, b.day_reference)

    # -- identities
    def assert_identities(self) -> None:
        """What must hold on the twin's own books after every event."""
        b = self.books
        held = [0] * len(b.assets)
        locked = [0] * len(b.assets)
        for (strategy, symbol), p in b.positions.items():
            held[self.symbols[symbol].base] += p.quantity
            holds = p.quantity >= 0 and p.cost >= 0 and (p.quantity > 0 or p.cost == 0)
            self.require(holds, f"position ({strategy}, {symbol}): {p}")
            paid = p.realized - p.cost - p.fees == p.cash
            self.require(paid, f"realized - cost - fees is not the cash flow of ({strategy}, {symbol}): {p}")
        for order in b.orders.values():
            locked[self.symbols[order.symbol].quote] += order.locked
            self.require(order.rest > 0 and order.locked >= 0, f"order {order}")
        for asset, a in enumerate(b.assets):
            self.require(a.opening + a.venue - a.fees == a.free + a.locked, f"double entry of asset {asset}: {a}")
            self.require(a.free >= 0 and a.locked >= 0, f"negative balance of asset {asset}: {a}")
            self.require(a.held == held[asset], f"held of asset {asset} is not the sum of the positions: {a}")
            self.require(a.locked == held[asset] + locked[asset] + a.arriving, f"locked of asset {asset}: {a}")
        parts = b.start_equity + b.realized + b.unrealized + b.fx_revaluation - b.fees
        self.require(b.equity == parts, "equity is not the sum of its parts")
        at_slice_end = self.slice_symbols == []
        if b.valued and at_slice_end and self.one_currency():
            self.require(b.fx_revaluation == 0, f"fx_revaluation {b.fx_revaluation} in an account of one currency")

    def one_currency(self) -> bool:
        account = self.risk.account_asset
        others = any(a.opening for asset, a in enumerate(self.books.assets) if asset != account)
        return not others and all(params.quote == account for params in self.symbols)

    def require(self, holds: bool, what: str) -> None:
        if not holds:
            raise Mismatch(f"{what}\n  {self.tape.where}")


ENDS_ON_FIRST_BAR = {TimeInForce.IOC: Code.IOC, TimeInForce.FOK: Code.FOK}

Rule = tuple[Code, Callable[[Twin, Order, int], bool]]
FORMAT_RULES: list[Rule] = [
    (Code.UNKNOWN_SYMBOL, Twin.unknown_symbol),
    (Code.INVALID_ORDER, Twin.invalid_order),
    (Code.INVALID_PRICE, Twin.invalid_price),
    (Code.BELOW_STEP, Twin.below_step),
    (Code.MIN_QUANTITY, Twin.min_quantity),
    (Code.MAX_QUANTITY, Twin.max_quantity),
    (Code.MIN_NOTIONAL, Twin.min_notional),
    (Code.OVERFLOW, Twin.overflow),
    (Code.SHORT_NOT_ALLOWED, Twin.short_not_allowed),
    (Code.REDUCE_ONLY, Twin.reduce_only),
    (Code.CAPACITY, Twin.capacity),
]
RISK_RULES: list[Rule] = [
    (Code.KILLSWITCH, Twin.killswitch),
    (Code.CATCHING_UP, Twin.catching_up),
    (Code.NO_PRICE, Twin.no_price),
    (Code.STALE, Twin.stale),
    (Code.COOLDOWN, Twin.cooldown),
    (Code.ORDER_RATE, Twin.order_rate),
    (Code.PRICE_COLLAR, Twin.price_collar),
    (Code.MAX_POSITION_VALUE, Twin.max_position_value),
    (Code.GROSS_EXPOSURE, Twin.gross_exposure),
    (Code.MAX_OPEN_POSITIONS, Twin.max_open_positions),
    (Code.MAX_OPEN_ORDERS, Twin.max_open_orders),
    (Code.FUNDS, Twin.funds),
]
RISK_RULES_OF_SELLS = (
    *(Code.KILLSWITCH, Code.CATCHING_UP, Code.NO_PRICE, Code.STALE, Code.ORDER_RATE),
    *(Code.PRICE_COLLAR, Code.MAX_OPEN_ORDERS),
)


def event_rows(events: Any) -> list[Row]:
    """Each event under the view that its kind names."""
    views = {
        EventKind.SIGNAL: events.view(t.SIGNAL_EVENT),
        EventKind.ORDER: events.view(t.ORDER_EVENT),
        EventKind.CANCEL: events.view(t.CONTROL_EVENT),
        EventKind.HALT: events.view(t.CONTROL_EVENT),
        EventKind.RESUME: events.view(t.CONTROL_EVENT),
    }
    bars = events.view(t.BAR_EVENT)
    return [Row(views.get(int(bars["kind"][i]), bars)[i]) for i in range(len(events))]


def check(symbols: Any, assets: Any, risk: Any, enabled: Any, opening: Any, events: Any, outputs: Any) -> Books:
    """Redoes the run, compares it with `outputs` and returns the books at its end.

    Raises Mismatch at the first record or field that differs, and when the twin's own books break an identity.
    """
    twin = Twin(symbols, assets, risk, enabled, opening, Tape(outputs))
    twin.run(event_rows(events))
    return twin.books
