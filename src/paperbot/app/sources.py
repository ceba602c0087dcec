"""What `paperbot replay` was asked for, read and checked: files opened, account settled, plan and window made."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from paperbot.app.rules import describe, first_rows, grid_of, learn_data, learn_venue
from paperbot.config import ConfigFiles, Configuration
from paperbot.engine.params import NS, Plan, make_plan
from paperbot.engine.replay import Window
from paperbot.errors import CommandError
from paperbot.knobs import duration_s
from paperbot.market.candles import Checker, Columns, commonest_step_ns
from paperbot.market.files import BarFile
from paperbot.market.synthetic import synthetic_bars
from paperbot.ports import Records
from paperbot.symbols import split_symbol, understood

Tree = dict[str, Any]

ADVICE_FILE = "advice.jsonl"
"""Where a run keeps what its advisor was asked and answered."""


@dataclass(frozen=True)
class ReplayRequest:
    """What `paperbot replay` was asked for, as it was typed. `advice`: recorded answers of the advisor."""

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
    advice: Path | None = None


@dataclass
class Source:
    """One SYMBOL=FILE of the command line, opened. `first`: its first rows, which are in `batches`, too."""

    symbol: str
    text: str
    timeframe_ns: int
    first: Columns | None = None
    batches: Iterator[Columns] | None = None
    synthetic: tuple[int, int] | None = None
    notes: list[str] = field(default_factory=list)


def _parse_source(text: str, declared_ns: int, default_ns: int, known: Iterable[str]) -> Source:
    symbol, equals, place = text.partition("=")
    if not equals or not place:
        raise CommandError(f"{text}: expected SYMBOL=FILE, such as BTC/USDT=bars.parquet or BTC/USDT=synthetic:7:10000")
    symbol, note = understood(symbol, known)
    notes = [note] if note else []
    if place.startswith("synthetic:"):
        numbers = place.split(":")[1:]
        is_pair = len(numbers) == 2 and all(re.fullmatch(r"[0-9]{1,9}", number) for number in numbers)  # noqa: PLR2004
        if not is_pair or int(numbers[1]) == 0:
            raise CommandError(f"{text}: expected synthetic:SEED:BARS, such as synthetic:7:10000")
        made_up = int(numbers[0]), int(numbers[1])
        return Source(symbol, text, declared_ns or default_ns, synthetic=made_up, notes=notes)
    first, batches = first_rows(BarFile(Path(place)).batches())
    timeframe_ns = declared_ns or commonest_step_ns(first.open_ts)
    if timeframe_ns <= 0:
        raise CommandError(f"{text}: has too few rows to tell its timeframe; give it with --timeframe")
    source = Source(symbol, text, timeframe_ns, first, iter(batches), notes=notes)
    if not declared_ns:
        source.notes.append(f"{symbol}: timeframe {duration_text(timeframe_ns)} (the commonest step of the file)")
    return source


def duration_text(ns: int) -> str:
    """`5m` for 300 s."""
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


def parse_time(text: str | None, option: str) -> int | None:
    """A time of the command line in ns UTC. Raises CommandError."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} {text}: expected a time such as 2024-01-31 or 2024-01-31T12:00:00") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return round(moment.timestamp() * 1000) * 1_000_000


def account_layer(configuration: Configuration, quotes: set[str], cash: dict[str, str]) -> tuple[Tree, str | None]:
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
    sources: list[Source]
    batches: list[Iterator[Records]]
    files: ConfigFiles
    overrides: list[Tree]
    """What the command line laid over the files, the account's layer included."""

    @property
    def timeframes_ns(self) -> dict[str, int]:
        """By symbol."""
        return dict(zip(self.plan.symbols, self.plan.timeframes_ns, strict=True))


def prepare(request: ReplayRequest, say: Callable[[str], None]) -> Job:
    """Read the configuration, open the files, and settle account, plan and window. Raises PaperbotError."""
    overrides = list(request.overrides)
    if request.realism:
        overrides.append({"realism": request.realism})
    files = ConfigFiles(request.config)
    configuration = files.configure(overrides)
    declared_ns = timeframe_ns(request.timeframe) if request.timeframe else 0
    default_ns = duration_s(configuration.settings.timeframe) * NS
    known = configuration.profile.symbols
    sources = [_parse_source(text, declared_ns, default_ns, known) for text in request.sources]
    sources.sort(key=lambda source: source.symbol)
    symbols = [source.symbol for source in sources]
    twice = next((symbol for symbol in symbols if symbols.count(symbol) > 1), None)
    if twice:
        raise CommandError(f"{twice} is given twice")
    learn_venue(files, configuration, symbols)
    configuration = files.configure(overrides)
    for source in sources:
        if source.first is not None:
            learn_data(files, configuration, source.symbol, source.text.partition("=")[2], source.first)
    quotes = {split_symbol(symbol)[1] for symbol in symbols}
    layer, note = account_layer(configuration, quotes, _parse_cash(request.cash))
    if layer:
        overrides.append(layer)
    configuration = files.configure(overrides)
    rules = [describe(configuration, source.symbol) for source in sources if source.first is not None]
    for line in [*(note for source in sources for note in source.notes), *rules, *([note] if note else [])]:
        say(line)
    advisor = request.advice is not None or configuration.settings.llm.provider != "off"
    timeframes_ns = {source.symbol: source.timeframe_ns for source in sources}
    plan = make_plan(configuration, timeframes_ns, request.strategies, advisor=advisor)
    window = Window(parse_time(request.start, "--start"), parse_time(request.end, "--end"), plan.warmup_bars)
    batches = [window.apply(bar_events(configuration, plan, index, source)) for index, source in enumerate(sources)]
    return Job(configuration, plan, sources, batches, files, overrides)


def timeframe_ns(text: str) -> int:
    """Nanoseconds of `--timeframe`. Raises CommandError."""
    try:
        return duration_s(text) * NS
    except ValueError as error:
        raise CommandError(f"--timeframe: {error}") from None


def bar_events(configuration: Configuration, plan: Plan, index: int, source: Source) -> Iterator[Records]:
    """The bar events of one source. Raises DataError for the first row that contradicts itself."""
    timeframe_ns = plan.timeframes_ns[index]
    if source.synthetic:
        seed, bars = source.synthetic
        params = plan.params.symbols[index]
        tick, price_unit = int(params["tick"]), float(params["price_unit"])
        yield from synthetic_bars(source.symbol, index, seed, bars, timeframe_ns, tick, price_unit)
        return
    assert source.batches is not None
    checker = Checker(source.text.partition("=")[2], index, timeframe_ns, grid_of(configuration, source.symbol))
    for columns in source.batches:
        yield checker.events(columns)
