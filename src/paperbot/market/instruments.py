"""A symbol's own rules (tick, step, limits), taken from its data or from the venue.

`config.py` decides which source wins.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperbot.errors import ConfigError
from paperbot.market.candles import LARGEST_PRICE, Columns

Floats = NDArray[np.float64]

FOLDER = Path("data/instruments")
"""Folder for rules fetched from venues, relative to the working directory."""

OBSERVED_ROWS = 5_000
MOST_DECIMALS = 18
SURE_DIGITS = 4
"""This many different last digits show that prices step by their last decimal."""

HEADROOM = 10
"""Prices can grow to this multiple of the first rows' highest price before they no longer fit."""

COARSE = 1e-3
"""A tick above this share of the price is coarse."""
_NOISE = 1e-14
"""Relative error of a computed number: a few roundings of float64."""


def decimals_in(values: Floats, most: int = MOST_DECIMALS) -> int:
    """Return the fewest decimals, at most `most`, that write all values exactly, apart from float64 noise."""
    for decimals in range(most):
        scaled = values * 10.0**decimals
        if (np.abs(scaled - np.rint(scaled)) <= scaled * _NOISE).all():
            return decimals
    return most


@dataclass(frozen=True)
class Observed:
    """What the first rows of a file show: decimals, and the lowest and highest price with their rows, from 1.

    `is_sure`: prices are text with these decimals, or step by them. `volume_decimals`: None without usable volumes in
    the base.
    """

    price_decimals: int
    is_sure: bool
    volume_decimals: int | None
    lowest: float
    lowest_row: int
    highest: float
    highest_row: int


def observe(columns: Columns, *, volume_in_base: bool, written: int | None = None) -> Observed | None:
    """Observe the first rows; None if they have no usable price. `written`: decimals of prices stored as text."""
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
    """Return the rules that a file's first rows show, as keys of a profile.

    `price_decimals`: the configured value; it is kept if it is enough. The step comes from the volumes, unless one step
    is worth more than the smallest order: then the volumes were rounded. Round prices (1.00, 0.5) do not show a tick,
    so a coarse tick is used only if it is sure.
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
    """A symbol's rules from exchangeInfo, as decimal text; empty if absent."""

    tick_size: str = ""
    step_size: str = ""
    min_notional: str = ""
    min_quantity: str = ""
    max_quantity: str = ""
    max_market_quantity: str = ""

    def wrong(self) -> str | None:
        """Return what is wrong with them: a tick or step that is missing, or text that is not a number; else None."""
        for name, text in asdict(self).items():
            try:
                value = Decimal(text or 0)
            except InvalidOperation:
                return f"{name} = {text[:40]!r} is not a number"
            if not value.is_finite() or value < 0 or (name in {"tick_size", "step_size"} and value == 0):
                return f"{name} = {text[:40]!r}"
        return None

    def as_tree(self) -> dict[str, str]:
        """Return the rules that are set, as keys of a profile."""
        return {key: value for key, value in asdict(self).items() if value and Decimal(value) > 0}


def rules_of(info: Mapping[str, Any]) -> VenueRules:
    """Read the rules from a symbol's entry in Binance's exchangeInfo.

    Source: Binance Spot API, filters PRICE_FILTER, LOT_SIZE, MARKET_LOT_SIZE, NOTIONAL, MIN_NOTIONAL.
    """
    entries = [entry for entry in info.get("filters") or () if isinstance(entry, Mapping)]
    filters = {str(entry.get("filterType")): entry for entry in entries}
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
    """Return the path of the file with a venue's rules."""
    return FOLDER / f"{exchange}-{market_data}.json"


def kept_content(rules: Mapping[str, VenueRules], fetched: str) -> bytes:
    """Return the content of the file with a venue's rules. `fetched`: the time of the request, ISO 8601."""
    symbols = {symbol: own.as_tree() for symbol, own in sorted(rules.items())}
    return (json.dumps({"fetched": fetched, "symbols": symbols}, indent=1) + "\n").encode()


def read_kept(path: Path) -> tuple[str, dict[str, dict[str, str]]]:
    """Read such a file: (time of the request, rules by symbol), both empty if it is missing. Raises ConfigError."""
    if not path.is_file():
        return "", {}
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        rules = {str(symbol): VenueRules(**own).as_tree() for symbol, own in tree["symbols"].items()}
        return str(tree["fetched"]), rules
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
        raise ConfigError(
            f"{path}: cannot be read as a venue's rules; delete it, or fetch new ones with: paperbot venue filters"
        ) from None
