"""`paperbot report`: a run's artifacts as one page for people."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paperbot.app.sources import ReplayRequest, prepare
from paperbot.core.types import BarFlag, EventKind
from paperbot.errors import CommandError
from paperbot.store.durable import write_whole
from paperbot.store.results import (
    Columns,
    Results,
    blocked_by_code,
    by_day,
    by_group,
    moment,
    read_results,
    statistics,
    thinned,
)
from paperbot.web.model import Line, Market, Marks, Page

POINTS = 4_000
"""Points of a line; more cannot be told apart on a screen."""

MARKS = 2_000
TRIPS = 500


@dataclass(frozen=True)
class ReportRequest:
    """What was asked for: `data` is the folder with a run's artifacts, `sources` are the bars behind its prices."""

    data: Path
    out: Path
    sources: Sequence[str] = ()
    config: Path | None = None
    overrides: Sequence[dict[str, Any]] = ()


def report(request: ReportRequest, say: Callable[[str], None]) -> Path:
    """Write the page, whole or not at all. Raises DataError, CommandError, OutputError."""
    try:
        from paperbot.web.page import render  # noqa: PLC0415
    except ImportError:
        raise CommandError("paperbot report needs plotly: pip install 'paperbot[report]'") from None
    write_whole(request.out, render(compose(request, say)).encode())
    return request.out


def compose(request: ReportRequest, say: Callable[[str], None]) -> Page:
    """What the page shows. Raises DataError, CommandError, ConfigError."""
    results = read_results(request.data)
    ledger = results.ledger
    closes = _closes(request, ledger, say) if request.sources else {}
    kept, deep = thinned(ledger["equity"], POINTS), thinned(ledger["drawdown"], POINTS)
    notes = [
        "Money is in the account's currency unless a name stands beside it. Times are UTC.",
        "The largest drawdown is that of a ledger row; the run's summary also knows what lay between two of them.",
    ]
    symbols = sorted({*results.trades["symbol"], *closes})
    bare = [symbol for symbol in symbols if symbol not in closes]
    if bare:
        notes.append(
            f"Prices of {', '.join(bare)} are those of the fills; give the bars (SYMBOL=FILE) to see the rest."
        )
    days = by_day(results)
    return Page(
        title=f"Paperbot: {len(results.trades['ts']):,} fills",
        statistics=statistics(results),
        equity=Line(ledger["ts"][kept], ledger["equity"][kept]),
        drawdown=Line(ledger["ts"][deep], ledger["drawdown"][deep]),
        markets=[_market(results, symbol, closes.get(symbol), notes) for symbol in symbols],
        days=days,
        fees=Line(ledger["ts"][kept], ledger["fees"][kept]),
        blocked=blocked_by_code(results),
        tables={
            "By symbol": by_group(results, "symbol"),
            "By strategy": by_group(results, "strategy"),
            "By day": _day_rows(days),
            "Round trips": _trip_rows(results.round_trips, notes),
        },
        notes=notes,
    )


def _closes(request: ReportRequest, ledger: Columns, say: Callable[[str], None]) -> dict[str, Line]:
    """The bars' closes within the run's time."""
    if len(ledger["ts"]) == 0:
        return {}
    first, last = ledger["ts"][0], ledger["ts"][-1]
    job = prepare(ReplayRequest(request.sources, request.config, overrides=request.overrides), say)
    found = {}
    for index, symbol in enumerate(job.plan.symbols):
        unit = float(job.plan.params.symbols[index]["price_unit"])
        parts_ts, parts = [], []
        for events in job.batches[index]:
            bars = events[(events["kind"] == EventKind.BAR) & ((events["flags"] & BarFlag.WARMUP) == 0)]
            ts = bars["close_ts"].astype("datetime64[ns]")
            inside = (ts >= first) & (ts <= last)
            parts_ts.append(ts[inside])
            parts.append(bars["close"][inside] / unit)
        ts, values = np.concatenate(parts_ts), np.concatenate(parts)
        kept = thinned(values, POINTS)
        found[symbol] = Line(ts[kept], values[kept])
    return found


def _market(results: Results, symbol: str, closes: Line | None, notes: list[str]) -> Market:
    trades, trips = results.trades, results.round_trips
    mine = np.flatnonzero(trades["symbol"] == symbol)
    if len(mine) > MARKS:
        notes.append(f"{symbol}: the last {MARKS:,} of {len(mine):,} fills are marked.")
        mine = mine[-MARKS:]
    price = closes or Line(trades["ts"][mine], trades["price"][mine])

    def marks(side: str) -> Marks:
        chosen = mine[trades["side"][mine] == side]
        says = [
            f"{side} {trades['qty'][i]:.8g} at {trades['price'][i]:.8g}, {trades['strategy'][i]}, order"
            f" {trades['order_id'][i]} ({trades['role'][i]}, {trades['liquidity'][i]})"
            for i in chosen
        ]
        return Marks(trades["ts"][chosen], trades["price"][chosen], says)

    closed = np.flatnonzero(trips["symbol"] == symbol)[-TRIPS:]
    lines = [
        (
            trips["entry_ts"][i],
            trips["exit_ts"][i],
            float(trips["entry_price"][i]),
            float(trips["exit_price"][i]),
            bool(trips["pnl_minor"][i] > 0),
        )
        for i in closed
    ]
    return Market(symbol, price, closes is not None, marks("buy"), marks("sell"), lines)


def _day_rows(days: Columns) -> list[dict[str, Any]]:
    return [
        {"day": str(day), "change of equity": float(equity), "fees": float(fees), "fills": int(fills)}
        for day, equity, fees, fills in zip(*(days[name] for name in ("day", "equity", "fees", "fills")), strict=True)
    ]


def _trip_rows(trips: Columns, notes: list[str]) -> list[dict[str, Any]]:
    """The last round trips, newest first."""
    count = len(trips["symbol"])
    if count > TRIPS:
        notes.append(f"The table has the last {TRIPS} of {count:,} round trips.")
    return [
        {
            "exit": moment(trips["exit_ts"][i]),
            "symbol": trips["symbol"][i],
            "strategy": trips["strategy"][i],
            "minutes": float(trips["duration_s"][i]) / 60.0,
            "entry price": float(trips["entry_price"][i]),
            "exit price": float(trips["exit_price"][i]),
            "qty": f"{trips['qty'][i]:.8g}",
            "net PnL": {str(trips["quote"][i]): float(trips["pnl"][i])},
            "return, %": float(trips["return_pct"][i]),
            "why": trips["reason"][i],
        }
        for i in range(count - 1, max(count - TRIPS, 0) - 1, -1)
    ]
