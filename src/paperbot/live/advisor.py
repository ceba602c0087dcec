"""Connects the advisor to the engine: asks at fixed times, logs each decision, turns accepted advice into events."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any

from paperbot.config import Configuration, shipped
from paperbot.engine.machine import Machine
from paperbot.engine.params import NS, Plan
from paperbot.engine.preview import AccountView, Preview, signal_event, view_of
from paperbot.engine.rates import usd_rate_of
from paperbot.environment import required_secret
from paperbot.events import NO_SIGNALS, Signals
from paperbot.knobs import duration_s
from paperbot.llm.advisor import ACCEPTED, ADVICE_FILE, DENIED, NO_ADVICE, NOT_ASKED, Advisor, Exchange, Provider
from paperbot.llm.client import OpenAiProvider, RecordedProvider
from paperbot.llm.contract import Advice, Question
from paperbot.llm.guards import Budget, Limits, Situation
from paperbot.llm.prompt import read_prompt
from paperbot.names import Names
from paperbot.settings import ADVISOR, LlmSettings
from paperbot.store.durable import write_whole
from paperbot.telemetry.logs import WHOLE, Log
from paperbot.telemetry.metrics import Metrics

LARGEST = 1 << 60
"""Larger amounts and quantities (minor units) count as infinite."""
MAX_REASON = 200


def make_provider(configuration: Configuration, recorded: Path | None) -> Provider | None:
    """The advisor's provider: recorded answers if a file is given, else the configured one; None if that is off.

    Raises ConfigError for a missing file, API key or optional dependency.
    """
    llm = configuration.settings.llm
    if recorded is not None:
        return RecordedProvider(recorded)
    if llm.provider == "off":
        return None
    key = required_secret(llm.credential_env, "llm.provider: openai")
    return OpenAiProvider(llm.base_url, llm.model, key, llm.timeout_s)


def limits_of(llm: LlmSettings, plan: Plan) -> Limits:
    """The guards' limits. Their symbols match `llm.symbols` and are traded by the strategy `llm`."""
    first = plan.strategies.index(ADVISOR) * len(plan.symbols)
    traded = [symbol for index, symbol in enumerate(plan.symbols) if plan.params.enabled[first + index]]
    return Limits(
        symbols=frozenset(name for name in traded if any(fnmatchcase(name, pattern) for pattern in llm.symbols)),
        min_confidence=llm.min_confidence,
        max_notional_usd=float(llm.max_notional_usd),
        price_tolerance=float(llm.price_tolerance),
        max_age_ns=duration_s(llm.max_age) * NS,
        max_questions_per_hour=llm.max_questions_per_hour,
        max_tokens_per_day=llm.max_tokens_per_day,
    )


class AdviceDesk:
    """Asks the advisor one question about the account at each multiple of `llm.every`.

    It keeps every exchange, and `store` writes them to the folder of the run's artifacts.
    """

    def __init__(
        self,
        configuration: Configuration,
        plan: Plan,
        names: Names,
        machine: Machine,
        provider: Provider,
        log: Log | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._llm = configuration.settings.llm
        self._market = configuration.market
        self._plan, self._names, self._machine = plan, names, machine
        self._log, self._metrics = log, metrics
        self._limits = limits_of(self._llm, plan)
        self._advisor = Advisor(provider, self._limits, self._llm.max_answer_chars, Budget(self._limits))
        self._prompt = read_prompt(shipped(self._llm.prompt))
        self._preview = Preview(plan)
        self._every_ns = duration_s(self._llm.every) * NS
        self._next_ts = 0
        self._notes: dict[tuple[int, str], dict[str, Any]] = {}
        self.exchanges: list[Exchange] = []

    # ---- asking and waiting for the answer
    def ask(self, bars: list[tuple[Any, ...]]) -> Signals:
        """Ask if a question is due. Returns the event of accepted advice, or no event."""
        ts = int(bars[0][1])
        if not self.is_due(ts):
            return NO_SIGNALS
        view = self._view()
        question = self._question(view, ts)
        return self._decided(self._advisor.consult(question, lambda asked: self._situation(view, asked, ts)), ts)

    # ---- asking in two steps, for a session that does not wait
    def is_due(self, ts: int) -> bool:
        """Whether a question is due after the slice that closed at `ts`. True schedules the next question."""
        if self._next_ts == 0:
            self._next_ts = -(-ts // self._every_ns) * self._every_ns
        if ts < self._next_ts:
            return False
        self._next_ts = (ts // self._every_ns + 1) * self._every_ns
        return True

    def begin(self, ts: int) -> Callable[[], Callable[[int], Signals]] | None:
        """Start a question about the slice that closed at `ts`. Returns None when the budget is used up.

        Call the result on another thread, where it waits for the answer and returns a function. Call that function on
        this thread with the current time (ns UTC); it returns the event.
        """
        question = self._question(self._view(), ts)
        refused = self._advisor.begin(question)
        if refused is not None:
            self._decided(refused, ts)
            return None

        def wait() -> Callable[[int], Signals]:
            reply = self._advisor.answer(question)

            def settle(now_ts: int) -> Signals:
                view = self._view()
                exchange = self._advisor.settle(question, reply, lambda asked: self._situation(view, asked, now_ts))
                return self._decided(exchange, now_ts)

            return settle

        return wait

    def _view(self) -> AccountView:
        return view_of(self._plan, self._names, self._machine)

    def _question(self, view: AccountView, ts: int) -> Question:
        symbols = sorted(self._limits.symbols)
        return self._prompt.question(ts, view.as_fields(), symbols, f"{self._llm.max_notional_usd:f}")

    def _decided(self, exchange: Exchange, ts: int) -> Signals:
        """Log and keep an exchange. Returns the event of accepted advice, or no event."""
        self.exchanges.append(exchange)
        self._show(exchange)
        if exchange.outcome != ACCEPTED or exchange.advice is None:
            return NO_SIGNALS
        self._notes[ts, exchange.advice.symbol] = self._note(exchange, exchange.advice)
        return self._event(exchange.advice, ts)

    def notes(self, ts: int, symbol: str) -> Mapping[str, Any]:
        """The reason and numbers of the advice behind a signal."""
        return self._notes.get((ts, symbol), {})

    def remember(self, stored: list[dict[str, Any]]) -> None:
        """Charge the budget with the exchanges of the session's earlier runs (`Exchange.stored`)."""
        for row in stored:
            if row["outcome"] != NOT_ASKED:
                self._advisor.budget.asked(row["ts"])
                self._advisor.budget.used(row["ts"], row["prompt_tokens"] + row["answer_tokens"])

    def store(self, folder: Path) -> Path:
        """Write all exchanges to `advice.jsonl`, one JSON object per line; returns its path. Raises OutputError."""
        rows = [json.dumps(exchange.stored(), ensure_ascii=True) + "\n" for exchange in self.exchanges]
        path = folder / ADVICE_FILE
        write_whole(path, "".join(rows).encode())
        return path

    # ---- input of the guards
    def _situation(self, view: AccountView, asked_ts: int, now_ts: int) -> Situation:
        return Situation(
            asked_ts=asked_ts,
            now_ts=now_ts,
            closes={symbol: market.close for symbol, market in view.markets.items()},
            targets={symbol: target for (strategy, symbol), target in view.targets.items() if strategy == ADVISOR},
            value_usd=self._value_usd,
            blocks=lambda advice: next(iter(self._preview.blocks(self._machine, self._event(advice, now_ts))), None),
        )

    def _value_usd(self, symbol: str, quantity: float) -> float | None:
        """The value in USD of a quantity of the base, at the symbol's last close; None without a price."""
        minor = quantity * self._unit(symbol)
        worth = self._machine.worth(self._plan.symbols.index(symbol), int(min(minor, LARGEST)))
        rate = self._usd_rate()
        if worth is None or rate is None:
            return None
        return float("inf") if max(minor, worth) >= LARGEST else worth / self._names.account_unit() * rate

    def _unit(self, symbol: str) -> float:
        base = self._names.bases[self._plan.symbols.index(symbol)]
        return float(10.0 ** self._names.asset_decimals[base])

    def _usd_rate(self) -> float | None:
        return self._names.usd_rate or usd_rate_of(self._names, self._machine)

    def _quantity(self, advice: Advice) -> int:
        """The largest quantity that advice may buy, in the base's minor unit; at least 1, because 0 means no limit."""
        if advice.size is not None:
            return max(int(min(advice.size * self._unit(advice.symbol), LARGEST)), 1)
        rate = self._usd_rate()
        if rate is None:
            return 1
        amount = Fraction(advice.notional_usd or 0.0) / Fraction(rate) * Fraction(self._names.account_unit())
        bought = self._machine.affordable(self._plan.symbols.index(advice.symbol), min(int(amount), LARGEST))
        return max(min(bought or 0, LARGEST), 1)

    def _event(self, advice: Advice, ts: int) -> Signals:
        """The SIGNAL of advice, limited to the advised quantity."""
        quantity = self._quantity(advice) if advice.side == "long" else 0
        target = 1 if advice.side == "long" else 0
        return signal_event(self._plan, ts, ADVISOR, advice.symbol, target, advice.confidence, quantity)

    # ---- logs and metrics
    def _note(self, exchange: Exchange, advice: Advice) -> dict[str, Any]:
        numbers = {"size": advice.size, "notional_usd": advice.notional_usd, "ttl_s": advice.ttl_s}
        return {
            "reason": outside(advice.reason),
            "params": {
                "prompt_id": exchange.question.prompt_id,
                "prompt_sha256": exchange.question.prompt_sha256[:16],
                **{name: value for name, value in numbers.items() if value is not None},
            },
        }

    def _show(self, exchange: Exchange) -> None:
        if self._metrics is not None:
            self._count(exchange, self._metrics)
        if self._log is None:
            return
        if exchange.outcome == DENIED:
            advice = exchange.advice
            is_known = advice is not None and advice.symbol in self._plan.symbols
            self._log.warning(
                "llm_guard_denied",
                **{WHOLE: True},
                reason=exchange.code,
                detail=outside(exchange.detail),
                symbol=advice.symbol if advice is not None and is_known else None,
                market=self._market,
                size=_finite(advice.size) if advice else None,
                notional_usd=_finite(exchange.notional_usd),
                max_notional_usd=float(Decimal(self._llm.max_notional_usd)),
                component="llm",
                schema_version=1,
            )
        elif exchange.outcome == ACCEPTED:
            advice = exchange.advice
            fields = advice.model_dump() if advice is not None else {}
            self._log.info("llm_advice_accepted", **{**fields, "reason": outside(fields.get("reason", ""))})
        else:
            quiet = exchange.outcome in {NO_ADVICE, "no_answer"}
            write = self._log.debug if quiet else self._log.warning
            write("llm_no_advice", outcome=exchange.outcome, detail=outside(exchange.detail))

    @staticmethod
    def _count(exchange: Exchange, metrics: Metrics) -> None:
        metrics.inc("llm_questions_total", exchange.outcome)
        if exchange.reply is not None:
            metrics.inc("llm_tokens_total", "prompt", by=exchange.reply.prompt_tokens)
            metrics.inc("llm_tokens_total", "answer", by=exchange.reply.answer_tokens)
        if exchange.code is not None:
            metrics.inc("llm_guard_denied_total", exchange.code)
        if exchange.outcome == ACCEPTED and exchange.advice is not None:
            metrics.inc("llm_advice_accepted_total", exchange.advice.symbol, exchange.advice.side)


def outside(text: str) -> str:
    """Make external text safe for a log line: at most 200 printable ASCII characters without braces, so that it can
    neither control a terminal nor imitate one of our log lines.
    """
    shown = text[:MAX_REASON]
    return "".join(char if char.isascii() and char.isprintable() and char not in "{}" else "?" for char in shown)


def _finite(value: float | None) -> float | None:
    """The number, or None if JSON cannot represent it."""
    return value if value is not None and abs(value) < float("inf") else None
