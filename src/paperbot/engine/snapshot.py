"""Encodes and decodes snapshots: the whole state of a run and its digest so far.

Layout: magic, schema number and header length (little-endian uint32 each), the header as JSON, the state's memory, and
the SHA-256 of everything before it. A snapshot fits only a run with the same names, sizes, layouts and rules; whether
the core was compiled does not matter.
"""

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from paperbot.core import types as t
from paperbot.core.types import OUTPUT_BYTES
from paperbot.core.version import RULES
from paperbot.engine.layout import as_dtype, described, fill
from paperbot.engine.machine import State
from paperbot.engine.outputs import BLOCK_RECORDS
from paperbot.engine.params import Plan
from paperbot.engine.runner import Runner
from paperbot.errors import StateError

MAGIC = b"PAPERBOT"
SCHEMA = 2
PENDING_SINCE = 2
_HEAD = struct.Struct("<8sII")
_SUM_BYTES = 32


@dataclass(frozen=True)
class Snapshot:
    """A decoded snapshot: its header, and the memory of the state.

    The header has the fields of `identity`; `link` and `pending`, the digest so far as hexadecimal; `rings`; `layout`;
    and `extra`, the caller's data.
    """

    header: dict[str, Any]
    memory: bytes


def layouts_of(module: Any) -> str:
    """Hash all record types of a module: their fields, types and offsets."""
    types = {name: value for name, value in vars(module).items() if isinstance(value, np.dtype)}
    text = json.dumps({name: described(value) for name, value in sorted(types.items())})
    return hashlib.sha256(text.encode()).hexdigest()[:12]


LAYOUTS = layouts_of(t)


def identity(plan: Plan) -> dict[str, Any]:
    """The values that must be equal in a snapshot and the run that loads it."""
    risk = plan.params.risk[0]
    return {
        "core": f"rules {RULES}, records {LAYOUTS}, links of {BLOCK_RECORDS}",
        "symbols": list(plan.symbols),
        "timeframes_ns": list(plan.timeframes_ns),
        "assets": list(plan.assets),
        "asset_decimals": list(plan.asset_decimals),
        "price_decimals": list(plan.price_decimals),
        "strategies": list(plan.strategies),
        "currency": plan.currency,
        "order_capacity": int(risk["order_capacity"]),
        "features": plan.params.features[["kind", "window"]].tolist(),
    }


def _layout(state: State) -> list[tuple[str, Any, int]]:
    """(name, dtype, length) of each array in the state's memory, in order."""
    return [(name, described(array.dtype), len(array)) for name, array in state.arrays().items()]


def encode(runner: Runner, extra: dict[str, Any]) -> bytes:
    """Encode the current state of a run. `extra`: the caller's data, which JSON must be able to hold."""
    layout = _layout(runner.machine.state)
    digest = {"link": runner.digest.link.hex(), "pending": runner.digest.pending.hex()}
    rings = runner.plan.params.features["ring"].tolist()
    header = {**identity(runner.plan), **digest, "rings": rings, "layout": layout, "extra": extra}
    text = json.dumps(header, sort_keys=True).encode()
    body = _HEAD.pack(MAGIC, SCHEMA, len(text)) + text + runner.machine.state.memory.tobytes()
    return body + hashlib.sha256(body).digest()


def decode(content: bytes, where: str) -> Snapshot:
    """Decode a snapshot. Raises StateError if it is not one, newer than this version, truncated or changed."""
    if len(content) < _HEAD.size + _SUM_BYTES or content[: len(MAGIC)] != MAGIC:
        raise StateError(f"{where}: is not a saved state")
    _, schema, length = _HEAD.unpack_from(content)
    if schema > SCHEMA:
        raise StateError(f"{where}: has schema {schema}, but this version reads up to {SCHEMA}; use a newer version")
    body, checksum = content[:-_SUM_BYTES], content[-_SUM_BYTES:]
    if schema < 1 or hashlib.sha256(body).digest() != checksum:
        raise StateError(f"{where}: is damaged (its checksum does not match)")
    try:
        header = json.loads(body[_HEAD.size : _HEAD.size + length])
        is_whole = len(bytes.fromhex(header["link"])) == _SUM_BYTES and isinstance(header["extra"], dict)
        pending = bytes.fromhex(header["pending"] if schema >= PENDING_SINCE else "")
        is_whole = is_whole and len(pending) in range(0, BLOCK_RECORDS * OUTPUT_BYTES, OUTPUT_BYTES)
        is_whole = is_whole and isinstance(header["layout"], list)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        is_whole = False
    if not is_whole:
        raise StateError(f"{where}: its header cannot be read")
    return Snapshot(header, body[_HEAD.size + length :])


def restore(snapshot: Snapshot, runner: Runner, where: str) -> None:
    """Load the state into a new run of the same plan. Raises StateError that names any difference."""
    ours = json.loads(json.dumps(identity(runner.plan)))
    for key, value in ours.items():
        if snapshot.header.get(key) != value:
            saved = snapshot.header.get(key)
            raise StateError(f"{where}: was saved with {key} = {saved}, but this run has {value}")
    state = runner.machine.state
    if json.loads(json.dumps(_layout(state))) != snapshot.header.get("layout"):
        raise StateError(f"{where}: was saved with another layout of the state")
    if len(snapshot.memory) != len(state.memory):
        raise StateError(f"{where}: holds {len(snapshot.memory)} bytes of state, not {len(state.memory)}")
    state.memory[:] = np.frombuffer(snapshot.memory, dtype=np.uint8)
    runner.digest.link = bytes.fromhex(snapshot.header["link"])
    runner.digest.pending = bytes.fromhex(snapshot.header["pending"])


def carry_over(snapshot: Snapshot, runner: Runner) -> None:
    """Load a state that another version of the core saved into a new run with the same names.

    Fields are matched by name, and features by kind and window, because their order may differ. The digest starts
    again: it is another session. Raises StateError for a field or an array that would be lost.
    """
    state, saved, at = runner.machine.state, {}, 0
    for name, layout, count in snapshot.header["layout"]:
        old = as_dtype(layout)
        saved[name] = np.frombuffer(snapshot.memory, dtype=old, count=count, offset=at)
        at += old.itemsize * count
    for name in saved.keys() - {"memory", "features", "rings"}:
        array = getattr(state, name, None)
        if name in _CARRIED:
            _refuse_lost(name, array, saved[name])
        if array is not None and len(array) == len(saved[name]):
            fill(array, saved[name])
    for (name, field), to in MOVED.items():
        if name in saved and field in (saved[name].dtype.names or ()):
            getattr(state, to)[field] = saved[name][field]
    _carry_features(snapshot.header, saved["features"], saved["rings"], runner)
    state.account["arrivals"] = int(state.assets["arriving"].any())
    if "risk_peak" not in (saved["account"].dtype.names or ()):  # Earlier versions had one peak for both.
        state.account["risk_peak"] = state.account["peak"]


_CARRIED = {"market", "account", "chains", "assets", "symbols", "positions", "orders", "candles"}
"""Arrays that must be carried over; the others are scratch space or are rebuilt."""

GONE: dict[str, set[str]] = {}
"""Fields of earlier versions that are no longer needed, by array."""

_STREAM = ("clock_ts", "slice_ts", "slice_symbols", "catching_up", "fault", "fault_symbol", "fault_strategy")
MOVED = {
    **{("account", field): "market" for field in _STREAM},
    **{("symbols", field): "chains" for field in ("head", "tail", "orders")},
}
"""(array, field) in earlier versions, and the array that has the field now."""


def _refuse_lost(name: str, ours: Any, saved: Any) -> None:
    """Raise StateError for a saved field that this version does not have in the same type.

    A change that removes, renames or retypes a field must list it in GONE or MOVED.
    """
    if ours is None or len(ours) != len(saved):
        length = 0 if ours is None else len(ours)
        raise StateError(f"the saved state has {len(saved)} {name}, but this version has {length}")
    current = ours.dtype
    for field in saved.dtype.names or ():
        if field in GONE.get(name, ()) or (name, field) in MOVED:
            continue
        if field not in (current.names or ()) or current[field] != saved.dtype[field]:
            raise StateError(f"the saved state has a field {name}.{field} that this version cannot carry over")


def _carry_features(header: dict[str, Any], features: Any, rings: Any, runner: Runner) -> None:
    """Carry over each symbol's features and rings. In a header without `rings`, they are in order of the features."""
    state, rows = runner.machine.state, runner.plan.params.features
    was = [tuple(feature) for feature in header["features"]]
    has_ring = [kind in {t.FeatureKind.SMA, t.FeatureKind.ZSCORE, t.FeatureKind.VOLATILITY} for kind, _ in was]
    sizes = [window if has else 0 for (_, window), has in zip(was, has_ring, strict=True)]
    starts = header.get("rings") or [sum(sizes[:slot]) for slot in range(len(sizes))]
    n_symbols = len(runner.plan.symbols)
    old_block, block = len(rings) // n_symbols, len(state.rings) // n_symbols
    moved = np.zeros(len(features), dtype=state.features.dtype)
    fill(moved, features)
    for slot, row in enumerate(rows):
        key = (int(row["kind"]), int(row["window"]))
        if key not in was:
            continue
        old = was.index(key)
        for symbol in range(n_symbols):
            state.features[symbol * len(rows) + slot] = moved[symbol * len(was) + old]
            begin, to = symbol * old_block + starts[old], symbol * block + int(row["ring"])
            state.rings[to : to + sizes[old]] = rings[begin : begin + sizes[old]]
