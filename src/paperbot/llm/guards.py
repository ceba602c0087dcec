"""The guards: what advice must be before it may become an event.

They run in this order, each with one code:

schema · symbol · side · not_finite · confidence · notional_cap · limits · price · budget · stale · duplicate

The first that objects decides, and nothing that an answer says can change the order, a limit or a guard. What passes is
still judged by the risk gate like any other signal; `limits` asks that very gate beforehand, on a copy of the account.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite

from paperbot.llm.contract import Advice

NS = 1_000_000_000


@dataclass(frozen=True)
class Limits:
    """What the configuration allows. Shares and confidence are plain numbers, `max_age_ns` nanoseconds."""

    symbols: frozenset[str]
    min_confidence: float
    max_notional_usd: float
    price_tolerance: float
    max_age_ns: int
    max_questions_per_hour: int
    max_tokens_per_day: int


@dataclass(frozen=True)
class Situation:
    """What the guards know of the account when an answer is judged.

    `asked_ts`, `now_ts`: the slice that the question showed, and the present one (ns UTC). `closes`: last close of each
    symbol that has one, in its quote. `targets`: what the advisor's strategy holds already (1 long, 0 flat).
    `value_usd(symbol, quantity)`: what a quantity of the base is worth, None without a price. `blocks(advice)`: the
    code with which the gate would refuse it, None when it would not.
    """

    asked_ts: int
    now_ts: int
    closes: Mapping[str, float]
    targets: Mapping[str, int]
    value_usd: Callable[[str, float], float | None]
    blocks: Callable[[Advice], str | None]


@dataclass
class Budget:
    """Questions of the last hour and tokens of the UTC day, in event time."""

    limits: Limits
    _asked: list[int] = field(default_factory=list)
    _day: int = -1
    _tokens: int = 0

    def left(self, ts: int) -> str | None:
        """Why nothing more may be asked at `ts`, None when it may."""
        self._roll(ts)
        if len(self._asked) >= self.limits.max_questions_per_hour:
            return f"{len(self._asked)} questions in an hour"
        if self._tokens >= self.limits.max_tokens_per_day:
            return f"{self._tokens} tokens in a day"
        return None

    def asked(self, ts: int) -> None:
        """A question is put at `ts`."""
        self._roll(ts)
        self._asked.append(ts)

    def used(self, ts: int, tokens: int) -> None:
        """An answer used so many tokens. What an endpoint reports below 0 counts as nothing."""
        self._roll(ts)
        self._tokens += max(tokens, 0)

    def exceeded(self) -> str | None:
        """Whether the last answer went over the day's tokens: then it was more than was allowed, and does not count."""
        if self._tokens > self.limits.max_tokens_per_day:
            return f"{self._tokens} tokens in a day, more than {self.limits.max_tokens_per_day}"
        return None

    def _roll(self, ts: int) -> None:
        self._asked = [one for one in self._asked if one > ts - 3600 * NS]
        day = ts // (86_400 * NS)
        if day != self._day:
            self._day, self._tokens = day, 0


Guard = Callable[[Advice, Situation, Limits, Budget], str | None]
"""Answers why it objects, or None."""


def _symbol(advice: Advice, situation: Situation, limits: Limits, _budget: Budget) -> str | None:
    known = advice.symbol in limits.symbols and advice.symbol in situation.targets
    return None if known else "not a symbol that advice may be about"


def _side(advice: Advice, _situation: Situation, _limits: Limits, _budget: Budget) -> str | None:
    return None if advice.side in {"long", "flat"} else "neither long nor flat"


def _not_finite(advice: Advice, _situation: Situation, _limits: Limits, _budget: Budget) -> str | None:
    numbers = (advice.size, advice.notional_usd, advice.price, advice.confidence, advice.ttl_s)
    if not all(isfinite(one) for one in numbers if one is not None):
        return "a number is not finite"
    if any(one is not None and one <= 0 for one in (advice.size, advice.notional_usd, advice.price)):
        return "a size or price is not above 0"
    return None


def _confidence(advice: Advice, _situation: Situation, limits: Limits, _budget: Budget) -> str | None:
    if not 0.0 <= advice.confidence <= 1.0:
        return f"confidence {advice.confidence:g} is outside of 0 to 1"
    return None if advice.confidence >= limits.min_confidence else f"below {limits.min_confidence:g}"


def notional_usd(advice: Advice, situation: Situation) -> float | None:
    """What the advice wants to buy, in USD; None when it buys nothing or there is no price."""
    if advice.side != "long":
        return None
    if advice.notional_usd is not None:
        return advice.notional_usd
    return None if advice.size is None else situation.value_usd(advice.symbol, advice.size)


def _notional_cap(advice: Advice, situation: Situation, limits: Limits, _budget: Budget) -> str | None:
    if advice.side != "long":
        return None
    value = notional_usd(advice, situation)
    if value is None or situation.value_usd(advice.symbol, 1.0) is None:
        return "has no value in USD to compare with the cap"
    return None if value <= limits.max_notional_usd else f"{value:.2f} USD is above the cap"


def _limits(advice: Advice, situation: Situation, _limits: Limits, _budget: Budget) -> str | None:
    code = situation.blocks(advice)
    return None if code is None else f"the risk gate would block it: {code}"


def _price(advice: Advice, situation: Situation, limits: Limits, _budget: Budget) -> str | None:
    close = situation.closes.get(advice.symbol)
    if close is None:
        return "the symbol has no price"
    if advice.price is not None and abs(advice.price - close) > limits.price_tolerance * close:
        return f"{advice.price:g} is too far from the last close {close:g}"
    return None


def _budget(_advice: Advice, _situation: Situation, _limits: Limits, budget: Budget) -> str | None:
    return budget.exceeded()


def _stale(advice: Advice, situation: Situation, limits: Limits, _budget: Budget) -> str | None:
    age_ns = situation.now_ts - situation.asked_ts
    allowed_ns = min(limits.max_age_ns, advice.ttl_s * NS)
    return None if 0 <= age_ns <= allowed_ns and advice.ttl_s > 0 else f"{age_ns / NS:g} s old"


def _duplicate(advice: Advice, situation: Situation, _limits: Limits, _budget: Budget) -> str | None:
    wanted = 1 if advice.side == "long" else 0
    return "is in force already" if situation.targets[advice.symbol] == wanted else None


CHAIN: tuple[tuple[str, Guard], ...] = (
    ("symbol", _symbol),
    ("side", _side),
    ("not_finite", _not_finite),
    ("confidence", _confidence),
    ("notional_cap", _notional_cap),
    ("limits", _limits),
    ("price", _price),
    ("budget", _budget),
    ("stale", _stale),
    ("duplicate", _duplicate),
)
SCHEMA = "schema"
"""The first guard's code: the contract itself, which `parse` enforces."""

CODES = (SCHEMA, *(code for code, _ in CHAIN))


def judge(advice: Advice, situation: Situation, limits: Limits, budget: Budget) -> tuple[str, str] | None:
    """(code, why) of the first guard that objects, None when all let it pass."""
    for code, guard in CHAIN:
        why = guard(advice, situation, limits, budget)
        if why is not None:
            return code, why
    return None
