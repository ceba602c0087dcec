"""What a session is known by, and what may not change inside it."""

import json
import re
from typing import Any

from paperbot.engine.params import Plan
from paperbot.engine.snapshot import identity
from paperbot.errors import CommandError

CURRENT = "current"
"""The file that names the session which is gone on with; no session may be named so."""

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
    """What may not change inside a session, as JSON would give it back."""
    risk = plan.params.risk[0]
    sizes = [int(risk["rate_orders"]), plan.params.strategies["scratch"].tolist()]
    known = {key: value for key, value in identity(plan).items() if key != "core"}
    return json.loads(json.dumps({**known, "sizes": sizes}))  # type: ignore[no-any-return]


def check_fixed_part(before: Plan, now: Plan, name: str, *, carried: bool = False) -> None:
    """Raises CommandError when a configuration asks for what cannot change inside a session. `carried`: another core
    may keep the same features in another order.
    """
    old, new = fixed_part(before), fixed_part(now)
    if carried:
        old["features"], new["features"] = sorted(old["features"]), sorted(new["features"])
    for key, label in NEVER_CHANGES.items():
        if old[key] != new[key]:
            raise CommandError(
                f"session {name}: {label} cannot change inside a session (was {old[key]}, now {new[key]});"
                " paperbot run --new starts another one"
            )


def check_name(name: str) -> None:
    """Raises CommandError for a name that is no plain file name."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", name) or name == CURRENT:
        raise CommandError(f"--session {name}: expected up to 100 letters, digits, dots, dashes and underscores")
