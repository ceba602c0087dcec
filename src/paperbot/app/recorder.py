"""What a run leaves behind, put together as it goes: artifacts, statistics, and the summary at the end."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from paperbot.app.rules import instruments
from paperbot.config import Configuration, changed_settings, show
from paperbot.core.types import BarFlag, EventKind, RateVia
from paperbot.engine.params import Plan
from paperbot.names import Names
from paperbot.ports import Records
from paperbot.store.parquet import Artifacts
from paperbot.store.report import Statistics, summarize
from paperbot.store.tables import SCHEMAS
from paperbot.timeframe import fixed


class Recorder:
    """Watches a run and writes its artifacts; a context manager that leaves what was there before, unless finished.

    Raises OutputError when the folder cannot be written.
    """

    def __init__(
        self, folder: Path, configuration: Configuration, plan: Plan, timeframes: Mapping[str, str] | None = None
    ) -> None:
        fixed_ones = zip(plan.symbols, (fixed(ns).text for ns in plan.timeframes_ns), strict=True)
        self._timeframes = dict(timeframes or fixed_ones)
        self.names = names_of(plan)
        self.statistics = Statistics(self.names)
        self.bars = 0
        self.files = [folder / f"{name}.parquet" for name in SCHEMAS]
        self._artifacts = Artifacts(folder, self.names)
        self._configuration = configuration
        self._plan = plan
        self._first_close = [0] * len(plan.symbols)
        self._last_close = [0] * len(plan.symbols)

    def __enter__(self) -> Self:
        """Start writing beside the final names."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what is unfinished."""
        self._artifacts.__exit__()

    def events(self, events: Records) -> None:
        """Count bars, and remember each symbol's first and last close for buy and hold."""
        bars = np.flatnonzero((events["kind"] == EventKind.BAR) & ((events["flags"] & BarFlag.WARMUP) == 0))
        self.bars += len(bars)
        symbols, closes = events["symbol"][bars], events["close"]
        for symbol, at in zip(*np.unique(symbols, return_index=True), strict=True):
            self._first_close[symbol] = self._first_close[symbol] or int(closes[bars[at]])
        for symbol, back in zip(*np.unique(symbols[::-1], return_index=True), strict=True):
            self._last_close[symbol] = int(closes[bars[len(bars) - 1 - back]])

    def records(self, records: Records) -> None:
        """Write and count what came out."""
        self.statistics.add(records)
        self._artifacts.add(records)

    def finish(self) -> None:
        """Make all files durable and put them in place."""
        self._artifacts.finish()

    def summary(self, digest: str, account: np.void) -> dict[str, Any]:
        """The flat object that `--json` prints. `account`: the core's record at the end."""
        held = {
            name: 100.0 * (last / first - 1.0)
            for name, first, last in zip(self._plan.symbols, self._first_close, self._last_close, strict=True)
            if first
        }
        changed = changed_settings(self._configuration)
        return {
            "digest": digest,
            "config_hash": config_hash(self._configuration, self._plan),
            "symbols": list(self._plan.symbols),
            "strategies": list(self._plan.strategies),
            "timeframes": self._timeframes,
            "bars": self.bars,
            **summarize(self.statistics, account, held, fixed_rates(self._plan)),
            "instruments": instruments(self._configuration, self._plan.symbols),
            "settings": changed,
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


def config_hash(configuration: Configuration, plan: Plan) -> str:
    """A fingerprint of every setting that was in force, symbols' market keys included."""
    rows = [(key, value) for key, value, _ in show(configuration, plan.symbols)]
    text = json.dumps([rows, plan.strategies, plan.timeframes_ns], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
