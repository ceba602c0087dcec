"""What a run leaves behind, put together as it goes: artifacts, statistics, and the summary at the end."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from paperbot.app.rules import instruments
from paperbot.config import Configuration, changed_settings, show
from paperbot.core.types import RateVia
from paperbot.engine.params import Plan
from paperbot.names import Names
from paperbot.ports import Records
from paperbot.store.chart import Chart
from paperbot.store.parquet import FILES, Artifacts
from paperbot.store.report import Statistics, summarize
from paperbot.timeframe import fixed


class Recorder:
    """Watches a run and writes its artifacts; a context manager that leaves what was there before, unless finished.

    Raises OutputError when the folder cannot be written.
    """

    def __init__(
        self, folder: Path, configuration: Configuration, plan: Plan, timeframes: Mapping[str, str] | None = None
    ) -> None:
        self._timeframes = timeframes
        self.names = names_of(plan)
        self.statistics = Statistics(self.names)
        self._chart = Chart(self.names)
        self.files = [folder / name for name in FILES]
        self._artifacts = Artifacts(folder, self.names)
        self._configuration = configuration
        self._plan = plan

    def __enter__(self) -> Self:
        """Start writing beside the final names."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what is unfinished."""
        self._artifacts.__exit__()

    @property
    def bars(self) -> int:
        """Bars that counted, so far."""
        return self._chart.bars

    def events(self, events: Records) -> None:
        """Keep what a picture needs of the bars."""
        self._chart.events(events)

    def records(self, records: Records) -> None:
        """Write and count what came out."""
        self.statistics.add(records)
        self._artifacts.add(records)

    def finish(self, digest: str, account: np.void) -> dict[str, Any]:
        """Make all files durable and put them in place. Returns the flat object that `--json` prints.

        `account`: the core's record at the end.
        """
        summary = summary_of(self._plan, self.statistics, self._chart, digest, account, self._timeframes)
        summary |= settings_of(self._configuration, self._plan)
        self._artifacts.finish(self._chart.table(), summary)
        return summary


def summary_of(
    plan: Plan,
    statistics: Statistics,
    chart: Chart,
    digest: str,
    account: np.void,
    timeframes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a run was and what it gave, as `run.json` has it. `account`: the core's record."""
    fixed_ones = zip(plan.symbols, (fixed(ns).text for ns in plan.timeframes_ns), strict=True)
    return {
        "digest": digest,
        "symbols": list(plan.symbols),
        "strategies": list(plan.strategies),
        "timeframes": dict(timeframes or fixed_ones),
        "bars": chart.bars,
        **summarize(statistics, account, chart.buy_and_hold(), fixed_rates(plan)),
    }


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


def settings_of(configuration: Configuration, plan: Plan) -> dict[str, Any]:
    """How a run was configured: non-default settings, the rules of its symbols, and a hash of everything."""
    return {
        "config_hash": config_hash(configuration, plan),
        "instruments": instruments(configuration, plan.symbols),
        "settings": changed_settings(configuration),
    }


def config_hash(configuration: Configuration, plan: Plan) -> str:
    """A fingerprint of every setting that was in force, symbols' market keys included."""
    rows = [(key, value) for key, value, _ in show(configuration, plan.symbols)]
    text = json.dumps([rows, plan.strategies, plan.timeframes_ns], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
