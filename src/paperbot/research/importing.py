"""Writes bars as Paperbot's own Parquet, for `paperbot data import` and `paperbot data synthetic`."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paperbot.clock import format_ts
from paperbot.errors import CommandError, DataError
from paperbot.market.candles import Checker, Columns, Grid
from paperbot.market.check import FileCheck
from paperbot.market.files import BarFile, Reading
from paperbot.market.instruments import OBSERVED_ROWS, decimals_in
from paperbot.research.job import NO_UNIT, ReplayRequest, Tree, declared_timeframe, prepare, timeframe_of
from paperbot.store.bars import write_bar_events, write_bars
from paperbot.symbols import understood

PRICES = ("open", "high", "low", "close", "volume")
LEAST_DECIMALS = 8


@dataclass(frozen=True)
class ImportRequest:
    """The options of `paperbot data import`, as typed."""

    files: Sequence[Path]
    symbol: str
    out: Path
    timeframe: str | None = None
    reading: Reading = field(default_factory=Reading)


def import_bars(
    request: ImportRequest, say: Callable[[str], None], done: Callable[[int, int], None]
) -> dict[str, Any]:
    """Read, join, check and write bars. Returns a report about the new file. Raises PaperbotError before anything is
    written.

    `done`: called after each file with the number of files read and of all files.
    """
    symbol, note = understood(request.symbol)
    if note:
        say(note)
    if any(path.exists() and request.out.exists() and path.samefile(request.out) for path in request.files):
        raise CommandError(f"--out {request.out}: is one of the files to import")
    parts: list[tuple[Path, Columns]] = []
    units, written = set(), 0
    for number, path in enumerate(request.files, 1):
        file = BarFile(path, request.reading)
        columns = Columns.join(list(file.batches()))
        file.check_symbol(symbol)
        if file.volume_unit is None:
            raise CommandError(f"{path}: {NO_UNIT}")
        parts.append((path, columns))
        units.add(file.volume_unit)
        written = max(written, file.numbers.decimals or 0)
        for line in (file.layout.title.partition(":")[0], *file.notes):
            say(f"{path.name}: {line}")
        done(number, len(request.files))
    if len(units) > 1:
        raise CommandError("some files count base volume and some quote volume; import them separately")
    longest = max((columns for _, columns in parts), key=len)
    timeframe = timeframe_of(str(request.files[0]), longest, declared_timeframe(request.timeframe))
    for path, columns in parts:
        Checker(str(path), 0, timeframe, Grid(_decimals(columns))).events(columns)
    joined, repeated = _joined(parts)
    decimals = _decimals(joined)
    closes = Checker(str(request.out), 0, timeframe, Grid(decimals)).events(joined)["close_ts"]
    check = FileCheck(timeframe, decimals)
    check.add(joined)
    findings = check.finish(np.iinfo(np.int64).max)
    volume_name = "quote_volume" if units == {"quote"} else "volume"
    is_calendar = bool(timeframe.months or timeframe.zone)
    values = {name: getattr(joined, name) for name in PRICES[:4]} | {volume_name: joined.volume}
    write_bars(request.out, joined.open_ts, values, closes if is_calendar else None, written)
    return {
        "file": str(request.out),
        "symbol": symbol,
        "bars": len(joined),
        "timeframe": timeframe.text,
        "first": format_ts(int(joined.open_ts[0])),
        "last": format_ts(int(joined.open_ts[-1])),
        "volume_unit": next(iter(units)),
        "repeated": repeated,
        "findings": [asdict(finding) for finding in findings],
    }


@dataclass(frozen=True)
class SyntheticRequest:
    """The options of `paperbot data synthetic`, as typed."""

    seed: int
    bars: int
    out: Path
    symbol: str = "BTC/USDT"
    timeframe: str = "1m"
    config: Path | None = None
    overrides: Sequence[Tree] = ()


def write_synthetic(request: SyntheticRequest, say: Callable[[str], None]) -> str:
    """Write the bars of a synthetic market. Returns a line about them. Raises PaperbotError and writes nothing."""
    source = f"{request.symbol}=synthetic:{request.seed}:{request.bars}"
    overrides = [*request.overrides, {"llm": {"provider": "off"}, "strategies": []}]
    job = prepare(
        ReplayRequest([source], request.config, timeframe=request.timeframe, overrides=overrides), lambda _: None
    )
    events = np.concatenate(list(job.batches[0]))
    write_bar_events(request.out, events, job.plan.price_decimals[0])
    span = f"{format_ts(int(events['open_ts'][0]))} to {format_ts(int(events['open_ts'][-1]))}"
    say(f"replay it with: paperbot replay {job.plan.symbols[0]}={request.out}")
    return f"{request.out}: {len(events)} bars of {request.timeframe}, {span}"


def _decimals(columns: Columns) -> int:
    prices = np.concatenate([getattr(columns, name)[:OBSERVED_ROWS] for name in PRICES[:4]])
    return max(decimals_in(prices[np.isfinite(prices) & (prices > 0)]), LEAST_DECIMALS)


def _joined(parts: list[tuple[Path, Columns]]) -> tuple[Columns, int]:
    """All bars in order of time, and the number of duplicates. Raises DataError where two bars of a time differ."""
    order = sorted(range(len(parts)), key=lambda index: int(parts[index][1].open_ts[0]))
    whole = Columns.join([_without_closes(parts[index][1]) for index in order])
    owner = np.concatenate([np.full(len(parts[index][1]), index) for index in order])
    sorting = np.argsort(whole.open_ts, kind="stable")
    values = np.stack([getattr(whole, name)[sorting] for name in PRICES])
    times, owner = whole.open_ts[sorting], owner[sorting]
    same_time = np.append(False, times[1:] == times[:-1])
    differs = same_time & np.append(False, (values[:, 1:] != values[:, :-1]).any(axis=0))
    if differs.any():
        at = int(np.argmax(differs))
        first, second = parts[owner[at - 1]][0].name, parts[owner[at]][0].name
        raise DataError(f"{first} and {second} have different bars of {format_ts(int(times[at]))}; remove one of them")
    kept = ~same_time
    opening, high, low, close, volume = values[:, kept]
    return Columns(times[kept], opening, high, low, close, volume), int(same_time.sum())


def _without_closes(columns: Columns) -> Columns:
    return Columns(columns.open_ts, columns.open, columns.high, columns.low, columns.close, columns.volume)
