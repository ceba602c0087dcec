"""Converts the core's numbers for people: ids to names, and integers to amounts and prices."""

from collections.abc import Mapping
from dataclasses import dataclass

WRITTEN_DECIMALS = "paperbot.price_decimals"
"""Key in a Parquet file's metadata: the number of decimals of the prices in it."""


@dataclass(frozen=True)
class Names:
    """Names by id, and the decimals and steps to convert amounts.

    `bases`, `quotes`: asset ids by symbol. `steps`: step sizes in the base's minor unit, by symbol. `usd_rate`: USD per
    unit of the account currency, None if the rate depends on the market.
    """

    symbols: tuple[str, ...]
    strategies: tuple[str, ...]
    assets: tuple[str, ...]
    currency: str
    usd_rate: float | None
    asset_decimals: tuple[int, ...]
    price_decimals: tuple[int, ...]
    bases: tuple[int, ...]
    quotes: tuple[int, ...]
    steps: tuple[int, ...]

    def account_unit(self) -> float:
        """Number of minor units in one unit of the account currency."""
        return float(10.0 ** self.asset_decimals[self.assets.index(self.currency)])

    def price(self, units: int, symbol: int) -> float:
        """Convert price units to a price in the symbol's quote."""
        return float(units / 10.0 ** self.price_decimals[symbol])

    def quantity(self, minor: int, symbol: int) -> float:
        """Convert minor units to a quantity of the symbol's base."""
        return float(minor / 10.0 ** self.asset_decimals[self.bases[symbol]])

    def quote_amount(self, minor: int, symbol: int) -> float:
        """Convert minor units to an amount of the symbol's quote."""
        return float(minor / 10.0 ** self.asset_decimals[self.quotes[symbol]])

    def amount(self, minor: int, asset: int) -> float:
        """Convert minor units to an amount of the asset."""
        return float(minor / 10.0 ** self.asset_decimals[asset])

    def usd(self, account_minor: int) -> float | None:
        """Convert minor units of the account currency to USD; None without a fixed rate."""
        return None if self.usd_rate is None else account_minor / self.account_unit() * self.usd_rate


@dataclass(frozen=True)
class RunFacts:
    """What a run trades: symbols, strategies, timeframes by symbol, and fixed rates.

    `rates`: by symbol id, the fixed value of one minor unit of the quote in minor units of the account currency; None
    if the rate changes.
    """

    symbols: tuple[str, ...]
    strategies: tuple[str, ...]
    timeframes: Mapping[str, str]
    rates: tuple[float | None, ...]
