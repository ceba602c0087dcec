"""`paperbot report`: shows a run's artifacts on one HTML page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paperbot.engine.names import names_of
from paperbot.errors import CommandError
from paperbot.research.job import ReplayRequest, prepare
from paperbot.store.chart import Chart
from paperbot.store.durable import write_whole
from paperbot.store.results import Columns, candles_of, read_results
from paperbot.web.model import Page
from paperbot.web.report import compose


@dataclass(frozen=True)
class ReportRequest:
    """The options of `paperbot report`. `data`: the folder of a run's artifacts; `sources`: bars to draw."""

    data: Path
    out: Path
    sources: Sequence[str] = ()
    config: Path | None = None
    overrides: Sequence[dict[str, Any]] = ()


def report(request: ReportRequest, say: Callable[[str], None]) -> Path:
    """Write the page atomically. Raises DataError, CommandError, ConfigError, OutputError."""
    try:
        from paperbot.web.page import render  # noqa: PLC0415
    except ImportError:
        raise CommandError("paperbot report needs plotly: pip install 'paperbot[report]'") from None
    write_whole(request.out, render(page_of(request, say)).encode())
    return request.out


def page_of(request: ReportRequest, say: Callable[[str], None]) -> Page:
    """The content of the page. Raises DataError, CommandError, ConfigError."""
    results = read_results(request.data)
    bars = _candles(request, results.ledger, say) if request.sources else None
    return compose(results, bars)


def _candles(request: ReportRequest, ledger: Columns, say: Callable[[str], None]) -> Columns:
    """Candles of the requested sources, limited to the time of the run."""
    job = prepare(ReplayRequest(request.sources, request.config, overrides=request.overrides), say)
    chart = Chart(names_of(job.plan))
    first, last = (ledger["ts"][[0, -1]] if len(ledger["ts"]) else np.zeros(2, dtype="datetime64[ns]")).astype(np.int64)
    for batches in job.batches:
        for events in batches:
            chart.events(events[(events["close_ts"] >= first) & (events["close_ts"] <= last)])
    return candles_of(chart.table())
