"""What every function of the core is handed: one pointer to a table of addresses and lengths.

`w.orders` is an array over memory that Python owns, built where it is used from two loads that the compiler knows to be
constant; handing `w` on costs one register. (A tuple of arrays costs seven words each at every call, and its compile time.)
Uncompiled, `w` is a plain named tuple of the same arrays.
"""

from collections import namedtuple
from typing import Any

import numpy as np

from paperbot.core import types as t
from paperbot.core.numeric import JIT, numba

_FLOAT = np.dtype(np.float64)
_INTEGER = np.dtype(np.int64)

SLOTS: dict[str, np.dtype[Any]] = {
    "risk": t.RISK_PARAMS,
    "symbol_params": t.SYMBOL_PARAMS,
    "asset_params": t.ASSET_PARAMS,
    "strategy_params": t.STRATEGY_PARAMS,
    "feature_params": t.FEATURE_PARAMS,
    "enabled": _INTEGER,
    "account": t.ACCOUNT,
    "assets": t.ASSET,
    "symbols": t.SYMBOL,
    "positions": t.POSITION,
    "orders": t.ORDER,
    "draft": t.ORDER,
    "features": t.FEATURE,
    "rings": _FLOAT,
    "scratch": _FLOAT,
    "slice_symbols": _INTEGER,
    "rate_ts": _INTEGER,
    "bars": t.BAR_EVENT,
    "out_head": t.OUT_HEAD,
    "blank": t.OUT_HEAD,
    "cursor": _INTEGER,
}
"""The table: a field's place in it is its address's, and `len(SLOTS)` further on its length's. Parameters, then state,
then events, then outputs. A position's index is strategy * n_symbols + symbol, a feature's symbol * n_features + slot."""

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
"""Further names for the same memory, one for each kind of event and of output."""

SINGLE = {"risk", "account", "draft"}
"""Fields that are one record, not an array."""

_DTYPES = {**SLOTS, **{name: dtype for name, (_, dtype) in VIEWS.items()}}
_PLACES = {name: place for place, name in enumerate(SLOTS)}
_PLACES.update({name: _PLACES[owner] for name, (owner, _) in VIEWS.items()})
assert SINGLE < set(SLOTS)

PlainWorld = namedtuple("PlainWorld", list(_DTYPES))  # type: ignore[misc]  # noqa: PYI024


def plain_world(arrays: dict[str, Any]) -> PlainWorld:
    """`w` for uncompiled code: the same names over the same memory. `arrays` holds the fields of SLOTS."""
    fields: dict[str, Any] = {name: array[0] if name in SINGLE else array for name, array in arrays.items()}
    fields.update({name: arrays[owner].view(dtype) for name, (owner, dtype) in VIEWS.items()})
    return PlainWorld(**fields)


if JIT:
    from llvmlite import ir
    from numba.core import types
    from numba.core.datamodel import models
    from numba.core.typing.templates import AttributeTemplate
    from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, register_model
    from numba.np import arrayobj

    class WorldType(types.Type):  # type: ignore[misc]
        """The pointer to the table, as Numba sees it."""

        def __init__(self) -> None:
            super().__init__(name="PaperbotWorld")

    @register_model(WorldType)
    class _WorldModel(models.PrimitiveModel):  # type: ignore[misc]
        def __init__(self, dmm: Any, fe_type: Any) -> None:
            super().__init__(dmm, fe_type, ir.IntType(64).as_pointer())

    def _field_type(name: str) -> Any:
        element = numba.from_dtype(_DTYPES[name])
        return element if name in SINGLE else types.Array(element, 1, "C")

    _FIELD_TYPES = {name: _field_type(name) for name in _DTYPES}

    @infer_getattr
    class _WorldAttributes(AttributeTemplate):  # type: ignore[misc]
        key = WorldType

        def generic_resolve(self, _: Any, attribute: str) -> Any:
            return _FIELD_TYPES.get(attribute)

    def _load(builder: Any, table: Any, place: int) -> Any:
        """A word of the table, which nothing writes while compiled code runs: loads of it may be merged and moved."""
        word = builder.load(builder.gep(table, [ir.Constant(ir.IntType(64), place)]))
        word.set_metadata("invariant.load", builder.module.add_metadata([]))
        return word

    @lower_getattr_generic(WorldType)
    def _lower_field(context: Any, builder: Any, _: Any, table: Any, name: str) -> Any:
        kind = _FIELD_TYPES[name]
        address = _load(builder, table, _PLACES[name])
        if name in SINGLE:
            return builder.inttoptr(address, context.get_value_type(kind))
        length = _load(builder, table, len(SLOTS) + _PLACES[name])
        itemsize = context.get_constant(types.intp, _DTYPES[name].itemsize)
        array = arrayobj.make_array(kind)(context, builder)
        data = builder.inttoptr(address, context.get_data_type(kind.dtype).as_pointer())
        arrayobj.populate_array(array, data=data, shape=[length], strides=[itemsize], itemsize=itemsize, meminfo=None)
        return array._getvalue()  # noqa: SLF001

    @intrinsic
    def world_at(typing_context, address):  # type: ignore[no-untyped-def] # noqa: ARG001
        """The world whose table lies at the integer `address`."""
        signature = WorldType()(types.intp)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ARG001
            return builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())

        return signature, generate

else:

    def world_at(address: int) -> Any:
        """Only compiled code can follow an address."""
        raise AssertionError(address)
