"""Binance Spot through ccxt: the only file that imports it."""

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
"""How long nothing is asked after a 418 that names no time; Binance bans for two minutes and more."""

BUSY_S = 1.0
STATUS_BANNED = 418
FIELDS = 6


@dataclass(frozen=True)
class Endpoint:
    """Where the market data is: Binance's testnet or its public hosts; other base URLs where they are given."""

    market_data: str
    rest_url: str = ""
    ws_url: str = ""


class _Client(Client):  # type: ignore[misc]
    """ccxt's WebSocket client, mended in two places that a live feed depends on.

    - Its short cut into aiohttp's buffer is off: it goes around aiohttp's account of what is unread (which counts an
      overhead for each message), so that after a burst reading is paused and never taken up again.
    - A message that is no JSON is handed to `on_bad`; ccxt's own loop would end there without a word.
    """

    buffer = None
    on_bad: Callable[[Any], None] | None = None

    def handle_text_or_binary_message(self, data: Any) -> None:
        """One message as it came."""
        try:
            super().handle_text_or_binary_message(data)
        except (ValueError, TypeError, KeyError, AttributeError):
            if self.on_bad is not None:
                self.on_bad(data)


class _Binance(ccxt.pro.binance):  # type: ignore[misc]
    """ccxt's client, which keeps what it drops otherwise: the kline event as it came, with its `x`."""

    on_kline: Callable[[dict[str, Any]], None] | None = None

    def client(self, url: str) -> Any:
        """The connection to a URL."""
        client = super().client(url)
        client.__class__ = _Client
        client.on_bad = self._bad
        return client

    def _bad(self, data: Any) -> None:
        if self.on_kline is not None:
            self.on_kline({"unreadable": str(data)[:200]})

    def handle_ohlcv(self, client: Any, message: dict[str, Any]) -> None:
        """A kline event."""
        kline = message.get("k")
        kline = kline if isinstance(kline, dict) else {}
        known = isinstance(kline.get("t"), int) and kline.get("i") in self.timeframes
        if self.on_kline is not None:
            market = self.markets_by_id.get(kline.get("s")) if known else None
            self.on_kline({**message, "symbol": market[0]["symbol"] if market else None})
        if known:
            super().handle_ohlcv(client, message)


class BinanceSource:
    """A `Source` of the feed."""

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
        """Send everything to other hosts. A URL that keeps the real host would be a leak, so all are replaced."""
        api = self._exchange.urls["api"]
        replaced: dict[str, Any] = {name: f"{rest}/api/v3" for name, url in api.items() if isinstance(url, str)}
        replaced["ws"] = {
            name: dict.fromkeys(url, f"{stream}/ws") if isinstance(url, dict) else f"{stream}/ws"
            for name, url in api["ws"].items()
        }
        self._exchange.urls["api"] = replaced

    async def open(self) -> None:
        """Read the venue's symbols. Raises SourceError, also for a symbol that it does not have."""
        await self._call(self._exchange.load_markets)
        for symbol in self._symbols:
            if symbol not in self._exchange.markets:
                raise SourceError(f"the venue has no symbol {symbol}")

    async def close(self) -> None:
        """Close connections."""
        await self._exchange.close()

    def rules(self, symbol: str) -> VenueRules:
        """The venue's rules for a symbol."""
        return rules_of(self._exchange.markets[symbol]["info"])

    # ---- what a source is
    async def time_ms(self) -> int:
        """The server's time."""
        answer = await self._call(self._exchange.publicGetTime)
        try:
            return int(answer["serverTime"])
        except (TypeError, KeyError, ValueError):
            raise SourceError("the server's time is no time") from None

    async def candles(self, symbol: str, since_ms: int) -> list[Any]:
        """A page of klines."""
        request = {
            "symbol": self._exchange.market(symbol)["id"],
            "interval": self._timeframe,
            "startTime": since_ms,
            "limit": PAGE,
        }
        rows = await self._call(self._exchange.publicGetKlines, request)
        if not isinstance(rows, list):
            raise SourceError("the answer is no list of klines")
        return [[int(row[0]), *row[1:6]] if _is_row(row) else row for row in rows]

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await function(*arguments)
        except DDoSProtection as error:
            raise SourceError(_first_line(error), self._wait_s(f" {STATUS_BANNED} " in str(error))) from None
        except BaseError as error:
            raise SourceError(_first_line(error)) from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:  # A body that ccxt takes apart on trust.
            raise SourceError(f"the answer is not understood: {type(error).__name__}") from None

    def _wait_s(self, is_ban: bool) -> float:  # noqa: FBT001
        headers = self._exchange.last_response_headers or {}
        asked = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
        try:
            return float(asked)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return BAN_S if is_ban else BUSY_S

    async def listen(self, on_kline: Callable[[dict[str, Any]], None], on_state: OnState) -> None:
        """Listen for ever; a lost connection is made anew, with growing pauses while that fails."""
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
        """Go on listening until the connection is lost."""
        on_state(listening=True)
        try:
            while True:
                await self._exchange.watch_ohlcv_for_symbols(wanted)
        except BaseError:
            on_state(listening=False)


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and len(row) >= FIELDS and isinstance(row[0], int | str) and str(row[0]).isdigit()


def _first_line(error: BaseException) -> str:
    """What happened, and what caused it: ccxt's own words are only the address that was asked."""
    words = " ".join(str(error).split())[:200] or type(error).__name__
    cause = error.__cause__
    if isinstance(cause, TimeoutError):
        return f"{words}: no answer in time"
    return words if cause is None else f"{words}: {' '.join(str(cause).split())[:100] or type(cause).__name__}"
