"""Handles a question from budget to provider, contract and guards. Failures are outcomes, not exceptions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from paperbot.llm.contract import FAILURES, Advice, MalformedError, ProviderError, Question, Reply, parse
from paperbot.llm.guards import SCHEMA, Budget, Limits, Situation, judge, notional_usd

ACCEPTED, DENIED, NO_ADVICE, NOT_ASKED = "accepted", "denied", "no_advice", "not_asked"
OUTCOMES = (ACCEPTED, DENIED, NO_ADVICE, NOT_ASKED, *FAILURES)

ADVICE_FILE = "advice.jsonl"
"""File of a run's questions, answers and decisions."""


class Provider(Protocol):
    """The source of answers: an endpoint, or a recording of one."""

    def ask(self, question: Question) -> Reply:
        """Return the answer. Raises ProviderError if there is none."""


@dataclass(frozen=True)
class Exchange:
    """A question, its answer and the decision. `code`: the guard that denied; `detail`: the reason in words."""

    question: Question
    outcome: str
    reply: Reply | None = None
    advice: Advice | None = None
    code: str | None = None
    detail: str = ""
    notional_usd: float | None = None
    tokens: int = 0

    def stored(self) -> dict[str, Any]:
        """Return the exchange's line in ADVICE_FILE: enough to review it, and to rerun it without a network."""
        reply = self.reply or Reply("")
        return {
            "ts": self.question.ts,
            "prompt_id": self.question.prompt_id,
            "prompt_sha256": self.question.prompt_sha256,
            "prompt": self.question.text,
            "answer": None if self.reply is None else reply.text,
            "prompt_tokens": reply.prompt_tokens + self.tokens,
            "answer_tokens": reply.answer_tokens,
            "outcome": self.outcome,
            "code": self.code,
            "detail": self.detail,
        }


@dataclass
class Advisor:
    """Asks a provider and judges its answers. `situation(asked_ts)` returns the account at the time of the answer."""

    provider: Provider
    limits: Limits
    max_answer_chars: int
    budget: Budget

    def consult(self, question: Question, situation: Callable[[int], Situation]) -> Exchange:
        """Ask one question and judge the answer at once."""
        refused = self.begin(question)
        return refused or self.settle(question, self.answer(question), situation)

    def begin(self, question: Question) -> Exchange | None:
        """Count a question against the budget; if it is used up, return the finished exchange."""
        refusal = self.budget.left(question.ts)
        if refusal is not None:
            return Exchange(question, NOT_ASKED, detail=refusal)
        self.budget.asked(question.ts)
        return None

    def answer(self, question: Question) -> Reply | ProviderError:
        """Return the provider's answer or its error. This may take long, and may run on another thread."""
        try:
            return self.provider.ask(question)
        except ProviderError as error:
            return error

    def settle(
        self, question: Question, reply: Reply | ProviderError, situation: Callable[[int], Situation]
    ) -> Exchange:
        """Judge an answer against the current account. Failures are outcomes, not exceptions."""
        if isinstance(reply, ProviderError):
            self.budget.used(question.ts, reply.tokens)
            return Exchange(question, reply.outcome, detail=str(reply), tokens=reply.tokens)
        self.budget.used(question.ts, reply.prompt_tokens + reply.answer_tokens)
        try:
            advice = parse(reply.text, self.max_answer_chars)
        except MalformedError as error:
            return Exchange(question, DENIED, reply, code=SCHEMA, detail=str(error))
        if advice is None:
            return Exchange(question, NO_ADVICE, reply)
        account = situation(question.ts)
        objection = judge(advice, account, self.limits, self.budget)
        value = notional_usd(advice, account) if objection is None or objection[0] not in _BEFORE_VALUE else None
        if objection is not None:
            return Exchange(question, DENIED, reply, advice, *objection, value)
        return Exchange(question, ACCEPTED, reply, advice, notional_usd=value)


_BEFORE_VALUE = {"symbol", "side", "not_finite"}
"""Guards whose objection means that the advice's value cannot be computed."""
