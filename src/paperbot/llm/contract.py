"""The contract of an advisor's answer: one strictly typed JSON object. Anything else is not advice."""

import json
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Advice(BaseModel):
    """A proposal: hold `symbol` (`side` long) or nothing of it (flat).

    An entry has either `size`, in the base, or `notional_usd`. `price`: the price that the model assumed, in the quote;
    optional. `ttl_s`: seconds for which the advice is valid.
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
    """The whole answer; `{"advice": null}` means that there is nothing to do."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    advice: Advice | None


class MalformedError(Exception):
    """The answer does not match the contract; `str` says why."""


@dataclass(frozen=True)
class Question:
    """A question to the advisor. `ts`: the slice that it shows, ns UTC; the prompt is identified by id and hash."""

    ts: int
    prompt_id: str
    prompt_sha256: str
    text: str


@dataclass(frozen=True)
class Reply:
    """The provider's answer and its tokens."""

    text: str
    prompt_tokens: int = 0
    answer_tokens: int = 0


FAILURES = ("timeout", "unreachable", "http_error", "bad_response", "no_answer")


class ProviderError(Exception):
    """The provider gave no answer. `outcome`: one of FAILURES; `tokens`: the estimated cost of the attempt."""

    def __init__(self, outcome: str, detail: str, tokens: int = 0) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.tokens = tokens


def parse(text: str, max_chars: int) -> Advice | None:
    """Return the advice in an answer, or None if it has none. Raises MalformedError."""
    if len(text) > max_chars:
        raise MalformedError(f"{len(text)} characters; at most {max_chars} are allowed")
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
        amounts = [amount for amount in (advice.size, advice.notional_usd) if amount is not None]
        if advice.side == "long" and len(amounts) != 1:
            raise MalformedError("side long needs exactly one of size and notional_usd")
        if advice.side == "flat" and amounts:
            raise MalformedError("side flat must have neither size nor notional_usd")
    return advice


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key occurs twice")
    return tree
