"""A session's name, and the settings that cannot change inside a session."""

import json
import re
from typing import Any

from paperbot.engine.params import Plan
from paperbot.engine.snapshot import identity
from paperbot.errors import CommandError

CURRENT = "current"
"""The file with the current session's name; a session cannot have this name itself."""

NEVER_CHANGES = {
    "symbols": "symbols",
    "timeframes_ns": "timeframe",
    "currency": "account.currency",
    "assets": "symbols, balances and oracle",
    "asset_decimals": "account.decimals",
    "price_decimals": "price_decimals",
    "strategies": "strategies (names and order)",
    "order_capacity": "capacities.open_orders",
    "features": "features (kinds and windows)",
    "sizes": "risk.max_orders_per_minute or a strategy's MEMORY",
}


def fixed_part(plan: Plan) -> dict[str, Any]:
    """The settings that cannot change inside a session, as decoded JSON."""
    risk = plan.params.risk[0]
    sizes = [int(risk["rate_orders"]), plan.params.strategies["scratch"].tolist()]
    fixed = {key: value for key, value in identity(plan).items() if key != "core"}
    return json.loads(json.dumps({**fixed, "sizes": sizes}))  # type: ignore[no-any-return]


def check_fixed_part(before: Plan, now: Plan, name: str, *, carried: bool = False) -> None:
    """Raises CommandError when a configuration changes a setting that is fixed inside a session. `carried`: ignore the
    order of features, which may differ between cores.
    """
    old, new = fixed_part(before), fixed_part(now)
    if carried:
        old["features"], new["features"] = sorted(old["features"]), sorted(new["features"])
    for key, label in NEVER_CHANGES.items():
        if old[key] != new[key]:
            raise CommandError(
                f"session {name}: {label} cannot change inside a session (was {old[key]}, now {new[key]});"
                " start a new session with paperbot run --new"
            )


def check_name(name: str) -> None:
    """Raises CommandError for an invalid session name."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", name) or name == CURRENT:
        raise CommandError(f"--session {name}: expected up to 100 letters, digits, dots, dashes and underscores")
