"""Commands about sessions: status, results, checks and repair."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from paperbot.cli.options import (
    DATA,
    JsonOption,
    OutOption,
    SessionOption,
    TrustOption,
    app,
    say_if_compiling,
    session_app,
    tell,
    working,
)
from paperbot.cli.words import cell, lasting, money, number, percent
from paperbot.errors import CommandError

WIDTH = 240
LastOption = Annotated[int, typer.Option("--last", min=1, help="number of rows")]


@app.command()
def status(
    out: OutOption = DATA, session: SessionOption = None, trust: TrustOption = False, as_json: JsonOption = False
) -> None:
    """Print positions, profit, open orders, the last ten blocked orders, and the health of feed and journal."""
    from paperbot.app.sessions import session_status  # noqa: PLC0415

    answer = session_status(out, session, trusted=trust)
    if as_json or "error" in answer:
        tell(answer, as_json=as_json)
        return
    text, shown = _console(), dict(answer)
    gained = shown.pop("profit")
    currency, start = shown.pop("currency"), shown.pop("start_equity")
    positions, orders, blocked = (shown.pop(name) for name in ("positions", "open_orders", "last_blocked"))
    text.print(f"session: {shown.pop('session')}, {'running' if shown.pop('running') else 'stopped'}")
    text.print(f"last slice: {shown.pop('last_slice') or '-'}")
    text.print(f"equity: {money(shown.pop('equity'))} {currency}, {percent(shown.pop('drawdown'), 100)} below its peak")
    text.print(
        f"profit: {money(gained['today'])} today, {money(gained['in_all'])} ({percent(gained['in_all_pct'])}) in all"
        f" since the start with {money(start)}"
    )
    text.print(f"trades: {gained['trades']}, won {percent(gained['win_rate_pct'])}")
    text.print(f"halted: {shown.pop('halted')}; the kill switch has tripped {shown.pop('trips')} times")
    _table(text, "positions", [_position(row) for row in positions])
    _table(text, "open orders", orders)
    _table(text, "last blocked orders", [{name: row[name] for name in row if name != "order_id"} for row in blocked])
    tell(shown, as_json=False)


def _position(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "strategy": row["strategy"],
        "symbol": row["symbol"],
        "qty": number(row["qty"]),
        "entry": number(row["entry_price"]),
        "last": number(row["last_price"]),
        "profit": f"{money(row['unrealized_pnl'])} {row['quote']} ({percent(row['unrealized_pct'])})",
        "stop": f"{number(row['stop_price'])} ({percent(row['stop_distance_pct'])} away)" if row["stop_price"] else "-",
        "age": lasting(row["age_s"]),
    }


@app.command()
def profit(
    daily: Annotated[bool, typer.Option("--daily", help="a row for each day (UTC)")] = False,
    weekly: Annotated[bool, typer.Option("--weekly", help="a row for each week (UTC), from Monday")] = False,
    monthly: Annotated[bool, typer.Option("--monthly", help="a row for each month (UTC)")] = False,
    last: LastOption = 30,
    out: OutOption = DATA,
    session: SessionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a session's profit, in total and by day, week or month; without one, that of the run in the folder."""
    from paperbot.live.earnings import profit as earned  # noqa: PLC0415

    periods = [name for name, is_chosen in (("day", daily), ("week", weekly), ("month", monthly)) if is_chosen]
    if len(periods) > 1:
        raise CommandError("use only one of --daily, --weekly and --monthly")
    answer = earned(out, session, periods[0] if periods else None, last)
    if as_json:
        typer.echo(json.dumps(answer))
        return
    text = _console()
    gained = f"{money(answer['profit'])} {answer['currency']} ({percent(answer['profit_pct'])})"
    text.print(f"{answer['run']}: {gained} from {answer['first'] or '-'} to {answer['last'] or '-'}")
    text.print(
        f"{answer['trades']} trades, {answer['won']} won ({percent(answer['win_rate_pct'])}), profit factor"
        f" {number(answer['profit_factor'], 4)}, fees {money(answer['fees'])}, equity {money(answer['equity'])}"
    )
    rows = [
        {name: percent(value) if name == "profit_pct" else value for name, value in row.items()}
        for row in answer.get("periods", [])
    ]
    if periods:
        _table(text, "", rows)


@app.command()
def trades(
    last: LastOption = 20,
    out: OutOption = DATA,
    session: SessionOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the last completed round trips of a session; without a session, those of the run in the folder."""
    from paperbot.live.earnings import trades as made  # noqa: PLC0415

    answer = made(out, session, last)
    if as_json:
        typer.echo(json.dumps(answer))
        return
    rows = [
        {
            "closed": trip["exit_ts"][:16].replace("T", " "),
            "symbol": trip["symbol"],
            "strategy": trip["strategy"],
            "qty": number(trip["qty"]),
            "entry": number(trip["entry_price"]),
            "exit": number(trip["exit_price"]),
            "profit": f"{money(trip['pnl'])} {trip['quote']}",
            "profit %": percent(trip["return_pct"]),
            "lasted": lasting(trip["duration_s"]),
            "by": trip["reason"],
        }
        for trip in answer["trades"]
    ]
    _table(_console(), f"trades of {answer['run']}", rows)


def _console() -> Console:
    """A console that neither wraps nor cuts lines, independent of the terminal's width."""
    return Console(highlight=False, soft_wrap=True, markup=False, width=WIDTH)


def _table(out: Console, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        out.print(f"{title}: none" if title else "none")
        return
    if title:
        out.print(f"{title}: {len(rows)}")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(box=None, pad_edge=False)
    for name in columns:
        is_text = all(isinstance(row.get(name), str) for row in rows)
        header = name.replace("_", " ").replace(" pct", " %")
        table.add_column(header, no_wrap=True, justify="left" if is_text else "right")
    for row in rows:
        table.add_row(*(cell(row.get(name)) for name in columns))
    out.print(table)


@app.command()
def sessions(out: OutOption = DATA, as_json: JsonOption = False) -> None:
    """List the sessions."""
    from paperbot.app.sessions import list_sessions  # noqa: PLC0415

    rows = list_sessions(out)
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table("session", "began", "inputs", "state", box=None, pad_edge=False)
    for row in rows:
        words = ["current"] if row["current"] else []
        words += ["running"] if row["running"] else []
        words += [f"carried over to {row['closed_by']}"] if row["closed_by"] else []
        table.add_row(row["session"], row["began"] or "-", str(row["inputs"]), ", ".join(words) or "-")
    Console(highlight=False).print(table)


@app.command()
def verify(
    session: Annotated[str | None, typer.Argument(help="name of the session; by default the current one")] = None,
    out: OutOption = DATA,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a session again from its journal, and check its hash chain, output records, digest and books."""
    from paperbot.live.verify import verify as check  # noqa: PLC0415

    say_if_compiling()
    with working("running the session again"):
        answer = check(out, session, trusted=trust)
    tell(answer, as_json=as_json)


@session_app.command("repair")
def session_repair(
    session: Annotated[str | None, typer.Argument(help="name of the session; by default the current one")] = None,
    out: OutOption = DATA,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Move the damaged tail of a journal to quarantine and halt the session; `run` does the same."""
    from paperbot.app.sessions import repair  # noqa: PLC0415

    tell(repair(out, session, trusted=trust), as_json=as_json)


@session_app.command("code")
def session_code(
    session: Annotated[str | None, typer.Argument(help="name of the session; by default the current one")] = None,
    out: OutOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Print the code of the compiled strategies in a session's journal, without running it."""
    from paperbot.app.sessions import strategy_code  # noqa: PLC0415

    strategies = strategy_code(out, session)
    if as_json:
        typer.echo(json.dumps(strategies))
        return
    for row in strategies:
        typer.echo(f"# strategy {row['strategy']}\n{row['source'].rstrip()}\n")
    if not strategies:
        typer.echo("none")


@app.command()
def export(
    to: Annotated[Path, typer.Argument(help="folder for the Parquet files")],
    session: SessionOption = None,
    out: OutOption = DATA,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a stopped session's Parquet files to a folder, with its bars in bars/, ready for replay."""
    from paperbot.app.sessions import export as write  # noqa: PLC0415

    say_if_compiling()
    with working("running the session again"):
        answer = write(out, session, to, trusted=trust)
    tell(answer, as_json=as_json)
