"""A plan as JSON and back: what a PARAMS input holds, so that a session runs again from its journal alone.

The arrays are stored by name, layout and bytes, so that a later version finds its fields in them. Users' compiled
strategies travel as source text and are compiled again; Python strategies need not travel, because their answers are
inputs of their own.
"""

import base64
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from paperbot.core import types as t
from paperbot.engine.featuretable import needs_of
from paperbot.engine.layout import as_dtype, described, fill
from paperbot.engine.machine import Params
from paperbot.engine.params import Plan
from paperbot.engine.userland import load_strategy
from paperbot.errors import StateError

_DTYPES: dict[str, Any] = {
    "risk": t.RISK_PARAMS,
    "symbols": t.SYMBOL_PARAMS,
    "assets": t.ASSET_PARAMS,
    "strategies": t.STRATEGY_PARAMS,
    "features": t.FEATURE_PARAMS,
    "enabled": np.dtype(np.int64),
    "opening": np.dtype(np.int64),
}
assert set(_DTYPES) == {field.name for field in fields(Params)}

_YOUNGER = {"needs", "min_quantity", "max_quantity", "max_market_quantity"}
_UNTOLD = {
    name: [field for field in dtype.descr if field[0] not in _YOUNGER]
    for name, dtype in (("strategies", t.STRATEGY_PARAMS), ("symbols", t.SYMBOL_PARAMS))
}
"""Layouts of rows from before layouts were told, where they differ from today's."""

_NAMES = ("symbols", "assets", "strategies", "asset_decimals", "price_decimals", "timeframes_ns")


def encode_plan(plan: Plan) -> dict[str, Any]:
    """The plan as an object that JSON can hold."""
    params = {name: getattr(plan.params, name) for name in _DTYPES}
    strategies = params["strategies"].copy()
    strategies["address"] = 0
    params["strategies"] = strategies
    return {
        **{name: list(getattr(plan, name)) for name in _NAMES},
        "currency": plan.currency,
        "usd_rate": plan.usd_rate,
        "warmup_bars": plan.warmup_bars,
        "layouts": {name: described(dtype) for name, dtype in _DTYPES.items()},
        "arrays": {name: base64.b64encode(array.tobytes()).decode() for name, array in params.items()},
        "compiled": {
            str(index): {"name": one.name, "params": one.params, "source": one.path.read_text(encoding="utf-8")}
            for index, one in plan.compiled_strategies.items()
        },
    }


def sources_of(record: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, source) of each compiled strategy in a PARAMS input."""
    return [(str(one["name"]), str(one["source"])) for one in record.get("compiled", {}).values()]


def decode_plan(record: dict[str, Any], where: str, *, runs: bool = True) -> Plan:
    """The plan of a PARAMS input, of this version or an earlier one: fields that there were not are 0, but a strategy's
    `needs`, which follows from its features. Raises StateError when an array does not fit its layout.

    It runs the source of compiled strategies, unless `runs` is False: then the plan is good for its names only.
    """
    arrays = {}
    for name, dtype in _DTYPES.items():
        content = base64.b64decode(record["arrays"][name])
        layout = record.get("layouts", {}).get(name) or _UNTOLD.get(name)
        told = as_dtype(layout) if layout else dtype
        if len(content) % told.itemsize:
            raise StateError(f"{where}: its parameters ({name}) are of another version")
        arrays[name] = np.zeros(len(content) // told.itemsize, dtype=dtype)
        fill(arrays[name], np.frombuffer(content, dtype=told))
    arrays["strategies"]["needs"] = needs_of(arrays["features"], arrays["strategies"]["feature"])
    compiled = {}
    for index, one in record["compiled"].items() if runs else ():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{one['name']}.py"
            path.write_text(one["source"], encoding="utf-8")
            compiled[int(index)] = load_strategy(one["name"], path, one["params"])
        arrays["strategies"][int(index)]["address"] = compiled[int(index)].address
    return Plan(
        **{name: tuple(record[name]) for name in _NAMES},
        currency=record["currency"],
        usd_rate=record["usd_rate"],
        warmup_bars=record["warmup_bars"],
        params=Params(**arrays),
        python_strategies={},
        compiled_strategies=compiled,
    )
