"""Converts amounts between assets, by overrides first, then by closes of the market data.

The path from each asset to the account currency is found before the run (`engine/rates.py`); the core only walks it.
An asset has no price if it has no path, or if a symbol on its path has had no bar yet; callers check `priced` first.
The oracle uses closes of the last finished slice: the cost of a fill must not depend on how its own slice ends for
other symbols.
"""

from paperbot.core.numeric import DOWN, EVEN, LIMIT, OVERFLOW, UP, kernel, mul_div, saturated
from paperbot.core.types import NOBODY, RateVia, Record, World


@kernel(inline=True)
def priced(w: World, asset: int) -> bool:
    """Whether every step of the asset's path to the account currency has a price."""
    return w.asset_params[asset]["via"] == RateVia.ACCOUNT or _path_is_priced(w, asset)


@kernel
def _path_is_priced(w: World, asset: int) -> bool:
    for _ in range(len(w.assets) + 1):
        step = w.asset_params[asset]
        via = step["via"]
        if via == RateVia.ACCOUNT:
            return True
        if via == RateVia.NONE:
            return False
        if via != RateVia.OVERRIDE and w.symbols[step["symbol"]]["oracle_close"] == 0:
            return False
        asset = step["next"]
    return False


@kernel
def floats(w: World, asset: int) -> bool:
    """Whether the asset's value changes with the market."""
    while True:
        via = w.asset_params[asset]["via"]
        if via == RateVia.SYMBOL or via == RateVia.INVERSE:
            return True
        if via != RateVia.OVERRIDE:
            return False
        asset = w.asset_params[asset]["next"]


@kernel
def _ratio(w: World, asset: int) -> tuple[int, int]:
    """The rate of one step: amount in the next asset = amount * numerator / denominator."""
    step = w.asset_params[asset]
    if step["via"] == RateVia.OVERRIDE:
        return step["rate_num"], step["rate_den"]
    close = w.symbols[step["symbol"]]["oracle_close"]
    scale = w.symbol_params[step["symbol"]]["scale"]
    if step["via"] == RateVia.SYMBOL:
        return close, scale
    return scale, close


@kernel(inline=True)
def to_account(w: World, asset: int, amount: int, rounding: int) -> int:
    """Convert to the account currency's minor unit, rounding at each step; OVERFLOW beyond 2^62. Needs `priced`."""
    if w.asset_params[asset]["via"] == RateVia.ACCOUNT:
        return amount
    return _along_path(w, asset, amount, rounding)


@kernel
def _along_path(w: World, asset: int, amount: int, rounding: int) -> int:
    while w.asset_params[asset]["via"] != RateVia.ACCOUNT and amount != OVERFLOW:
        numerator, denominator = _ratio(w, asset)
        if numerator != denominator:
            amount = mul_div(amount, numerator, denominator, rounding)
        asset = w.asset_params[asset]["next"]
    return amount


@kernel
def from_account(w: World, asset: int, amount: int, rounding: int) -> int:
    """Convert from the account currency to the asset's minor unit, along its path backwards. Needs `priced`."""
    steps = 0
    node = asset
    while w.asset_params[node]["via"] != RateVia.ACCOUNT:
        node = w.asset_params[node]["next"]
        steps += 1
    for position in range(steps - 1, -1, -1):
        if amount == OVERFLOW:
            return OVERFLOW
        node = asset
        for _ in range(position):
            node = w.asset_params[node]["next"]
        numerator, denominator = _ratio(w, node)
        if numerator != denominator:
            amount = mul_div(amount, denominator, numerator, rounding)
    return amount


@kernel
def convert(w: World, source: int, target: int, amount: int, rounding: int) -> int:
    """Convert an amount from `source` to `target` through the account currency; unchanged if they are the same."""
    if source == target:
        return amount
    amount = to_account(w, source, amount, rounding)
    if amount == OVERFLOW:
        return OVERFLOW
    return from_account(w, target, amount, rounding)


@kernel
def notional(w: World, symbol: int, quantity: int, price: int, rounding: int) -> int:
    """The value of quantity * price in the quote's minor unit; OVERFLOW beyond 2^62."""
    return mul_div(quantity, price, w.symbol_params[symbol]["scale"], rounding)


@kernel
def position_value(w: World, position: Record, symbol: int) -> int:
    """The value of a position at its symbol's last close, in the quote's minor unit; OVERFLOW beyond 2^62."""
    return notional(w, symbol, position["quantity"], w.symbols[symbol]["last_close"], EVEN)


@kernel
def worth(w: World, symbol: int, quantity: int) -> int:
    """The cost of a quantity of the base at the last close, in the account currency's minor unit, rounded up.

    Returns NOBODY without a price, and LIMIT for 2^62 or more.
    """
    quote = w.symbol_params[symbol]["quote"]
    close = w.symbols[symbol]["last_close"]
    if close == 0 or not priced(w, quote):
        return NOBODY
    cost = notional(w, symbol, quantity, close, UP)
    value = OVERFLOW if cost == OVERFLOW else to_account(w, quote, cost, UP)
    return LIMIT if value == OVERFLOW else value


@kernel
def affordable(w: World, symbol: int, amount: int) -> int:
    """The largest quantity of the base whose `worth` is at most `amount`, below 2^62; NOBODY without a price."""
    params = w.symbol_params[symbol]
    close = w.symbols[symbol]["last_close"]
    if close == 0 or not priced(w, params["quote"]):
        return NOBODY
    budget = saturated(from_account(w, params["quote"], amount, DOWN))
    return saturated(mul_div(budget, params["scale"], close, DOWN))
