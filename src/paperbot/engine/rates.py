"""Finds each asset's path to the account currency, through overrides and symbols, before the run."""

import math
from collections import deque
from collections.abc import Mapping
from decimal import Decimal

import numpy as np

from paperbot.config import Configuration
from paperbot.core import types as t
from paperbot.engine.machine import Machine
from paperbot.errors import ConfigError
from paperbot.events import Records
from paperbot.names import Names
from paperbot.symbols import split_symbol

OVERRIDE_CURRENCY = "USD"


def oracle_rows(
    configuration: Configuration,
    symbols: tuple[str, ...],
    assets: tuple[str, ...],
    decimals: Mapping[str, int],
) -> Records:
    """Find each asset's first step to the account currency: overrides first, then symbols breadth-first, by id."""
    settings = configuration.settings
    rows = np.zeros(len(assets), dtype=t.ASSET_PARAMS)
    account = assets.index(settings.account.currency)
    rows[account]["via"] = t.RateVia.ACCOUNT
    usd = assets.index(OVERRIDE_CURRENCY)
    overrides = {assets.index(asset): rate for asset, rate in settings.oracle.overrides.items() if asset != "USD"}
    pairs = [(index, *(assets.index(asset) for asset in split_symbol(name))) for index, name in enumerate(symbols)]
    queue: deque[int] = deque()
    seen: set[int] = set()

    def reach(asset: int) -> None:
        """Add an asset that has a path now, and all assets that overrides link to it."""
        seen.add(asset)
        queue.append(asset)
        linked = sorted(overrides) if asset == usd else ([usd] if asset in overrides else [])
        for other in linked:
            if other not in seen:
                rate = overrides[other if asset == usd else asset]
                there, here = decimals[assets[other]], decimals[assets[asset]]
                num, den = _override(rate, there, here, inverse=asset != usd)
                _link(rows[other], t.RateVia.OVERRIDE, -1, asset, num, den)
                reach(other)

    reach(account)
    while queue:
        node = queue.popleft()
        for index, base, quote in pairs:
            other = quote if node == base else base
            if node in (base, quote) and other not in seen:
                _link(rows[other], t.RateVia.INVERSE if node == base else t.RateVia.SYMBOL, index, node)
                reach(other)
    return rows


def _link(row: np.void, via: t.RateVia, symbol: int, towards: int, num: int = 0, den: int = 0) -> None:
    row["via"], row["symbol"], row["next"], row["rate_num"], row["rate_den"] = via, symbol, towards, num, den


def _override(rate: Decimal, from_decimals: int, to_decimals: int, *, inverse: bool) -> tuple[int, int]:
    """The rate (numerator, denominator) from the asset's minor unit to the next asset's. Raises ConfigError."""
    numerator, denominator = rate.as_integer_ratio()
    if inverse:
        numerator, denominator = denominator, numerator
    numerator *= 10**to_decimals
    denominator *= 10**from_decimals
    common = math.gcd(numerator, denominator)
    numerator, denominator = numerator // common, denominator // common
    if max(numerator, denominator) >= 1 << 62:
        raise ConfigError(f"oracle.overrides: {rate} has too many digits; round it")
    return numerator, denominator


def usd_rate_of(names: Names, machine: Machine) -> float | None:
    """The oracle's value of one unit of the account currency in USD; None without a price."""
    usd = names.assets.index(OVERRIDE_CURRENCY)
    worth = machine.value(usd, USD_ASKED * 10 ** names.asset_decimals[usd])
    return USD_ASKED * names.account_unit() / worth if worth else None


USD_ASKED = 10**6
"""The amount in USD that is converted to find the rate; large, so that the rate has enough digits."""
