"""Writes the dashboard "Paperbot Overview": `make docs`. `tests/test_stack.py` fails when the JSON is old.

Panels name metrics; their descriptions and units come from the table of metrics, so that a panel about a metric that
there is not, or is no longer, cannot be written.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grafana_foundation_sdk.builders import common, loki, prometheus
from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable, Row, ThresholdsConfig
from grafana_foundation_sdk.builders.logs import Panel as LogsPanel
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.timeseries import Panel as SeriesPanel
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model

from paperbot.telemetry.metrics import SPECS

PATH = Path(__file__).resolve().parent.parent / "config/grafana/dashboards/paperbot-overview.json"
PROMETHEUS = model.DataSourceRef("prometheus", "paperbot-prometheus")
LOKI = model.DataSourceRef("loki", "paperbot-loki")
WIDTH, HEIGHT = 24, 8

UNITS = {
    "USD": "currencyUSD",
    "seconds": "s",
    "ratio": "percentunit",
    "bps": "suffix: bps",
    "Unix seconds": "s",
    "0 or 1": "short",
}
"""Grafana's names of the table's units; what is not here is a count, or an amount without a symbol of its own."""

SERVED_BESIDE = {
    "up": "Whether Prometheus reaches the bot.",
    "process_resident_memory_bytes": "Memory that the bot holds.",
    "process_cpu_seconds_total": "Processor time that the bot uses.",
}
"""What Prometheus and its client library say of the process."""

HALTED = {"0": ("trading", "green"), "1": ("HALTED", "red")}
CONNECTED = {"0": ("lost", "red"), "1": ("listening", "green")}

Step = tuple[float | None, str]

MARKET, SYMBOL = 'market=~"$market"', 'symbol=~"$symbol"'
LINES = '{app="paperbot"}'
SOME = "sum by (reason) ({0}) > 0 or (sum({0}) == 0)"
"""Each reason that has occurred; a line at 0 while there is none."""


@dataclass(frozen=True)
class Panel:
    """A panel: its queries as (PromQL, legend). `unit`: Grafana's, where the metric's own does not fit the query."""

    title: str
    queries: tuple[tuple[str, str], ...]
    kind: Literal["series", "stat", "logs"] = "series"
    width: int = 8
    unit: str = ""
    steps: tuple[Step, ...] = ()
    words: dict[str, tuple[str, str]] | None = None


def _quantiles(metric: str, by: str, window: str, *shares: float) -> tuple[tuple[str, str], ...]:
    legend = f" {{{{{by}}}}}" if by else ""
    labels = f"{by}, le" if by else "le"
    selector = '{symbol=~"$symbol"}' if "symbol" in SPECS[metric].labels else ""
    return tuple(
        (
            f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{selector}[{window}])))",
            f"P{share * 100:g}{legend}",
        )
        for share in shares
    )


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Risk",
        (
            Panel(
                "Kill switch",
                (('max by (market) (paperbot_killswitch_active{market=~"$market"})', "{{market}}"),),
                kind="stat",
                width=4,
                steps=((None, "green"), (1, "red")),
                words=HALTED,
            ),
            Panel(
                "Kill switch trips",
                (("killswitch_trips_total", ""),),
                kind="stat",
                width=4,
                steps=((None, "green"), (1, "red")),
            ),
            Panel(
                "Blocked orders by reason",
                ((SOME.format("orders_blocked_total"), "{{reason}}"),),
            ),
            Panel(
                "Drawdown",
                (("paperbot_drawdown_ratio", "drawdown"),),
                steps=((None, "green"), (0.05, "yellow"), (0.1, "red")),
            ),
        ),
    ),
    (
        "Equity and PnL",
        (
            Panel("Equity, USD", (('account_equity_usd{market=~"$market"}', "{{market}}"),), width=6),
            Panel("Equity, account currency", (("equity_gauge", "equity"),), width=6),
            Panel(
                "Realized PnL, USD",
                ((f"sum by (symbol) (realized_pnl_total{{{SYMBOL}}})", "{{symbol}}"),),
                width=6,
            ),
            Panel("Unrealized PnL, account currency", (("paperbot_unrealized_pnl", "unrealized"),), width=6),
        ),
    ),
    (
        "Orders and fills",
        (
            Panel(
                "Orders submitted",
                (('sum by (type, symbol) (orders_submitted_total{symbol=~"$symbol"})', "{{type}} {{symbol}}"),),
            ),
            Panel(
                "Fills",
                (('sum by (liquidity, symbol) (fills_total{symbol=~"$symbol"})', "{{liquidity}} {{symbol}}"),),
            ),
            Panel(
                "Fills per second (5m)",
                ((f"paperbot:fills:rate5m{{{SYMBOL}}}", "{{liquidity}} {{symbol}}"),),
                unit="ops",
            ),
            Panel("Open orders", (('sum by (symbol) (paperbot_open_orders{symbol=~"$symbol"})', "{{symbol}}"),)),
            Panel("Positions", (('paperbot_position_qty{symbol=~"$symbol"}', "{{strat}} {{symbol}}"),)),
            Panel("Slippage P50/P95 (1h)", _quantiles("paperbot_fill_slippage_bps", "symbol", "1h", 0.5, 0.95)),
        ),
    ),
    (
        "Fees",
        (
            Panel("Fees paid", (('sum by (symbol) (fees_paid_total{symbol=~"$symbol"})', "{{symbol}}"),), width=12),
            Panel(
                "Fees, last 24 h",
                ((f"paperbot:fees_usd:increase1d{{{SYMBOL}}}", "{{symbol}}"),),
                width=12,
                unit="currencyUSD",
            ),
        ),
    ),
    (
        "Signals",
        (
            Panel(
                "Signals by strategy and side",
                (('sum by (strat, side) (signals_emitted_total{symbol=~"$symbol"})', "{{strat}} {{side}}"),),
            ),
            Panel("Bars", (('sum by (symbol) (candles_fetched_total{symbol=~"$symbol"})', "{{symbol}}"),)),
            Panel("Feature updates", (('sum by (symbol) (features_computed_total{symbol=~"$symbol"})', "{{symbol}}"),)),
        ),
    ),
    (
        "Patterns",
        (
            Panel(
                "Detections rate by pattern (5m)",
                (
                    (
                        'sum by (pattern) (rate(pattern_detected_total{market=~"$market", symbol=~"$symbol"}[5m]))',
                        "{{pattern}}",
                    ),
                ),
                unit="ops",
            ),
            Panel(
                "Intents rate by pattern/side (5m)",
                (
                    (
                        'sum by (pattern, side) (rate(pattern_intent_total{market=~"$market"}[5m]))',
                        "{{pattern}} {{side}}",
                    ),
                ),
                unit="ops",
            ),
            Panel("Latency P50/P95 (s)", _quantiles("pattern_to_intent_latency_seconds", "", "5m", 0.5, 0.95)),
        ),
    ),
    (
        "Feed and journal health",
        (
            Panel(
                "Stream",
                (("paperbot_feed_connected", ""),),
                kind="stat",
                width=4,
                steps=((None, "red"), (1, "green")),
                words=CONNECTED,
            ),
            Panel(
                "Scraped",
                (('up{job="paperbot"}', ""),),
                kind="stat",
                width=4,
                steps=((None, "red"), (1, "green")),
                words={"0": ("down", "red"), "1": ("UP", "green")},
            ),
            Panel(
                "Feed age",
                (("paperbot_feed_age_seconds", "overdue"),),
                steps=((None, "green"), (60, "yellow"), (180, "red")),
            ),
            Panel(
                "Since the last bar",
                (('time() - paperbot_last_bar_timestamp_seconds{symbol=~"$symbol"}', "{{symbol}}"),),
            ),
            Panel(
                "Bars refused by code",
                (("sum by (code) (paperbot_feed_refused_total)", "{{code}}"),),
            ),
            Panel(
                "Reconnects and failed requests",
                (("paperbot_feed_reconnects_total", "reconnects"), ("paperbot_feed_errors_total", "failed requests")),
            ),
            Panel("Clock skew", (("paperbot_feed_clock_skew_seconds", "venue less ours"),)),
            Panel("Journal lag P50/P95 (1h)", _quantiles("paperbot_journal_lag_seconds", "", "1h", 0.5, 0.95)),
            Panel("Longest stall of the loop", (("paperbot_loop_stall_seconds", "stall"),)),
            Panel("Inputs in the journal", (("paperbot_journal_inputs", "inputs"),)),
            Panel("Messages to people", (("sum by (outcome) (paperbot_notifications_total)", "{{outcome}}"),)),
            Panel("Background faults", (("sum by (task) (paperbot_background_faults_total)", "{{task}}"),)),
            Panel("Memory", (('process_resident_memory_bytes{job="paperbot"}', "resident"),), unit="bytes"),
            Panel(
                "Processor (5m)",
                (('rate(process_cpu_seconds_total{job="paperbot"}[5m])', "cores"),),
                unit="percentunit",
            ),
            Panel("Build", (("paperbot_build_info", "{{version}} core {{core}}"),), kind="stat"),
        ),
    ),
    (
        "LLM guards",
        (
            Panel(
                "Denied by reason",
                ((SOME.format("llm_guard_denied_total"), "{{reason}}"),),
                width=6,
            ),
            Panel(
                "Accepted",
                (('sum by (symbol, side) (llm_advice_accepted_total{symbol=~"$symbol"})', "{{symbol}} {{side}}"),),
                width=6,
            ),
            Panel("Questions by outcome", (("sum by (outcome) (llm_questions_total)", "{{outcome}}"),), width=6),
            Panel("Tokens", (("sum by (kind) (llm_tokens_total)", "{{kind}}"),), width=6),
        ),
    ),
    (
        "Logs",
        (
            Panel("Orders and fills, as they happened", ((f'{LINES} |~ "order submitted: |fill: "', ""),), "logs"),
            Panel("Patterns found", ((f'{LINES} |= "pattern_detected"', ""),), "logs"),
            Panel("Pattern intents", ((f'{LINES} |= "pattern_intent"', ""),), "logs"),
            Panel(
                "Denied advice",
                ((f'{LINES} |= "llm_guard_denied" | json | event = "llm_guard_denied"', ""),),
                "logs",
                width=12,
            ),
            Panel(
                "Warnings and errors", (('{app="paperbot", level=~"warning|error|critical"}', ""),), "logs", width=12
            ),
        ),
    ),
)
"""The last row needs `docker-compose.loki.yml`; it is folded until somebody opens it."""


def metrics_of(promql: str) -> list[str]:
    """The metrics of the table that a query names, in its order."""
    words = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.sub(r'"[^"]*"', "", promql))
    names = [re.sub(r"_(bucket|sum|count)$", "", word) if word not in SPECS else word for word in words]
    return [name for name in dict.fromkeys(names) if name in SPECS]


def _says(panel: Panel) -> str:
    """What it shows, from the table."""
    known = [SPECS[name].help for query, _ in panel.queries for name in metrics_of(query)]
    beside = [says for name, says in SERVED_BESIDE.items() if any(name in query for query, _ in panel.queries)]
    counters = any(SPECS[name].kind == "counter" for query, _ in panel.queries for name in metrics_of(query))
    since = ["Counted from the bot's last start on."] if counters and "[" not in panel.queries[0][0] else []
    return " ".join(dict.fromkeys([*known, *beside, *since])) or "Recorded by config/rules/paperbot.yml."


def _unit(panel: Panel) -> str:
    names = [name for query, _ in panel.queries for name in metrics_of(query)]
    return panel.unit or (UNITS.get(SPECS[names[0]].unit, "short") if names else "short")


def _thresholds(steps: Sequence[Step]) -> ThresholdsConfig:
    known = [model.Threshold(value, color) for value, color in steps]
    return ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(known)


def _words(words: dict[str, tuple[str, str]]) -> list[model.ValueMapping]:
    options = {
        value: model.ValueMappingResult(text=text, color=color, index=rank)
        for rank, (value, (text, color)) in enumerate(words.items())
    }
    return [model.ValueMap(options)]


def _logs(panel: Panel, number: int) -> LogsPanel:
    built = LogsPanel().id(number).title(panel.title).datasource(LOKI).span(panel.width).height(HEIGHT)
    built.description("Lines of the bot, through Promtail and Loki (docker-compose.loki.yml).")
    built.show_time(show_time=True).wrap_log_message(wrap_log_message=True).sort_order(looks.LogsSortOrder.DESCENDING)
    for expr, _ in panel.queries:
        built.with_target(loki.Dataquery().ref_id("A").expr(expr).datasource(LOKI))
    return built


def _figures(panel: Panel, number: int) -> StatPanel | SeriesPanel:
    built: StatPanel | SeriesPanel
    if panel.kind == "stat":
        built = StatPanel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        built.color_mode(looks.BigValueColorMode.BACKGROUND if panel.steps else looks.BigValueColorMode.NONE)
        built.no_value("no data")
        built.text_mode(looks.BigValueTextMode.NAME if "info" in panel.queries[0][0] else looks.BigValueTextMode.AUTO)
    else:
        legend = common.VizLegendOptions().display_mode(looks.LegendDisplayMode.LIST).show_legend(show_legend=True)
        built = SeriesPanel().legend(legend.placement(looks.LegendPlacement.BOTTOM))
        built.line_width(2).fill_opacity(8).line_interpolation(looks.LineInterpolation.STEP_AFTER)
        if panel.steps:
            built.thresholds_style(common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED))
    built.id(number).title(panel.title).description(_says(panel)).datasource(PROMETHEUS)
    built.span(panel.width).height(HEIGHT).unit(_unit(panel))
    if panel.steps:
        built.thresholds(_thresholds(panel.steps))
    if panel.words:
        built.mappings(_words(panel.words))
    for rank, (expr, legend_format) in enumerate(panel.queries):
        query = prometheus.Dataquery().ref_id(chr(ord("A") + rank)).expr(expr).datasource(PROMETHEUS)
        if (
            panel.kind == "stat"
        ):  # What is now, or that nothing is known: the last value of a dead bot would look alive.
            query.instant()
        built.with_target(query.legend_format(legend_format or "__auto"))
    return built


def _variable(name: str, metric: str) -> QueryVariable:
    """Values of a label, all of them to begin with."""
    return (
        QueryVariable(name)
        .label(name.capitalize())
        .datasource(PROMETHEUS)
        .query(f"label_values({metric}, {name})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )


def dashboard() -> str:
    """The dashboard as JSON."""
    built = (
        Dashboard("Paperbot Overview")
        .uid("paperbot-overview")
        .description("What the paper-trading session decided, and how it is. Made from the table of metrics.")
        .tags(["paperbot"])
        .refresh("5s")
        .time("now-30m", "now")
        .timezone("utc")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(_variable("market", "paperbot_killswitch_active"))
        .with_variable(_variable("symbol", "candles_fetched_total"))
    )
    number = 0
    for title, panels in ROWS:
        number += 1
        row = Row(title).id(number)
        is_folded = title == "Logs"
        if not is_folded:
            built.with_row(row)
        for panel in panels:
            number += 1
            made = _logs(panel, number) if panel.kind == "logs" else _figures(panel, number)
            (row if is_folded else built).with_panel(made)
        if is_folded:
            built.with_row(row)
    return json.dumps(built.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(dashboard(), encoding="utf-8")
    print(PATH.relative_to(PATH.parents[3]))
