"""The command `sweep`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from paperbot.cli.options import (
    ColumnsOption,
    ConfigOption,
    ResampleOption,
    SetOption,
    TimeFormatOption,
    TimezoneOption,
    VolumeUnitOption,
    app,
    assignments,
    config_path,
    note,
    progress_bar,
    reading,
    say_if_compiling,
)
from paperbot.errors import CommandError

if TYPE_CHECKING:
    from paperbot.research.sweep import SweepRequest, SweepResult

SHOWN = {
    "return_pct": "return %",
    "max_drawdown_pct": "drawdown %",
    "sharpe": "Sharpe",
    "profit_factor": "profit factor",
    "win_rate_pct": "won %",
    "round_trips": "round trips",
    "fees": "fees",
}
WIDEST = 10_000


@app.command()
def sweep(
    sources: Annotated[list[str], typer.Argument(metavar="SYMBOL=FILE…", help="bars of each symbol")],
    vary: Annotated[
        list[str],
        typer.Option(metavar="KEY=VALUES", help="a key with A,B,C or FROM:TO:STEP (repeatable)"),
    ],
    draws: Annotated[
        int | None, typer.Option("--random", min=1, help="number of sets to draw at random from the grid")
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of the random draw")] = 0,
    folds: Annotated[int, typer.Option(min=0, help="walk-forward folds; 0: run every set over all bars")] = 0,
    train: Annotated[float, typer.Option(help="share of a fold's time that is for training")] = 0.7,
    anchored: Annotated[bool, typer.Option("--anchored", help="begin all training windows at the first bar")] = False,
    objective: Annotated[
        str, typer.Option(help="the figure to optimize, such as return_pct or sharpe")
    ] = "return_pct",
    jobs: Annotated[int, typer.Option(min=0, help="number of threads; 0: one per processor")] = 0,
    ray: Annotated[
        str | None, typer.Option(help="run on the Ray cluster at this address; local: start one here")
    ] = None,
    digests: Annotated[bool, typer.Option("--digests", help="also compute each trial's digest (slower)")] = False,
    afresh: Annotated[bool, typer.Option("--new", help="discard an earlier sweep in the folder")] = False,
    out: Annotated[
        Path | None, typer.Option(help="folder for the results; by default a separate one in data/sweeps")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="number of rows in the table")] = 10,
    config: ConfigOption = None,
    strategy: Annotated[list[str] | None, typer.Option(help="run only this strategy (repeatable)")] = None,
    timeframe: Annotated[str | None, typer.Option(help="the files' timeframe, such as 5m")] = None,
    resample: ResampleOption = None,
    start: Annotated[str | None, typer.Option(help="begin at this time (UTC)")] = None,
    end: Annotated[str | None, typer.Option(help="end before this time (UTC)")] = None,
    cash: Annotated[
        list[str] | None, typer.Option(metavar="ASSET=AMOUNT", help="opening balance instead of the configured ones")
    ] = None,
    realism: Annotated[str | None, typer.Option(help="optimistic, realistic or pessimistic")] = None,
    columns: ColumnsOption = None,
    time_format: TimeFormatOption = None,
    timezone: TimezoneOption = None,
    volume_unit: VolumeUnitOption = None,
    set_: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="print only the best rows, as JSON")] = False,
) -> None:
    """Run many parameter sets over the same bars. An interrupted sweep continues when the command is repeated."""
    from paperbot.research.job import ReplayRequest  # noqa: PLC0415
    from paperbot.research.sweep import SweepRequest  # noqa: PLC0415

    overrides = [*assignments(set_), {"llm": {"provider": "off"}}]
    replay = ReplayRequest(
        sources=sources,
        config=config_path(config),
        strategies=strategy or None,
        timeframe=timeframe,
        resample=resample,
        start=start,
        end=end,
        cash=cash or (),
        realism=realism,
        overrides=overrides,
        reading=reading(columns, time_format, timezone, volume_unit),
    )
    request = SweepRequest(
        replay, vary, out, draws, seed, folds, train, anchored, objective, jobs, ray, digests, afresh
    )
    result, page = _watched(request)
    if as_json:
        typer.echo(json.dumps({"best": result.best(top), "folds": result.folds()}))
    else:
        _print(result, top, page)


def _watched(request: "SweepRequest") -> tuple["SweepResult", str]:
    """Run the sweep with a progress bar, and write its page. Returns the page's path, or why it was not written."""
    from paperbot.app.sweep import picture  # noqa: PLC0415
    from paperbot.research.sweep import sweep as run  # noqa: PLC0415

    say_if_compiling()
    with progress_bar("trials") as progress:
        task = progress.add_task("trials", total=None)
        result = run(request, note, lambda done, total: progress.update(task, completed=done, total=total))
    try:
        return result, str(picture(result, result.page))
    except CommandError as error:
        return result, str(error)


def _print(result: "SweepResult", top: int, page: str) -> None:
    out = Console(highlight=False)
    names = [axis.key for axis in result.axes]
    short = [name.rpartition(".")[2] for name in names]
    heads = [last if short.count(last) == 1 else name for last, name in zip(short, names, strict=True)]
    is_walk = any(row["part"] == "train" for row in result.rows)
    if is_walk:
        table = Table("fold", "part", *heads, *SHOWN.values(), title=f"walk-forward, chosen by {result.objective}")
    else:
        table = Table(*heads, *SHOWN.values(), title=f"best of {len(result.rows):,} by {result.objective}")
    for row in [row for pair in result.folds() for row in pair] if is_walk else result.best(top):
        first = [str(row["fold"]), row["part"]] if is_walk else []
        table.add_row(*first, *(str(row[name]) for name in names), *(_cell(row[name]) for name in SHOWN))
    if table.row_count:
        # As wide as the table needs: in a narrower console the numbers would be cut.
        width = out.measure(table, options=out.options.update(max_width=WIDEST)).maximum
        Console(highlight=False, width=max(width, out.width)).print(table)
    out.print(f"written: {result.path}, {page}", soft_wrap=True, markup=False)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
