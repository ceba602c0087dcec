"""What tables and log lines need to know of a plan, in names instead of ids."""

from collections.abc import Mapping

from paperbot.core.types import RateVia
from paperbot.engine.params import Plan
from paperbot.names import Names, RunFacts
from paperbot.timeframe import fixed


def names_of(plan: Plan) -> Names:
    """What the tables need to turn ids into names."""
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
    """By symbol, what a minor unit of its quote is always worth in the account's; None where that changes."""
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
    """What a run is about. `timeframes` by symbol, where bars have no fixed length."""
    fixed_ones = {symbol: fixed(ns).text for symbol, ns in zip(plan.symbols, plan.timeframes_ns, strict=True)}
    return RunFacts(plan.symbols, plan.strategies, dict(timeframes or fixed_ones), tuple(fixed_rates(plan)))
