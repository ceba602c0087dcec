"""What the engine and its surroundings ask of each other, as protocols; `app/` says who answers."""

from typing import Any, Protocol

from paperbot.events import Events, Records


class Watcher(Protocol):
    """Sees everything that goes into the core and everything that comes out, in order; changes nothing."""

    def events(self, events: Events) -> None:
        """Events that the core is about to be handed."""

    def records(self, records: Records) -> None:
        """Output records (OUT_HEAD layout) that came of the events before."""


class Asker(Protocol):
    """Answers finished slices with events of its own, which follow the slice directly."""

    def ask(self, bars: list[tuple[Any, ...]]) -> Events:
        """Events (possibly none) for the bars of one slice, each bar's fields as a tuple."""


class Clock(Protocol):
    """Wall time and durations."""

    def now_ns(self) -> int:
        """Wall time, ns UTC."""

    def monotonic_s(self) -> float:
        """Seconds of a clock that only goes on."""


class Planned(Protocol):
    """What of a plan a run's record needs."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names by id."""

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names by id."""

    @property
    def timeframes_ns(self) -> tuple[int, ...]:
        """By symbol id."""
