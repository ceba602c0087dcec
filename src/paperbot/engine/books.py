"""Checks that the books of a state add up."""

from paperbot.engine.machine import State
from paperbot.engine.params import Plan


def unbalanced(plan: Plan, state: State) -> list[str]:
    """List assets whose double entry does not add up, or whose `held` differs from the sum of their positions."""
    wrong = []
    for name, row in zip(plan.assets, state.assets, strict=True):
        balance = int(row["opening"]) + int(row["venue"]) - int(row["fees"])
        if balance != int(row["free"]) + int(row["locked"]) or min(int(row["free"]), int(row["locked"])) < 0:
            wrong.append(name)
    bases = plan.params.symbols["base"]
    for asset, name in enumerate(plan.assets):
        held = sum(
            int(position["quantity"])
            for index, position in enumerate(state.positions)
            if bases[index % len(plan.symbols)] == asset
        )
        if held != int(state.assets[asset]["held"]):
            wrong.append(f"{name} (positions)")
    return wrong
