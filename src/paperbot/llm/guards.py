"""The guards: the checks that advice must pass before it becomes an event.

They run in this order, each with one code:

schema · symbol · side · not_finite · confidence · notional_cap · limits · price · budget · stale · duplicate

The first guard that objects denies the advice. Nothing in an answer can change a guard, a limit or the order. Advice
that passes is still judged by the risk gate like any other signal; `limits` asks the same gate beforehand, on a copy of
the account.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite

from paperbot.llm.contract import Advice

NS = 1_000_000_000


@dataclass(frozen=True)
class Limits:
    """The configured limits. `price_tolerance` is a share of the price, `max_age_ns` in nanoseconds."""

    symbols: frozenset[str]
    min_confidence: float
    max_notional_usd: float
    price_tolerance: float
    max_age_ns: int
    max_questions_per_hour: int
    max_tokens_per_day: int


@dataclass(frozen=True)
class Situation:
    """The account as the guards see it when an answer is judged.

    `asked_ts`, `now_ts`: the slice that the question showed and the current one, ns UTC. `closes`: last close of each
    symbol that has one, in its quote. `targets`: current targets of the advisor's strategy (1 long, 0 flat).
    `value_usd(symbol, quantity)`: value of a quantity of the base, None without a price. `blocks(advice)`: the code
    with which the gate would block it, or None.
    """

    asked_ts: int
    now_ts: int
    closes: Mapping[str, float]
    targets: Mapping[str, int]
    value_usd: Callable[[str, float], float | None]
    blocks: Callable[[Advice], str | None]


@dataclass
class Budget:
    """Counts the questions of the last hour and the tokens of the UTC day, in event time."""

    limits: Limits
    _asked: list[int] = field(default_factory=list)
    _day: int = -1
    _tokens: int = 0

    def left(self, ts: int) -> str | None:
        """Return why no question may be asked at `ts` (ns UTC), or None if one may."""
        self._roll(ts)
        if len(self._asked) >= self.limits.max_questions_per_hour:
            return f"the limit of {self.limits.max_questions_per_hour} questions per hour is reached"
        if self._tokens >= self.limits.max_tokens_per_day:
            return f"the limit of {self.limits.max_tokens_per_day} tokens per day is reached"
        return None

    def asked(self, ts: int) -> None:
        """Count a question asked at `ts` (ns UTC)."""
        self._roll(ts)
        self._asked.append(ts)

    def used(self, ts: int, tokens: int) -> None:
        """Count an answer's tokens; a negative number counts as 0."""
        self._roll(ts)
        self._tokens += max(tokens, 0)

    def exceeded(self) -> str | None:
        """Return the objection if the last answer exceeded the day's tokens, or None."""
        if self._tokens > self.limits.max_tokens_per_day:
            return f"{self._tokens} tokens today; at most {self.limits.max_tokens_per_day} are allowed"
        return None

    def _roll(self, ts: int) -> None:
        self._asked = [asked_ts for asked_ts in self._asked if asked_ts > ts - 3600 * NS]
        day = ts // (86_400 * NS)
        if day != self._day:
            self._day, self._tokens = day, 0


Guard = Callable[[Advice, Situation, Limits, Budget], str | None]
"""Returns the reason for an objection, or None."""


def _symbol(advice: Advice, situation: Situation, limits: Limits, _budget: Budget) -> str | None:
    is_allowed = advice.symbol in limits.symbols and advice.symbol in situation.targets
    return None if is_allowed else "advice for this symbol is not allowed"


def _side(advice: Advice, _situation: Situation, _limits: Limits, _budget: Budget) -> str | None:
    return None if advice.side in {"long", "flat"} else "the side is neither long nor flat"


def _not_finite(advice: Advice, _situation: Situation, _limits: Limits, _budget: Budget) -> str | None:
    numbers = (advice.size, advice.notional_usd, advice.price, advice.confidence, advice.ttl_s)
    if not all(isfinite(number) for number in numbers if number is not None):
        return "a number is not finite"
    if any(number is not None and number <= 0 for number in (advice.size, advice.notional_usd, advice.price)):
        return "size, notional_usd and price must be above 0"
    return None


def _confidence(advice: Advice, _situation: Situation, limits: Limits, _budget: Budget) -> str | None:
    if not 0.0 <= advice.confidence <= 1.0:
        return f"confidence {advice.confidence:g} is outside 0 to 1"
    if advice.confidence < limits.min_confidence:
        return f"confidence {advice.confidence:g} is below {limits.min_confidence:g}"
    return None


def notional_usd(advice: Advice, situation: Situation) -> float | None:
    """Return the value that the advice would buy, in USD; None if it buys nothing or has no price."""
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
        return "the advice has no value in USD to compare with the cap"
    cap = limits.max_notional_usd
    return None if value <= cap else f"{value:.2f} USD is above the cap of {cap:.2f} USD"


def _limits(advice: Advice, situation: Situation, _limits: Limits, _budget: Budget) -> str | None:
    code = situation.blocks(advice)
    return None if code is None else f"the risk gate would block it: {code}"


def _price(advice: Advice, situation: Situation, limits: Limits, _budget: Budget) -> str | None:
    close = situation.closes.get(advice.symbol)
    if close is None:
        return "the symbol has no last close"
    if advice.price is not None and abs(advice.price - close) > limits.price_tolerance * close:
        return f"the price {advice.price:g} is too far from the last close {close:g}"
    return None


def _budget(_advice: Advice, _situation: Situation, _limits: Limits, budget: Budget) -> str | None:
    return budget.exceeded()


def _stale(advice: Advice, situation: Situation, limits: Limits, _budget: Budget) -> str | None:
    age_ns = situation.now_ts - situation.asked_ts
    allowed_ns = min(limits.max_age_ns, advice.ttl_s * NS)
    if advice.ttl_s <= 0:
        return "ttl_s must be above 0"
    if not 0 <= age_ns <= allowed_ns:
        return f"the advice is {age_ns / NS:g} s old; at most {allowed_ns / NS:g} s are allowed"
    return None


def _duplicate(advice: Advice, situation: Situation, _limits: Limits, _budget: Budget) -> str | None:
    wanted = 1 if advice.side == "long" else 0
    return "the strategy already has this target" if situation.targets[advice.symbol] == wanted else None


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
    """Return (code, reason) of the first guard that objects, or None if the advice passes all."""
    for code, guard in CHAIN:
        why = guard(advice, situation, limits, budget)
        if why is not None:
            return code, why
    return None
