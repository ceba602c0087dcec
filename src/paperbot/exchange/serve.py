"""`paperbot venue serve`: a local venue for tests that plays recorded files."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paperbot.errors import CommandError, DataError
from paperbot.exchange.faults import parse_faults
from paperbot.exchange.tape import INTERVALS_MS, Market, Trades, from_trades
from paperbot.exchange.venue import Venue
from paperbot.knobs import duration_s
from paperbot.market.candles import Columns
from paperbot.market.files import BarFile
from paperbot.market.source import MS
from paperbot.market.trades import read_trades
from paperbot.symbols import split_symbol
from paperbot.timeframe import told_by


@dataclass(frozen=True)
class VenueRequest:
    """The command's options as typed."""

    sources: list[str]
    host: str
    port: int
    speed: float
    updates: int
    timeframe: str | None
    faults: list[str]
    seed: int


def market_of(text: str, timeframe: str | None) -> Market:
    """Load the recording of one SYMBOL=FILE. Raises CommandError, DataError."""
    symbol, equals, place = text.partition("=")
    if not equals or not place:
        raise CommandError(f"{text}: expected SYMBOL=FILE, such as BTC/USDT=bars.parquet")
    split_symbol(symbol)
    path = Path(place)
    trades = read_trades(path)
    if trades is not None:
        step_ms = duration_s(timeframe or "1m") * 1000
        _check_interval(text, step_ms)
        return from_trades(symbol, step_ms, Trades(*trades))
    columns = Columns.join(list(BarFile(path).batches()))
    inferred = None if timeframe else told_by(columns.open_ts, None)
    step_ms = duration_s(timeframe) * 1000 if timeframe else (inferred.ns // MS if inferred else 0)
    _check_interval(text, step_ms)
    open_ms = columns.open_ts // MS
    if (open_ms % step_ms).any():
        raise DataError(f"{text}: has bars off the timeframe's grid; a venue never sends such bars")
    return Market(symbol, step_ms, open_ms, columns.open, columns.high, columns.low, columns.close, columns.volume)


def _check_interval(text: str, step_ms: int) -> None:
    if step_ms not in INTERVALS_MS.values():
        raise CommandError(f"{text}: the venue's timeframes are {', '.join(INTERVALS_MS)}; choose one with --timeframe")


def serve(request: VenueRequest, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. Raises CommandError, DataError."""
    faults = parse_faults(request.seed, request.faults)
    markets = [market_of(text, request.timeframe) for text in request.sources]
    venue = Venue(markets, speed=request.speed, updates=request.updates, faults=faults)
    asyncio.run(_serve(venue, request, say))


async def _serve(venue: Venue, request: VenueRequest, say: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await venue.start(request.host, request.port)
    except OSError as error:
        raise CommandError(f"cannot listen on {request.host}:{request.port}: {error.strerror}") from None
    say(f"venue at {venue.url} and {venue.ws_url}")
    with contextlib.suppress(asyncio.CancelledError):
        await stop.wait()
    await venue.stop()
