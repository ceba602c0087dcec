"""From the configuration to the core's numbers: names become ids, decimals become integers, windows become slots.

This is the only place where a configured value is converted. Everything is exact, or refused.
"""

import decimal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from paperbot.config import Configuration, matching
from paperbot.core import types as t
from paperbot.engine.featuretable import FeatureTable, needs_of
from paperbot.engine.machine import Params
from paperbot.engine.rates import OVERRIDE_CURRENCY, oracle_rows
from paperbot.engine.userland import Loaded, load_strategy
from paperbot.errors import ConfigError
from paperbot.events import Records
from paperbot.knobs import DEFAULT_DECIMALS, MarketKnobs, duration_s
from paperbot.settings import (
    ADVISOR,
    External,
    MeanReversion,
    Momentum,
    PatternFollower,
    RiskSettings,
    SmaCross,
    Strategy,
    UserStrategy,
)
from paperbot.symbols import split_symbol
from paperbot.validation import BUILT_IN

NS = 1_000_000_000
WHOLE_DECIMALS = 2
"""The same for an asset that trades in whole units: a few, for fees that are paid in it."""
_CONTEXT = decimal.Context(prec=60)


@dataclass(frozen=True)
class Plan:
    """A run's names by id, and the core's parameters that go with them."""

    symbols: tuple[str, ...]
    assets: tuple[str, ...]
    strategies: tuple[str, ...]
    currency: str
    usd_rate: float | None
    asset_decimals: tuple[int, ...]
    price_decimals: tuple[int, ...]
    timeframes_ns: tuple[int, ...]
    warmup_bars: int
    params: Params
    python_strategies: Mapping[int, Loaded]
    compiled_strategies: Mapping[int, Loaded]


def whole(value: Decimal, decimals: int, what: str) -> int:
    """The value in units of 10^-decimals. Raises ConfigError when it is finer than that, or too large for the core."""
    scaled = _CONTEXT.multiply(value, Decimal(10) ** decimals)
    if scaled != scaled.to_integral_value():
        raise ConfigError(f"{what} = {value} is finer than the {decimals} decimals that are kept")
    if abs(scaled) >= 1 << 60:
        raise ConfigError(f"{what} = {value} is too large at {decimals} decimals")
    return int(scaled)


def _bound(value: Decimal, decimals: int) -> int:
    """A largest amount in units of 10^-decimals, rounded down; one that the core cannot hold bounds nothing: 0."""
    scaled = int(_CONTEXT.multiply(value, Decimal(10) ** decimals))
    return scaled if scaled < 1 << 60 else 0


def per_billion(share: Decimal) -> int:
    """A share in parts per 10^9, rounded half to even."""
    parts = int((share * 1_000_000_000).to_integral_value(rounding=decimal.ROUND_HALF_EVEN))
    if parts >= 1 << 60:
        raise ConfigError(f"{share} is too large for a share or a multiple")
    return parts


def make_plan(
    configuration: Configuration,
    timeframes_ns: Mapping[str, int],
    strategies: Iterable[str] | None = None,
    *,
    advisor: bool = False,
) -> Plan:
    """The plan of a run over these symbols (canonical name → timeframe), with all or some of the strategies; with an
    advisor, its strategy comes last unless it is configured.

    Raises ConfigError for what does not fit together.
    """
    settings = configuration.settings
    symbols = tuple(sorted(timeframes_ns))
    knobs = {symbol: _complete(configuration, symbol) for symbol in symbols}
    assets = _asset_names(configuration, symbols, knobs)
    decimals = _asset_decimals(configuration, assets, knobs)
    chosen = _choose(settings.strategies, strategies)
    if advisor and all(one.name != ADVISOR for one in chosen):
        chosen = (*chosen, External(name=ADVISOR, kind="external", symbols=settings.llm.symbols))
    users = {one.name: load_strategy(one.name, one.path, one.params) for one in chosen if isinstance(one, UserStrategy)}
    table = FeatureTable()
    atr_slot = table.slot(t.FeatureKind.ATR, settings.features.atr) if _needs_atr(settings.risk, knobs.values()) else -1
    for name in settings.features.always:
        _add_feature(table, name, configuration)
    strategy_rows = _strategy_rows(chosen, users, table, configuration, len(symbols))
    shortest = min(timeframes_ns.values())
    followed = int(np.bitwise_or.reduce(strategy_rows["enter_mask"] | strategy_rows["leave_mask"], initial=0))
    pattern_mask = followed | _mask(settings.features.patterns)
    rsi_slot = _add_feature(table, "rsi", configuration) if pattern_mask else t.NOBODY
    place = np.append(table.settle(), t.NOBODY)  # NOBODY is -1, the last place.
    strategy_rows["feature"] = place[strategy_rows["feature"]]
    strategy_rows["needs"] = needs_of(table.array(), strategy_rows["feature"])
    risk = _risk(configuration, assets, len(symbols), len(chosen))
    risk["n_features"], risk["ring_size"] = len(table.rows), table.ring_size
    risk["atr_feature"], risk["rsi_feature"], risk["pattern_mask"] = place[atr_slot], place[rsi_slot], pattern_mask
    params = Params(
        risk=risk,
        symbols=_symbols(configuration, symbols, knobs, assets, decimals, timeframes_ns),
        assets=oracle_rows(configuration, symbols, assets, decimals),
        strategies=strategy_rows,
        features=table.array(),
        enabled=np.array([bool(matching(s, one.symbols)) for one in chosen for s in symbols], dtype=np.int64),
        opening=_opening(settings.account.balances, assets, decimals),
    )
    loaded = {index: users[one.name] for index, one in enumerate(chosen) if one.name in users}
    return Plan(
        symbols=symbols,
        assets=assets,
        strategies=tuple(one.name for one in chosen),
        currency=settings.account.currency,
        usd_rate=_usd_rate(configuration),
        asset_decimals=tuple(decimals[asset] for asset in assets),
        price_decimals=tuple(knobs[symbol].price_decimals for symbol in symbols),
        timeframes_ns=tuple(timeframes_ns[symbol] for symbol in symbols),
        warmup_bars=table.warmup_bars(shortest),
        params=params,
        python_strategies={index: one for index, one in loaded.items() if not one.is_compiled},
        compiled_strategies={index: one for index, one in loaded.items() if one.is_compiled},
    )


def _complete(configuration: Configuration, symbol: str) -> MarketKnobs:
    """What holds for a symbol. Raises ConfigError for a rule that no file, venue or user has given."""
    knobs, origins = configuration.knobs(symbol)
    missing = [key for key in ("tick_size", "step_size", "min_notional") if origins[key] == BUILT_IN]
    if missing:
        keys = " ".join(f"--set execution.{key}=…" for key in missing)
        raise ConfigError(f"{symbol}: {configuration.presets[-1].origin} has no {', '.join(missing)}; give {keys}")
    return knobs


def _usd_rate(configuration: Configuration) -> float | None:
    """What one unit of the account currency is worth in USD, where that does not depend on the market."""
    settings = configuration.settings
    rate = settings.oracle.overrides.get(settings.account.currency)
    if settings.account.currency == OVERRIDE_CURRENCY:
        return 1.0
    return float(rate) if rate is not None else None


def _asset_names(
    configuration: Configuration, symbols: Iterable[str], knobs: Mapping[str, MarketKnobs]
) -> tuple[str, ...]:
    settings = configuration.settings
    names = {settings.account.currency, *settings.account.balances}
    for symbol in symbols:
        names.update(split_symbol(symbol))
        if knobs[symbol].fees.asset not in {"quote", "received"}:
            names.add(knobs[symbol].fees.asset)
    # What is only needed to find prices comes last, so that a further override does not renumber what is traded.
    return (*sorted(names), *sorted({OVERRIDE_CURRENCY, *settings.oracle.overrides} - names))


def _asset_decimals(
    configuration: Configuration, assets: Iterable[str], knobs: Mapping[str, MarketKnobs]
) -> dict[str, int]:
    """The decimals of each balance: as configured, else 8; fewer for what trades in whole units only, so that 10^12 of
    it and more can be held. Whatever is also a quote, the account's currency or a fee's asset keeps 8.
    """
    settings = configuration.settings
    pairs = {symbol: split_symbol(symbol) for symbol in knobs}
    precise = {settings.account.currency, *(quote for _, quote in pairs.values())}
    precise |= {given.fees.asset for given in knobs.values()}
    decimals = dict.fromkeys(assets, DEFAULT_DECIMALS)
    for asset in {base for base, _ in pairs.values()} - precise:
        steps = [knobs[symbol].step_size for symbol, (base, _) in pairs.items() if base == asset]
        if all(step == step.to_integral_value() for step in steps):
            decimals[asset] = WHOLE_DECIMALS
    return {asset: settings.account.decimals.get(asset, number) for asset, number in decimals.items()}


def _choose(known: list[Strategy], names: Iterable[str] | None) -> tuple[Strategy, ...]:
    if names is None:
        return tuple(known)
    wanted = list(names)
    for name in wanted:
        if all(strategy.name != name for strategy in known):
            listed = ", ".join(strategy.name for strategy in known)
            raise ConfigError(f"there is no strategy {name}; the configuration has: {listed}")
    return tuple(strategy for strategy in known if strategy.name in wanted)


def _needs_atr(risk: RiskSettings, knobs: Iterable[MarketKnobs]) -> bool:
    wants_distance = risk.attach_stop or risk.take_profit_atr_mult > 0
    return risk.sizing == "atr" or wants_distance or any(one.slippage_model == "atr_scaled" for one in knobs)


def _add_feature(table: FeatureTable, name: str, configuration: Configuration) -> int:
    windows = configuration.settings.features
    if name == "rsi":
        return table.slot(t.FeatureKind.RSI, windows.rsi)
    if name == "atr":
        return table.slot(t.FeatureKind.ATR, windows.atr)
    if name == "vwap":
        return table.slot(t.FeatureKind.VWAP)
    if name == "zscore":
        return table.slot(t.FeatureKind.ZSCORE, windows.zscore)
    return table.slot(t.FeatureKind.VOLATILITY, windows.volatility)


def _strategy_rows(
    chosen: Iterable[Strategy],
    users: Mapping[str, Loaded],
    table: FeatureTable,
    configuration: Configuration,
    n_symbols: int,
) -> Records:
    strategies = tuple(chosen)
    rows = np.zeros(len(strategies), dtype=t.STRATEGY_PARAMS)
    rows["feature"] = t.NOBODY
    for row, strategy in zip(rows, strategies, strict=True):
        if isinstance(strategy, MeanReversion):
            row["kind"] = t.StrategyKind.MEAN_REVERSION
            row["feature"][:1] = _add_feature(table, "zscore", configuration)
            row["value"][:2] = strategy.enter, strategy.leave
        elif isinstance(strategy, Momentum):
            row["kind"] = t.StrategyKind.MOMENTUM
            row["feature"][0] = _add_feature(table, "rsi", configuration)
            row["feature"][1] = table.slot(t.FeatureKind.EMA, strategy.trend)
            row["value"][:2] = strategy.enter, strategy.leave
        elif isinstance(strategy, PatternFollower):
            row["kind"] = t.StrategyKind.PATTERN
            row["enter_mask"], row["leave_mask"] = _mask(strategy.enter), _mask(strategy.leave)
        elif isinstance(strategy, UserStrategy):
            _user_row(row, users[strategy.name], table)
        elif isinstance(strategy, SmaCross):
            row["kind"] = t.StrategyKind.SMA_CROSS
            row["feature"][0] = table.slot(t.FeatureKind.SMA, strategy.fast)
            row["feature"][1] = table.slot(t.FeatureKind.SMA, strategy.slow)
    scratch = rows["scratch"] * n_symbols
    rows["scratch_at"] = np.cumsum(scratch) - scratch
    return rows


def _mask(patterns: Iterable[str]) -> int:
    """Sum of 1 << pattern."""
    return sum(1 << t.Pattern[name.upper()] for name in patterns)


def _user_row(row: np.void, user: Loaded, table: FeatureTable) -> None:
    """A compiled strategy runs in the core; a Python one is external to it."""
    for index, (kind, window) in enumerate(user.features):
        row["feature"][index] = table.slot(kind, window)
    row["value"][: len(user.params)] = list(user.params.values())
    if user.is_compiled:
        row["kind"], row["address"], row["scratch"] = t.StrategyKind.COMPILED, user.address, user.memory


def _risk(configuration: Configuration, assets: tuple[str, ...], n_symbols: int, n_strategies: int) -> Records:
    settings = configuration.settings
    given = settings.risk
    risk = np.zeros(1, dtype=t.RISK_PARAMS)
    row = risk[0]
    row["sizing"] = t.Sizing[given.sizing.upper()]
    row["risk_ppb"] = per_billion(given.risk_frac)
    row["atr_stop_ppb"] = per_billion(given.atr_stop_mult)
    row["atr_target_ppb"] = per_billion(given.take_profit_atr_mult)
    row["attach_stop"] = given.attach_stop
    row["fraction_ppb"] = per_billion(given.fixed_fraction)
    row["max_position_ppb"] = per_billion(given.max_position_value_per_symbol)
    row["gross_ppb"] = per_billion(given.max_gross_exposure)
    row["max_open_positions"] = given.max_open_positions
    row["max_open_orders"] = given.max_open_orders
    row["collar_ppb"] = per_billion(given.price_collar)
    row["rate_orders"] = given.max_orders_per_minute
    row["rate_window_ns"] = 60 * NS
    row["cooldown_bars"] = given.cooldown_bars
    row["entry_timeout_bars"] = given.entry_timeout_bars
    row["daily_loss_ppb"] = per_billion(given.daily_loss_cap)
    row["max_drawdown_ppb"] = per_billion(given.max_drawdown)
    row["flatten_on_trip"] = given.flatten_on_trip
    row["funds_margin_ppb"] = per_billion(given.funds_margin)
    row["ledger_every_ns"] = duration_s(settings.ledger.every) * NS
    row["account_asset"] = assets.index(settings.account.currency)
    row["order_capacity"] = settings.capacities.open_orders
    row["n_symbols"] = n_symbols
    row["n_strategies"] = n_strategies
    return risk


def _symbols(
    configuration: Configuration,
    symbols: tuple[str, ...],
    knobs: Mapping[str, MarketKnobs],
    assets: tuple[str, ...],
    decimals: Mapping[str, int],
    timeframes_ns: Mapping[str, int],
) -> Records:
    rows = np.zeros(len(symbols), dtype=t.SYMBOL_PARAMS)
    risk = configuration.settings.risk
    for row, symbol in zip(rows, symbols, strict=True):
        given = knobs[symbol]
        base, quote = split_symbol(symbol)
        exponent = decimals[base] + given.price_decimals - decimals[quote]
        if not 0 <= exponent <= 18:  # noqa: PLR2004
            raise ConfigError(f"{symbol}: price_decimals = {given.price_decimals} does not fit the assets' decimals")
        row["base"], row["quote"] = assets.index(base), assets.index(quote)
        row["scale"] = 10**exponent
        row["tick"] = whole(given.tick_size, given.price_decimals, f"{symbol}: tick_size")
        row["step"] = whole(given.step_size, decimals[base], f"{symbol}: step_size")
        row["min_quantity"] = whole(given.min_quantity, decimals[base], f"{symbol}: min_quantity")
        row["max_quantity"] = _bound(given.max_quantity, decimals[base])
        row["max_market_quantity"] = _bound(given.max_market_quantity, decimals[base])
        row["min_notional"] = whole(given.min_notional, decimals[quote], f"{symbol}: min_notional")
        row["fixed_quote"] = whole(risk.fixed_quote, decimals[quote], "risk.fixed_quote")
        row["timeframe_ns"] = timeframes_ns[symbol]
        row["stale_ns"] = risk.stale_after_bars * timeframes_ns[symbol]
        row["latency_ns"] = given.latency_ms * 1_000_000
        row["maker_ppb"] = per_billion(given.fees.maker_bps / 10_000)
        row["taker_ppb"] = per_billion(given.fees.taker_bps / 10_000)
        row["slippage_ppb"] = per_billion(given.slippage_bps * given.slippage_mult / 10_000)
        row["atr_slippage_ppb"] = per_billion(given.slippage_bps * given.slippage_mult / 10_000 * given.atr_slip_mult)
        row["liquidity_ppb"] = per_billion(given.liquidity_fraction)
        row["price_unit"] = 10.0**given.price_decimals
        row["base_unit"], row["quote_unit"] = 10.0 ** decimals[base], 10.0 ** decimals[quote]
        special = {"quote": int(t.FeeAsset.QUOTE), "received": int(t.FeeAsset.RECEIVED)}
        row["fee_asset"] = special[given.fees.asset] if given.fees.asset in special else assets.index(given.fees.asset)
        row["volume_in_quote"] = given.volume_unit == "quote"
        row["slippage_model"] = t.SlippageModel[given.slippage_model.upper()]
        row["touch_fills"] = given.touch_fills
    return rows


def _opening(
    balances: Mapping[str, Decimal], assets: tuple[str, ...], decimals: Mapping[str, int]
) -> NDArray[np.int64]:
    opening = np.zeros(len(assets), dtype=np.int64)
    for asset, amount in balances.items():
        opening[assets.index(asset)] = whole(amount, decimals[asset], f"account.balances.{asset}")
    return opening
