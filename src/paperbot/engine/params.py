"""Converts the configuration to the core's parameters: names to ids, decimals to integers, windows to slots.

All conversions of configured values happen here. A value that cannot be converted is refused.
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
"""Decimals of an asset that trades in whole units: not 0, for fees that are paid in it."""
_CONTEXT = decimal.Context(prec=60)


@dataclass(frozen=True)
class Plan:
    """The names of a run by id, and the matching parameters of the core."""

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
    """Convert to units of 10^-decimals. Raises ConfigError if the value has more decimals or is too large."""
    scaled = _CONTEXT.multiply(value, Decimal(10) ** decimals)
    if scaled != scaled.to_integral_value():
        raise ConfigError(f"{what} = {value} is finer than the {decimals} decimals that are kept")
    if abs(scaled) >= 1 << 60:
        raise ConfigError(f"{what} = {value} is too large: it must be below 2^60 units of 10^-{decimals}")
    return int(scaled)


def _bound(value: Decimal, decimals: int) -> int:
    """Convert an upper limit to units of 10^-decimals, rounded down; 0 (no limit) if the core cannot hold it."""
    scaled = int(_CONTEXT.multiply(value, Decimal(10) ** decimals))
    return scaled if scaled < 1 << 60 else 0


def per_billion(share: Decimal) -> int:
    """Convert a share to parts per 10^9, rounded half to even. Raises ConfigError if it is too large."""
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
    """Make the plan of a run over these symbols (name → timeframe in ns).

    `strategies`: names of the strategies to run, None for all. `advisor`: whether to add the advisor's strategy, last,
    unless it is configured. Raises ConfigError for values that do not fit together, and StrategyError.
    """
    settings = configuration.settings
    symbols = tuple(sorted(timeframes_ns))
    knobs = {symbol: _complete(configuration, symbol) for symbol in symbols}
    assets = _asset_names(configuration, symbols, knobs)
    decimals = _asset_decimals(configuration, assets, knobs)
    chosen = _choose(settings.strategies, strategies)
    if advisor and all(strategy.name != ADVISOR for strategy in chosen):
        chosen = (*chosen, External(name=ADVISOR, kind="external", symbols=settings.llm.symbols))
    user_strategies = [strategy for strategy in chosen if isinstance(strategy, UserStrategy)]
    users = {user.name: load_strategy(user.name, user.path, user.params) for user in user_strategies}
    table = FeatureTable()
    atr_slot = table.slot(t.FeatureKind.ATR, settings.features.atr) if _needs_atr(settings.risk, knobs.values()) else -1
    for name in settings.features.always:
        _add_feature(table, name, configuration)
    strategy_rows = _strategy_rows(chosen, users, table, configuration, len(symbols))
    shortest = min(timeframes_ns.values())
    followed = int(np.bitwise_or.reduce(strategy_rows["enter_mask"] | strategy_rows["leave_mask"], initial=0))
    pattern_mask = followed | _mask(settings.features.patterns)
    rsi_slot = _add_feature(table, "rsi", configuration) if pattern_mask else t.NOBODY
    place = np.append(table.settle(), t.NOBODY)  # NOBODY is -1, the last index.
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
        enabled=np.array([bool(matching(s, strategy.symbols)) for strategy in chosen for s in symbols], dtype=np.int64),
        opening=_opening(settings.account.balances, assets, decimals),
    )
    loaded = {index: users[strategy.name] for index, strategy in enumerate(chosen) if strategy.name in users}
    return Plan(
        symbols=symbols,
        assets=assets,
        strategies=tuple(strategy.name for strategy in chosen),
        currency=settings.account.currency,
        usd_rate=_usd_rate(configuration),
        asset_decimals=tuple(decimals[asset] for asset in assets),
        price_decimals=tuple(knobs[symbol].price_decimals for symbol in symbols),
        timeframes_ns=tuple(timeframes_ns[symbol] for symbol in symbols),
        warmup_bars=table.warmup_bars(shortest),
        params=params,
        python_strategies={index: user for index, user in loaded.items() if not user.is_compiled},
        compiled_strategies={index: user for index, user in loaded.items() if user.is_compiled},
    )


def _complete(configuration: Configuration, symbol: str) -> MarketKnobs:
    """The symbol's values. Raises ConfigError for a required rule that no layer sets."""
    knobs, origins = configuration.knobs(symbol)
    missing = [key for key in ("tick_size", "step_size", "min_notional") if origins[key] == BUILT_IN]
    if missing:
        keys = " ".join(f"--set execution.{key}=…" for key in missing)
        raise ConfigError(f"{symbol}: {configuration.presets[-1].origin} has no {', '.join(missing)}; give {keys}")
    return knobs


def _usd_rate(configuration: Configuration) -> float | None:
    """The value of one unit of the account currency in USD, None if it depends on the market."""
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
    # Assets that are only needed for prices come last, so that a new override does not renumber the traded ones.
    return (*sorted(names), *sorted({OVERRIDE_CURRENCY, *settings.oracle.overrides} - names))


def _asset_decimals(
    configuration: Configuration, assets: Iterable[str], knobs: Mapping[str, MarketKnobs]
) -> dict[str, int]:
    """The decimals of each asset's balance: as configured, else 8.

    An asset that trades only in whole units gets fewer, so that amounts of 10^12 and more fit, unless it is also a
    quote, the account currency or a fee asset.
    """
    settings = configuration.settings
    pairs = {symbol: split_symbol(symbol) for symbol in knobs}
    precise = {settings.account.currency, *(quote for _, quote in pairs.values())}
    precise |= {market.fees.asset for market in knobs.values()}
    decimals = dict.fromkeys(assets, DEFAULT_DECIMALS)
    for asset in {base for base, _ in pairs.values()} - precise:
        steps = [knobs[symbol].step_size for symbol, (base, _) in pairs.items() if base == asset]
        if all(step == step.to_integral_value() for step in steps):
            decimals[asset] = WHOLE_DECIMALS
    return {asset: settings.account.decimals.get(asset, number) for asset, number in decimals.items()}


def _choose(configured: list[Strategy], names: Iterable[str] | None) -> tuple[Strategy, ...]:
    if names is None:
        return tuple(configured)
    wanted = list(names)
    for name in wanted:
        if all(strategy.name != name for strategy in configured):
            listed = ", ".join(strategy.name for strategy in configured)
            raise ConfigError(f"there is no strategy {name}; the configuration has: {listed}")
    return tuple(strategy for strategy in configured if strategy.name in wanted)


def _needs_atr(risk: RiskSettings, knobs: Iterable[MarketKnobs]) -> bool:
    wants_distance = risk.attach_stop or risk.take_profit_atr_mult > 0
    return risk.sizing == "atr" or wants_distance or any(market.slippage_model == "atr_scaled" for market in knobs)


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
    """The bit mask of patterns: the sum of 1 << pattern."""
    return sum(1 << t.Pattern[name.upper()] for name in patterns)


def _user_row(row: np.void, user: Loaded, table: FeatureTable) -> None:
    """Fill in a user strategy's row. A compiled one runs in the core; a Python one stays external to it."""
    for index, (kind, window) in enumerate(user.features):
        row["feature"][index] = table.slot(kind, window)
    row["value"][: len(user.params)] = list(user.params.values())
    if user.is_compiled:
        row["kind"], row["address"], row["scratch"] = t.StrategyKind.COMPILED, user.address, user.memory


def _risk(configuration: Configuration, assets: tuple[str, ...], n_symbols: int, n_strategies: int) -> Records:
    settings = configuration.settings
    limits = settings.risk
    risk = np.zeros(1, dtype=t.RISK_PARAMS)
    row = risk[0]
    row["sizing"] = t.Sizing[limits.sizing.upper()]
    row["risk_ppb"] = per_billion(limits.risk_frac)
    row["atr_stop_ppb"] = per_billion(limits.atr_stop_mult)
    row["atr_target_ppb"] = per_billion(limits.take_profit_atr_mult)
    row["attach_stop"] = limits.attach_stop
    row["fraction_ppb"] = per_billion(limits.fixed_fraction)
    row["max_position_ppb"] = per_billion(limits.max_position_value_per_symbol)
    row["gross_ppb"] = per_billion(limits.max_gross_exposure)
    row["max_open_positions"] = limits.max_open_positions
    row["max_open_orders"] = limits.max_open_orders
    row["collar_ppb"] = per_billion(limits.price_collar)
    row["rate_orders"] = limits.max_orders_per_minute
    row["rate_window_ns"] = 60 * NS
    row["cooldown_bars"] = limits.cooldown_bars
    row["entry_timeout_bars"] = limits.entry_timeout_bars
    row["daily_loss_ppb"] = per_billion(limits.daily_loss_cap)
    row["max_drawdown_ppb"] = per_billion(limits.max_drawdown)
    row["flatten_on_trip"] = limits.flatten_on_trip
    row["funds_margin_ppb"] = per_billion(limits.funds_margin)
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
        market = knobs[symbol]
        base, quote = split_symbol(symbol)
        exponent = decimals[base] + market.price_decimals - decimals[quote]
        if not 0 <= exponent <= 18:  # noqa: PLR2004
            names = f"{base} and {quote}"
            raise ConfigError(
                f"{symbol}: price_decimals = {market.price_decimals} does not fit the decimals of {names}"
            )
        row["base"], row["quote"] = assets.index(base), assets.index(quote)
        row["scale"] = 10**exponent
        row["tick"] = whole(market.tick_size, market.price_decimals, f"{symbol}: tick_size")
        row["step"] = whole(market.step_size, decimals[base], f"{symbol}: step_size")
        row["min_quantity"] = whole(market.min_quantity, decimals[base], f"{symbol}: min_quantity")
        row["max_quantity"] = _bound(market.max_quantity, decimals[base])
        row["max_market_quantity"] = _bound(market.max_market_quantity, decimals[base])
        row["min_notional"] = whole(market.min_notional, decimals[quote], f"{symbol}: min_notional")
        row["fixed_quote"] = whole(risk.fixed_quote, decimals[quote], "risk.fixed_quote")
        row["timeframe_ns"] = timeframes_ns[symbol]
        row["stale_ns"] = risk.stale_after_bars * timeframes_ns[symbol]
        row["latency_ns"] = market.latency_ms * 1_000_000
        row["maker_ppb"] = per_billion(market.fees.maker_bps / 10_000)
        row["taker_ppb"] = per_billion(market.fees.taker_bps / 10_000)
        slippage = market.slippage_bps * market.slippage_mult / 10_000
        row["slippage_ppb"] = per_billion(slippage)
        row["atr_slippage_ppb"] = per_billion(slippage * market.atr_slip_mult)
        row["liquidity_ppb"] = per_billion(market.liquidity_fraction)
        row["price_unit"] = 10.0**market.price_decimals
        row["base_unit"], row["quote_unit"] = 10.0 ** decimals[base], 10.0 ** decimals[quote]
        special = {"quote": int(t.FeeAsset.QUOTE), "received": int(t.FeeAsset.RECEIVED)}
        fee_asset = market.fees.asset
        row["fee_asset"] = special[fee_asset] if fee_asset in special else assets.index(fee_asset)
        row["volume_in_quote"] = market.volume_unit == "quote"
        row["slippage_model"] = t.SlippageModel[market.slippage_model.upper()]
        row["touch_fills"] = market.touch_fills
    return rows


def _opening(
    balances: Mapping[str, Decimal], assets: tuple[str, ...], decimals: Mapping[str, int]
) -> NDArray[np.int64]:
    opening = np.zeros(len(assets), dtype=np.int64)
    for asset, amount in balances.items():
        opening[assets.index(asset)] = whole(amount, decimals[asset], f"account.balances.{asset}")
    return opening
