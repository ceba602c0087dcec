"""Collects each symbol's rules (tick, step, limits) from the venue, the data and the profile."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from paperbot.config import ConfigFiles, Configuration, Layer
from paperbot.knobs import DEFAULT_DECIMALS
from paperbot.market.candles import Columns, Grid
from paperbot.market.instruments import COARSE, OBSERVED_ROWS, kept_path, observe, observed_rules, read_kept
from paperbot.provenance import plain, short_origin
from paperbot.symbols import split_symbol

DATA = "data: "
SHOWN = ("tick_size", "step_size", "min_notional")


def learn_venue(files: ConfigFiles, configuration: Configuration, symbols: Iterable[str]) -> None:
    """Add the rules fetched earlier from the venue, if any. Raises ConfigError for a damaged file."""
    settings = configuration.settings
    if settings.feed.filters != "venue":
        return
    path = kept_path(settings.exchange, settings.feed.market_data)
    fetched, rules = read_kept(path)
    for symbol in symbols:
        if symbol in rules:
            files.learn(symbol, venue=Layer(f"venue, {fetched[:10]}", rules[symbol]))


def learn_data(
    files: ConfigFiles, configuration: Configuration, symbol: str, place: str, first: Columns, written: int | None
) -> None:
    """Add the rules that a file's first rows show; `written`: decimals of its prices if they are text."""
    knobs, _ = configuration.knobs(symbol)
    observed = observe(first, volume_in_base=knobs.volume_unit == "base", written=written)
    if observed is not None:
        base_decimals = configuration.settings.account.decimals.get(split_symbol(symbol)[0], DEFAULT_DECIMALS)
        rules = observed_rules(observed, knobs.price_decimals, base_decimals, knobs.min_notional)
        files.learn(symbol, data=Layer(f"{DATA}{Path(place).name}", rules))


def first_rows(batches: Iterable[Columns]) -> tuple[Columns, Iterable[Columns]]:
    """Return the first OBSERVED_ROWS rows, whatever the batch size, and an iterable over all batches."""
    taken: list[Columns] = []
    rest = iter(batches)
    while sum(map(len, taken)) < OBSERVED_ROWS:
        batch = next(rest, None)
        if batch is None:
            break
        taken.append(batch)
    return Columns.join(taken).cut(None, OBSERVED_ROWS), chain(taken, rest)


def grid_of(configuration: Configuration, symbol: str) -> Grid:
    """Return the decimals and rules that a symbol's data is checked against."""
    knobs, origins = configuration.knobs(symbol)
    typical = {key: origins[key] for key in ("tick_size", "step_size") if configuration.is_typical(origins[key])}
    return Grid(
        price_decimals=knobs.price_decimals,
        is_observed=origins["price_decimals"].startswith(DATA),
        typical_tick=float(knobs.tick_size) if "tick_size" in typical else 0.0,
        typical_step=float(knobs.step_size) if "step_size" in typical else 0.0,
        min_notional=float(knobs.min_notional),
        origin=typical,
    )


def describe(configuration: Configuration, symbol: str, lowest: float = 0.0) -> str:
    """Return a line for the user: the rules in force, their sources, and a warning if the tick is coarse."""
    knobs, origins = configuration.knobs(symbol)
    quote = split_symbol(symbol)[1]
    words = {"tick_size": "tick", "step_size": "step", "min_notional": f"smallest order ({quote})"}
    coarse = lowest and float(knobs.tick_size) > COARSE * lowest
    warning = f"; a tick is {100 * float(knobs.tick_size) / lowest:.3g} % of the price {lowest:g}" if coarse else ""
    parts = [f"{words[key]} {plain(getattr(knobs, key))} from {short_origin(origins[key])}" for key in SHOWN]
    return f"{symbol}: {', '.join(parts)}{warning}"
