"""Figures as people read them."""

from typing import Any


def cell(value: Any) -> str:
    """A cell of a table."""
    if value is None:
        return "-"
    return money(value) if isinstance(value, float) else str(value)


def money(value: float | None) -> str:
    """Two decimals, or the first digits of what is smaller."""
    if value is None:
        return "-"
    return f"{value:,.2f}" if abs(value) >= 1 or value == 0 else f"{value:,.4g}"


def number(value: float | None, digits: int = 8) -> str:
    """A price or a quantity."""
    return "-" if value is None else f"{value:,.{digits}g}"


def percent(value: float | None, scale: float = 1.0) -> str:
    """Percents, two decimals."""
    return "-" if value is None else f"{value * scale:.2f} %"


def lasting(seconds: float | None) -> str:
    """A time span in the largest unit that it has."""
    if seconds is None:
        return "-"
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:g} seconds"
