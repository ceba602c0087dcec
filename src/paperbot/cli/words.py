"""Formats figures for people."""

from typing import Any


def cell(value: Any) -> str:
    """Format the cell of a table."""
    if value is None:
        return "-"
    return money(value) if isinstance(value, float) else str(value)


def money(value: float | None) -> str:
    """Format an amount with two decimals, or below 1 with four digits."""
    if value is None:
        return "-"
    return f"{value:,.2f}" if abs(value) >= 1 or value == 0 else f"{value:,.4g}"


def number(value: float | None, digits: int = 8) -> str:
    """Format a price or a quantity."""
    return "-" if value is None else f"{value:,.{digits}g}"


def percent(value: float | None, scale: float = 1.0) -> str:
    """Format a percentage with two decimals."""
    return "-" if value is None else f"{value * scale:.2f} %"


def lasting(seconds: float | None) -> str:
    """Format a time span in the largest unit that fits."""
    if seconds is None:
        return "-"
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:g} seconds"
