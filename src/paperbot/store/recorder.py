"""What a run leaves behind, put together as it goes: artifacts, statistics, and the summary at the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from paperbot.events import Events, Records
from paperbot.names import Names, RunFacts
from paperbot.store.chart import Chart
from paperbot.store.parquet import FILES, Artifacts
from paperbot.store.statistics import Statistics
from paperbot.store.summary import summarize


class Recorder:
    """Watches a run and writes its artifacts; a context manager that leaves what was there before, unless finished.

    `settings`: how the run was configured, for `run.json`. Raises OutputError when the folder cannot be written.
    """

    def __init__(self, folder: Path, names: Names, facts: RunFacts, settings: Mapping[str, Any]) -> None:
        self.names = names
        self._facts, self._settings = facts, settings
        self.statistics = Statistics(self.names)
        self._chart = Chart(self.names)
        self.files = [folder / name for name in FILES]
        self._artifacts = Artifacts(folder, self.names)

    def __enter__(self) -> Self:
        """Start writing beside the final names."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what is unfinished."""
        self._artifacts.__exit__()

    @property
    def bars(self) -> int:
        """Bars that counted, so far."""
        return self._chart.bars

    def events(self, events: Events) -> None:
        """Keep what a picture needs of the bars."""
        self._chart.events(events)

    def records(self, records: Records) -> None:
        """Write and count what came out."""
        self.statistics.add(records)
        self._artifacts.add(records)

    def finish(self, digest: str, account: np.void) -> dict[str, Any]:
        """Make all files durable and put them in place. Returns the flat object that `--json` prints.

        `account`: the core's record at the end.
        """
        summary = summary_of(self._facts, self.statistics, self._chart, digest, account)
        summary |= self._settings
        self._artifacts.finish(self._chart.table(), summary)
        return summary


def summary_of(
    facts: RunFacts, statistics: Statistics, chart: Chart, digest: str, account: np.void
) -> dict[str, Any]:
    """What a run was and what it gave, as `run.json` has it. `account`: the core's record."""
    return {
        "digest": digest,
        "symbols": list(facts.symbols),
        "strategies": list(facts.strategies),
        "timeframes": dict(facts.timeframes),
        "bars": chart.bars,
        **summarize(statistics, account, chart.buy_and_hold(), facts.rates),
    }
