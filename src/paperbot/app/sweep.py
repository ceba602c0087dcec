"""Writes the page about a sweep."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paperbot.errors import CommandError
from paperbot.research.sweep import SweepResult
from paperbot.research.trials import ERROR
from paperbot.store.durable import write_whole
from paperbot.web.model import SweepPage

Row = dict[str, Any]
TOP = 50


def picture(result: SweepResult, out: Path) -> Path:
    """Write the page about a sweep. Raises CommandError without plotly, OutputError when it cannot be written."""
    try:
        from paperbot.web.page import render_sweep  # noqa: PLC0415
    except ImportError:
        raise CommandError("the page needs plotly: pip install 'paperbot[report]'") from None
    shown: dict[int, list[Row]] = {}
    for row in result.rows:
        if row["part"] != "test":
            shown.setdefault(row["set"], []).append(row)
    folds = result.folds()
    is_walk = any(row["part"] == "train" for row in result.rows)
    tables = {"Best": result.best(TOP)} if not is_walk else {}
    for train, test in folds:
        tables[f"Fold {train['fold']}: chosen in training, then tested"] = [train, test]
    failed = [f"{len(result.failed):,} trials failed; the first: {result.failed[0][ERROR]}"] if result.failed else []
    page = SweepPage(
        title=f"Paperbot: {len(result.rows):,} trials",
        axes={axis.key: [rows[0][axis.key] for rows in shown.values()] for axis in result.axes},
        objective_name=f"{result.objective}, mean of the training windows" if is_walk else result.objective,
        objective=[_mean([row[result.objective] for row in rows]) for rows in shown.values()],
        tables={
            heading: [{key: value for key, value in row.items() if key != ERROR} for row in rows]
            for heading, rows in tables.items()
        },
        notes=[WARNING, *failed],
    )
    write_whole(out, render_sweep(page).encode())
    return out


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


WARNING = "The best of many sets is partly luck: trust its walk-forward tests rather than its own figure."
