"""A symbol's own rules (tick, step, limits): what its data shows of them, and what the venue says.

Which of the known sources wins stands in `config.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperbot.errors import ConfigError
from paperbot.market.candles import LARGEST_PRICE, Columns

Floats = NDArray[np.float64]

FOLDER = Path("data/instruments")
"""Where the rules that a venue told are kept, relative to the working directory."""

OBSERVED_ROWS = 5_000
MOST_DECIMALS = 18
SURE_DIGITS = 4
HEADROOM = 10
"""Prices may grow to so many times the highest of the first rows before their decimals do not fit any more."""

COARSE = 1e-3
"""So many different last digits show that prices step by their last decimal; a tick above that share is coarse."""
_NOISE = 1e-14
"""Relative error of a number that was computed on its way here: a few roundings of float64."""


def decimals_in(values: Floats, most: int = MOST_DECIMALS) -> int:
    """The fewest decimals, up to `most`, with which all values are exact but for the noise of float64."""
    for decimals in range(most):
        scaled = values * 10.0**decimals
        if (np.abs(scaled - np.rint(scaled)) <= scaled * _NOISE).all():
            return decimals
    return most


@dataclass(frozen=True)
class Observed:
    """What the first rows of a file show: decimals of prices and volumes, and the lowest and highest price with its
    row, counted from 1. `is_sure`: prices were written with these decimals, or step by them; `volume_decimals` None:
    the volumes say nothing.
    """

    price_decimals: int
    is_sure: bool
    volume_decimals: int | None
    lowest: float
    lowest_row: int
    highest: float
    highest_row: int


def observe(columns: Columns, *, volume_in_base: bool, written: int | None = None) -> Observed | None:
    """What the first rows show; None where no price can be read from them. `written`: decimals of prices as text."""
    prices = np.stack([getattr(columns, name)[:OBSERVED_ROWS] for name in ("open", "high", "low", "close")])
    usable = np.isfinite(prices).all(axis=0) & (prices > 0).all(axis=0)
    if not usable.any():
        return None
    volume = columns.volume[:OBSERVED_ROWS]
    volume = volume[np.isfinite(volume) & (volume > 0)]
    low, high = np.where(usable, prices[2], np.inf), np.where(usable, prices[1], 0.0)
    values = prices[:, usable].ravel()
    decimals = max(decimals_in(values), written or 0)
    last_digits = np.unique(np.rint(values * 10.0**decimals) % 10)
    return Observed(
        price_decimals=decimals,
        is_sure=bool(written) or len(last_digits) >= SURE_DIGITS,
        volume_decimals=decimals_in(volume) if volume_in_base and len(volume) else None,
        lowest=float(low.min()),
        lowest_row=int(low.argmin()) + 1,
        highest=float(high.max()),
        highest_row=int(high.argmax()) + 1,
    )


def observed_rules(
    observed: Observed, price_decimals: int, base_decimals: int, min_notional: Decimal
) -> dict[str, Any]:
    """The rules that a file's first rows show, as keys of a profile.

    `price_decimals`: those that hold otherwise, which are kept where they are enough. A step is taken from the volumes
    unless one of it is worth more than the smallest order: then the volumes were rounded. Round prices (1.00, 0.5) do
    not show a tick: one that is coarse against them is only taken where it is sure.
    """
    rules: dict[str, Any] = {}
    tick = Decimal(1).scaleb(-observed.price_decimals)
    if observed.is_sure or float(tick) <= COARSE * observed.lowest:
        rules["tick_size"] = tick
    decimals = max(observed.price_decimals, price_decimals)
    while decimals > observed.price_decimals and observed.highest * HEADROOM * 10.0**decimals >= LARGEST_PRICE:
        decimals -= 1
    rules["price_decimals"] = decimals
    if observed.volume_decimals is not None:
        step = Decimal(1).scaleb(-min(observed.volume_decimals, base_decimals))
        if step * Decimal(repr(observed.highest)) <= min_notional:
            rules["step_size"] = step
    return rules


@dataclass(frozen=True)
class VenueRules:
    """What exchangeInfo says of a symbol, as decimal text; empty where it says nothing."""

    tick_size: str = ""
    step_size: str = ""
    min_notional: str = ""
    min_quantity: str = ""
    max_quantity: str = ""
    max_market_quantity: str = ""

    def as_tree(self) -> dict[str, str]:
        """The keys of a profile that it sets."""
        return {key: value for key, value in asdict(self).items() if value and Decimal(value) > 0}


def rules_of(info: Mapping[str, Any]) -> VenueRules:
    """The rules in a symbol's entry of Binance's exchangeInfo.

    Source: Binance Spot API, filters PRICE_FILTER, LOT_SIZE, MARKET_LOT_SIZE, NOTIONAL, MIN_NOTIONAL.
    """
    filters = {str(one.get("filterType")): one for one in info.get("filters") or () if isinstance(one, Mapping)}
    lot, market_lot = filters.get("LOT_SIZE", {}), filters.get("MARKET_LOT_SIZE", {})
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    return VenueRules(
        tick_size=str(filters.get("PRICE_FILTER", {}).get("tickSize", "")),
        step_size=str(lot.get("stepSize", "")),
        min_notional=str(notional.get("minNotional", "")),
        min_quantity=str(lot.get("minQty", "")),
        max_quantity=str(lot.get("maxQty", "")),
        max_market_quantity=str(market_lot.get("maxQty", "")),
    )


def kept_path(exchange: str, market_data: str) -> Path:
    """The file that keeps what a venue told."""
    return FOLDER / f"{exchange}-{market_data}.json"


def kept_content(rules: Mapping[str, VenueRules], fetched: str) -> bytes:
    """The file's content. `fetched`: when the venue told, as ISO 8601."""
    symbols = {symbol: one.as_tree() for symbol, one in sorted(rules.items())}
    return (json.dumps({"fetched": fetched, "symbols": symbols}, indent=1) + "\n").encode()


def read_kept(path: Path) -> tuple[str, dict[str, dict[str, str]]]:
    """(when they were fetched, rules by symbol) of such a file, nothing when there is none. Raises ConfigError."""
    if not path.is_file():
        return "", {}
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        rules = {str(symbol): VenueRules(**one).as_tree() for symbol, one in tree["symbols"].items()}
        return str(tree["fetched"]), rules
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
        raise ConfigError(
            f"{path}: cannot be read as a venue's rules; delete it, or fetch them again with: paperbot venue filters"
        ) from None
