"""Encodes a plan as JSON, for a PARAMS input, so that a session can be replayed from its journal alone.

Each array is stored with name, layout and bytes, so that a later version finds its fields. Users' compiled strategies
are stored as source text and compiled again; Python strategies are not stored, because their answers are inputs.
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

_NEWER_FIELDS = {"needs", "min_quantity", "max_quantity", "max_market_quantity"}
_UNNAMED_LAYOUTS = {
    name: [field for field in dtype.descr if field[0] not in _NEWER_FIELDS]
    for name, dtype in (("strategies", t.STRATEGY_PARAMS), ("symbols", t.SYMBOL_PARAMS))
}
"""Layouts of arrays stored before layouts were recorded, where they differ from the current ones."""

_NAMES = ("symbols", "assets", "strategies", "asset_decimals", "price_decimals", "timeframes_ns")


def encode_plan(plan: Plan) -> dict[str, Any]:
    """Encode a plan with JSON types."""
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
            str(index): {"name": user.name, "params": user.params, "source": user.path.read_text(encoding="utf-8")}
            for index, user in plan.compiled_strategies.items()
        },
    }


def sources_of(record: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, source) of each compiled strategy in a PARAMS input."""
    return [(str(user["name"]), str(user["source"])) for user in record.get("compiled", {}).values()]


def decode_plan(record: dict[str, Any], where: str, *, runs: bool = True) -> Plan:
    """Decode the plan of a PARAMS input from this version or an earlier one.

    Fields that the earlier version did not have are 0, except a strategy's `needs`, which is computed from its
    features. Runs the source of compiled strategies, unless `runs` is False; such a plan has no strategy code and is
    only good for its names. Raises StateError if an array does not fit its layout.
    """
    arrays = {}
    for name, dtype in _DTYPES.items():
        content = base64.b64decode(record["arrays"][name])
        layout = record.get("layouts", {}).get(name) or _UNNAMED_LAYOUTS.get(name)
        stored = as_dtype(layout) if layout else dtype
        if len(content) % stored.itemsize:
            raise StateError(f"{where}: its parameters ({name}) have a layout that this version cannot read")
        arrays[name] = np.zeros(len(content) // stored.itemsize, dtype=dtype)
        fill(arrays[name], np.frombuffer(content, dtype=stored))
    arrays["strategies"]["needs"] = needs_of(arrays["features"], arrays["strategies"]["feature"])
    compiled = {}
    for index, user in record["compiled"].items() if runs else ():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{user['name']}.py"
            path.write_text(user["source"], encoding="utf-8")
            compiled[int(index)] = load_strategy(user["name"], path, user["params"])
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
