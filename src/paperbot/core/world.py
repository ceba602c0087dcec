"""The world `w`, which every function of the core receives: all parameters, state, events and outputs of a run.

Its fields, such as `w.orders`, are arrays over memory that Python owns. In compiled code `w` is one pointer to a table
of their addresses and lengths (see `core/pointer.py`); in uncompiled code it is a named tuple of the same arrays.
"""

from collections import namedtuple
from typing import Any

import numpy as np

from paperbot.core import types as t

_FLOAT = np.dtype(np.float64)
_INTEGER = np.dtype(np.int64)

SLOTS: dict[str, np.dtype[Any]] = {
    "risk": t.RISK_PARAMS,
    "symbol_params": t.SYMBOL_PARAMS,
    "asset_params": t.ASSET_PARAMS,
    "strategy_params": t.STRATEGY_PARAMS,
    "feature_params": t.FEATURE_PARAMS,
    "enabled": _INTEGER,
    "market": t.MARKET,
    "symbols": t.SYMBOL,
    "features": t.FEATURE,
    "candles": t.CANDLES,
    "rings": _FLOAT,
    "slice_symbols": _INTEGER,
    "account": t.ACCOUNT,
    "chains": t.CHAIN,
    "assets": t.ASSET,
    "positions": t.POSITION,
    "orders": t.ORDER,
    "draft": t.ORDER,
    "scratch": _FLOAT,
    "rate_ts": _INTEGER,
    "frame": _FLOAT,
    "bars": t.BAR_EVENT,
    "out_head": t.OUT_HEAD,
    "blank": t.OUT_HEAD,
    "cursor": _INTEGER,
}
"""The fields of the table, in order. Word i is the address of field i, and word `len(SLOTS)` + i is its length.

Parameters come first, then the market, the account, events, and outputs. The index of a position is strategy *
n_symbols + symbol; the index of a feature is symbol * n_features + slot.
"""

VIEWS: dict[str, tuple[str, np.dtype[Any]]] = {
    "order_events": ("bars", t.ORDER_EVENT),
    "signal_events": ("bars", t.SIGNAL_EVENT),
    "control_events": ("bars", t.CONTROL_EVENT),
    "out_signal": ("out_head", t.OUT_SIGNAL),
    "out_order": ("out_head", t.OUT_ORDER),
    "out_fill": ("out_head", t.OUT_FILL),
    "out_end": ("out_head", t.OUT_ORDER_END),
    "out_ledger": ("out_head", t.OUT_LEDGER),
    "out_halt": ("out_head", t.OUT_HALT),
    "out_pattern": ("out_head", t.OUT_PATTERN),
}
"""Views of the same memory: (field, dtype) for each kind of event and output record."""

SINGLE = {"risk", "market", "account", "draft"}
"""Fields that are a single record, not an array."""

DTYPES = {**SLOTS, **{name: dtype for name, (_, dtype) in VIEWS.items()}}
PLACES = {name: place for place, name in enumerate(SLOTS)}
PLACES.update({name: PLACES[owner] for name, (owner, _) in VIEWS.items()})
assert set(SLOTS) > SINGLE

PlainWorld = namedtuple("PlainWorld", list(DTYPES))  # type: ignore[misc]  # noqa: PYI024


def plain_world(arrays: dict[str, Any]) -> PlainWorld:
    """Build `w` for uncompiled code, over the same memory. `arrays` holds the fields of SLOTS."""
    fields: dict[str, Any] = {name: array[0] if name in SINGLE else array for name, array in arrays.items()}
    fields.update({name: arrays[owner].view(dtype) for name, (owner, dtype) in VIEWS.items()})
    return PlainWorld(**fields)
