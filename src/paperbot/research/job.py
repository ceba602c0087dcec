"""Prepares a replay: opens the files, settles the account, and makes the plan and the window."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from paperbot.cash import account_layer, parse_cash
from paperbot.clock import parse_time
from paperbot.config import ConfigFiles, Configuration
from paperbot.engine.params import Plan, make_plan
from paperbot.engine.replay import Window
from paperbot.errors import CommandError, ConfigError
from paperbot.events import Bars
from paperbot.market.candles import Checker, Columns
from paperbot.market.files import BarFile, Reading
from paperbot.market.resample import Resampler, check_resample
from paperbot.market.rules import describe, first_rows, grid_of, learn_data, learn_venue
from paperbot.market.synthetic import synthetic_bars
from paperbot.symbols import split_symbol, understood
from paperbot.timeframe import Timeframe, check_declared, parse_timeframe, told_by

Tree = dict[str, Any]
Say = Callable[[str], None]
NO_UNIT = (
    "this layout does not say what its volume counts; give --volume-unit base (coins or shares) or quote (money)"
)


@dataclass(frozen=True)
class ReplayRequest:
    """The options of `paperbot replay`, as typed. `advice`: recorded answers of the advisor."""

    sources: Sequence[str]
    config: Path | None = None
    out: Path = Path("data")
    strategies: Sequence[str] | None = None
    timeframe: str | None = None
    resample: str | None = None
    start: str | None = None
    end: str | None = None
    cash: Sequence[str] = ()
    realism: str | None = None
    chunk: int = 0
    overrides: Sequence[Tree] = ()
    advice: Path | None = None
    reading: Reading = field(default_factory=Reading)


@dataclass
class Source:
    """One SYMBOL=FILE of the command line, opened. `first`: its first rows, also contained in `batches`; `unit`: the
    volume unit, None if the file does not name it; `written`: decimals of its prices as text; `built`: the timeframe to
    resample its bars to.
    """

    symbol: str
    text: str
    timeframe: Timeframe
    first: Columns | None = None
    batches: Iterator[Columns] | None = None
    synthetic: tuple[int, int] | None = None
    unit: str | None = None
    written: int | None = None
    notes: list[str] = field(default_factory=list)
    built: Timeframe | None = None

    @property
    def traded(self) -> Timeframe:
        """The timeframe of the bars that the engine gets."""
        return self.built or self.timeframe


def _resampled(source: Source, text: str | None) -> Source:
    """The source with the timeframe to resample to. Raises CommandError."""
    if text is None:
        return source
    try:
        long = parse_timeframe(text)
        check_resample(source.timeframe, long)
    except (ValueError, ConfigError) as error:
        raise CommandError(f"--resample {text}: {error}") from None
    notes = [*source.notes, f"{source.symbol}: {long.text} bars are built from its {source.timeframe.text} bars"]
    return replace(source, built=long, notes=notes)


def _parse_source(
    text: str, declared: Timeframe | None, default: Timeframe, symbols: Iterable[str], reading: Reading, say: Say
) -> Source:
    symbol, equals, place = text.partition("=")
    if not equals or not place:
        raise CommandError(f"{text}: expected SYMBOL=FILE, such as BTC/USDT=bars.parquet or BTC/USDT=synthetic:7:10000")
    symbol, note = understood(symbol, symbols)
    notes = [note] if note else []
    if place.startswith("synthetic:"):
        numbers = place.split(":")[1:]
        is_pair = len(numbers) == 2 and all(re.fullmatch(r"[0-9]{1,9}", number) for number in numbers)  # noqa: PLR2004
        if not is_pair or int(numbers[1]) == 0:
            raise CommandError(f"{text}: expected synthetic:SEED:BARS, such as synthetic:7:10000")
        return Source(symbol, text, declared or default, synthetic=(int(numbers[0]), int(numbers[1])), notes=notes)
    file = BarFile(Path(place), reading)
    first, batches = first_rows(file.batches())
    file.check_symbol(symbol)
    timeframe = timeframe_of(place, first, declared)
    notes += [f"{symbol}: {file.layout.title.partition(':')[0]}", *(f"{symbol}: {line}" for line in file.notes)]
    if declared is None:
        notes.append(f"{symbol}: timeframe {timeframe.text} (from the file's first bars)")
    written = file.numbers.decimals
    batches = _noted(batches, file, symbol, say)
    return Source(symbol, text, timeframe, first, batches, unit=file.volume_unit, written=written, notes=notes)


def _noted(batches: Iterable[Columns], file: BarFile, symbol: str, say: Say) -> Iterator[Columns]:
    """Pass the batches on, and print the notes that are complete only at the end of the file."""
    n_printed, traded = len(file.notes), False
    for columns in batches:
        traded = traded or bool((columns.volume > 0).any())
        yield columns
    if not traded:
        say(f"{symbol}: every bar's volume is 0, so no order can fill")
    for line in file.notes[n_printed:]:
        say(f"{symbol}: {line}")


def timeframe_of(place: str, first: Columns, declared: Timeframe | None = None) -> Timeframe:
    """The declared timeframe, else that of a file's first bars. Raises CommandError if the bars contradict it."""
    try:
        if declared is not None:
            check_declared(declared, first.open_ts)
            return declared
        timeframe = told_by(first.open_ts, first.close_ts)
    except ConfigError as error:
        raise CommandError(f"{place}: {error}") from None
    if timeframe is None:
        raise CommandError(f"{place}: has too few rows to determine its timeframe; give it with --timeframe")
    return timeframe


def _volume_layers(configuration: Configuration, sources: Iterable[Source], reading: Reading) -> list[Tree]:
    """The volume units of the sources, as configuration layers. Raises CommandError if a unit is unknown."""
    layers: list[Tree] = []
    for source in sources:
        unit = source.unit
        origin = configuration.knobs(source.symbol)[1]["volume_unit"]
        if any(origin.startswith(layer.origin) for layer in configuration.own):
            unit = unit if reading.volume_unit else configuration.knobs(source.symbol)[0].volume_unit
        elif source.first is not None and unit is None and configuration.market == "stocks":
            unit = "base"  # Shares.
        if source.first is not None and unit is None:
            raise CommandError(f"{source.text.partition('=')[2]}: {NO_UNIT}")
        if reading.volume_unit or unit == "quote":
            layers.append({"execution": {"symbols": {source.symbol: {"volume_unit": unit}}}})
    return layers


@dataclass(frozen=True)
class Job:
    """A replay that is ready to run: everything checked, nothing written."""

    configuration: Configuration
    plan: Plan
    sources: list[Source]
    batches: list[Iterator[Bars]]
    files: ConfigFiles
    overrides: list[Tree]
    """The overrides from the command line, including the account's layer."""

    @property
    def timeframes_ns(self) -> dict[str, int]:
        """The timeframes in ns, by symbol."""
        return dict(zip(self.plan.symbols, self.plan.timeframes_ns, strict=True))


def prepare(request: ReplayRequest, say: Say) -> Job:
    """Read the configuration, open the files, and settle account, plan and window. Raises PaperbotError."""
    overrides = list(request.overrides)
    if request.realism:
        overrides.append({"realism": request.realism})
    files = ConfigFiles(request.config)
    configuration = files.configure(overrides)
    declared = declared_timeframe(request.timeframe)
    default = parse_timeframe(configuration.settings.timeframe)
    profile_symbols = configuration.profile.symbols
    sources = [
        _parse_source(text, declared, default, profile_symbols, request.reading, say) for text in request.sources
    ]
    sources = [_resampled(source, request.resample) for source in sources]
    sources.sort(key=lambda source: source.symbol)
    symbols = [source.symbol for source in sources]
    twice = next((symbol for symbol in symbols if symbols.count(symbol) > 1), None)
    if twice:
        raise CommandError(f"{twice} is given twice")
    overrides += _volume_layers(configuration, sources, request.reading)
    learn_venue(files, configuration, symbols)
    configuration = files.configure(overrides)
    for source in sources:
        if source.first is not None:
            learn_data(files, configuration, source.symbol, source.text.partition("=")[2], source.first, source.written)
    quotes = {split_symbol(symbol)[1] for symbol in symbols}
    layer, note = account_layer(configuration, quotes, parse_cash(request.cash))
    if layer:
        overrides.append(layer)
    configuration = files.configure(overrides)
    files_read = [(source.symbol, source.first) for source in sources if source.first is not None]
    rules = [describe(configuration, symbol, float(first.low.min())) for symbol, first in files_read]
    for line in [*(note for source in sources for note in source.notes), *rules, *([note] if note else [])]:
        say(line)
    advisor = request.advice is not None or configuration.settings.llm.provider != "off"
    timeframes_ns = {source.symbol: source.traded.ns for source in sources}
    plan = make_plan(configuration, timeframes_ns, request.strategies, advisor=advisor)
    window = Window(parse_time(request.start, "--start"), parse_time(request.end, "--end"), plan.warmup_bars)
    batches = [window.apply(bar_events(configuration, plan, index, source)) for index, source in enumerate(sources)]
    return Job(configuration, plan, sources, batches, files, overrides)


def declared_timeframe(text: str | None) -> Timeframe | None:
    """The timeframe of `--timeframe`. Raises CommandError."""
    try:
        return parse_timeframe(text) if text else None
    except ValueError as error:
        raise CommandError(f"--timeframe: {error}") from None


def bar_events(configuration: Configuration, plan: Plan, index: int, source: Source) -> Iterator[Bars]:
    """The bar events of one source. Raises DataError for the first row that contradicts itself."""
    events = _own_events(configuration, plan, index, source)
    return events if source.built is None else Resampler(source.text.partition("=")[2], source.built).bars(events)


def _own_events(configuration: Configuration, plan: Plan, index: int, source: Source) -> Iterator[Bars]:
    if source.synthetic:
        seed, bars = source.synthetic
        params = plan.params.symbols[index]
        tick, price_unit = int(params["tick"]), float(params["price_unit"])
        yield from synthetic_bars(source.symbol, index, seed, bars, source.timeframe.ns, tick, price_unit)
        return
    assert source.batches is not None
    checker = Checker(source.text.partition("=")[2], index, source.timeframe, grid_of(configuration, source.symbol))
    for columns in source.batches:
        yield checker.events(columns)
