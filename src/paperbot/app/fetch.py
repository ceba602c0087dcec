"""`paperbot data fetch`: fetches a venue's bars to a Parquet file for replay, and continues an existing file."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paperbot.clock import format_ts
from paperbot.config import ConfigFiles
from paperbot.errors import StateError
from paperbot.knobs import duration_s
from paperbot.live.link import learn_from, live_configuration, make_source
from paperbot.market.source import MS, Answer, SourceError, patiently
from paperbot.store.bars import BarStore

TRIES = 6
PAGES_A_WRITE = 50


@dataclass(frozen=True)
class FetchRequest:
    """The options of `paperbot data fetch`; times in ns UTC."""

    symbol: str
    timeframe: str
    since_ns: int
    until_ns: int | None
    out: Path
    config: Path | None = None
    overrides: Any = ()


def fetch(
    request: FetchRequest, say: Callable[[str], None], progress: Callable[[int, int], None] = lambda _done, _all: None
) -> dict[str, Any]:
    """Fetch final bars and write them. Returns the file, its number of bars and its last time. Raises PaperbotError.

    `progress(done, total)` is called after each page, in bars; gaps in the venue's data count as fetched.
    """
    return asyncio.run(_fetch(request, say, progress))


async def _fetch(
    request: FetchRequest, say: Callable[[str], None], progress: Callable[[int, int], None]
) -> dict[str, Any]:
    files = ConfigFiles(request.config)
    configuration = live_configuration(files, request.overrides)
    source = make_source(configuration, [request.symbol], request.timeframe, needs_key=False)
    step_ms = duration_s(request.timeframe) * 1000
    store = BarStore(request.out)
    before = store.count
    if store.last_ms is not None:
        say(f"{request.out}: continues after {format_ts(store.last_ms * MS)}")
    try:
        await _patiently(source.open)
        learn_from(source, files, configuration, [request.symbol])
        now_ms = await _patiently(source.time_ms)
        end_ms = now_ms if request.until_ns is None else min(request.until_ns // MS, now_ms)
        next_ms = request.since_ns // MS if store.last_ms is None else store.last_ms + step_ms
        pages, total = 0, max((end_ms - next_ms) // step_ms, 0)
        while next_ms + step_ms <= end_ms:
            start_ms = next_ms

            async def page(start_ms: int = start_ms) -> list[Any]:
                return await source.candles(request.symbol, start_ms)

            rows = [row for row in await _patiently(page) if start_ms <= row[0] and row[0] + step_ms <= end_ms]
            if not rows:
                break
            store.add(rows)
            next_ms = rows[-1][0] + step_ms
            progress(total - max((end_ms - next_ms) // step_ms, 0), total)
            pages += 1
            if pages % PAGES_A_WRITE == 0:
                store.write()
                say(f"{request.symbol}: up to {format_ts(next_ms * MS)}")
        store.write()
    except StateError:
        if store.count > before:
            store.write()
        raise
    finally:
        await source.close()
    last = None if store.last_ms is None else format_ts(store.last_ms * MS)
    return {"file": str(request.out), "bars": store.count, "last": last}


async def _patiently(call: Callable[[], Awaitable[Answer]]) -> Answer:
    try:
        return await patiently(call, TRIES)
    except SourceError as error:
        raise StateError(f"the venue does not answer: {error}; the bars fetched so far are kept") from None
