"""Renders a self-contained HTML page about a run or a sweep: tables, and charts drawn by plotly.js.

The page contains plotly.js and loads nothing, so it opens without a network. Names and codes from configurations and
files are escaped.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from paperbot.web.model import Market, Page, SweepPage

GREEN, RED, BLUE, AMBER, DARK = "#2a9d8f", "#d1495b", "#30638e", "#edae49", "#1d2733"
MONEY_DIGITS = 2
NOTHING = "&ndash;"
MAP_AXES = 2


def _equity(page: Page) -> go.Figure:
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.7, 0.3], vertical_spacing=0.04)
    figure.add_scatter(
        x=page.equity.ts, y=page.equity.values, name="equity", line={"color": BLUE, "shape": "hv"}, row=1, col=1
    )
    figure.add_scatter(
        x=page.drawdown.ts,
        y=-100.0 * page.drawdown.values,
        name="drawdown, %",
        line={"color": RED, "shape": "hv"},
        fill="tozeroy",
        row=2,
        col=1,
    )
    figure.update_yaxes(title_text="equity", row=1, col=1)
    figure.update_yaxes(title_text="drawdown, %", row=2, col=1)
    return figure


def _market(market: Market) -> go.Figure:
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.8, 0.2], vertical_spacing=0.03)
    candles = market.candles
    figure.add_candlestick(
        x=candles["open_ts"],
        **{name: candles[name] for name in ("open", "high", "low", "close")},
        name="price",
        increasing={"line": {"color": GREEN, "width": 1}},
        decreasing={"line": {"color": RED, "width": 1}},
        row=1,
        col=1,
    )
    volume = {"color": np.where(candles["close"] < candles["open"], RED, GREEN), "line": {"width": 0}}
    figure.add_bar(x=candles["open_ts"], y=candles["volume"], name="volume", marker=volume, row=2, col=1)
    figure.update_layout(xaxis={"rangeslider": {"visible": False}})
    figure.update_yaxes(title_text="price", row=1, col=1)
    figure.update_yaxes(title_text="volume", row=2, col=1)
    for won, label in ((True, "won"), (False, "lost")):
        chosen = [trip for trip in market.trips if trip[4] is won]
        x = [moment for entry, leave, _, _, _ in chosen for moment in (entry, leave, None)]
        y = [price for _, _, entry, leave, _ in chosen for price in (entry, leave, None)]
        if chosen:
            figure.add_scatter(
                x=x,
                y=y,
                name=f"round trips that {label}",
                mode="lines",
                line={"color": BLUE if won else AMBER, "width": 2, "dash": "dot"},
                row=1,
                col=1,
            )
    for marks, label, color, symbol in (
        (market.buys, "buy", GREEN, "triangle-up"),
        (market.sells, "sell", RED, "triangle-down"),
    ):
        figure.add_scatter(
            x=marks.ts,
            y=marks.price,
            name=label,
            mode="markers",
            marker={"color": color, "symbol": symbol, "size": 11, "line": {"color": DARK, "width": 1}},
            text=[html.escape(text) for text in marks.says],
            hovertemplate="%{text}<extra></extra>",
            row=1,
            col=1,
        )
    return figure


def _bars(x: Any, y: Any, colors: Any, title: str) -> go.Figure:
    figure = go.Figure(go.Bar(x=[html.escape(str(label)) for label in x], y=y, marker={"color": colors}, name=title))
    figure.update_xaxes(type="category", nticks=20)
    figure.update_yaxes(title_text=title)
    return figure


def _figures(page: Page) -> list[tuple[str, go.Figure, int]]:
    """The figures of a page: (heading, figure, height in px)."""
    figures = [("Equity and drawdown", _equity(page), 460)]
    figures += [(f"{market.symbol}: price and fills", _market(market), 520) for market in page.markets]
    change = page.days["equity"]
    colors = np.where(change < 0, RED, GREEN)
    figures.append(("Per day", _bars(page.days["day"], change, colors, "change of equity"), 300))
    fees = go.Figure(go.Scatter(x=page.fees.ts, y=page.fees.values, name="fees", line={"color": AMBER, "shape": "hv"}))
    fees.update_yaxes(title_text="fees so far")
    figures.append(("Fees", fees, 300))
    if page.blocked:
        names, counts = list(page.blocked), list(page.blocked.values())
        figures.append(("Blocked orders", _bars(names, counts, AMBER, "orders"), 300))
    return figures


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:,.{MONEY_DIGITS}f}"
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    if isinstance(value, Mapping):
        return "<br>".join(f"{_cell(amount)} {html.escape(str(name))}" for name, amount in value.items()) or NOTHING
    return html.escape(str(value))


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row.values()) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1d2733; background: #fff; margin: 0 auto; padding: 1.5rem;
       max-width: 1180px; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #dfe4ea; padding-bottom: .25rem; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: .75rem; margin: 0; }
dl div { background: #f5f7f9; border-radius: 6px; padding: .5rem .75rem; }
dt { font-size: .8rem; color: #5b6775; }
dd { margin: 0; font-variant-numeric: tabular-nums; font-weight: 600; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #e6eaee; vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
.facts th, .facts td { text-align: left; border: 0; font-weight: 400; padding: .1rem .6rem .1rem 0; }
.facts th { color: #5b6775; white-space: nowrap; width: 1%; }
.facts td { overflow-wrap: anywhere; }
.scroll { overflow: auto; max-height: 30rem; }
.note { color: #5b6775; font-size: .9rem; }
"""


def _drawn(figures: Sequence[tuple[str, go.Figure, int]]) -> list[str]:
    """Draw each figure (heading, figure, height in px) as HTML."""
    parts = []
    for number, (heading, figure, height) in enumerate(figures):
        figure.update_layout(
            template="plotly_white",
            height=height,
            margin={"l": 60, "r": 20, "t": 10, "b": 40},
            legend={"orientation": "h", "y": -0.12},
            hovermode="closest",
        )
        figure.update_yaxes(exponentformat="none", separatethousands=True)
        drawn = figure.to_html(
            full_html=False, include_plotlyjs=False, div_id=f"figure-{number}", config={"displaylogo": False}
        )
        parts.append(f"<h2>{html.escape(heading)}</h2>\n{drawn}")
    return parts


def _document(title: str, head: str, parts: Sequence[str], notes: Sequence[str]) -> str:
    footnotes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in notes)
    body = "\n".join(parts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title>
<style>{STYLE}</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
<h1>{html.escape(title)}</h1>
{head}
{footnotes}
{body}
</body>
</html>
"""


def _titled(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    return [
        f'<h2>{html.escape(heading)}</h2>\n<div class="scroll">{_table(rows)}</div>' for heading, rows in tables.items()
    ]


def render(page: Page) -> str:
    """Render the page about a run as HTML."""
    figures = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{_cell(value)}</dd></div>" for name, value in page.statistics.items()
    )
    rows = [f"<tr><th>{html.escape(name)}</th><td>{_cell(words)}</td></tr>" for name, words in page.facts.items()]
    head = f'<table class="facts">{"".join(rows)}</table>\n<h2>Statistics</h2>\n<dl>{figures}</dl>'
    return _document(page.title, head, [*_drawn(_figures(page)), *_titled(page.tables)], page.notes)


def _landscape(page: SweepPage) -> go.Figure:
    """The objective over the varied keys: a line for one, a heat map for two, parallel coordinates for more."""
    scale = "Viridis"
    if len(page.axes) == 1:
        ((name, values),) = page.axes.items()
        figure = go.Figure(go.Scatter(x=list(values), y=page.objective, mode="lines+markers", line={"color": BLUE}))
        figure.update_xaxes(title_text=name)
        figure.update_yaxes(title_text=page.objective_name)
        return figure
    if len(page.axes) == MAP_AXES:
        (across, x), (up, y) = page.axes.items()
        columns, lines = sorted(set(x), key=_place), sorted(set(y), key=_place)
        z = np.full((len(lines), len(columns)), np.nan)
        for a, b, value in zip(x, y, page.objective, strict=True):
            z[lines.index(b), columns.index(a)] = np.nan if value is None else value
        figure = go.Figure(
            go.Heatmap(
                x=[str(value) for value in columns],
                y=[str(value) for value in lines],
                z=z,
                colorscale=scale,
                colorbar={"title": page.objective_name},
            )
        )
        figure.update_xaxes(title_text=across, type="category")
        figure.update_yaxes(title_text=up, type="category")
        return figure
    dimensions = []
    for name, values in page.axes.items():
        choices = sorted(set(values), key=_place)
        ticks = {"tickvals": list(range(len(choices))), "ticktext": [str(value) for value in choices]}
        dimensions.append({"label": name, "values": [choices.index(value) for value in values], **ticks})
    shown = [np.nan if value is None else value for value in page.objective]
    dimensions.append({"label": page.objective_name, "values": shown})
    return go.Figure(go.Parcoords(line={"color": shown, "colorscale": scale}, dimensions=dimensions))


def _place(value: Any) -> tuple[bool, float, str]:
    """A sort key: numbers by size, then words in alphabetical order."""
    is_number = isinstance(value, int | float)
    return not is_number, float(value) if is_number else 0.0, str(value)


def render_sweep(page: SweepPage) -> str:
    """Render the page about a sweep as HTML."""
    figures = [(f"{page.objective_name} over the varied keys", _landscape(page), 520)]
    return _document(page.title, "", [*_drawn(figures), *_titled(page.tables)], page.notes)
