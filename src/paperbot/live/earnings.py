"""The profit and trades of a session or of the run in a folder, from its files; it may be running meanwhile."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paperbot.clock import format_ts
from paperbot.engine.names import names_of
from paperbot.engine.planrecord import decode_plan
from paperbot.errors import StateError
from paperbot.figures import change_pct, profit_factor, win_rate_pct
from paperbot.live.session import OUTPUTS, current_session
from paperbot.live.start import chosen_session, sessions_root
from paperbot.names import Names
from paperbot.store.journal import Journal
from paperbot.store.outputs import first_records, read_outputs
from paperbot.store.periods import by_period, start_equity
from paperbot.store.results import Results, read_results, results_of
from paperbot.store.statistics import Statistics


@dataclass(frozen=True)
class Run:
    """The results of a session, or of the replay or demo in the folder."""

    name: str
    currency: str
    results: Results


def the_run(out: Path, session: str | None) -> Run:
    """The named session, else the current one, else the run in the folder. Raises CommandError, DataError."""
    if session is None and current_session(sessions_root(out)) is None and (out / "run.json").is_file():
        results = read_results(out)
        return Run(str(out), results.summary["currency"], results)
    root, chosen = chosen_session(out, session)
    names = names_in(root / chosen)
    return Run(chosen, names.currency, results_of(read_outputs(root / chosen / OUTPUTS), names))


def names_in(folder: Path) -> Names:
    """The names in a session's journal. Raises StateError."""
    with Journal(folder, read_only=True) as journal:
        params = journal.params_at(journal.seq)
        if params is None:
            raise StateError(f"{journal.path}: does not begin with parameters")
        return names_of(decode_plan(params, str(journal.path), runs=False))


def profit(out: Path, session: str | None, period: str | None, last: int) -> dict[str, Any]:
    """The total profit, and the profit of each of the last periods. Raises PaperbotError.

    `period`: see `by_period`; None: the total only. `last`: the number of periods.
    """
    run = the_run(out, session)
    ledger, trips = run.results.ledger, run.results.round_trips
    pnl = trips["pnl_account_minor"]
    valued = np.flatnonzero(~np.isnan(ledger["equity"]))
    start = start_equity(ledger) if len(valued) else None
    equity = float(ledger["equity"][valued[-1]]) if len(valued) else None
    gained = None if start is None or equity is None else equity - start
    won, lost = int(np.count_nonzero(trips["pnl_minor"] > 0)), -int(pnl[pnl < 0].sum())
    answer = {
        "run": run.name,
        "currency": run.currency,
        "first": _moment(ledger["ts"][:1]),
        "last": _moment(ledger["ts"][-1:]),
        "start_equity": start,
        "equity": equity,
        "profit": gained,
        "profit_pct": change_pct(equity, start),
        "fees": float(ledger["fees"][-1]) if len(ledger["fees"]) else 0.0,
        "trades": len(pnl),
        "won": won,
        "win_rate_pct": win_rate_pct(won, len(pnl)),
        "profit_factor": profit_factor(int(pnl[pnl > 0].sum()), lost),
    }
    return answer if period is None else {**answer, "periods": by_period(run.results, period)[-last:]}


def trades(out: Path, session: str | None, last: int) -> dict[str, Any]:
    """The last completed round trips, oldest first. Raises PaperbotError."""
    run = the_run(out, session)
    trips = run.results.round_trips
    rows = []
    for i in range(max(len(trips["symbol"]) - last, 0), len(trips["symbol"])):
        row = {name: _plain(trips[name][i]) for name in trips if not name.endswith("_minor")}
        times = {name: _moment(trips[name][i:]) for name in ("entry_ts", "exit_ts")}
        rows.append({**row, **times})
    return {"run": run.name, "trades": rows}


def _plain(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and np.isnan(plain) else plain


def _moment(ts: Any) -> str | None:
    return format_ts(int(ts[0].astype(np.int64))) if len(ts) else None


def with_history(status: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Extend a session's status with the age of positions, the profit today and in total, and the trades.

    They are computed from the session's output records up to the status.
    """
    names = names_in(folder)
    statistics = Statistics(names)
    for records in first_records(read_outputs(folder / OUTPUTS), status["journal"]["outputs"]):
        statistics.add(records)
    clock_ns = int(status.pop("clock_ns"))
    status["positions"] = [{**row, "opened": None, "age_s": None} for row in status["positions"]]
    for trip in statistics.begun():
        key = (names.strategies[int(trip["strategy"])], names.symbols[int(trip["symbol"])])
        for position in status["positions"]:
            if (position["strategy"], position["symbol"]) == key:
                position["opened"] = format_ts(int(trip["entry_ts"]))
                position["age_s"] = (clock_ns - int(trip["entry_ts"])) / 1e9
    equity, start = status["equity"], status["start_equity"]
    before = statistics.equity_before(clock_ns)
    midnight = start if before is None else before / names.account_unit()
    trips = statistics.round_trips
    status["profit"] = {
        "today": None if equity is None or midnight is None else equity - midnight,
        "in_all": None if equity is None or start is None else equity - start,
        "in_all_pct": change_pct(equity, start),
        "trades": trips,
        "won": statistics.wins,
        "win_rate_pct": win_rate_pct(statistics.wins, trips),
    }
    return status
