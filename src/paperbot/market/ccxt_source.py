"""Binance Spot through ccxt. No other file imports ccxt."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ccxt.pro
from ccxt.async_support.base.ws.client import Client
from ccxt.base.errors import BaseError, DDoSProtection
from pydantic import SecretStr
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential_jitter

from paperbot.market.instruments import VenueRules, rules_of
from paperbot.market.source import PAGE, OnState, SourceError

BAN_S = 120.0
"""Seconds to wait after a 418 without Retry-After. Binance's bans last at least two minutes."""

BUSY_S = 1.0
STATUS_BANNED = 418
FIELDS = 6


@dataclass(frozen=True)
class Endpoint:
    """Hosts of the market data: Binance's testnet or its public hosts, unless other base URLs are given."""

    market_data: str
    rest_url: str = ""
    ws_url: str = ""


class _Client(Client):  # type: ignore[misc]
    """ccxt's WebSocket client, with two fixes that a live feed needs.

    - It does not read from aiohttp's buffer directly: that bypasses aiohttp's count of unread bytes (which includes an
      overhead per message), so after a burst reading would pause and never resume.
    - A message that is not JSON goes to `on_bad`; ccxt's own loop would stop without an error.
    """

    buffer = None
    on_bad: Callable[[Any], None] | None = None

    def handle_text_or_binary_message(self, data: Any) -> None:
        """Handle one raw message."""
        try:
            super().handle_text_or_binary_message(data)
        except (ValueError, TypeError, KeyError, AttributeError):
            if self.on_bad is not None:
                self.on_bad(data)


class _Binance(ccxt.pro.binance):  # type: ignore[misc]
    """ccxt's client, with a callback for the raw kline event; ccxt itself drops `x`, which marks a final bar."""

    on_kline: Callable[[dict[str, Any]], None] | None = None

    def client(self, url: str) -> Any:
        """Return the connection to a URL."""
        client = super().client(url)
        client.__class__ = _Client
        client.on_bad = self._bad
        return client

    def _bad(self, data: Any) -> None:
        if self.on_kline is not None:
            self.on_kline({"unreadable": str(data)[:200]})

    def handle_ohlcv(self, client: Any, message: dict[str, Any]) -> None:
        """Pass a kline event to `on_kline`, then to ccxt."""
        kline = message.get("k")
        kline = kline if isinstance(kline, dict) else {}
        is_valid = isinstance(kline.get("t"), int) and kline.get("i") in self.timeframes
        if self.on_kline is not None:
            market = self.markets_by_id.get(kline.get("s")) if is_valid else None
            self.on_kline({**message, "symbol": market[0]["symbol"] if market else None})
        if is_valid:
            super().handle_ohlcv(client, message)


class BinanceSource:
    """Binance Spot as a `Source` of the feed."""

    def __init__(self, endpoint: Endpoint, symbols: list[str], timeframe: str, key: SecretStr | None = None) -> None:
        self._symbols = symbols
        self._timeframe = timeframe
        options = {
            "defaultType": "spot",
            "fetchMarkets": {"types": ["spot"]},
            "fetchCurrencies": False,
            "fetchMargins": False,
            "warnOnFetchOpenOrdersWithoutSymbol": False,
        }
        self._exchange = _Binance({"enableRateLimit": True, "options": options, "newUpdates": True})
        if endpoint.market_data == "testnet":
            self._exchange.set_sandbox_mode(True)
        if endpoint.rest_url or endpoint.ws_url:
            self._rebase(endpoint.rest_url.rstrip("/"), endpoint.ws_url.rstrip("/"))
        if key is not None:
            self._exchange.apiKey = key.get_secret_value()

    def _rebase(self, rest: str, stream: str) -> None:
        """Send all requests to other hosts. Every URL is replaced, so that none reaches the real venue."""
        api = self._exchange.urls["api"]
        replaced: dict[str, Any] = {name: f"{rest}/api/v3" for name, url in api.items() if isinstance(url, str)}
        replaced["ws"] = {
            name: dict.fromkeys(url, f"{stream}/ws") if isinstance(url, dict) else f"{stream}/ws"
            for name, url in api["ws"].items()
        }
        self._exchange.urls["api"] = replaced

    async def open(self) -> None:
        """Load the venue's symbols. Raises SourceError, also if the venue lacks one of ours."""
        await self._call(self._exchange.load_markets)
        for symbol in self._symbols:
            if symbol not in self._exchange.markets:
                raise SourceError(f"the venue has no symbol {symbol}")

    async def close(self) -> None:
        """Close all connections."""
        await self._exchange.close()

    def rules(self, symbol: str) -> VenueRules:
        """Return the venue's rules for a symbol."""
        return rules_of(self._exchange.markets[symbol]["info"])

    # ---- the Source protocol
    async def time_ms(self) -> int:
        """Return the server's time in ms UTC. Raises SourceError."""
        answer = await self._call(self._exchange.publicGetTime)
        try:
            return int(answer["serverTime"])
        except (TypeError, KeyError, ValueError):
            raise SourceError("the server sent an invalid time") from None

    async def candles(self, symbol: str, since_ms: int) -> list[Any]:
        """Return a page of klines from `since_ms` on. Raises SourceError."""
        request = {
            "symbol": self._exchange.market(symbol)["id"],
            "interval": self._timeframe,
            "startTime": since_ms,
            "limit": PAGE,
        }
        rows = await self._call(self._exchange.publicGetKlines, request)
        if not isinstance(rows, list):
            raise SourceError("the server's answer is not a list of klines")
        return [[int(row[0]), *row[1:6]] if _is_row(row) else row for row in rows]

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await function(*arguments)
        except DDoSProtection as error:
            raise SourceError(_first_line(error), self._wait_s(f" {STATUS_BANNED} " in str(error))) from None
        except BaseError as error:
            raise SourceError(_first_line(error)) from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:  # ccxt parses the body without checking it.
            raise SourceError(f"the server's answer cannot be parsed: {type(error).__name__}") from None

    def _wait_s(self, is_ban: bool) -> float:  # noqa: FBT001
        headers = self._exchange.last_response_headers or {}
        retry_after = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
        try:
            return float(retry_after)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return BAN_S if is_ban else BUSY_S

    async def listen(self, on_kline: Callable[[dict[str, Any]], None], on_state: OnState) -> None:
        """Listen until cancelled. Reconnects when the connection is lost, with increasing pauses between failures."""
        self._exchange.on_kline = on_kline
        wanted = [[symbol, self._timeframe] for symbol in self._symbols]
        retry = retry_if_exception_type(BaseError)
        while True:
            async for attempt in AsyncRetrying(retry=retry, wait=wait_exponential_jitter(0.05, 30.0, jitter=0.5)):
                with attempt:
                    try:
                        await self._exchange.watch_ohlcv_for_symbols(wanted)
                    except BaseError:
                        on_state(listening=False)
                        raise
            await self._follow(wanted, on_state)

    async def _follow(self, wanted: list[list[str]], on_state: OnState) -> None:
        """Listen until the connection is lost."""
        on_state(listening=True)
        try:
            while True:
                await self._exchange.watch_ohlcv_for_symbols(wanted)
        except BaseError:
            on_state(listening=False)


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and len(row) >= FIELDS and isinstance(row[0], int | str) and str(row[0]).isdigit()


def _first_line(error: BaseException) -> str:
    """Return the error and its cause; ccxt's own message is only the URL."""
    words = " ".join(str(error).split())[:200] or type(error).__name__
    cause = error.__cause__
    if isinstance(cause, TimeoutError):
        return f"{words}: no answer in time"
    return words if cause is None else f"{words}: {' '.join(str(cause).split())[:100] or type(cause).__name__}"
