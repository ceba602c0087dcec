"""Commands that work without a venue: replay, demo, report, drill, configuration and data files."""

import json
import textwrap
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from paperbot.cli.options import (
    DEFAULT_CONFIG,
    ColumnsOption,
    ConfigOption,
    HoldOption,
    JsonOption,
    ResampleOption,
    SetOption,
    TimeFormatOption,
    TimezoneOption,
    TrustOption,
    VolumeUnitOption,
    app,
    assignments,
    config_app,
    config_path,
    data_app,
    drill_app,
    environment_with,
    note,
    progress_bar,
    reading,
    say_if_compiling,
    working,
)
from paperbot.cli.summary import print_summary
from paperbot.config import SHIPPED, ConfigFiles, load, shipped, show
from paperbot.environment import known_secrets
from paperbot.errors import CommandError
from paperbot.redact import Redactor

if TYPE_CHECKING:
    from paperbot.app.drill import DrillResult

DRILL_FOLDER = Path("data/drill")


@app.command()
def replay(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SYMBOL=FILE…", help="bars of each symbol; synthetic:SEED:BARS generates them"),
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", help="run this live session again from its journal, instead of files")
    ] = None,
    sessions: Annotated[Path, typer.Option(help="the --out folder of the live session")] = Path("data"),
    out: Annotated[Path, typer.Option(help="folder for the artifacts")] = Path("data"),
    config: ConfigOption = None,
    strategy: Annotated[list[str] | None, typer.Option(help="run only this strategy (repeatable)")] = None,
    timeframe: Annotated[str | None, typer.Option(help="the files' timeframe, such as 5m")] = None,
    resample: ResampleOption = None,
    start: Annotated[str | None, typer.Option(help="begin at this time (UTC); earlier bars are the warm-up")] = None,
    end: Annotated[str | None, typer.Option(help="end before this time (UTC)")] = None,
    cash: Annotated[
        list[str] | None, typer.Option(metavar="ASSET=AMOUNT", help="opening balance instead of the configured ones")
    ] = None,
    realism: Annotated[str | None, typer.Option(help="optimistic, realistic or pessimistic")] = None,
    chunk: Annotated[int, typer.Option(min=0, help="events per call of the core; 0: a whole batch")] = 0,
    advice: Annotated[
        Path | None, typer.Option(help="recorded answers of the advisor, such as an earlier run's advice.jsonl")
    ] = None,
    columns: ColumnsOption = None,
    time_format: TimeFormatOption = None,
    timezone: TimezoneOption = None,
    volume_unit: VolumeUnitOption = None,
    set_: SetOption = None,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run recorded bars through the engine; writes trades, ledger, orders, round_trips and blocked as Parquet."""
    if session is not None:
        _replay_session(sessions, session, out, has_sources=bool(sources), trust=trust, as_json=as_json)
        return
    if not sources:
        raise CommandError("expected SYMBOL=FILE, or --session NAME")
    from paperbot.app.replay import replay as run  # noqa: PLC0415
    from paperbot.research.job import ReplayRequest  # noqa: PLC0415

    request = ReplayRequest(
        sources=sources,
        config=config_path(config),
        out=out,
        strategies=strategy or None,
        timeframe=timeframe,
        resample=resample,
        start=start,
        end=end,
        cash=cash or (),
        realism=realism,
        chunk=chunk,
        overrides=assignments(set_),
        advice=advice,
        reading=reading(columns, time_format, timezone, volume_unit),
    )
    with progress_bar("replay", "bars") as bar:
        say_if_compiling()
        result = run(request, say=note, collectors=[_Ticker(bar)])
    if as_json:
        typer.echo(json.dumps(result.summary))
    else:
        print_summary(result)


def _replay_session(
    sessions: Path, session: str, out: Path, *, has_sources: bool, trust: bool, as_json: bool
) -> None:
    from paperbot.live.verify import replay_session  # noqa: PLC0415

    if has_sources:
        raise CommandError("--session and SYMBOL=FILE cannot be combined")
    say_if_compiling()
    with working("running the session again"):
        answer = replay_session(sessions, session, out, trusted=trust)
    typer.echo(json.dumps(answer) if as_json else "\n".join(f"{key}: {value}" for key, value in answer.items()))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="folder for the artifacts")] = Path("data"),
    config: ConfigOption = None,
    hold: HoldOption = None,
    set_: SetOption = None,
) -> None:
    """Run the offline demo: the real engine on a synthetic market, logged line by line. All runs are identical."""
    from paperbot.app.demo import DemoRequest  # noqa: PLC0415
    from paperbot.app.demo import demo as run  # noqa: PLC0415

    environment = environment_with(hold)
    say_if_compiling()
    overrides = assignments(set_)
    # Without a checkout, the shipped configuration gives the demo that the runbook describes.
    chosen = config_path(config) or shipped(DEFAULT_CONFIG)
    run(DemoRequest(environment, chosen, out, overrides), say=note, present=print_summary)


@app.command()
def report(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SYMBOL=FILE…", help="bars to draw instead of those that the run stored"),
    ] = None,
    data: Annotated[Path, typer.Option(help="folder with the run's artifacts")] = Path("data"),
    out: Annotated[Path | None, typer.Option(help="the page to write; by default report.html in --data")] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Write one self-contained HTML page about a run, with charts and tables, from its artifacts."""
    from paperbot.app.report import ReportRequest  # noqa: PLC0415
    from paperbot.app.report import report as run  # noqa: PLC0415

    request = ReportRequest(data, out or data / "report.html", sources or (), config_path(config), assignments(set_))
    with working("drawing the page"):
        page = run(request, say=note)
    typer.echo(page)


@drill_app.command("killswitch")
def drill_killswitch(
    out: Annotated[Path, typer.Option(help="folder for the saved state")] = DRILL_FOLDER,
    config: ConfigOption = None,
    hold: HoldOption = None,
    set_: SetOption = None,
) -> None:
    """Cause a loss in the engine until the kill switch trips, show that orders are blocked, and save the halt."""
    from paperbot.app.drill import DrillRequest, trip  # noqa: PLC0415

    request = DrillRequest(environment_with(hold), config_path(config), out, assignments(set_))
    say_if_compiling()
    trip(request, note, _print_drill)


@drill_app.command("reload")
def drill_reload(
    out: Annotated[Path, typer.Option(help="folder of the saved state")] = DRILL_FOLDER,
    resume: Annotated[bool, typer.Option("--resume", help="lift the halt first, and save the new state")] = False,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Load the drill's saved state and send an order: it is blocked unless a RESUME event has lifted the halt."""
    from paperbot.app.drill import DrillRequest, reload  # noqa: PLC0415

    request = DrillRequest(environment_with(0), config_path(config), out, assignments(set_))
    say_if_compiling()
    reload(request, note, _print_drill, resume=resume)


def _print_drill(result: "DrillResult") -> None:
    state = "not halted" if result.halted == "none" else f"halted ({result.halted})"
    typer.echo(
        f"kill switch: {state}; trips: {result.trips}; orders blocked by it here: {result.blocked};"
        f" state: {result.state}"
    )


WIDTH = 100
"""The width of `config show`, in characters."""


class _Ticker:
    """A watcher that advances a progress bar."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("replay", total=None)

    def events(self, events: Any) -> None:
        self._bar.advance(self._task, len(events))

    def records(self, records: Any) -> None:
        """Ignored: only events advance the bar."""


@config_app.command("show")
def config_show(
    symbols: Annotated[
        list[str] | None, typer.Argument(help="symbols whose market keys to show; by default the configured ones")
    ] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Print every key with its value and origin. Secrets are masked."""
    configuration = load(config_path(config), assignments(set_))
    profiles = f"{SHIPPED / 'config'}/"
    entries = show(configuration, symbols or configuration.settings.symbols)
    masked = Redactor(known_secrets())  # Masked before wrapping: half a secret would not be recognised.
    rows = [(key, masked(value), masked(origin.replace(profiles, ""))) for key, value, origin in entries]
    first = max(len(key) for key, _, _ in rows)
    last = min(max(len(origin) for _, _, origin in rows), WIDTH // 3)
    room = WIDTH - first - last - 4
    for key, value, origin in rows:
        lines = textwrap.wrap(value, room, break_on_hyphens=False) or [""]
        ends = textwrap.wrap(origin, last, break_on_hyphens=False)
        for name, line, end in zip_longest([key], lines, ends, fillvalue=""):
            typer.echo(f"{name:{first}}  {line:{room}}  {end}".rstrip())


@config_app.command("init")
def config_init(
    folder: Annotated[Path, typer.Argument(help="folder in which to create config/ and strategies/")] = Path(),
) -> None:
    """Write a commented config/config.yaml and two example strategies; no file is overwritten."""
    from paperbot.app.init import init  # noqa: PLC0415

    for path in init(folder):
        typer.echo(f"written: {path}")


@config_app.command("check")
def config_check(config: ConfigOption = None, set_: SetOption = None) -> None:
    """Check the configuration, and that a session can be planned from it."""
    from paperbot.live.link import live_configuration, live_plan  # noqa: PLC0415

    plan = live_plan(live_configuration(ConfigFiles(config_path(config)), assignments(set_)))
    typer.echo(f"the configuration is valid: {len(plan.symbols)} symbols, {len(plan.strategies)} strategies")


@data_app.command("import")
def data_import(
    files: Annotated[list[Path], typer.Argument(help="files of one symbol, such as a year of archives")],
    symbol: Annotated[str, typer.Option(help="BASE/QUOTE")],
    out: Annotated[Path, typer.Option(help="the Parquet file to write")],
    timeframe: Annotated[str | None, typer.Option(help="the files' timeframe, such as 1M or 1d@Europe/Berlin")] = None,
    columns: ColumnsOption = None,
    time_format: TimeFormatOption = None,
    timezone: TimezoneOption = None,
    volume_unit: VolumeUnitOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Convert bars of any layout to Paperbot's own Parquet; several files are joined, and anomalies are reported."""
    from paperbot.research.importing import ImportRequest, import_bars  # noqa: PLC0415

    request = ImportRequest(files, symbol, out, timeframe, reading(columns, time_format, timezone, volume_unit))
    with progress_bar("import", "files") as progress:
        task = progress.add_task("import", total=len(files))
        report = import_bars(request, note, lambda done, total: progress.update(task, completed=done, total=total))
    if as_json:
        typer.echo(json.dumps(report))
        return
    repeated = f", {report['repeated']} duplicate rows" if report["repeated"] else ""
    span = f"{report['first']} to {report['last']}"
    typer.echo(f"{out}: {report['bars']} bars of {report['timeframe']}, {span}{repeated}")
    _print_findings(report["findings"])


@data_app.command("synthetic")
def data_synthetic(
    seed: Annotated[int, typer.Argument(min=0, help="seed of the market; the same seed gives the same bars")],
    bars: Annotated[int, typer.Argument(min=1, help="number of bars")],
    out: Annotated[Path, typer.Option(help="the Parquet file to write")],
    symbol: Annotated[str, typer.Option(help="BASE/QUOTE; prices are multiples of its tick")] = "BTC/USDT",
    timeframe: Annotated[str, typer.Option(help="length of a bar")] = "1m",
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Write the bars of a synthetic market (synthetic:SEED:BARS) to a file."""
    from paperbot.research.importing import SyntheticRequest, write_synthetic  # noqa: PLC0415

    request = SyntheticRequest(seed, bars, out, symbol, timeframe, config_path(config), assignments(set_))
    typer.echo(write_synthetic(request, note))


@data_app.command("check")
def data_check(
    file: Annotated[Path, typer.Argument(help="Parquet or CSV file of bars")],
    timeframe: Annotated[str | None, typer.Option(help="the file's timeframe; by default its most common step")] = None,
    decimals: Annotated[int, typer.Option(min=0, max=18, help="price_decimals that its prices should fit")] = 8,
    columns: ColumnsOption = None,
    time_format: TimeFormatOption = None,
    timezone: TimezoneOption = None,
    volume_unit: VolumeUnitOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Report anomalies in a file of bars, without changing the file."""
    from paperbot.app.replay import check_file  # noqa: PLC0415

    with working(f"reading {file.name}"):
        report = check_file(file, timeframe, decimals, reading(columns, time_format, timezone, volume_unit))
    if as_json:
        typer.echo(json.dumps(report))
        return
    out = Console(highlight=False)
    for line in [report["layout"], *report["notes"]]:
        out.print(line, soft_wrap=True, markup=False)
    out.print(f"{file}: {report['rows']} bars of {report['timeframe']}, {report['first']} to {report['last']}")
    _print_findings(report["findings"])


def _print_findings(findings: list[dict[str, Any]]) -> None:
    out = Console(highlight=False)
    table = Table("anomaly", "count", "examples", box=None, pad_edge=False)
    for finding in findings:
        where = "; ".join([*finding["examples"], *([finding["detail"]] if finding["detail"] else [])])
        table.add_row(finding["kind"], str(finding["count"]), where)
    out.print(table if findings else "no anomalies")
