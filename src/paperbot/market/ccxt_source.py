"""Binance Spot through ccxt. No other file imports ccxt."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import ccxt.pro
from ccxt.async_support.base.ws.client import Client
from ccxt.base.errors import BaseError, DDoSProtection
from pydantic import SecretStr
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential, wait_random

from paperbot.market.bounded import AnswerError, BoundedSession
from paperbot.market.instruments import VenueRules, rules_of
from paperbot.market.source import PAGE, OnState, SourceError, is_time_ms

BAN_S = 120.0
"""Seconds to wait after a 418 without Retry-After. Binance's bans last at least two minutes."""

BUSY_S = 1.0
LONGEST_WAIT_S = 300.0
"""Seconds to wait at most, whatever Retry-After says; then the venue is asked once more."""

LONGEST_TIME = 16
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
    - A message that is neither a kline nor an answer goes to `on_bad`, and so does one that cannot be handled: ccxt's
      own loop would stop without an error.
    """

    buffer = None
    on_bad: Callable[[Any], None] | None = None

    def handle_text_or_binary_message(self, data: Any) -> None:
        """Handle one raw message: klines and answers to our own requests go on to ccxt, everything else to `on_bad`."""
        try:
            message = json.loads(data)
            if message.get("e") != "kline" and not isinstance(message.get("id"), int):
                raise ValueError(data)  # noqa: TRY301
            self.on_message_callback(self, message)
        except Exception:  # noqa: BLE001  (whatever a message breaks, the stream goes on without it)
            if self.on_bad is not None:
                self.on_bad(data)


class _Binance(ccxt.pro.binance):  # type: ignore[misc]
    """ccxt's client, with a callback for the raw kline event; ccxt itself drops `x`, which marks a final bar."""

    on_kline: Callable[[dict[str, Any]], None] | None = None
    session: Any

    def open(self) -> None:
        """Open the HTTP session, bounded."""
        super().open()
        if not isinstance(self.session, BoundedSession):
            self.session = BoundedSession(self.session)

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
        is_valid = is_time_ms(kline.get("t")) and is_time_ms(message.get("E")) and kline.get("i") in self.timeframes
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
        await self._call(self._exchange.load_markets, True)  # noqa: FBT003  (anew, whatever the last answer was)
        for symbol in self._symbols:
            if symbol not in self._exchange.markets:
                raise SourceError(f"the venue has no symbol {symbol}", is_final=True)
            wrong = self.rules(symbol).wrong()
            if wrong is not None:
                raise SourceError(f"the venue's rules for {symbol} cannot be read: {wrong}")

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
        value = answer.get("serverTime") if isinstance(answer, dict) else None
        at = _integer(value)
        if at is None:
            raise SourceError("the server sent an invalid time")
        return at

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
        if len(rows) > PAGE:
            raise SourceError(f"the server's answer has {len(rows)} klines, more than the {PAGE} that were asked for")
        return [[_integer(row[0]), *row[1:FIELDS]] if _is_row(row) else row for row in rows]

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await function(*arguments)
        except DDoSProtection as error:
            raise SourceError(_first_line(error), self._wait_s(f" {STATUS_BANNED} " in str(error))) from None
        except BaseError as error:
            raise SourceError(_first_line(error)) from None
        except AnswerError as error:
            raise SourceError(str(error)) from None
        except Exception as error:  # noqa: BLE001  (ccxt parses the body without checking it)
            raise SourceError(f"the server's answer cannot be parsed: {type(error).__name__}") from None

    def _wait_s(self, is_ban: bool) -> float:  # noqa: FBT001
        headers = self._exchange.last_response_headers or {}
        retry_after = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
        try:
            wait_s = float(retry_after)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            wait_s = nan
        if not isfinite(wait_s) or wait_s < 0:
            return BAN_S if is_ban else BUSY_S
        return min(wait_s, LONGEST_WAIT_S)

    async def listen(self, on_kline: Callable[[dict[str, Any]], None], on_state: OnState) -> None:
        """Listen until cancelled. Reconnects when the connection is lost, with increasing pauses between failures."""
        self._exchange.on_kline = on_kline
        wanted = [[symbol, self._timeframe] for symbol in self._symbols]
        retry, wait = retry_if_exception_type(BaseError), wait_exponential(0.05, max=30.0) + wait_random(0.0, 0.5)
        try:
            while True:
                async for attempt in AsyncRetrying(retry=retry, wait=wait):
                    with attempt:
                        try:
                            await self._exchange.watch_ohlcv_for_symbols(wanted)
                        except BaseError:
                            on_state(listening=False)
                            raise
                await self._follow(wanted, on_state)
        finally:  # Whoever listens again gets a new connection.
            await self._exchange.close_ws_clients()

    async def _follow(self, wanted: list[list[str]], on_state: OnState) -> None:
        """Listen until the connection is lost."""
        on_state(listening=True)
        try:
            while True:
                await self._exchange.watch_ohlcv_for_symbols(wanted)
        except BaseError:
            on_state(listening=False)


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and len(row) >= FIELDS and _integer(row[0]) is not None


def _integer(value: Any) -> int | None:
    """The time in ms that a number or its digits state; None for anything else."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= LONGEST_TIME:
        value = int(value)
    return value if is_time_ms(value) else None


def _first_line(error: BaseException) -> str:
    """Return the error and its cause; ccxt's own message is only the URL."""
    words = " ".join(str(error).split())[:200] or type(error).__name__
    cause = error.__cause__
    if isinstance(cause, TimeoutError):
        return f"{words}: no answer in time"
    return words if cause is None else f"{words}: {' '.join(str(cause).split())[:100] or type(cause).__name__}"
