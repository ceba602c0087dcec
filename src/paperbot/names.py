"""What the core's numbers mean: names for ids, and decimals for amounts and prices."""

from collections.abc import Mapping
from dataclasses import dataclass

WRITTEN_DECIMALS = "paperbot.price_decimals"
"""Key of a Parquet file's metadata: the decimals that its prices were once written with."""


@dataclass(frozen=True)
class Names:
    """Names by id. `bases`, `quotes`: asset ids by symbol; `steps`: step sizes in the base's minor unit.

    `usd_rate`: USD for one unit of the account currency, None where that depends on the market.
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
        """Minor units of the account currency in one whole."""
        return float(10.0 ** self.asset_decimals[self.assets.index(self.currency)])

    def price(self, units: int, symbol: int) -> float:
        """A price in the symbol's quote."""
        return float(units / 10.0 ** self.price_decimals[symbol])

    def quantity(self, minor: int, symbol: int) -> float:
        """A quantity in the symbol's base."""
        return float(minor / 10.0 ** self.asset_decimals[self.bases[symbol]])

    def quote_amount(self, minor: int, symbol: int) -> float:
        """Money in the symbol's quote."""
        return float(minor / 10.0 ** self.asset_decimals[self.quotes[symbol]])

    def amount(self, minor: int, asset: int) -> float:
        """Money of an asset, in whole units."""
        return float(minor / 10.0 ** self.asset_decimals[asset])

    def usd(self, account_minor: int) -> float | None:
        """Money of the account in USD, None where there is no fixed rate."""
        return None if self.usd_rate is None else account_minor / self.account_unit() * self.usd_rate


@dataclass(frozen=True)
class RunFacts:
    """What a run is about. `timeframes`: by symbol; `rates`: by symbol id, what a minor unit of its quote is always
    worth in the account's currency, None where that changes.
    """

    symbols: tuple[str, ...]
    strategies: tuple[str, ...]
    timeframes: Mapping[str, str]
    rates: tuple[float | None, ...]
