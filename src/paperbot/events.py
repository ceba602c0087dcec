"""Constructors for the core's events: bars, signals, orders, halts and resumes.

All events have 64 bytes. Arrays of events use one layout (BAR_EVENT); the core selects the view by `kind`. The types
below only help the type checker; at run time each is a plain structured array.
"""

from collections.abc import Iterable, Sequence
from typing import NewType

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t

Records = NDArray[np.void]
"""Structured records of any kind, such as the core's outputs."""

Events = NewType("Events", Records)
"""Events of any kind, in the layout BAR_EVENT."""
Bars = NewType("Bars", Events)
"""BAR events."""
Signals = NewType("Signals", Events)
"""SIGNAL events."""
Orders = NewType("Orders", Events)
"""ORDER events."""
Controls = NewType("Controls", Events)
"""CANCEL, HALT, RESUME and END events."""


def blank_bars(symbol: int, count: int) -> Bars:
    """Bars of a symbol id with all times and prices 0, for the caller to fill in."""
    events = np.zeros(count, dtype=t.BAR_EVENT)
    events["kind"], events["symbol"] = t.EventKind.BAR, symbol
    return Bars(Events(events))


def as_bars(records: Records) -> Bars:
    """Cast records to bars. The caller knows that they are bars, such as a slice of an array of bars."""
    return Bars(Events(records))


def no_bars() -> Bars:
    """An empty array of bars."""
    return blank_bars(0, 0)


def joined(parts: Sequence[Bars]) -> Bars:
    """Concatenate arrays of bars."""
    return Bars(Events(np.concatenate(parts))) if parts else no_bars()


def signals(rows: Iterable[tuple[int, int, int, int, int, int]]) -> Signals:
    """SIGNAL events from rows of (ts, symbol id, strategy id, target, strength in ppb, max_quantity).

    `max_quantity` caps an entry, in the base's minor unit; 0: only the sizing rule applies.
    """
    fields = list(rows)
    events = np.zeros(len(fields), dtype=t.SIGNAL_EVENT)
    for event, (ts, symbol, strategy, target, strength_ppb, max_quantity) in zip(events, fields, strict=True):
        event["kind"], event["ts"], event["symbol"], event["strategy"] = t.EventKind.SIGNAL, ts, symbol, strategy
        event["target"], event["strength_ppb"], event["max_quantity"] = target, strength_ppb, max_quantity
    return Signals(Events(events.view(t.BAR_EVENT)))


NO_SIGNALS = signals(())


def market_order(ts: int, symbol: int, strategy: int, side: t.Side, quantity: int) -> Orders:
    """A market order; `quantity` in the base's minor unit."""
    event = np.zeros(1, dtype=t.ORDER_EVENT)
    row = event[0]
    row["kind"], row["ts"], row["symbol"], row["strategy"] = t.EventKind.ORDER, ts, symbol, strategy
    row["side"], row["quantity"] = side, quantity
    row["order_type"], row["time_in_force"] = t.OrderType.MARKET, t.TimeInForce.GTC
    return Orders(Events(event.view(t.BAR_EVENT)))


def halt(ts: int, reason: t.HaltReason) -> Controls:
    """A HALT: until the next RESUME, only reduce-only orders pass the gate."""
    return _control(t.EventKind.HALT, ts, reason)


def resume(ts: int) -> Controls:
    """A RESUME: lifts a halt; the loss rules measure from the equity at that time."""
    return _control(t.EventKind.RESUME, ts)


def end() -> Controls:
    """An END: asks for the closing ledger row. It must be the last event, and it is never journaled."""
    return _control(t.EventKind.END, 0)


def _control(kind: t.EventKind, ts: int, reason: int = 0) -> Controls:
    event = np.zeros(1, dtype=t.CONTROL_EVENT)
    event["kind"], event["ts"], event["reason"] = kind, ts, reason
    return Controls(Events(event.view(t.BAR_EVENT)))


def decoded(content: bytes) -> Events:
    """Events from bytes, 64 bytes each."""
    return Events(np.frombuffer(content, dtype=t.BAR_EVENT))
