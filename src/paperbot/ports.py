"""Protocols between the engine and its surroundings; `app/` chooses the implementations."""

from typing import Any, Protocol

from paperbot.events import Events, Records


class Watcher(Protocol):
    """Observes every event and every output record, in order, without changing anything."""

    def events(self, events: Events) -> None:
        """Called with events before the core processes them."""

    def records(self, records: Records) -> None:
        """Called with the output records (OUT_HEAD layout) of the preceding events."""


class Asker(Protocol):
    """Answers each finished slice with events, which are fed directly after the slice."""

    def ask(self, bars: list[tuple[Any, ...]]) -> Events:
        """Return events (possibly none) for one slice; `bars` holds each bar's fields as a tuple."""


class Clock(Protocol):
    """Wall time and durations."""

    def now_ns(self) -> int:
        """Wall time, ns UTC."""

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes backwards."""


class Planned(Protocol):
    """The part of a plan that `provenance` reads."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbol names by id."""

    @property
    def strategies(self) -> tuple[str, ...]:
        """Strategy names by id."""

    @property
    def timeframes_ns(self) -> tuple[int, ...]:
        """Timeframes by symbol id, in ns."""
