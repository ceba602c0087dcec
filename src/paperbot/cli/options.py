"""Shared by all commands: the command tree, common options, and printing of notes and answers."""

import json
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from paperbot import __version__
from paperbot.config import parse_assignment
from paperbot.errors import CommandError

if TYPE_CHECKING:
    from paperbot.environment import Environment
    from paperbot.market.files import Reading

DEFAULT_CONFIG = Path("config/config.yaml")
DATA = Path("data")

app = typer.Typer(
    name="paperbot",
    help="Paper trading whose numbers can be trusted: one engine for recorded and live data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _say_version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"paperbot {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda asked: _say_version(asked=asked),
            help="print the version and exit",
        ),
    ] = False,
) -> None:
    pass


config_app = typer.Typer(help="Show, check and create configurations.", no_args_is_help=True)
app.add_typer(config_app, name="config")
data_app = typer.Typer(help="Fetch, import, generate and check market data.", no_args_is_help=True)
app.add_typer(data_app, name="data")
drill_app = typer.Typer(help="Test the kill switch before you need it.", no_args_is_help=True)
app.add_typer(drill_app, name="drill")
venue_app = typer.Typer(help="Run a test venue on recorded data, and show venues' rules.", no_args_is_help=True)
app.add_typer(venue_app, name="venue")

session_app = typer.Typer(help="Repair a session, and show its strategy code.", no_args_is_help=True)
app.add_typer(session_app, name="session")

err = Console(stderr=True, highlight=False)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="configuration file; by default config/config.yaml where it exists")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="override a setting, such as risk.max_drawdown=0.1 (repeatable)"),
]
HoldOption = Annotated[
    float | None, typer.Option(min=0, help="seconds to keep /metrics up at the end; by default HOLD_METRICS_SECONDS")
]
OutOption = Annotated[Path, typer.Option("--out", help="folder of the artifacts and of sessions/")]
SessionOption = Annotated[
    str | None, typer.Option("--session", help="name of the session; by default the current one")
]
TrustOption = Annotated[
    bool, typer.Option("--trust", help="run the journal's strategy code even if you never ran it from your own files")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print only one JSON object on standard output")]


ResampleOption = Annotated[
    str | None, typer.Option("--resample", help="build longer bars from the files' own, such as 1h or 1M")
]
ColumnsOption = Annotated[
    str | None, typer.Option("--columns", help="names of columns, such as open_ts=Datum,volume=Umsatz")
]
TimeFormatOption = Annotated[
    str | None, typer.Option("--time-format", help="format of the files' times, such as '%d/%m/%Y %H:%M'")
]
TimezoneOption = Annotated[
    str | None, typer.Option("--timezone", help="zone of times without one, such as America/New_York; by default UTC")
]
VolumeUnitOption = Annotated[
    str | None, typer.Option("--volume-unit", help="what the volume counts: base (coins, shares) or quote (money)")
]


def reading(columns: str | None, time_format: str | None, timezone: str | None, volume_unit: str | None) -> "Reading":
    """The options about the files' layout. Raises CommandError."""
    from paperbot.market.files import Reading, parse_columns  # noqa: PLC0415
    from paperbot.timeframe import is_zone  # noqa: PLC0415

    if volume_unit not in {None, "base", "quote"}:
        raise CommandError(f"--volume-unit {volume_unit}: expected base or quote")
    if timezone is not None and not is_zone(timezone):
        raise CommandError(f"--timezone {timezone}: expected a time zone, such as UTC or America/New_York")
    return Reading(parse_columns(columns), time_format, timezone, volume_unit)


def config_path(given: Path | None) -> Path | None:
    """The given file, else config/config.yaml if it exists."""
    return given or (DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None)


def assignments(texts: Iterable[str] | None) -> list[dict[str, Any]]:
    """Parse each `--set` to a tree. Raises ConfigError."""
    return [parse_assignment(text) for text in texts or ()]


def environment_with(hold: float | None) -> "Environment":
    """The environment, with `hold` if it was given. Raises ConfigError."""
    from paperbot.environment import read_environment  # noqa: PLC0415

    environment = read_environment()
    return environment if hold is None else environment.model_copy(update={"hold_metrics_seconds": hold})


def note(text: str) -> None:
    """Print a note on standard error, as one line."""
    err.print(text, soft_wrap=True, markup=False)


def progress_bar(what: str, unit: str = "") -> Progress:
    """A progress bar that disappears at the end; shown on a terminal only."""
    parts = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn())
    rest = TimeRemainingColumn()
    return Progress(*parts, rest, console=err, transient=True, disable=not sys.stderr.isatty())


def working(what: str) -> AbstractContextManager[object]:
    """A status line while the work lasts; shown on a terminal only."""
    return err.status(what) if sys.stderr.isatty() else nullcontext()


def say_if_compiling() -> None:
    """Print a note if the core must be compiled first."""
    from paperbot.core.numeric import JIT, is_compiled  # noqa: PLC0415

    if JIT and not is_compiled():
        note("compiling the core for this machine (once; about half a minute)")


def tell(answer: dict[str, Any], *, as_json: bool) -> None:
    """Print an answer as one JSON object or as lines. Raises CommandError if it holds an error."""
    if as_json:
        typer.echo(json.dumps(answer))
        return
    out = Console(highlight=False, soft_wrap=True)
    if "error" in answer:
        raise CommandError(str(answer["error"]))
    for key, value in answer.items():
        if isinstance(value, list):
            out.print(f"{key}: {len(value) or 'none'}", markup=False)
            for row in value:
                cells = ", ".join(f"{name} {cell}" for name, cell in row.items() if cell is not None)
                out.print(f"  {cells}", markup=False)
        elif isinstance(value, dict):
            out.print(f"{key}: " + ", ".join(f"{name} {cell}" for name, cell in value.items()), markup=False)
        else:
            out.print(f"{key}: {'-' if value is None else value}", markup=False)
