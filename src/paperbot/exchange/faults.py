"""Seeded faults of the local venue: the same seed breaks the same messages and requests."""

import random
from dataclasses import dataclass, field

from paperbot.errors import CommandError, did_you_mean

STREAM_FAULTS = ("disconnect", "silence", "duplicate", "reorder", "delay", "lost_last", "malformed", "truncated")
REST_FAULTS = ("http_429", "http_418", "http_500", "not_json")
BOTH_FAULTS = ("hostile",)
VENUE_FAULTS = ("skew", "gap")
"""`hostile`: the messages of `exchange/hostile.py` in turn beside true ones, its answers in turn in place of true ones.
`skew`: its share is the number of seconds by which the served clock is ahead. `gap`: missing bars.
"""

SILENCE_MESSAGES = 40
DELAY_MESSAGES = 7
MAX_SKEW_S = 3600


@dataclass
class Faults:
    """How often each fault occurs, as a share of the messages or requests that it can affect."""

    seed: int = 0
    shares: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Create a random generator per fault, so that one fault does not change when another occurs."""
        self._chance = {name: random.Random(f"{self.seed} {name}") for name in self.shares}  # noqa: S311

    def strikes(self, name: str) -> bool:
        """Draw whether this fault occurs now."""
        share = self.shares.get(name, 0.0)
        return share > 0 and self._chance[name].random() < share

    @property
    def skew_ms(self) -> int:
        """Milliseconds by which the served clock is ahead."""
        return round(self.shares.get("skew", 0.0) * 1000)


def parse_faults(seed: int, texts: list[str]) -> Faults:
    """Parse faults such as `disconnect=0.01`. Raises CommandError."""
    shares = {}
    for text in texts:
        name, equals, share = text.partition("=")
        faults = (*STREAM_FAULTS, *REST_FAULTS, *BOTH_FAULTS, *VENUE_FAULTS)
        if name not in faults:
            raise CommandError(f"--fault {text}: unknown fault {name}{did_you_mean(name, faults)}")
        try:
            value = float(share) if equals else 0.01
        except ValueError:
            value = -1.0
        largest = MAX_SKEW_S if name == "skew" else 1
        if not 0 <= value <= largest:
            unit = " seconds" if name == "skew" else ""
            raise CommandError(f"--fault {text}: expected {name}=SHARE, a number from 0 to {largest}{unit}")
        shares[name] = value
    return Faults(seed, shares)
