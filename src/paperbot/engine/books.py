"""Whether the money of a state adds up."""

from paperbot.engine.machine import State
from paperbot.engine.params import Plan


def unbalanced(plan: Plan, state: State) -> list[str]:
    """Assets whose double entry does not add up, and positions that more is held of than there is."""
    found = []
    for name, row in zip(plan.assets, state.assets, strict=True):
        balance = int(row["opening"]) + int(row["venue"]) - int(row["fees"])
        if balance != int(row["free"]) + int(row["locked"]) or min(int(row["free"]), int(row["locked"])) < 0:
            found.append(name)
    bases = plan.params.symbols["base"]
    for asset, name in enumerate(plan.assets):
        held = sum(
            int(position["quantity"])
            for index, position in enumerate(state.positions)
            if bases[index % len(plan.symbols)] == asset
        )
        if held != int(state.assets[asset]["held"]):
            found.append(f"{name} (positions)")
    return found
