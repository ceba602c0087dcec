"""Converts symbols from the forms that people and venues use to the internal one: `BASE/QUOTE` in capitals."""

import re
from collections.abc import Iterable

from paperbot.errors import ConfigError

QUOTES = (
    *("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD1", "DAI", "USD", "EUR", "GBP", "AUD", "TRY", "BRL", "JPY"),
    *("PLN", "RON", "ARS", "UAH", "ZAR", "MXN", "CZK", "COP", "IDR", "RUB", "NGN", "CHF", "CAD", "KRW", "INR"),
    *("BTC", "ETH", "BNB", "SOL", "XRP", "TRX", "DOGE"),
)
"""Quotes that are recognised at the end of a name without a separator."""

OTHER_NAMES = {"XBT": "BTC", "XDG": "DOGE"}
"""Kraken's names of two coins."""

_KRAKEN = re.compile(r"^X([A-Z]{3})Z(USD|EUR|GBP|JPY|CAD|AUD|CHF)$")
"""Kraken's old names: X before a coin, Z before a currency. Source: Kraken API, "Asset Pairs"."""

_DERIVATIVE = re.compile(r"(/\w+:\w+|\.P|[-_](PERP|SWAP))$")
"""Perpetuals: ccxt's `BTC/USDT:USDT`, TradingView's `BTCUSDT.P`, `BTC-PERP`, OKX's `BTC-USDT-SWAP`."""

_ASSET = re.compile(r"[\w$][\w.$-]{0,31}")


def split_symbol(symbol: str) -> tuple[str, str]:
    """Split `BASE/QUOTE` into (base, quote). Raises ConfigError for any other form."""
    base, slash, quote = symbol.partition("/")
    is_plain = _ASSET.fullmatch(base) and _ASSET.fullmatch(quote) and symbol == symbol.upper()
    if not slash or not is_plain:
        raise ConfigError(f"{symbol[:80]!r} is not a symbol: expected BASE/QUOTE in capitals, such as BTC/USDT")
    if base == quote:
        raise ConfigError(f"{symbol} is not a symbol: base and quote are the same")
    return base, quote


def understood(text: str, known: Iterable[str] = ()) -> tuple[str, str | None]:
    """Convert a name to a symbol; also return a note for the user if the name was written differently.

    Accepts lower case, `BTC-USD`, `BTC_USD`, `BTCUSDT` and Kraken's `XBT`. `known`: symbols of the venue, which decide
    if a name can be split in several ways. Raises ConfigError for a name that is invalid or ambiguous.
    """
    name = _KRAKEN.sub(r"\1/\2", text.strip().upper())
    if _DERIVATIVE.search(name):
        raise ConfigError(f"{text[:80]!r} is a perpetual or a future; a spot symbol is BASE/QUOTE, such as BTC/USDT")
    symbol = _with_slash(name, tuple(known))
    base, _, quote = symbol.partition("/")
    symbol = f"{OTHER_NAMES.get(base, base)}/{OTHER_NAMES.get(quote, quote)}"
    split_symbol(symbol)
    return symbol, None if symbol == text else f"{text} is understood as {symbol}"


def _with_slash(name: str, known: tuple[str, ...]) -> str:
    if "/" in name:
        return name
    for separator in "-_":
        if name.count(separator) == 1:
            return name.replace(separator, "/")
    listed = [symbol for symbol in known if symbol.replace("/", "") == name]
    if len(listed) == 1:
        return listed[0]
    splits = [f"{name.removesuffix(quote)}/{quote}" for quote in QUOTES if name.endswith(quote) and name != quote]
    if len(splits) == 1:
        return splits[0]
    candidates = " or ".join(splits)
    hint = f"it may be {candidates}; write one of them" if splits else "expected BASE/QUOTE, such as BTC/USDT"
    raise ConfigError(f"{name[:80]!r} is not a symbol: {hint}")
