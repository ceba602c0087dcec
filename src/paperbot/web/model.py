"""The content of pages about runs and sweeps, independent of how it is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Line:
    """Values over time: `ts` datetime64[ns] UTC, `values` float64."""

    ts: Array
    values: Array


@dataclass(frozen=True)
class Marks:
    """Fills: their times, their prices, and the text shown when hovering over each."""

    ts: Array
    price: Array
    says: Sequence[str]


@dataclass(frozen=True)
class Market:
    """One symbol: its candles (`open_ts`, `open`, `high`, `low`, `close`, `volume`, by name), fills and round trips.

    A round trip is (entry, exit, entry price, exit price, whether it won).
    """

    symbol: str
    candles: Mapping[str, Array]
    buys: Marks
    sells: Marks
    trips: Sequence[tuple[Any, Any, float, float, bool]] = ()


@dataclass(frozen=True)
class Page:
    """The content of a page about a run. `facts` are text; each table is a list of rows with the same keys."""

    title: str
    facts: Mapping[str, str]
    statistics: Mapping[str, Any]
    equity: Line
    drawdown: Line
    markets: Sequence[Market]
    days: Mapping[str, Array]
    fees: Line
    blocked: Mapping[str, int]
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class SweepPage:
    """The content of a page about a sweep: the values of each axis, and the objective, both by trial."""

    title: str
    axes: Mapping[str, Sequence[Any]]
    objective_name: str
    objective: Sequence[float | None]
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    notes: Sequence[str] = ()
