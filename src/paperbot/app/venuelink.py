"""The venue of a live session: which one, with which key, and how its rules compare with the profile's."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paperbot.app.sources import account_layer
from paperbot.clock import SystemClock
from paperbot.config import Configuration, load
from paperbot.engine.params import NS, Plan, make_plan, split_symbol
from paperbot.environment import credential_names, required_secret
from paperbot.errors import ConfigError, PaperbotError, StateError
from paperbot.knobs import duration_s
from paperbot.market.ccxt_source import BinanceSource, Endpoint
from paperbot.market.feed import MS, SourceError

Tree = dict[str, Any]
START_TRIES = 8
FIRST_PAUSE_S = 0.1


def live_configuration(config: Path | None, overrides: Sequence[Tree]) -> Configuration:
    """The configuration of a live session, its account settled as a replay's would be."""
    configuration = load(config, overrides)
    quotes = {split_symbol(symbol)[1] for symbol in configuration.settings.symbols}
    layer, _ = account_layer(configuration, quotes, {})
    return load(config, [*overrides, layer]) if layer else configuration


def live_plan(configuration: Configuration) -> Plan:
    """The plan of a live session."""
    settings = configuration.settings
    step_ns = duration_s(settings.timeframe) * NS
    return make_plan(configuration, dict.fromkeys(settings.symbols, step_ns), advisor=settings.llm.provider != "off")


def make_source(configuration: Configuration) -> BinanceSource:
    """The venue. Raises ConfigError for a missing credential, or a venue that is not spoken yet."""
    settings = configuration.settings
    if settings.exchange != "binance":
        raise ConfigError(
            f"exchange = {settings.exchange}: live data is there for binance only; replay knows the others"
        )
    key = None
    if settings.feed.market_data == "testnet":
        purpose = f"a live session on {settings.exchange} {settings.environment}"
        key, _ = (required_secret(name, purpose) for name in credential_names(settings.exchange, settings.environment))
    endpoint = Endpoint(settings.feed.market_data, settings.feed.rest_url, settings.feed.ws_url)
    return BinanceSource(endpoint, sorted(settings.symbols), settings.timeframe, key)


def venue_layer(source: BinanceSource, symbols: Sequence[str]) -> Tree:
    """The venue's filters as a layer of the configuration."""
    rules = {}
    for symbol in symbols:
        told = source.filters(symbol)
        pairs = {"tick_size": told.tick_size, "step_size": told.step_size, "min_notional": told.min_notional}
        rules[symbol] = {key: value for key, value in pairs.items() if value}
    return {"execution": {"symbols": rules}}


def filter_differences(source: BinanceSource, configuration: Configuration) -> list[tuple[str, str, str, str]]:
    """(symbol, key, ours, the venue's) of each filter in which the profile and exchangeInfo differ."""
    found = []
    for symbol, rules in venue_layer(source, configuration.settings.symbols)["execution"]["symbols"].items():
        knobs = configuration.knobs(symbol)[0]
        for key, value in rules.items():
            ours = getattr(knobs, key)
            if ours != type(ours)(value):
                found.append((symbol, key, f"{ours:f}", value))
    return found


def check_venue(config: Path | None) -> tuple[str, bool, str]:
    """For the doctor: whether the venue answers, and by how much its clock differs from ours."""

    async def ask() -> str:
        configuration = live_configuration(config, ())
        source = make_source(configuration)
        try:
            await source.open()
            skew_ms = await source.time_ms() - SystemClock.now_ns() / MS
        finally:
            await source.close()
        return f"{configuration.settings.feed.market_data} answers; its clock is {skew_ms:+.0f} ms from ours"

    try:
        return "venue", True, asyncio.run(ask())
    except (PaperbotError, SourceError) as error:
        return "venue", False, str(error)


async def open_source(source: BinanceSource, say: Callable[[str], None]) -> None:
    """Read the venue's symbols, with patience. Raises StateError."""
    for attempt in range(START_TRIES):
        try:
            await source.open()
        except SourceError as error:
            if attempt == START_TRIES - 1 or "no symbol" in str(error):
                raise StateError(f"the venue cannot be used: {error}") from None
            say(f"the venue does not answer yet: {error}")
            await asyncio.sleep(max(error.wait_s, FIRST_PAUSE_S * 2**attempt))
        else:
            return
