"""Prints the summary of a run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from paperbot.cli.options import note
from paperbot.cli.words import lasting

if TYPE_CHECKING:
    from paperbot.app.replay import ReplayResult


def print_summary(result: "ReplayResult") -> None:
    """Print the figures of a run, then the figures by symbol and by strategy."""
    from paperbot.store.starved import starved_in_words  # noqa: PLC0415
    from paperbot.store.summary import LABELS, halts_in_words  # noqa: PLC0415

    out = Console(highlight=False)
    summary = result.summary
    table = Table(title=f"{', '.join(summary['symbols'])}: {summary['bars']} bars", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("period", f"{_day(summary['first'])} to {_day(summary['last'])}, {summary['days']:,.1f} days")
    table.add_row("timeframe", ", ".join(sorted(set(summary["timeframes"].values()))))
    for key, label in LABELS.items():
        table.add_row(label, _cell(summary[key]))
    if summary["round_trips"]:
        table.add_row("average trade lasts", lasting(summary["avg_trade_s"]))
        table.add_row("longest trade lasts", lasting(summary["longest_trade_s"]))
    if summary["sharpe"] is not None:
        basis = f"{summary['returns']} returns, {summary['return_days']:.3g} days apart"
        table.add_row("annualised by", f"{basis}: {summary['returns_a_year']:.4g} a year")
    table.add_row("kill switch", halts_in_words(summary))
    for reason, count in summary["blocked"].items():
        table.add_row(f"blocked: {reason}", str(count))
    table.add_row("currency", summary["currency"])
    table.add_row("digest", summary["digest"][:16])
    out.print(table)
    out.print(_group_table(summary))
    for sentence in starved_in_words(summary["starved"]):
        note(sentence)
    if "overflow" in summary["blocked"]:
        note("some orders were larger than the decimals of an asset allow; lower account.decimals")
    if summary["settings"]:
        changed = ", ".join(f"{key}={value}" for key, value in summary["settings"].items())
        out.print(f"settings that differ from the defaults: {changed}", soft_wrap=True, markup=False)
    out.print("written: " + ", ".join(str(path) for path in result.files), soft_wrap=True)


def _day(time: str | None) -> str:
    return "-" if time is None else time[:16].replace("T", " ")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _group_table(summary: Mapping[str, Any]) -> Table:
    table = Table("by", "fills", "round trips", "won", "fees", "PnL net of fees")
    for by in ("symbol", "strategy"):
        for row in summary[f"by_{by}"]:
            money = [
                ", ".join(f"{amount:,.6g} {asset}" for asset, amount in row[key].items()) for key in ("fees", "net_pnl")
            ]
            counts = (str(row[key]) for key in ("fills", "round_trips", "wins"))
            table.add_row(f"{by} {row[by]}", *counts, *money)
    return table
