"""Records how a run was configured: changed settings, the source of each symbol's rules, and a hash of all values."""

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
    """The run's changed settings, its symbols' rules, and a hash of all values, for the run's record."""
    return {
        "config_hash": config_hash(configuration, plan),
        "instruments": instruments(configuration, plan.symbols),
        "settings": changed_settings(configuration),
    }


def config_hash(configuration: Configuration, plan: Planned) -> str:
    """Hash all settings in force (symbols' market keys included), strategies and timeframes; 16 hex digits."""
    rows = [(key, value) for key, value, _ in show(configuration, plan.symbols)]
    text = json.dumps([rows, plan.strategies, plan.timeframes_ns], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def instruments(configuration: Configuration, symbols: Sequence[str]) -> dict[str, Any]:
    """Value and origin of each instrument rule, by symbol."""
    rules: dict[str, Any] = {}
    for symbol in symbols:
        knobs, origins = configuration.knobs(symbol)
        rules[symbol] = {
            key: {"value": plain(getattr(knobs, key)), "from": short_origin(origins[key])} for key in RULES
        }
    return rules


def plain(value: Decimal | int) -> str:
    """Format a number without an exponent or trailing zeros."""
    text = f"{Decimal(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def short_origin(origin: str) -> str:
    """The origin with its file's folder removed."""
    file, bracket, pattern = origin.partition(" [")
    return f"{Path(file).name}{bracket}{pattern}" if file.endswith((".yml", ".yaml")) else origin
