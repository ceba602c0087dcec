"""Extracts names and rates from a plan, for tables and log lines."""

from collections.abc import Mapping

from paperbot.core.types import RateVia
from paperbot.engine.params import Plan
from paperbot.names import Names, RunFacts
from paperbot.timeframe import fixed


def names_of(plan: Plan) -> Names:
    """The plan's names, decimals and steps, to convert ids and integers."""
    return Names(
        symbols=plan.symbols,
        strategies=plan.strategies,
        assets=plan.assets,
        currency=plan.currency,
        usd_rate=plan.usd_rate,
        asset_decimals=plan.asset_decimals,
        price_decimals=plan.price_decimals,
        bases=tuple(plan.params.symbols["base"].tolist()),
        quotes=tuple(plan.params.symbols["quote"].tolist()),
        steps=tuple(plan.params.symbols["step"].tolist()),
    )


def fixed_rates(plan: Plan) -> list[float | None]:
    """By symbol, the fixed value of a minor unit of its quote in the account currency; None if it changes."""
    rates: list[float | None] = []
    for quote in plan.params.symbols["quote"].tolist():
        rate, asset = 1.0, quote
        row = plan.params.assets[asset]
        while row["via"] == RateVia.OVERRIDE:
            rate *= int(row["rate_num"]) / int(row["rate_den"])
            asset = int(row["next"])
            row = plan.params.assets[asset]
        rates.append(rate if row["via"] == RateVia.ACCOUNT else None)
    return rates


def facts_of(plan: Plan, timeframes: Mapping[str, str] | None = None) -> RunFacts:
    """The run's symbols, strategies, timeframes and fixed rates. `timeframes`: by symbol, if not of fixed length."""
    fixed_lengths = {symbol: fixed(ns).text for symbol, ns in zip(plan.symbols, plan.timeframes_ns, strict=True)}
    return RunFacts(plan.symbols, plan.strategies, dict(timeframes or fixed_lengths), tuple(fixed_rates(plan)))
