"""Every event of the core is made here: bars, signals, orders, cancels, halts and resumes.

All events have 64 bytes, and arrays of them travel in one layout (BAR_EVENT), which the core reads by `kind`. The types
below keep the kinds apart for the type checker; at run time each is a plain structured array.
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
    """Bars of a symbol (its id) whose times and prices are still 0, for the caller to fill in."""
    events = np.zeros(count, dtype=t.BAR_EVENT)
    events["kind"], events["symbol"] = t.EventKind.BAR, symbol
    return Bars(Events(events))


def as_bars(records: Records) -> Bars:
    """Records that are known to be bars: a part of an array of bars, or a selection from it."""
    return Bars(Events(records))


def no_bars() -> Bars:
    """An empty array of bars."""
    return blank_bars(0, 0)


def joined(parts: Sequence[Bars]) -> Bars:
    """Bars one array after the other."""
    return Bars(Events(np.concatenate(parts))) if parts else no_bars()


def signals(rows: Iterable[tuple[int, int, int, int, int, int]]) -> Signals:
    """SIGNAL events of (ts, symbol id, strategy id, target, strength in ppb, most that an entry may buy).

    The last is in the base's minor unit; 0: what the sizing rule allows.
    """
    given = list(rows)
    events = np.zeros(len(given), dtype=t.SIGNAL_EVENT)
    for event, (ts, symbol, strategy, target, strength_ppb, max_quantity) in zip(events, given, strict=True):
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
    """A HALT: from then on only orders that reduce a position pass."""
    return _control(t.EventKind.HALT, ts, reason)


def resume(ts: int) -> Controls:
    """A RESUME: it lifts a halt, and losses are measured from then on."""
    return _control(t.EventKind.RESUME, ts)


def end() -> Controls:
    """An END: it asks for the closing ledger row, and nothing may be fed after it. It is never journaled."""
    return _control(t.EventKind.END, 0)


def _control(kind: t.EventKind, ts: int, reason: int = 0) -> Controls:
    event = np.zeros(1, dtype=t.CONTROL_EVENT)
    event["kind"], event["ts"], event["reason"] = kind, ts, reason
    return Controls(Events(event.view(t.BAR_EVENT)))


def decoded(content: bytes) -> Events:
    """Events from their bytes, 64 each."""
    return Events(np.frombuffer(content, dtype=t.BAR_EVENT))
