"""How a run was configured: the settings that differ, where each symbol's rules are from, and a hash of everything."""

import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from paperbot.config import Configuration, changed_settings, show
from paperbot.knobs import RULES
from paperbot.ports import Planned


def settings_of(configuration: Configuration, plan: Planned) -> dict[str, Any]:
    """How a run was configured: non-default settings, the rules of its symbols, and a hash of everything."""
    return {
        "config_hash": config_hash(configuration, plan),
        "instruments": instruments(configuration, plan.symbols),
        "settings": changed_settings(configuration),
    }


def config_hash(configuration: Configuration, plan: Planned) -> str:
    """A fingerprint of every setting that was in force, symbols' market keys included."""
    rows = [(key, value) for key, value, _ in show(configuration, plan.symbols)]
    text = json.dumps([rows, plan.strategies, plan.timeframes_ns], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def instruments(configuration: Configuration, symbols: Sequence[str]) -> dict[str, Any]:
    """The same for programs: each rule's value and origin by symbol."""
    found: dict[str, Any] = {}
    for symbol in symbols:
        knobs, origins = configuration.knobs(symbol)
        found[symbol] = {
            key: {"value": plain(getattr(knobs, key)), "from": short_origin(origins[key])} for key in RULES
        }
    return found


def plain(value: Decimal | int) -> str:
    """A number without an exponent or needless zeros."""
    text = f"{Decimal(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def short_origin(origin: str) -> str:
    """An origin without the folder of its file."""
    file, bracket, pattern = origin.partition(" [")
    return f"{Path(file).name}{bracket}{pattern}" if file.endswith((".yml", ".yaml")) else origin
