"""The compiled form of `w`: a Numba type that is one pointer to a table of addresses and lengths.

A field is built at its use, from two loads that the compiler knows to be constant, and passing `w` takes one register.
(A tuple of arrays takes seven words per array at every call, and ten times the compile time.)
"""

import operator
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_builtin, lower_getattr_generic, register_model
from numba.np import arrayobj

from paperbot.core.numeric import kernel
from paperbot.core.types import FRAME_BAR, FRAME_HELD, FRAME_TARGET, STRATEGY_PARAMS
from paperbot.core.world import DTYPES, PLACES, SINGLE, SLOTS

_ADDRESS = "_address"
_VALUE_OFFSET = dict(STRATEGY_PARAMS.fields or {})["value"][1]
_PARAMS_BYTES = STRATEGY_PARAMS.itemsize


class WorldType(types.Type):
    """Numba's type of the pointer to the table."""

    def __init__(self) -> None:
        super().__init__(name="PaperbotWorld")


@register_model(WorldType)
class _WorldModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, ir.IntType(64).as_pointer())


class TableType(types.Array):
    """An array in which the index -1 does not mean the last item.

    NumPy's rule costs a load and three instructions at every access, a sixth of a bar's time. With bounds checks, a
    negative index raises here instead of reaching another item.
    """

    def __init__(self, element: Any) -> None:
        super().__init__(element, 1, "C")


register_model(TableType)(models.ArrayModel)


def _field_type(name: str) -> Any:
    element = numba.from_dtype(DTYPES[name])
    return element if name in SINGLE else TableType(element)


_FIELD_TYPES = {name: _field_type(name) for name in DTYPES}


@infer_getattr
class _WorldAttributes(AttributeTemplate):
    key = WorldType

    def generic_resolve(self, _: Any, attribute: str) -> Any:
        if attribute.endswith(_ADDRESS):
            return types.int64
        return _FIELD_TYPES.get(attribute)


def _load(builder: Any, table: Any, place: int) -> Any:
    """Load a word of the table. Nothing writes to it while compiled code runs, so loads may be merged and moved."""
    word = builder.load(builder.gep(table, [ir.Constant(ir.IntType(64), place)]))
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


@lower_getattr_generic(WorldType)
def _lower_field(context: Any, builder: Any, _: Any, table: Any, name: str) -> Any:
    if name.endswith(_ADDRESS):
        return _load(builder, table, PLACES[name.removesuffix(_ADDRESS)])
    kind = _FIELD_TYPES[name]
    address = _load(builder, table, PLACES[name])
    if name in SINGLE:
        return builder.inttoptr(address, context.get_value_type(kind))
    length = _load(builder, table, len(SLOTS) + PLACES[name])
    itemsize = context.get_constant(types.intp, DTYPES[name].itemsize)
    array = arrayobj.make_array(kind)(context, builder)
    data = builder.inttoptr(address, context.get_data_type(kind.dtype).as_pointer())
    arrayobj.populate_array(array, data=data, shape=[length], strides=[itemsize], itemsize=itemsize, meminfo=None)
    return array._getvalue()


def _item(context: Any, builder: Any, kind: Any, table: Any, index_kind: Any, index: Any) -> Any:
    """Compute the address of an item."""
    array = arrayobj.make_array(kind)(context, builder, table)
    index = context.cast(builder, index, index_kind, types.intp)
    if context.enable_boundscheck:
        cgutils.do_boundscheck(context, builder, index, builder.extract_value(array.shape, 0))
    return builder.gep(array.data, [index])


@lower_builtin(operator.getitem, TableType, types.Integer)
def _get_item(context, builder, signature, arguments):
    kind, index_kind = signature.args
    address = _item(context, builder, kind, arguments[0], index_kind, arguments[1])
    return arrayobj.load_item(context, builder, kind, address)


@lower_builtin(operator.setitem, TableType, types.Integer, types.Any)
def _set_item(context, builder, signature, arguments):
    kind, index_kind, value_kind = signature.args
    address = _item(context, builder, kind, arguments[0], index_kind, arguments[1])
    arrayobj.store_item(context, builder, kind, context.cast(builder, arguments[2], value_kind, kind.dtype), address)
    return context.get_dummy_value()


@intrinsic
def world_at(typing_context, address):
    """The world whose table is at the integer `address`."""
    signature = WorldType()(types.intp)

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())

    return signature, generate


@intrinsic
def _void_pointer(typing_context, address):
    signature = types.voidptr(types.int64)

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return signature, generate


address_as_pointer: Any = _void_pointer
"""The integer address as a void pointer, for `carray`."""


@intrinsic
def _call_at(typing_context, address, ts, frame, values, memory):
    """Call the C function at an address: int32 (int64 ts, int64 frame, int64 values, int64 memory)."""
    signature = types.int32(types.int64, types.int64, types.int64, types.int64, types.int64)

    def generate(context, builder, signature, arguments):
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.IntType(32), [word, word, word, word])
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        return builder.call(function, arguments[1:])

    return signature, generate


@kernel
def call_strategy(w, address, ts, strategy, memory):
    """Call a user's compiled strategy, which stores its answer in the frame; returns 1 if it raised, else 0."""
    values = w.strategy_params_address + strategy * _PARAMS_BYTES + _VALUE_OFFSET
    return _call_at(address, ts, w.frame_address, values, w.scratch_address + memory * 8)


def compile_strategy(function: Callable[..., Any], shape: tuple[int, int, int, int, int]) -> Any:
    """Compile a user's strategy to a C function int32(ts, frame, values, memory): 1 if it raised, else 0.

    `shape`: start of the features in the frame; numbers of features, params and words of memory; index of the answer in
    the frame. A C callback that raises would print and return 0, so errors become the return code. Bounds are checked.
    Raises numba's errors if the function does not compile.
    """
    first, n_features, n_params, n_memory, answer = shape
    inner: Any = numba.njit(boundscheck=True)(function)
    array = numba.types.float64[::1]
    # First on its own, so that an error names the line in the user's file.
    inner.compile((numba.types.int64, array, array, array, array, numba.types.float64, numba.types.int64))
    carray: Any = numba.carray  # type: ignore[attr-defined]
    word = numba.types.int64

    def callback(ts: int, frame: int, values: int, memory: int) -> int:
        slots = carray(address_as_pointer(frame), (answer + 1,), np.float64)
        numbers = carray(address_as_pointer(values), (max(n_params, 1),), np.float64)
        room = carray(address_as_pointer(memory), (n_memory,), np.float64)
        try:
            bar, features = slots[:FRAME_BAR], slots[first : first + n_features]
            held, target = slots[FRAME_HELD], int(slots[FRAME_TARGET])
            slots[answer] = inner(ts, bar, features, numbers[:n_params], room, held, target)
        except Exception:  # noqa: BLE001
            return 1
        return 0

    return numba.cfunc(numba.types.int32(word, word, word, word))(callback)
