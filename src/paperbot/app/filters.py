"""`paperbot venue filters`: the venue's instrument rules, stored or freshly fetched."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paperbot.config import ConfigFiles
from paperbot.errors import CommandError
from paperbot.live.link import learn_from, live_configuration, make_source, open_source
from paperbot.market.instruments import kept_path, read_kept


@dataclass(frozen=True)
class FiltersRequest:
    """The options of `paperbot venue filters`. Without symbols: the configured ones."""

    symbols: Sequence[str]
    refresh: bool
    config: Path | None = None
    overrides: Sequence[Any] = ()


def filters(request: FiltersRequest, say: Callable[[str], None]) -> dict[str, Any]:
    """The rules by symbol, and when they were fetched. Raises CommandError when none are stored."""
    files = ConfigFiles(request.config)
    chosen = [{"symbols": list(request.symbols)}] if request.symbols else []
    overrides = [*request.overrides, *chosen]
    configuration = live_configuration(files, overrides)
    settings = configuration.settings
    if request.refresh:

        async def fetch() -> None:
            source = make_source(configuration, needs_key=False)
            try:
                await open_source(source, say)
                learn_from(source, files, configuration, settings.symbols)
            finally:
                await source.close()

        asyncio.run(fetch())
    path = kept_path(settings.exchange, settings.feed.market_data)
    fetched, rules = read_kept(path)
    missing = [symbol for symbol in settings.symbols if symbol not in rules]
    if missing:
        raise CommandError(f"{path}: has no rules for {', '.join(missing)}; fetch them with --refresh")
    return {"file": str(path), "fetched": fetched, "symbols": {symbol: rules[symbol] for symbol in settings.symbols}}
