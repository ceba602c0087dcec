"""What people read of the benchmark: the tables as Markdown, the chart as SVG."""

import math
import statistics

OURS = "paperbot_bars"


def markdown(result: dict) -> str:
    """All tables of a result (see `side_by_side.py`)."""
    libraries = ", ".join(f"{name} {number}" for name, number in result["libraries"].items())
    parts = [
        f"{'The short series only (`--quick`). ' if result['quick'] else ''}Measured on {result['date']}:"
        f" {result['machine']}, Python {result['python']}, {libraries}."
    ]
    if result["absent"]:
        parts.append(f"\nNot installed here: {', '.join(result['absent'])}.")
    parts += [f"\nFailed: {what}: {said}." for what, said in result["failed"].items()]
    for size in sorted({row["bars"] for row in result["rows"]}):
        parts += [_side_by_side(result["rows"], job, size) for job in ("sma", "rsi")]
    if result["sweeps"]:
        parts.append(_sweeps(result["sweeps"]))
    if result["growth"]:
        parts.append(_growth(result["growth"]))
    if result["starts"]:
        parts.append("\n**Starts**\n\n| what | s, median | min | max |\n|---|--:|--:|--:|")
        parts += [
            f"| {row['what']} | {row['s']:.2f} | {row['min']:.2f} | {row['max']:.2f} |" for row in result["starts"]
        ]
    return "\n".join(parts) + "\n"


def _side_by_side(rows: list[dict], job: str, size: int) -> str:
    mine = sorted((row for row in rows if (row["job"], row["bars"]) == (job, size)), key=lambda row: -row["bars_per_s"])
    ours = next((row for row in mine if row["script"] == OURS), None)
    lines = [
        f"\n**{job.upper()}, {size:,} bars**\n",
        "| engine | bars/s, median (min to max of all rounds) | Paperbot is … times as fast | import s | first run s"
        " | to the first result s | MB | entries, exits and final equity |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in mine:
        slowest, fastest = short(size / row["slowest_s"]), short(size / row["fastest_s"])
        lines.append(
            f"| {row['peer']} {row['version']} | {short(row['bars_per_s'])} ({slowest} to {fastest}) | {_times(row, ours)}"
            f" | {row['import_s']:.1f} | {row['first_run_s']:.2f} | {row['first_result_s']:.1f}"
            f" | {row['peak_rss_mb']:.0f} | {_verdict(row)} |"
        )
    return "\n".join(lines)


def _times(row: dict, ours: dict | None) -> str:
    """Ratios of processes that ran next to each other."""
    if ours is None:
        return "-"
    ratios = [
        seconds / ours["seconds"][number] for number, seconds in row["seconds"].items() if number in ours["seconds"]
    ]
    if not ratios:
        return "-"
    return f"{statistics.median(ratios):.2g} ({min(ratios):.2g} to {max(ratios):.2g})"


def _verdict(row: dict) -> str:
    if row["comparable"]:
        return f"agree to {row['off']:.0e}"
    if row["off"] is None:
        return "NOT COMPARED: the oracle did not run"
    return f"NOT COMPARABLE: {row['entries']} entries, {row['exits']} exits, equity off by {row['off']:.0e}"


def short(rate: float) -> str:
    return f"{rate / 1e6:.3g} M" if rate >= 1e6 else f"{rate / 1e3:.3g} k"


def _sweeps(rows: list[dict]) -> str:
    lines = [
        "\n**500 pairs of means over 500,000 bars**\n",
        "| engine | processors | s | import and warm-up s | MB | final equities |",
        "|---|--:|--:|--:|--:|---|",
    ]
    lines += [
        f"| {row['peer']} | {row['jobs']} | {row['engine_s']:.1f} | {row['import_s'] + row['warm_up_s']:.1f}"
        f" | {row['peak_rss_mb']:.0f} | {row['agree']} of {row['pairs']} agree to 1e-06, the furthest to {row['off']:.0e} |"
        for row in rows
    ]
    return "\n".join(lines)


def _growth(rows: list[dict]) -> str:
    lines = ["\n**What a bar costs in Paperbot, and how that grows**\n", "| what | ns a bar, median | min | max | MB |"]
    lines.append("|---|--:|--:|--:|--:|")
    lines += [
        f"| {row['what']} | {row['ns']:.0f} | {row['min']:.0f} | {row['max']:.0f} | {row['mb']:.0f} |" for row in rows
    ]
    return "\n".join(lines)


def chart(rows: list[dict], size: int) -> str:
    """Bars per second of the SMA job, as an SVG with a logarithmic scale; what is not comparable is left out."""
    mine = [row for row in rows if (row["job"], row["bars"]) == ("sma", size) and row["comparable"]]
    mine.sort(key=lambda row: -row["bars_per_s"])
    low, high = 3.0, 9.0
    lines = []
    for place, row in enumerate(mine):
        y = 40 + 26 * place
        width = (math.log10(row["bars_per_s"]) - low) / (high - low) * 420
        color = "#2a9d8f" if row["script"] == OURS else "#8d99ae"
        lines.append(f'<text x="215" y="{y + 13}" text-anchor="end">{row["peer"]}</text>')
        lines.append(f'<rect x="225" y="{y}" width="{max(width, 1):.0f}" height="18" fill="{color}"/>')
        lines.append(f'<text x="{230 + width:.0f}" y="{y + 13}">{short(row["bars_per_s"])}</text>')
    body = "\n".join(lines)
    title = f"Bars a second, SMA 20/50, {size:,} bars (logarithmic)"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="740" height="{60 + 26 * len(mine)}" font-family="sans-serif"'
        f' font-size="13"><text x="20" y="22" font-weight="bold">{title}</text>\n{body}\n</svg>\n'
    )
