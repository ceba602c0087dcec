"""The advisor can only propose: each guard by the advice that it denies, their order, and what no answer can do."""

import contextlib
import gzip
import itertools
import json
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from desk import Desk
from effort import amount
from paperbot.config import load
from paperbot.core import types as t
from paperbot.engine.names import names_of
from paperbot.engine.params import make_plan
from paperbot.engine.replay import run_replay
from paperbot.environment import known_secrets, secret
from paperbot.errors import ConfigError
from paperbot.live.advisor import AdviceDesk, outside
from paperbot.llm.advisor import Advisor
from paperbot.llm.client import MAX_RESPONSE_BYTES, OpenAiProvider, RecordedProvider
from paperbot.llm.contract import MalformedError, ProviderError, Question, Reply, parse
from paperbot.llm.guards import CODES, Budget, Limits, Situation, judge
from paperbot.llm.prompt import read_prompt
from paperbot.market.synthetic import synthetic_bars

NS = 10**9
MINUTE_NS = 60 * NS
NOW = 1_704_067_200 * NS

GOOD = {"symbol": "BTC/USDT", "side": "long", "notional_usd": 250.0, "confidence": 0.8, "reason": "up", "ttl_s": 300}
LIMITS = Limits(
    symbols=frozenset({"BTC/USDT", "ETH/USDT"}),
    min_confidence=0.6,
    max_notional_usd=1000.0,
    price_tolerance=0.02,
    max_age_ns=300 * NS,
    max_questions_per_hour=12,
    max_tokens_per_day=1000,
)
QUESTION = Question(NOW, "p", "hash", "what now?")


def situation(**changes):
    known = {
        "asked_ts": NOW,
        "now_ts": NOW,
        "closes": {"BTC/USDT": 100.0, "ETH/USDT": 10.0},
        "targets": {"BTC/USDT": 0, "ETH/USDT": 0},
        "value_usd": lambda _symbol, quantity: 100.0 * quantity,
        "blocks": lambda _advice: None,
    }
    return Situation(**{**known, **changes})


def text(**changes):
    return json.dumps({"advice": {key: value for key, value in {**GOOD, **changes}.items() if value is not None}})


class Says:
    """A provider that says one thing."""

    def __init__(self, answer, tokens=0):
        self.answer, self.tokens = answer, tokens

    def ask(self, _question):
        return Reply(self.answer, self.tokens, 0)


def verdict(answer, limits=LIMITS, tokens=0, **known):
    """(outcome, code) of one question."""
    advisor = Advisor(Says(answer, tokens), limits, 4000, Budget(limits))
    exchange = advisor.consult(QUESTION, lambda _ts: situation(**known))
    return exchange.outcome, exchange.code


# ---- one advice for each guard -----------------------------------------------------------------------------------
DENIED = {
    "schema": lambda: verdict("buy everything"),
    "symbol": lambda: verdict(text(symbol="DOGE/USDT")),
    "side": lambda: verdict(text(side="short")),
    "not_finite": lambda: verdict(text(notional_usd=float("nan"))),
    "confidence": lambda: verdict(text(confidence=0.59)),
    "notional_cap": lambda: verdict(text(notional_usd=1000.01)),
    "limits": lambda: verdict(text(), blocks=lambda _advice: "killswitch"),
    "price": lambda: verdict(text(price=102.1)),
    "budget": lambda: verdict(text(), tokens=1001),
    "stale": lambda: verdict(text(), now_ts=NOW + 301 * NS),
    "duplicate": lambda: verdict(text(), targets={"BTC/USDT": 1}),
}


@pytest.mark.parametrize("code", DENIED)
def test_each_guard_denies_with_its_code(code):
    assert DENIED[code]() == ("denied", code)


def test_every_guard_has_a_case_and_stands_in_the_documented_order():
    assert list(DENIED) == list(CODES)


def test_what_is_within_every_limit_is_accepted():
    assert verdict(text()) == ("accepted", None)
    assert verdict(text(price=102.0, notional_usd=1000.0, confidence=0.6), now_ts=NOW + 300 * NS) == ("accepted", None)
    assert verdict(text(notional_usd=None, size=10.0)) == ("accepted", None)  # 10 x 100 USD: exactly the cap.
    assert verdict(text(side="flat", notional_usd=None), targets={"BTC/USDT": 1}) == ("accepted", None)
    assert verdict('{"advice": null}') == ("no_advice", None)


@pytest.mark.parametrize(("first", "second"), list(itertools.pairwise(CODES[1:])))
def test_the_first_guard_that_objects_decides(first, second):
    """Advice that two neighbours of the chain would deny gets the code of the one before."""
    wrong = {
        "symbol": ({"symbol": "DOGE/USDT"}, {}),
        "side": ({"side": "hold"}, {}),
        "not_finite": ({"price": float("inf")}, {}),
        "confidence": ({"confidence": 0.1}, {}),
        "notional_cap": ({"notional_usd": 1e6}, {}),
        "limits": ({}, {"blocks": lambda _advice: "stale"}),
        "price": ({}, {"closes": {}}),
        "budget": ({}, {"tokens": 10**6}),
        "stale": ({}, {"now_ts": NOW + 10**6 * NS}),
        "duplicate": ({}, {"targets": {"BTC/USDT": 1, "DOGE/USDT": 1}}),
    }
    fields, known = ({**a, **b} for a, b in zip(wrong[first], wrong[second], strict=True))
    assert verdict(text(**fields), **known) == ("denied", first)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "null",
        "[]",
        '{"advice": 5}',
        "{}",
        '{"advice": null, "also": 1}',
        text(leverage=10),
        text(notional_usd="250"),
        text(confidence=True),
        text(size=1.0),  # Both size and notional.
        text(notional_usd=None),  # Neither.
        text(reason="x" * 501),
        text(symbol="B" * 41),
        '{"advice": null, "advice": null}',
        "[" * 100_000,
        text() + text(),
        "```json\n" + text() + "\n```",
        '{"advice": {"confidence": ' + "9" * 5000 + "}}",
        text(reason="ü" * 3900),
    ],
)
def test_what_is_not_of_the_contract_is_denied_by_schema(answer):
    assert verdict(answer) == ("denied", "schema")


def test_lookalike_symbols_are_not_the_symbol():
    for name in ("BTC/USDT ", "btc/usdt", "\u0412TC/USDT", "BTC/USDT\u200b", "BTC\u2215USDT"):
        assert verdict(text(symbol=name)) == ("denied", "symbol")


@pytest.mark.parametrize(
    ("fields", "known", "code"),
    [
        ({"notional_usd": 0.0}, {}, "not_finite"),
        ({"notional_usd": -5.0}, {}, "not_finite"),
        ({"price": 0.0}, {}, "not_finite"),
        ({"confidence": 1.01}, {}, "confidence"),
        ({"confidence": -0.5}, {}, "confidence"),
        ({"ttl_s": 60}, {"now_ts": NOW + 61 * NS}, "stale"),
        ({"ttl_s": 0}, {}, "stale"),
        ({"ttl_s": -1}, {}, "stale"),
        ({}, {"now_ts": NOW - 1}, "stale"),
        ({"side": "flat"}, {"targets": {"BTC/USDT": 1}}, "schema"),
    ],
)
def test_further_advice_that_a_guard_denies(fields, known, code):
    assert verdict(text(**fields), **known) == ("denied", code)


def test_a_value_that_cannot_be_known_is_above_the_cap():
    assert verdict(text(notional_usd=None, size=1.0), value_usd=lambda *_: None) == ("denied", "notional_cap")


def test_no_more_is_asked_than_the_hour_and_the_day_allow():
    advisor = Advisor(Says('{"advice": null}', tokens=100), LIMITS, 4000, Budget(LIMITS))
    asked = [advisor.consult(Question(NOW + k * NS, "p", "h", "?"), lambda _: situation()).outcome for k in range(14)]
    assert asked == ["no_advice"] * 10 + ["not_asked"] * 4  # 10 x 100 tokens: the day's are used up.
    later = advisor.consult(Question(NOW + 86_400 * NS, "p", "h", "?"), lambda _: situation())
    assert later.outcome == "no_advice"
    thrifty = Advisor(Says('{"advice": null}'), LIMITS, 4000, Budget(LIMITS))
    asked = [thrifty.consult(Question(NOW + k * NS, "p", "h", "?"), lambda _: situation()).outcome for k in range(14)]
    assert asked == ["no_advice"] * 12 + ["not_asked"] * 2
    assert thrifty.consult(Question(NOW + 3600 * NS, "p", "h", "?"), lambda _: situation()).outcome == "no_advice"


# ---- with the engine ----------------------------------------------------------------------------------------------
def run_with(provider, bars=60, strategies=(), **llm):
    """A made-up hour with an advisor that is asked each minute; returns (plan, machine, output records, desk)."""
    configuration = load(
        None,
        [
            {
                "strategies": list(strategies),
                "llm": {"every": "1m", "max_questions_per_hour": 3600, "max_tokens_per_day": 10**9, **llm},
                "risk": {"max_position_value_per_symbol": "0.2", "max_gross_exposure": "0.3", "risk_frac": "0.5"},
            }
        ],
    )
    symbols = ("BTC/USDT", "ETH/USDT")
    plan = make_plan(configuration, dict.fromkeys(symbols, MINUTE_NS), advisor=True)
    sources = [
        synthetic_bars(name, index, 3, bars, MINUTE_NS, int(plan.params.symbols[index]["tick"]), 1e8)
        for index, name in enumerate(symbols)
    ]
    seen, desks = Keeper(), []

    def askers(machine):
        desks.append(AdviceDesk(configuration, plan, names_of(plan), machine, provider))
        return desks

    machine, _ = run_replay(plan, sources, [seen], 0, askers)
    return plan, machine, seen, desks[0]


class Keeper:
    def __init__(self):
        self.kept = []

    def events(self, events):
        pass

    def records(self, records):
        self.kept.extend(records)

    def of(self, kind, dtype):
        return [one.reshape(1).view(dtype)[0] for one in self.kept if one["kind"] == kind]


def test_accepted_advice_buys_at_most_what_was_advised():
    plan, machine, seen, _ = run_with(Says(text(notional_usd=400.0)))
    orders = [one for one in seen.of(t.OutputKind.ORDER, t.OUT_ORDER) if one["role"] == t.Role.ENTRY]
    assert len(orders) == 1  # Later ones are duplicates.
    assert plan.strategies[int(orders[0]["strategy"])] == "llm"
    price = int(machine.state.symbols[0]["last_close"]) / 1e8
    assert 380 < int(orders[0]["quantity"]) / 1e8 * price < 420


@pytest.fixture(scope="module")
def desk_at_the_end():
    return run_with(Says('{"advice": null}'))[3]


@given(st.floats(1e-6, 1e9))
def test_advised_money_is_never_exceeded_nor_missed_by_a_unit(desk_at_the_end, wanted):
    """Worth as the gate values it; what is less than a minor unit stays one."""
    desk = desk_at_the_end
    quantity = desk._quantity(parse(text(notional_usd=wanted), 4000))
    assert desk._value_usd("BTC/USDT", quantity / 1e8) <= wanted or quantity == 1
    assert desk._value_usd("BTC/USDT", (quantity + 2) / 1e8) > wanted


@given(st.floats(1e-12, 1e6))
def test_an_advised_size_is_rounded_down(desk_at_the_end, size):
    quantity = desk_at_the_end._quantity(parse(text(notional_usd=None, size=size), 4000))
    exactly = size * 1e8
    assert quantity <= exactly * (1 + 1e-12) or quantity == 1
    assert quantity > exactly * (1 - 1e-12) - 1


def test_the_order_of_an_advised_size_is_that_size():
    """The rules would let more than twice as much through."""
    plan, _, seen, _ = run_with(Says(text(notional_usd=None, size=0.3941)))
    (order,) = [one for one in seen.of(t.OutputKind.ORDER, t.OUT_ORDER) if one["role"] == t.Role.ENTRY]
    step = int(plan.params.symbols[0]["step"])
    assert int(order["quantity"]) == 39_410_000 // step * step


def test_notional_cap_denies_and_nothing_is_ordered():
    _, _, seen, desk = run_with(Says(text(notional_usd=1000.01)))
    assert {one.code for one in desk.exchanges} == {"notional_cap"}
    assert not seen.of(t.OutputKind.SIGNAL, t.OUT_SIGNAL)


def test_advice_of_next_to_nothing_is_not_taken_for_no_limit():
    _, _, seen, desk = run_with(Says(text(notional_usd=None, size=1e-12)))
    assert {one.code for one in desk.exchanges} == {"limits"}
    assert "below_step" in desk.exchanges[-1].detail
    assert not seen.of(t.OutputKind.SIGNAL, t.OUT_SIGNAL)


def test_limits_guard_asks_the_gate_itself_and_changes_nothing():
    _, machine, seen, desk = run_with(Says(text(symbol="ETH/USDT")), symbols=["*"], max_notional_usd=10**6)
    assert desk.exchanges[0].code == "limits"  # The ATR warms up: the gate says no_price.
    assert "no_price" in desk.exchanges[0].detail
    assert not seen.of(t.OutputKind.BLOCKED, t.OUT_ORDER)
    assert "accepted" in {one.outcome for one in desk.exchanges}
    assert machine.account["seq"] == len(seen.kept)


ODD = {
    "two stable quotes, one of them off": (
        {"symbols": ("BTC/USDC", "BTC/USDT"), "prices": (1000.0, 1300.0)},
        {"oracle": {"overrides": {"USDC": 1, "USDT": 1}}, "account": {"balances": {"USDC": 10_000, "USDT": 10_000}}},
    ),
    "an override for a traded base": (
        {"symbols": ("BTC/USDT",), "prices": (1000.0,)},
        {"oracle": {"overrides": {"BTC": 100}}},
    ),
    "coarse account money and a tiny price": (
        {"symbols": ("XRP/USDT",), "prices": (0.0149,)},
        {"account": {"decimals": {"USD": 2}}},
    ),
    "a quote that is priced by another pair": (
        {"symbols": ("BTC/USDT", "ETH/BTC"), "prices": (40_000.0, 0.05)},
        {"account": {"balances": {"USDT": 10_000, "BTC": 1}}},
    ),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("named", ["notional_usd", "size"])
def test_no_order_is_worth_more_than_the_cap_in_its_own_quote(case, named):
    """Whatever the oracle thinks of the base, what an order costs is its quote's money."""
    markets, settings = ODD[case]
    symbols, prices = markets["symbols"], markets["prices"]
    for symbol, price in zip(symbols, prices, strict=True):
        quote_usd = 40_000.0 if symbol.endswith("/BTC") else 1.0
        wanted = 1000.0 if named == "notional_usd" else 1000.0 / price / quote_usd * 0.9999
        said = text(symbol=symbol, **{"notional_usd": None, named: wanted})
        desk = AdvisedDesk(said, symbols, prices, settings)
        for order in desk.entries():
            close = prices[symbols.index(symbol)]
            assert int(order["quantity"]) / 1e8 * close * quote_usd <= 1000.0 * (1 + 1e-9)
        assert desk.outcomes >= {"accepted"}, (symbol, desk.details)


class AdvisedDesk(Desk):
    """Flat markets at these prices, and one question to an advisor after two slices."""

    def __init__(self, said, symbols, prices, settings):
        override = {"llm": {"every": "1m", "max_questions_per_hour": 60}, "risk": {"fixed_quote": 10**6}}
        market = {"execution": {"tick_size": "0.0001", "step_size": "0.00001"}}
        account = {"account": {"currency": "USD", "balances": {"USDT": 10_000, "USD": 0}}}
        strategies = {"strategies": [{"name": "llm", "kind": "external"}]}
        super().__init__(override, market, account, strategies, settings, symbols=symbols)
        desk = AdviceDesk(self.configuration, self.plan, names_of(self.plan), self.machine, Says(said))
        for _ in range(2):
            for symbol, price in sorted(zip(symbols, prices, strict=True)):
                self.bar(price, symbol=symbol, volume=10**9, last=symbol == max(symbols))
        event = desk.ask([(0, self.now_ns)])
        if len(event):
            self._feed(event)
        self.outcomes = {one.outcome for one in desk.exchanges}
        self.details = [(one.code, one.detail) for one in desk.exchanges]

    def entries(self):
        return self.of(t.OutputKind.ORDER, t.OUT_ORDER)


def test_advice_on_a_symbol_that_the_strategy_llm_does_not_trade_is_denied():
    strategies = [{"name": "llm", "kind": "external", "symbols": ["BTC/USDT"]}]
    _, _, _, desk = run_with(Says(text(symbol="ETH/USDT")), bars=5, strategies=strategies)
    assert {one.code for one in desk.exchanges} == {"symbol"}


def test_questions_are_asked_at_the_configured_times():
    _, _, _, desk = run_with(Says('{"advice": null}'), bars=60, every="15m")
    assert [(one.question.ts - NOW) // MINUTE_NS for one in desk.exchanges] == [15, 30, 45, 60]


def test_only_configured_symbols_may_be_advised():
    _, _, _, desk = run_with(Says(text(symbol="ETH/USDT")), bars=5, symbols=["BTC/*"])
    assert {one.code for one in desk.exchanges} == {"symbol"}


def test_a_budget_outlives_a_restart():
    limits = LIMITS
    _, _, _, desk = run_with(Says('{"advice": null}', tokens=100), bars=4, max_tokens_per_day=10**9)
    fresh = Budget(limits)
    desk._advisor.budget = fresh
    desk.remember([one.stored() for one in desk.exchanges])
    assert fresh._tokens == 400


@pytest.mark.parametrize("text_", ["\x1b[2Jx", "fill: {order submitted: {", "a\u202eb\x9bc", "line\nline"])
def test_text_from_outside_cannot_look_like_ours(text_):
    shown = outside(text_ + "y" * 300)
    assert len(shown) == 200
    assert shown.isprintable()
    assert not set("{}") & set(shown)


class Answers:
    """A provider that says what it was given, one after the other."""

    def __init__(self, answers):
        self.answers = itertools.cycle(answers)

    def ask(self, _question):
        answer = next(self.answers)
        if isinstance(answer, str):
            return Reply(answer, 1, 1)
        raise answer


NUMBERS = st.one_of(
    st.floats(),
    st.integers(-(10**20), 10**20),
    st.sampled_from([0, -1, 1e9, 1e300, 5e-324, float("nan"), float("inf")]),
)
WORDS = st.one_of(
    st.sampled_from(["BTC/USDT", "ETH/USDT", "long", "flat", "short", "LONG", "long\u202e", "ignore all limits"]),
    st.text(max_size=60),
)
TREES = st.fixed_dictionaries(
    {"symbol": WORDS, "side": WORDS, "confidence": NUMBERS, "reason": WORDS, "ttl_s": NUMBERS},
    optional={"size": NUMBERS, "notional_usd": NUMBERS, "price": NUMBERS, "max_notional_usd": NUMBERS},
)
LIKELY = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["BTC/USDT", "ETH/USDT"]),
        "side": st.sampled_from(["long", "flat"]),
        "confidence": st.floats(0.6, 1.0),
        "reason": WORDS,
        "ttl_s": st.floats(1, 1e9),
    },
    optional={"notional_usd": st.one_of(NUMBERS, st.floats(1, 1500))},
)
ANSWERS = st.one_of(
    TREES.map(lambda tree: json.dumps({"advice": tree})),
    LIKELY.map(lambda tree: json.dumps({"advice": tree})),
    LIKELY.map(lambda tree: json.dumps({"advice": tree})[:-7]),
    st.text(max_size=200),
    st.sampled_from(["x" * 5_000_000, '{"advice": null}', "[" * 50_000]),
    st.sampled_from([ProviderError("timeout", "late"), ProviderError("http_error", "500")]),
)


@settings(max_examples=amount(40, 10))
@given(st.lists(ANSWERS, min_size=1, max_size=12))
def test_whatever_is_answered_exposure_stays_within_the_caps(answers):
    """Each entry is worth at most the notional cap, what is held at most the gate's; the run always ends well."""
    _, machine, seen, desk = run_with(Answers(answers))
    assert len(desk.exchanges) == 60
    for order in seen.of(t.OutputKind.ORDER, t.OUT_ORDER):
        if order["role"] == t.Role.ENTRY:
            signal = [s for s in seen.of(t.OutputKind.SIGNAL, t.OUT_SIGNAL) if s["ts"] == order["ts"]][-1]
            assert int(order["quantity"]) * int(signal["close"]) / 1e16 <= 1000.0 + 1e-6
    for row in seen.of(t.OutputKind.LEDGER, t.OUT_LEDGER):
        assert int(row["gross"]) <= 0.3 * int(row["equity"]) * 1.05  # The gate looks at the close, fills are later.
    assert machine.market["fault"] == t.Fault.NONE
    json.dumps([one.stored() for one in desk.exchanges])


@given(st.text(max_size=300))
@settings(max_examples=300)
def test_parsing_either_gives_advice_or_says_why_not(answer):
    with contextlib.suppress(MalformedError):  # Nothing else may come out.
        parse(answer, 4000)


@given(LIKELY)
@settings(max_examples=300)
def test_judging_never_raises_and_accepts_only_what_is_within_the_cap(tree):
    try:
        advice = parse(json.dumps({"advice": tree}), 4000)
    except MalformedError:
        return
    objection = judge(advice, situation(), LIMITS, Budget(LIMITS))
    if objection is None and advice.side == "long":
        assert advice.notional_usd <= LIMITS.max_notional_usd


# ---- recorded answers ---------------------------------------------------------------------------------------------
def test_what_was_stored_runs_again_without_a_network(tmp_path):
    answers = [
        text(notional_usd=400.0),
        text(notional_usd=4000.0),
        ProviderError("timeout", "late"),
        "nonsense",
        text(side="flat", notional_usd=None),
    ]
    _, first, _, desk = run_with(Answers(answers))
    path = desk.store(tmp_path)
    _, second, _, again = run_with(RecordedProvider(path))
    assert second.state.memory.tobytes() == first.state.memory.tobytes()
    assert [one.stored() for one in again.exchanges] == [one.stored() for one in desk.exchanges]
    assert {one.outcome for one in again.exchanges} >= {"accepted", "denied", "timeout"}


def test_a_recorded_answer_belongs_to_its_prompt(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"ts": NOW, "answer": "x", "prompt_sha256": "other"}) + "\n")
    with pytest.raises(ProviderError, match="another prompt"):
        RecordedProvider(path).ask(QUESTION)


@pytest.mark.parametrize(
    "line",
    [
        *("{", "5", '{"ts": "now", "answer": "x"}', '{"ts": 1, "answer": 7}', "[" * 50_000),
        '{"ts": 1, "answer": "x", "prompt_tokens": "abc"}',
        '{"ts": 1, "answer": "x", "prompt_tokens": -5}',
        '{"ts": 1, "answer": "x", "answer_tokens": Infinity}',
        '{"ts": 1, "answer": "x", "prompt_sha256": [1]}',
    ],
)
def test_recorded_answers_that_are_none_are_refused_by_line(tmp_path, line):
    path = tmp_path / "a.jsonl"
    path.write_text('{"ts": 1, "answer": "x"}\n' + line + "\n")
    with pytest.raises(ConfigError, match="line 2"):
        RecordedProvider(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        RecordedProvider(tmp_path / "nowhere.jsonl")


@pytest.mark.parametrize("content", ["$unknown", "costs $5"])
def test_a_prompt_with_an_unknown_placeholder_is_refused(tmp_path, content):
    path = tmp_path / "p.md"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"llm\.prompt"):
        read_prompt(path)


def test_a_prompts_hash_is_its_files(tmp_path):
    path = tmp_path / "ask-v2.md"
    path.write_text("$situation $symbols")
    prompt = read_prompt(path)
    question = prompt.question(NOW, {"a": 1}, ["BTC/USDT"], "10")
    assert (question.prompt_id, question.text) == ("ask-v2", '{"a": 1} ["BTC/USDT"]')
    path.write_text("$situation")
    assert read_prompt(path).sha256 != prompt.sha256


# ---- a real endpoint ----------------------------------------------------------------------------------------------
def completion(answer, **more):
    message = {"role": "assistant", "content": answer}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
        **more,
    }


class Endpoint(BaseHTTPRequestHandler):
    """Answers by the model's name that is asked for."""

    seen: list[dict] = []  # noqa: RUF012
    headers_seen: list[dict] = []  # noqa: RUF012

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.headers_seen.append(dict(self.headers))
        self.seen.append({"path": self.path, "key": self.headers["Authorization"], **body})
        wanted = body["model"]
        status = int(wanted) if wanted.isdigit() else 200
        answers = {
            "good": json.dumps(completion(text())),
            "not-json": "<html>maintenance</html>",
            "no-choices": json.dumps(completion("x", choices=[])),
            "null-content": json.dumps(completion(None)),
            "other-type": json.dumps({"hello": 1}),
            "odd-usage": json.dumps(completion(text(), usage={"prompt_tokens": -5, "completion_tokens": "many"})),
            "no-usage": json.dumps({**completion(text()), "usage": None}),
            "huge-usage": json.dumps(completion(text(), usage={"prompt_tokens": 10**400, "completion_tokens": True})),
            "long": json.dumps(completion("x" * (MAX_RESPONSE_BYTES + 1))),
            "text": "plain",
        }
        content = answers.get(wanted, "{}").encode()
        kind = "text/plain" if wanted == "text" else "application/json"
        if wanted == "silent":
            time.sleep(60.0)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if wanted == "drip":
            self.end_headers()
            for _ in range(600):  # A minute, unless the other side has gone.
                self.wfile.write(b" ")
                time.sleep(0.1)
            return
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class QuietServer(ThreadingHTTPServer):
    """A client that gives up is what some of these tests are about."""

    def handle_error(self, *_):
        pass


@pytest.fixture(scope="module")
def endpoint():
    server = QuietServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


class Rude(socketserver.StreamRequestHandler):
    """Speaks HTTP as nobody should."""

    bodies: dict[str, bytes] = {}  # noqa: RUF012
    finished: list[str] = []  # noqa: RUF012

    def handle(self):
        length = 0
        while (line := self.rfile.readline()).strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        wanted = json.loads(self.rfile.read(length))["model"]
        with contextlib.suppress(OSError):
            getattr(self, wanted.replace("-", "_"), self.whole)(wanted)

    def whole(self, wanted):
        body = self.bodies[wanted]
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def _slowly(self, model, first, part, last=b""):
        self.wfile.write(first)
        for _ in range(600):  # A minute, unless the other side has gone.
            self.wfile.write(part)
            self.wfile.flush()
            time.sleep(0.1)
        self.wfile.write(last)
        self.finished.append(model)

    def drip_headers(self, model):
        self._slowly(model, b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a")

    def early_hints(self, model):
        self._slowly(model, b"", b"HTTP/1.1 103 Early Hints\r\n\r\n")

    def drip_trailers(self, model):
        body = json.dumps(completion(text())).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        self._slowly(model, head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\nX-T: ", b"a")

    def drip(self, model):
        self._slowly(model, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b" ")

    def bomb(self, _):
        body = gzip.compress(gzip.compress(b" " * 50_000_000))
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)


@pytest.fixture(scope="module")
def rude_endpoint():
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    server = Server(("127.0.0.1", 0), Rude)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


def asks(endpoint, model, timeout_s=60.0):
    return OpenAiProvider(endpoint, model, SecretStr("sk-canary-123"), timeout_s).ask(QUESTION)


def test_an_endpoint_is_asked_once_with_key_prompt_and_model(endpoint):
    Endpoint.seen.clear()
    reply = asks(endpoint, "good")
    assert (reply.text, reply.prompt_tokens, reply.answer_tokens) == (text(), 11, 7)
    (request,) = [request for request in Endpoint.seen if request["model"] == "good"]
    assert (request["path"], request["key"]) == ("/v1/chat/completions", "Bearer sk-canary-123")
    assert request["messages"] == [{"role": "user", "content": "what now?"}]


@pytest.mark.parametrize(
    ("model", "outcome"),
    [
        ("500", "http_error"),
        ("429", "http_error"),
        ("401", "http_error"),
        ("not-json", "bad_response"),
        ("no-choices", "bad_response"),
        ("null-content", "bad_response"),
        ("other-type", "bad_response"),
        ("text", "bad_response"),
        ("long", "bad_response"),
        ("silent", "timeout"),
        ("drip", "timeout"),
    ],
)
def test_whatever_an_endpoint_does_wrong_is_an_outcome(endpoint, model, outcome):
    Endpoint.seen.clear()
    is_late = outcome == "timeout"
    with pytest.raises(ProviderError) as failed:
        asks(endpoint, model, timeout_s=0.5 if is_late else 60.0)
    assert failed.value.outcome == outcome
    assert "sk-canary-123" not in str(failed.value)
    requests = [request for request in Endpoint.seen if request["model"] == model]
    assert len(requests) == 1 or (is_late and not requests)  # Nothing is retried behind the budget's back.


@pytest.mark.parametrize("model", ["odd-usage", "no-usage", "huge-usage"])
def test_tokens_that_make_no_sense_are_estimated(endpoint, model):
    reply = asks(endpoint, model)
    assert (reply.prompt_tokens, reply.answer_tokens) == (len("what now?") // 4, len(text()) // 4)


def test_an_answer_that_is_none_is_charged_all_the_same(endpoint):
    with pytest.raises(ProviderError) as failed:
        asks(endpoint, "null-content")
    assert failed.value.tokens >= 500


@pytest.mark.parametrize("model", ["drip-headers", "early-hints", "drip-trailers", "drip"])
def test_the_time_out_holds_whatever_the_endpoint_does(rude_endpoint, model):
    with pytest.raises(ProviderError) as failed:
        asks(rude_endpoint, model, timeout_s=0.4)
    assert failed.value.outcome == "timeout"
    assert model not in Rude.finished


def test_compressed_answers_are_not_unpacked(rude_endpoint):
    with pytest.raises(ProviderError) as failed:
        asks(rude_endpoint, "bomb")
    assert failed.value.outcome == "bad_response"


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": {"a": 1}}',
        b"[" * 100_000,
        b'{"_fields_set": 1, "self": 2, "model_config": 3}',
        b'{"choices": [[]]}',
        b'{"choices": [{"message": {"content": 5}}]}',
        b"\xff\xfe",
        b"",
    ],
)
def test_a_body_of_any_shape_is_an_outcome(rude_endpoint, body):
    Rude.bodies["shape"] = body
    with pytest.raises(ProviderError) as failed:
        asks(rude_endpoint, "shape")
    assert failed.value.outcome == "bad_response"


def test_no_organisation_of_the_environment_is_sent(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-canary")
    Endpoint.headers_seen.clear()
    asks(endpoint, "good")
    assert "canary" not in str(Endpoint.headers_seen).replace("sk-canary-123", "")


def test_an_answer_that_holds_the_key_is_masked_before_anything_sees_it(rude_endpoint):
    Rude.bodies["echo"] = json.dumps(completion("the key is sk-canary-123")).encode()
    assert asks(rude_endpoint, "echo").text == "the key is ********"


def test_an_address_that_is_none_is_one_sentence():
    with pytest.raises(ConfigError, match=r"llm\.base_url"):
        OpenAiProvider("http://[::1", "m", SecretStr("k" * 9), 1.0)


@pytest.mark.parametrize("value", ["sk-abc\x00def", "sk-ab\ncd", "sk-äöü"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(monkeypatch, value):
    monkeypatch.setattr("paperbot.environment._variables", lambda: {"THE_KEY": value})
    with pytest.raises(ConfigError) as refused:
        secret("THE_KEY")
    assert "sk-" not in str(refused.value)


def test_blanks_around_a_key_are_no_part_of_it(monkeypatch):
    monkeypatch.setenv("THE_API_KEY", " sk-canary-123456\n")
    assert secret("THE_API_KEY").get_secret_value() == "sk-canary-123456"
    assert "sk-canary-123456" in known_secrets()


def test_nobody_there_is_an_outcome():
    with pytest.raises(ProviderError) as failed:
        asks("http://127.0.0.1:9/v1", "good")
    assert failed.value.outcome == "unreachable"


def test_a_run_goes_on_when_the_endpoint_fails(endpoint):
    _, machine, _, desk = run_with(OpenAiProvider(endpoint, "500", SecretStr("sk-canary-123"), 60.0), bars=5)
    assert [one.outcome for one in desk.exchanges] == ["http_error"] * 5
    assert machine.account["slices"] == 5
