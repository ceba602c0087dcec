"""What an advisor may say: one JSON object, typed, bounded and closed. Anything else is no advice."""

import json
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Advice(BaseModel):
    """A proposal: hold `symbol` (`side` long) or nothing of it (flat).

    An entry names either `size`, in the base, or `notional_usd`. `price`: what the model took the price to be, in the
    quote, where it says so. `ttl_s`: seconds for which the advice is meant to hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    symbol: Annotated[str, Field(max_length=40)]
    side: Annotated[str, Field(max_length=16)]
    size: float | None = None
    notional_usd: float | None = None
    price: float | None = None
    confidence: float
    reason: Annotated[str, Field(max_length=500)]
    ttl_s: float


class Answer(BaseModel):
    """The whole answer: `{"advice": null}` says that there is nothing to do."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    advice: Advice | None


class MalformedError(Exception):
    """The answer is not of this contract; `str` says why."""


@dataclass(frozen=True)
class Question:
    """What the advisor is asked: at `ts` (ns UTC, the slice it sees), with a prompt known by id and hash."""

    ts: int
    prompt_id: str
    prompt_sha256: str
    text: str


@dataclass(frozen=True)
class Reply:
    """What came back, and what it cost."""

    text: str
    prompt_tokens: int = 0
    answer_tokens: int = 0


FAILURES = ("timeout", "unreachable", "http_error", "bad_response", "no_answer")


class ProviderError(Exception):
    """No answer came. `outcome`: one of FAILURES; `tokens`: what it may have cost all the same."""

    def __init__(self, outcome: str, detail: str, tokens: int = 0) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.tokens = tokens


def parse(text: str, max_chars: int) -> Advice | None:
    """The advice in an answer, None when it has none. Raises MalformedError."""
    if len(text) > max_chars:
        raise MalformedError(f"{len(text)} characters, more than {max_chars}")
    try:
        tree = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not JSON ({type(error).__name__})") from None
    try:
        advice = Answer.model_validate(tree).advice
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part in Advice.model_fields) or "the answer"
        raise MalformedError(f"{place}: {first['msg']}") from None
    if advice is not None:
        named = [one for one in (advice.size, advice.notional_usd) if one is not None]
        if advice.side == "long" and len(named) != 1:
            raise MalformedError("a long names either size or notional_usd")
        if advice.side == "flat" and named:
            raise MalformedError("a flat names neither size nor notional_usd")
    return advice


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key stands twice")
    return tree
