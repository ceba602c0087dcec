"""Records a run as it goes: artifacts, statistics, and the summary at the end."""

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
    """A watcher that writes a run's artifacts. A context manager: without `finish`, the old files stay unchanged.

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
        """Return the recorder; its temporary files are open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the temporary files, unless `finish` was called."""
        self._artifacts.__exit__()

    @property
    def bars(self) -> int:
        """The number of bars so far, without the warm-up."""
        return self._chart.bars

    def events(self, events: Events) -> None:
        """Add the bars to the chart."""
        self._chart.events(events)

    def records(self, records: Records) -> None:
        """Write and count output records."""
        self.statistics.add(records)
        self._artifacts.add(records)

    def finish(self, digest: str, account: np.void) -> dict[str, Any]:
        """Make all files durable and replace the old ones. Returns the flat object that `--json` prints.

        `account`: the core's record at the end.
        """
        summary = summary_of(self._facts, self.statistics, self._chart, digest, account)
        summary |= self._settings
        self._artifacts.finish(self._chart.table(), summary)
        return summary


def summary_of(
    facts: RunFacts, statistics: Statistics, chart: Chart, digest: str, account: np.void
) -> dict[str, Any]:
    """The facts and figures of a run, as in `run.json`. `account`: the core's record."""
    return {
        "digest": digest,
        "symbols": list(facts.symbols),
        "strategies": list(facts.strategies),
        "timeframes": dict(facts.timeframes),
        "bars": chart.bars,
        **summarize(statistics, account, chart.buy_and_hold(), facts.rates),
    }
