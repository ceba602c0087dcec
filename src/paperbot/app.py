"""Where everything is wired together: the only module that names concrete sources, engines and stores."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperbot.config import Configuration, load, show
from paperbot.core.types import BarFlag
from paperbot.engine.params import NS, Plan, make_plan, split_symbol
from paperbot.engine.replay import Window, run_replay
from paperbot.errors import CommandError, DataError
from paperbot.market.candles import Checker, Columns, commonest_step_ns, format_ts
from paperbot.market.check import FileCheck
from paperbot.market.files import BarFile
from paperbot.market.synthetic import synthetic_bars
from paperbot.settings import duration_s
from paperbot.store.parquet import Artifacts
from paperbot.store.report import Statistics, summarize
from paperbot.store.tables import Names

Records = NDArray[np.void]
Tree = dict[str, Any]


@dataclass(frozen=True)
class ReplayRequest:
    """What `paperbot replay` was asked for, as it was typed."""

    sources: Sequence[str]
    config: Path | None = None
    out: Path = Path("data")
    strategies: Sequence[str] | None = None
    timeframe: str | None = None
    start: str | None = None
    end: str | None = None
    cash: Sequence[str] = ()
    realism: str | None = None
    chunk: int = 0
    overrides: Sequence[Tree] = ()


@dataclass(frozen=True)
class ReplayResult:
    """The summary (flat, as `--json` prints it) and the figures by symbol and by strategy."""

    summary: dict[str, Any]
    statistics: Statistics
    files: list[Path]


@dataclass
class _Source:
    """One SYMBOL=FILE of the command line, opened."""

    symbol: str
    text: str
    timeframe_ns: int
    batches: Iterator[Columns] | None = None
    synthetic: tuple[int, int] | None = None
    first_close: float = 0.0
    last_close: float = 0.0
    notes: list[str] = field(default_factory=list)


def _parse_source(text: str, declared_ns: int, default_ns: int) -> _Source:
    symbol, equals, place = text.partition("=")
    if not equals or not place:
        raise CommandError(f"{text}: expected SYMBOL=FILE, such as BTC/USDT=bars.parquet or BTC/USDT=synthetic:7:10000")
    split_symbol(symbol)
    if place.startswith("synthetic:"):
        numbers = place.split(":")[1:]
        is_pair = len(numbers) == 2 and all(re.fullmatch(r"[0-9]{1,9}", number) for number in numbers)  # noqa: PLR2004
        if not is_pair or int(numbers[1]) == 0:
            raise CommandError(f"{text}: expected synthetic:SEED:BARS, such as synthetic:7:10000")
        return _Source(symbol, text, declared_ns or default_ns, synthetic=(int(numbers[0]), int(numbers[1])))
    batches = BarFile(Path(place)).batches()
    first = next(batches)
    timeframe_ns = declared_ns or commonest_step_ns(first.open_ts)
    if timeframe_ns <= 0:
        raise CommandError(f"{text}: has too few rows to tell its timeframe; give it with --timeframe")
    source = _Source(symbol, text, timeframe_ns, batches=chain([first], batches))
    if not declared_ns:
        source.notes.append(f"{symbol}: timeframe {_duration_text(timeframe_ns)} (the commonest step of the file)")
    return source


def _duration_text(ns: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if ns % (size * NS) == 0:
            return f"{ns // (size * NS)}{unit}"
    return f"{ns / NS:g}s"


def _parse_cash(texts: Iterable[str]) -> dict[str, str]:
    cash = {}
    for text in texts:
        asset, equals, amount = text.partition("=")
        try:
            valid = bool(equals) and asset.isalnum() and Decimal(amount) >= 0
        except InvalidOperation:
            valid = False
        if not valid:
            raise CommandError(f"--cash {text}: expected ASSET=AMOUNT, such as USDT=10000")
        cash[asset.upper()] = amount
    return cash


def _parse_time(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} {text}: expected a time such as 2024-01-31 or 2024-01-31T12:00:00") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return round(moment.timestamp() * 1000) * 1_000_000


def _account_layer(configuration: Configuration, quotes: set[str], cash: dict[str, str]) -> tuple[Tree, str | None]:
    """The command line's account: `--cash`, or the start cash of the only quote where the account holds none of it."""
    account = configuration.settings.account
    if cash:
        held = {**dict.fromkeys(account.balances, "0"), **cash}
        only = next(iter(quotes)) if len(quotes) == 1 else None
        currency = only if only in cash and only not in configuration.settings.oracle.overrides else account.currency
        return {"account": {"balances": held, "currency": currency}}, None
    if len(quotes) != 1:
        return {}, None
    quote = next(iter(quotes))
    if account.balances.get(quote, Decimal(0)) > 0:
        return {}, None
    if quote not in account.start_cash:
        raise CommandError(f"the account holds no {quote}; give some with --cash {quote}=AMOUNT")
    amount = account.start_cash[quote]
    held = {**dict.fromkeys(account.balances, "0"), quote: str(amount)}
    note = f"the account holds no {quote}: running in {quote} with {amount} {quote} (account.start_cash)"
    return {"account": {"balances": held, "currency": quote}}, note


@dataclass(frozen=True)
class Job:
    """A replay that is ready to run: everything checked, nothing written."""

    configuration: Configuration
    plan: Plan
    sources: list[_Source]
    batches: list[Iterator[Records]]


def prepare(request: ReplayRequest, say: Callable[[str], None]) -> Job:
    """Read the configuration, open the files, and settle account, plan and window. Raises PaperbotError."""
    overrides = list(request.overrides)
    if request.realism:
        overrides.append({"realism": request.realism})
    configuration = load(request.config, overrides)
    declared_ns = _timeframe_ns(request.timeframe) if request.timeframe else 0
    default_ns = duration_s(configuration.settings.timeframe) * NS
    sources = [_parse_source(text, declared_ns, default_ns) for text in request.sources]
    sources.sort(key=lambda source: source.symbol)
    symbols = [source.symbol for source in sources]
    twice = next((symbol for symbol in symbols if symbols.count(symbol) > 1), None)
    if twice:
        raise CommandError(f"{twice} is given twice")
    quotes = {split_symbol(symbol)[1] for symbol in symbols}
    layer, note = _account_layer(configuration, quotes, _parse_cash(request.cash))
    if layer:
        configuration = load(request.config, [*overrides, layer])
    for line in [*(note for source in sources for note in source.notes), *([note] if note else [])]:
        say(line)
    plan = make_plan(configuration, {source.symbol: source.timeframe_ns for source in sources}, request.strategies)
    window = Window(_parse_time(request.start, "--start"), _parse_time(request.end, "--end"), plan.warmup_bars)
    batches = [window.apply(_events(plan, index, source)) for index, source in enumerate(sources)]
    return Job(configuration, plan, sources, batches)


def _timeframe_ns(text: str) -> int:
    try:
        return duration_s(text) * NS
    except ValueError as error:
        raise CommandError(f"--timeframe: {error}") from None


def replay(request: ReplayRequest, say: Callable[[str], None], progress: Callable[[Records], None]) -> ReplayResult:
    """Run recorded bars through the engine and write the artifacts.

    `say` takes notes for people; `progress` sees the events as they are processed. Raises PaperbotError.
    """
    job = prepare(request, say)
    plan = job.plan
    names = names_of(plan)
    statistics = Statistics(names)
    bars = 0

    def count(events: Records) -> None:
        nonlocal bars
        bars += int(np.count_nonzero((events["flags"] & BarFlag.WARMUP) == 0))
        _note_closes(events, job.sources, plan)
        progress(events)

    with Artifacts(request.out, names) as artifacts:
        machine, digest = run_replay(
            plan,
            job.batches,
            lambda records: statistics.add(records, artifacts.add(records)),
            chunk=request.chunk,
            progress=count,
        )
        if bars == 0:
            raise DataError("no bar lies between --start and --end")
        artifacts.finish()
    held = {one.symbol: 100.0 * (one.last_close / one.first_close - 1.0) for one in job.sources if one.first_close}
    summary = {
        "digest": digest,
        "config_hash": config_hash(job.configuration, plan),
        "symbols": list(plan.symbols),
        "bars": bars,
        **summarize(statistics, machine.account, job.configuration.market, held),
    }
    files = [request.out / f"{name}.parquet" for name in ("trades", "ledger", "orders", "round_trips")]
    return ReplayResult(summary, statistics, files)


def check_file(path: Path, timeframe: str | None, price_decimals: int) -> dict[str, Any]:
    """What `paperbot data check` reports. Raises DataError for a file that cannot be read as bars."""
    batches = BarFile(path).batches()
    first = next(batches)
    timeframe_ns = _timeframe_ns(timeframe) if timeframe else commonest_step_ns(first.open_ts)
    if timeframe_ns <= 0:
        raise CommandError(f"{path}: too few rows, or times that do not go on; give the timeframe with --timeframe")
    check = FileCheck(timeframe_ns, price_decimals)
    last_ts = 0
    for columns in chain([first], batches):
        check.add(columns)
        last_ts = int(columns.open_ts[-1])
    findings = check.finish(path.stat().st_mtime_ns)
    return {
        "file": str(path),
        "rows": check.rows,
        "timeframe": _duration_text(timeframe_ns),
        "first": format_ts(int(first.open_ts[0])),
        "last": format_ts(last_ts),
        "findings": [asdict(finding) for finding in findings],
    }


def _events(plan: Plan, index: int, source: _Source) -> Iterator[Records]:
    """The bar events of one source."""
    timeframe_ns = plan.timeframes_ns[index]
    if source.synthetic:
        seed, bars = source.synthetic
        params = plan.params.symbols[index]
        tick, price_unit = int(params["tick"]), float(params["price_unit"])
        yield from synthetic_bars(source.symbol, index, seed, bars, timeframe_ns, tick, price_unit)
        return
    assert source.batches is not None
    checker = Checker(source.text.partition("=")[2], index, timeframe_ns, plan.price_decimals[index])
    for columns in source.batches:
        yield checker.events(columns)


def _note_closes(events: Records, sources: list[_Source], plan: Plan) -> None:
    """Remember each symbol's first and last close, for buy and hold."""
    for index, source in enumerate(sources):
        closes = events["close"][(events["symbol"] == index) & ((events["flags"] & BarFlag.WARMUP) == 0)]
        if len(closes):
            unit = 10.0 ** plan.price_decimals[index]
            source.first_close = source.first_close or closes[0] / unit
            source.last_close = closes[-1] / unit


def names_of(plan: Plan) -> Names:
    """What the tables need to turn ids into names."""
    return Names(
        symbols=plan.symbols,
        strategies=plan.strategies,
        assets=plan.assets,
        currency=plan.currency,
        usd_rate=plan.usd_rate,
        asset_decimals=plan.asset_decimals,
        price_decimals=plan.price_decimals,
        bases=tuple(plan.params.symbols["base"].tolist()),
        quotes=tuple(plan.params.symbols["quote"].tolist()),
        steps=tuple(plan.params.symbols["step"].tolist()),
    )


def config_hash(configuration: Configuration, plan: Plan) -> str:
    """A fingerprint of every setting that was in force, symbols' market keys included."""
    rows = [(key, value) for key, value, _ in show(configuration, plan.symbols)]
    text = json.dumps([rows, plan.strategies, plan.timeframes_ns], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
