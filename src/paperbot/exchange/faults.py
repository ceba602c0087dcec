"""Seeded faults of a venue: what goes wrong with which message or request, the same for the same seed."""

import random
from dataclasses import dataclass, field

from paperbot.errors import CommandError, did_you_mean

STREAM_FAULTS = (*("disconnect", "silence", "duplicate", "reorder", "delay", "lost_last", "malformed", "truncated"),)
REST_FAULTS = ("http_429", "http_418", "http_500", "not_json")
VENUE_FAULTS = ("skew", "gap")
"""`skew`: the share is in seconds by which the served clock is ahead. `gap`: bars that never were."""

SILENCE_MESSAGES = 40
DELAY_MESSAGES = 7
MAX_SKEW_S = 3600


@dataclass
class Faults:
    """How often each fault strikes, as a share of the messages or requests that it can strike."""

    seed: int = 0
    shares: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """One stream of chance for each kind, so that one kind does not move another."""
        self._chance = {name: random.Random(f"{self.seed} {name}") for name in self.shares}  # noqa: S311

    def strikes(self, name: str) -> bool:
        """Whether this fault strikes now."""
        share = self.shares.get(name, 0.0)
        return share > 0 and self._chance[name].random() < share

    @property
    def skew_ms(self) -> int:
        """By how much the served clock is ahead."""
        return round(self.shares.get("skew", 0.0) * 1000)


def parse_faults(seed: int, texts: list[str]) -> Faults:
    """`disconnect=0.01` and so on. Raises CommandError."""
    shares = {}
    for text in texts:
        name, equals, share = text.partition("=")
        known = (*STREAM_FAULTS, *REST_FAULTS, *VENUE_FAULTS)
        if name not in known:
            raise CommandError(f"--fault {text}: unknown fault {name}{did_you_mean(name, known)}")
        try:
            value = float(share) if equals else 0.01
        except ValueError:
            value = -1.0
        if not 0 <= value <= (MAX_SKEW_S if name == "skew" else 1):
            raise CommandError(f"--fault {text}: expected {name}=SHARE with a share of 0 to 1 (skew: seconds)")
        shares[name] = value
    return Faults(seed, shares)
