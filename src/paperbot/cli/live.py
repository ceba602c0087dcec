"""Commands for live sessions and for venues."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from paperbot.cli.options import (
    DATA,
    ConfigOption,
    HoldOption,
    JsonOption,
    OutOption,
    SessionOption,
    SetOption,
    TrustOption,
    app,
    assignments,
    config_path,
    data_app,
    environment_with,
    note,
    progress_bar,
    say_if_compiling,
    tell,
    venue_app,
    working,
)
from paperbot.errors import CommandError
from paperbot.knobs import duration_s

EXIT_UNHEALTHY = 1


@app.command()
def run(
    out: OutOption = DATA,
    config: ConfigOption = None,
    session: Annotated[str | None, typer.Option(help="name of the session; by default the current one")] = None,
    new: Annotated[bool, typer.Option("--new", help="start a new session; the old one is kept")] = False,
    for_: Annotated[
        str | None, typer.Option("--for", help="stop after this long, such as 10m; by default run.duration_s")
    ] = None,
    until: Annotated[str | None, typer.Option(help="stop after the slice that closes at this time (UTC)")] = None,
    hold: HoldOption = None,
    cash: Annotated[
        list[str] | None, typer.Option(metavar="ASSET=AMOUNT", help="opening balance instead of the configured ones")
    ] = None,
    set_: SetOption = None,
    trust: TrustOption = False,
) -> None:
    """Paper-trade on live bars, continuing the session from its durable state. Ctrl-C or SIGTERM stops it cleanly."""
    from paperbot.app.run import run_live  # noqa: PLC0415
    from paperbot.clock import parse_time  # noqa: PLC0415
    from paperbot.live.start import LiveRequest  # noqa: PLC0415

    say_if_compiling()
    request = LiveRequest(
        environment=environment_with(hold),
        config=config_path(config),
        cash=cash or (),
        out=out,
        overrides=assignments(set_),
        session=session,
        new=new,
        duration_s=_seconds(for_, "--for"),
        until_ns=parse_time(until, "--until"),
        trusted=trust,
    )
    run_live(request, note)


def _seconds(text: str | None, option: str) -> float | None:
    try:
        return None if text is None else float(duration_s(text))
    except ValueError as error:
        raise CommandError(f"{option}: {error}") from None


@app.command()
def halt(
    out: OutOption = DATA, session: SessionOption = None, trust: TrustOption = False, as_json: JsonOption = False
) -> None:
    """Halt trading, except for exits. It takes effect at once and durably, whether the session is running or not."""
    from paperbot.app.sessions import command_session  # noqa: PLC0415

    tell(command_session(out, session, "halt", trusted=trust), as_json=as_json)


@app.command()
def resume(
    out: OutOption = DATA, session: SessionOption = None, trust: TrustOption = False, as_json: JsonOption = False
) -> None:
    """Lift a halt; from then on, losses are measured from the current equity."""
    from paperbot.app.sessions import command_session  # noqa: PLC0415

    tell(command_session(out, session, "resume", trusted=trust), as_json=as_json)


@app.command()
def doctor(
    out: OutOption = DATA, config: ConfigOption = None, set_: SetOption = None, as_json: JsonOption = False
) -> None:
    """Check what a live session needs: clock, disk, port, configuration, credentials, venue, journal."""
    from paperbot.app.doctor import check_venue  # noqa: PLC0415
    from paperbot.app.doctor import doctor as examine  # noqa: PLC0415

    overrides = assignments(set_)
    results = examine(environment_with(None), config_path(config), out, overrides)
    with working("asking the venue"):
        results.append(check_venue(config_path(config), overrides))
    if as_json:
        typer.echo(json.dumps([{"what": what, "well": passed, "words": words} for what, passed, words in results]))
    else:
        for subject, passed, details in results:
            typer.echo(f"{'ok' if passed else 'FAILED':7}{subject}: {details}")
    if not all(passed for _, passed, _ in results):
        sys.exit(EXIT_UNHEALTHY)


@app.command()
def healthcheck(
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds to wait for an answer")] = 5.0,
) -> None:
    """Exit 0 when the bot of this environment answers at /metrics; for containers."""
    from paperbot.app.health import healthcheck as check  # noqa: PLC0415

    typer.echo(f"{check(environment_with(None), timeout)} answers")


@data_app.command("fetch")
def data_fetch(
    symbol: Annotated[str, typer.Argument(help="BASE/QUOTE")],
    since: Annotated[str, typer.Option(help="fetch bars from this time on (UTC)")],
    timeframe: Annotated[str, typer.Option(help="length of a bar")] = "1m",
    until: Annotated[
        str | None, typer.Option(help="fetch bars that close by this time (UTC); by default now")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Parquet file; by default data/bars/BASEQUOTE_TIMEFRAME.parquet")
    ] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a venue's final bars to a Parquet file for replay; an existing file is continued."""
    from paperbot.app.fetch import FetchRequest, fetch  # noqa: PLC0415
    from paperbot.clock import parse_time  # noqa: PLC0415

    _seconds(timeframe, "--timeframe")
    file = out or DATA / "bars" / f"{symbol.replace('/', '')}_{timeframe}.parquet"
    since_ns = parse_time(since, "--since") or 0
    request = FetchRequest(
        symbol, timeframe, since_ns, parse_time(until, "--until"), file, config_path(config), assignments(set_)
    )
    with progress_bar("fetch", "bars") as bar:
        task = bar.add_task("fetch", total=None)
        answer = fetch(request, note, lambda done, total: bar.update(task, completed=done, total=total))
    tell(answer, as_json=as_json)


@venue_app.command("filters")
def venue_filters(
    symbols: Annotated[list[str] | None, typer.Argument(metavar="SYMBOL…", help="default: the configured ones")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="fetch them from the venue first")] = False,
    config: ConfigOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the venue's instrument rules (tick, step, limits), which replays use; --refresh fetches them."""
    from paperbot.app.filters import FiltersRequest, filters  # noqa: PLC0415

    answer = filters(FiltersRequest(symbols or (), refresh, config_path(config), assignments(set_)), note)
    if as_json:
        typer.echo(json.dumps(answer))
        return
    typer.echo(f"{answer['file']}, fetched {answer['fetched']}")
    for symbol, rules in answer["symbols"].items():
        typer.echo(f"{symbol}: " + ", ".join(f"{key} {value}" for key, value in rules.items()))


@venue_app.command("serve")
def venue_serve(
    sources: Annotated[list[str], typer.Argument(metavar="SYMBOL=FILE…", help="recorded bars or trades (Parquet)")],
    host: Annotated[str, typer.Option(help="address; the default is reachable from this machine only")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="port; 0: any free port")] = 8900,
    speed: Annotated[float, typer.Option(min=0, help="venue seconds per second; 0: as fast as the client reads")] = 0.0,
    updates: Annotated[int, typer.Option(min=1, max=60, help="unfinished klines before each final one")] = 2,
    timeframe: Annotated[str | None, typer.Option(help="timeframe of bars, or of those built from trades")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="NAME=SHARE, such as disconnect=0.001")] = None,
    seed: Annotated[int, typer.Option(help="seed of the faults")] = 0,
) -> None:
    """Serve recorded data through Binance Spot's HTTP and WebSocket API, with its own clock."""
    from paperbot.exchange.serve import VenueRequest, serve  # noqa: PLC0415

    serve(VenueRequest(sources, host, port, speed, updates, timeframe, fault or [], seed), typer.echo)
