"""The bars of one symbol on their way into the engine."""

from dataclasses import dataclass, field

from paperbot.events import Bars
from paperbot.market.candles import Checker
from paperbot.market.source import Candle


@dataclass(frozen=True)
class Arrival:
    """A bar that may enter (`event`, one BAR_EVENT record), or, without `event`, a close whose bar is proven absent."""

    symbol: int
    close_ts: int
    source: str
    event: Bars | None = None


@dataclass
class Lane:
    """The state of one symbol: the next expected open, bars that wait for it, and bars that entered recently.

    `contradictory`: the last contradictory version of the next expected bar. REST is asked for it again from
    `not_before_s` on; `tries` counts the attempts.
    """

    symbol: str
    index: int
    checker: Checker
    next_ms: int = 0
    waiting: dict[int, tuple[Candle, str]] = field(default_factory=dict)
    taken: dict[int, Candle] = field(default_factory=dict)
    contradictory: Candle | None = None
    tries: int = 0
    not_before_s: float = 0.0
