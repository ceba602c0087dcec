"""Composes the page about a run from its artifacts."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperbot.store.periods import by_day
from paperbot.store.results import Columns, Results, moment
from paperbot.store.starved import starved_in_words
from paperbot.store.summary import LABELS, halts_in_words
from paperbot.timeframe import NS, fixed
from paperbot.web.model import Line, Market, Marks, Page

POINTS = 4_000
"""The largest number of points of a line; a screen cannot show more."""

MARKS = 2_000
TRIPS = 500


def compose(results: Results, bars: Columns | None = None) -> Page:
    """Compose the page about a run. `bars`: candles to draw instead of those that the run stored."""
    ledger, summary = results.ledger, results.summary
    candles = results.candles if bars is None else bars
    kept, deep = thinned(ledger["equity"], POINTS), thinned(ledger["drawdown"], POINTS)
    notes = ["Money is in the account currency unless another one is named. Times are UTC."]
    notes += starved_in_words(summary.get("starved", {}))
    symbols = sorted({*results.trades["symbol"], *candles["symbol"]})
    days = by_day(results)
    return Page(
        title=f"{', '.join(summary['symbols'])}: {', '.join(summary['strategies']) or 'no strategy'}",
        facts=_facts(summary),
        statistics={label: summary[key] for key, label in LABELS.items()},
        equity=Line(ledger["ts"][kept], ledger["equity"][kept]),
        drawdown=Line(ledger["ts"][deep], ledger["drawdown"][deep]),
        markets=[_market(results, symbol, candles, notes) for symbol in symbols],
        days=days,
        fees=Line(ledger["ts"][kept], ledger["fees"][kept]),
        blocked=dict(sorted(summary["blocked"].items(), key=lambda code: -code[1])),
        tables={
            "By symbol": _group_rows(summary, "symbol"),
            "By strategy": _group_rows(summary, "strategy"),
            "By day": _day_rows(days),
            "Round trips": _trip_rows(results.round_trips, notes),
        },
        notes=notes,
    )


def _facts(summary: dict[str, Any]) -> dict[str, str]:
    """The facts about a run, as text."""
    settings = [f"{key}={value}" for key, value in summary.get("settings", {}).items()]
    facts = {
        "session": summary.get("session"),
        "symbols": ", ".join(f"{symbol} ({timeframe})" for symbol, timeframe in summary["timeframes"].items()),
        "strategies": ", ".join(summary["strategies"]) or "none",
        "period": f"{_minute(summary['first'])} to {_minute(summary['last'])}, {summary['days']:,.1f} days",
        "bars": f"{summary['bars']:,}",
        "kill switch": halts_in_words(summary),
        "currency": summary["currency"],
        "settings that differ from the defaults": ", ".join(settings),
        "digest": summary["digest"],
    }
    return {name: words for name, words in facts.items() if words}


def _minute(time: str | None) -> str:
    return "-" if time is None else time[:16].replace("T", " ")


def _market(results: Results, symbol: str, candles: Columns, notes: list[str]) -> Market:
    trades, trips = results.trades, results.round_trips
    mine = np.flatnonzero(trades["symbol"] == symbol)
    if len(mine) > MARKS:
        notes.append(f"{symbol}: the last {MARKS:,} of {len(mine):,} fills are marked.")
        mine = mine[-MARKS:]
    bars = {name: column[candles["symbol"] == symbol] for name, column in candles.items()}
    width_s = int(bars["width_s"].max(initial=0))
    if width_s:
        notes.append(f"{symbol}: a candle spans {fixed(width_s * NS).text}, so that the whole run can be drawn.")

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
    return Market(symbol, bars, marks("buy"), marks("sell"), lines)


def _group_rows(summary: Mapping[str, Any], by: str) -> list[dict[str, Any]]:
    """The summary's figures of each symbol or strategy, with their display names."""
    labels = {by: by, "fills": "fills", "round_trips": "round trips", "wins": "won", "fees": "fees"}
    labels["net_pnl"] = "PnL net of fees"
    return [{label: row[key] for key, label in labels.items()} for row in summary[f"by_{by}"]]


def _day_rows(days: Columns) -> list[dict[str, Any]]:
    return [
        {"day": str(day), "change of equity": float(equity), "fees": float(fees), "fills": int(fills)}
        for day, equity, fees, fills in zip(*(days[name] for name in ("day", "equity", "fees", "fills")), strict=True)
    ]


def _trip_rows(trips: Columns, notes: list[str]) -> list[dict[str, Any]]:
    """The last round trips, newest first."""
    count = len(trips["symbol"])
    if count > TRIPS:
        notes.append(f"The table shows the last {TRIPS} of {count:,} round trips.")
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


def thinned(values: NDArray[Any], most: int) -> NDArray[np.int64]:
    """The positions of about `most` rows that keep the shape of a line: the lowest and highest of each stretch.

    `values`: float64, NaN allowed.
    """
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), most // 2 + 1).astype(np.int64)
    kept = {0, len(values) - 1}
    for start, stop in pairwise(edges.tolist()):
        part = values[start:stop]
        if np.isnan(part).all():
            kept.add(start)
        else:
            kept |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
    return np.array(sorted(kept), dtype=np.int64)
