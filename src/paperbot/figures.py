"""The one definition of each performance figure, used by summary, report, sweep, status, profit, tables and metrics.

Ratios follow empyrical. Returns are changes between the last equities of UTC days; figures are annualised by the mean
time between those days.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

DAYS_A_YEAR = 365
MIN_RETURNS = 10


@dataclass(frozen=True)
class Returns:
    """Relative changes of equity; `days` is the mean time between them in days, 0 without any."""

    values: tuple[float, ...]
    days: float

    @property
    def a_year(self) -> float:
        """Returns per year."""
        return DAYS_A_YEAR / self.days if self.days else 0.0


def returns_of(start: float, days: Sequence[int], equities: Sequence[float]) -> Returns:
    """Daily returns: from `start` to the first day's last equity, then from day to day (`days`: ascending day numbers).

    The first return is assumed to span the median distance between days.
    """
    before = [start, *equities[:-1]] if len(equities) else []
    values = [after / earlier - 1.0 for earlier, after in zip(before, equities, strict=True) if earlier > 0]
    if len(days) < 2:  # noqa: PLR2004
        return Returns(tuple(values), 1.0 if len(days) else 0.0)
    usual = float(np.median(np.diff(days)))
    return Returns(tuple(values), (days[-1] - days[0] + usual) / len(days))


def sharpe(returns: Returns) -> float | None:
    """Mean / sample deviation of the returns x sqrt(returns per year); None with fewer than 10 returns or no change.

    Source: empyrical.sharpe_ratio with a risk-free rate of 0.
    """
    values = returns.values
    if len(values) < MIN_RETURNS:
        return None
    mean = sum(values) / len(values)
    deviation = sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return mean / deviation * sqrt(returns.a_year) if deviation > 0 else None


def sortino(returns: Returns) -> float | None:
    """Mean / downside deviation of the returns x sqrt(returns per year); None with fewer than 10 returns or no loss.

    Downside deviation: root of the sum of squared negative returns over the number of all returns.

    Source: empyrical.sortino_ratio with a required return of 0.
    """
    values = returns.values
    if len(values) < MIN_RETURNS:
        return None
    downside = sqrt(sum(min(value, 0.0) ** 2 for value in values) / len(values))
    return sum(values) / len(values) / downside * sqrt(returns.a_year) if downside > 0 else None


def cagr(start: float, end: float, seconds: float) -> float | None:
    """Compound annual growth rate, as a share: (end / start) ^ (year / time) - 1.

    None for less than a day or a total loss.
    """
    years = seconds / (86_400.0 * DAYS_A_YEAR)
    if start <= 0 or end <= 0 or seconds < 86_400.0:  # noqa: PLR2004
        return None
    try:
        return float((end / start) ** (1.0 / years) - 1.0)
    except OverflowError:
        return None


def calmar(growth: float | None, max_drawdown: float) -> float | None:
    """Compound annual growth / largest drawdown, both shares; None without a drawdown.

    Source: empyrical.calmar_ratio.
    """
    return growth / max_drawdown if growth is not None and max_drawdown > 0 else None


def win_rate_pct(wins: int, trips: int) -> float | None:
    """Share of round trips with a profit after fees, in percent; None without any round trip."""
    return 100.0 * wins / trips if trips else None


def profit_factor(gained: int, lost: int) -> float | None:
    """Total profit of the winning round trips / total loss of the others; None without a loss."""
    return gained / lost if lost > 0 else None


def change_pct(equity: float | None, start: float | None) -> float | None:
    """Change of equity since the start, in percent of the start; None if either has no value."""
    return 100.0 * (equity / start - 1.0) if equity is not None and start else None


def drawdown(equity: float, peak: float) -> float:
    """How far equity is below its peak, as a share of the peak."""
    return 1.0 - equity / peak if peak > 0 else 0.0


def slippage_bps(price: Any, reference: Any, side: Any) -> Any:
    """Distance of a fill's price from its reference price, in bps, positive against the trader; numbers or arrays."""
    return (price / reference - 1.0) * side * 10_000.0
