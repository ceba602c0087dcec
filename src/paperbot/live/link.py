"""The venue of a live session: its source, its API key, and its instrument rules compared with ours."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from paperbot.cash import account_layer
from paperbot.clock import SystemClock, format_ts
from paperbot.config import ConfigFiles, Configuration, Layer
from paperbot.engine.params import NS, Plan, make_plan
from paperbot.environment import credential_names, required_secret
from paperbot.errors import ConfigError, StateError
from paperbot.knobs import duration_s
from paperbot.market.ccxt_source import BinanceSource, Endpoint
from paperbot.market.instruments import VenueRules, kept_content, kept_path, read_kept
from paperbot.market.source import SourceError, patiently
from paperbot.provenance import plain
from paperbot.store.durable import write_whole
from paperbot.symbols import split_symbol

Tree = dict[str, Any]
START_TRIES = 8


def live_configuration(
    files: ConfigFiles, overrides: Sequence[Tree], cash: Mapping[str, str] | None = None
) -> Configuration:
    """The configuration of a live session, with the account settled as in a replay."""
    configuration = files.configure(overrides)
    quotes = {split_symbol(symbol)[1] for symbol in configuration.settings.symbols}
    layer, _ = account_layer(configuration, quotes, dict(cash or {}))
    return files.configure([*overrides, layer]) if layer else configuration


def live_plan(configuration: Configuration) -> Plan:
    """The plan of a live session."""
    settings = configuration.settings
    step_ns = duration_s(settings.timeframe) * NS
    return make_plan(configuration, dict.fromkeys(settings.symbols, step_ns), advisor=settings.llm.provider != "off")


def make_source(
    configuration: Configuration, symbols: Sequence[str] = (), timeframe: str = "", *, needs_key: bool = True
) -> BinanceSource:
    """The venue's source, by default for the configured symbols and timeframe. `needs_key`: False if public data is
    enough. Raises ConfigError for a missing credential, or for an exchange without live data.
    """
    settings = configuration.settings
    if settings.exchange != "binance":
        raise ConfigError(
            f"exchange = {settings.exchange}: live data is available for binance only; use replay for other exchanges"
        )
    key = None
    if settings.feed.market_data == "testnet" and needs_key:
        purpose = f"a live session on {settings.exchange} {settings.environment}"
        key, _ = (required_secret(name, purpose) for name in credential_names(settings.exchange, settings.environment))
    endpoint = Endpoint(settings.feed.market_data, settings.feed.rest_url, settings.feed.ws_url)
    return BinanceSource(endpoint, sorted(symbols or settings.symbols), timeframe or settings.timeframe, key)


def learn_from(source: BinanceSource, files: ConfigFiles, configuration: Configuration, symbols: Sequence[str]) -> None:
    """Use the venue's instrument rules, and store them for replays. Raises OutputError."""
    settings = configuration.settings
    path = kept_path(settings.exchange, settings.feed.market_data)
    fetched = format_ts(SystemClock.now_ns() // NS * NS)
    rules = {symbol: source.rules(symbol) for symbol in symbols}
    kept = {symbol: VenueRules(**tree) for symbol, tree in read_kept(path)[1].items()}
    write_whole(path, kept_content({**kept, **rules}, fetched))
    for symbol, venue_rules in rules.items():
        files.learn(symbol, venue=Layer(f"venue, {fetched[:10]}", venue_rules.as_tree()))


def rule_differences(source: BinanceSource, configuration: Configuration, say: Callable[[str], None]) -> None:
    """Report each instrument rule that differs between the configuration and the venue. Raises ConfigError for a tick
    or step that is only typical of the exchange.
    """
    for symbol in configuration.settings.symbols:
        knobs, origins = configuration.knobs(symbol)
        for key, value in source.rules(symbol).as_tree().items():
            ours = Decimal(getattr(knobs, key))
            if ours != Decimal(value):
                text = f"{symbol}: {key} is {plain(ours)} ({origins[key]}), but {plain(Decimal(value))} at the venue"
                if configuration.is_typical(origins[key]) and key in {"tick_size", "step_size"}:
                    raise ConfigError(f"{text}; ours is only typical: use the venue's (feed.filters: venue) or set it")
                say(text)


async def open_source(source: BinanceSource, say: Callable[[str], None]) -> None:
    """Read the venue's symbols, with retries. Raises StateError."""
    try:
        await patiently(
            source.open,
            START_TRIES,
            lambda error: say(f"the venue does not answer yet: {error}"),
        )
    except SourceError as error:
        raise StateError(f"the venue cannot be used: {error}") from None
