"""Strategies: the built-in ones, and users' own, compiled and in Python, which must come to the same trades."""

from pathlib import Path

import numpy as np
import pytest
import talib

from paperbot.app.replay import replay
from paperbot.app.sessions import session_status
from paperbot.clock import SystemClock
from paperbot.config import parse_assignment
from paperbot.core import types as t
from paperbot.engine.runner import Runner
from paperbot.errors import StrategyError
from paperbot.events import as_bars
from paperbot.live.recovery import open_session
from paperbot.live.session import create_session
from paperbot.live.verify import verify
from paperbot.research.job import ReplayRequest
from recorded import CONFIG, read, run_events

ROOT = Path(__file__).resolve().parent.parent
MARKETS = ["BTC/USDT=synthetic:7:3000", "ETH/USDT=synthetic:7:3000"]

COMPILED = """
from paperbot.strategy import FLAT, LONG, compiled
FEATURES = ["sma(20)", "sma(50)"]

@compiled
def on_bar(ts, bar, features, params, memory, held, target):
    return LONG if features[0] > features[1] else FLAT
"""

PYTHON = """
from paperbot.strategy import FLAT, LONG
FEATURES = ["sma(20)", "sma(50)"]

class Strategy:
    def __init__(self, params):
        pass

    def on_bar(self, bar):
        return LONG if bar.features[0] > bar.features[1] else FLAT
"""


def run(tmp_path, strategies, chunk=0, markets=MARKETS):
    request = ReplayRequest(
        markets,
        CONFIG,
        out=tmp_path / "out",
        chunk=chunk,
        overrides=[parse_assignment(f"strategies=[{strategies}]"), parse_assignment("risk.max_drawdown=0")],
    )
    return replay(request, lambda _: None).summary


def written(tmp_path, text, name="mine.py"):
    path = tmp_path / name
    path.write_text(text)
    return path


def without_digest(summary):
    return {key: value for key, value in summary.items() if key not in {"digest", "config_hash", "settings"}}


def test_one_strategy_three_ways_comes_to_the_same_trades(tmp_path):
    built_in = run(tmp_path, "{name: mine, kind: sma_cross, fast: 20, slow: 50}")
    compiled = run(tmp_path, f"{{name: mine, path: {written(tmp_path, COMPILED)}}}")
    python = run(tmp_path, f"{{name: mine, path: {written(tmp_path, PYTHON)}}}")
    assert built_in["fills"] > 100
    assert without_digest(built_in) == without_digest(compiled) == without_digest(python)


@pytest.mark.parametrize("example", ["breakout", "weekday"])
def test_examples_trade_and_do_not_depend_on_cuts(tmp_path, example):
    strategies = f"{{name: {example}, path: {ROOT / 'examples' / (example + '.py')}}}"
    digests = {run(tmp_path, strategies, chunk)["digest"] for chunk in (0, 1, 7)}
    assert len(digests) == 1
    assert run(tmp_path, strategies)["fills"] > 0


def test_memory_belongs_to_one_symbol_and_params_come_from_the_configuration(tmp_path):
    text = """
from paperbot.strategy import FLAT, LONG, compiled
PARAMS = {"after": 10.0, "unused": 1.0}
MEMORY = 2

@compiled
def on_bar(ts, bar, features, params, memory, held, target):
    memory[0] += 1.0
    return LONG if memory[0] >= params[0] else FLAT
"""
    path = written(tmp_path, text)
    settings = (f"strategies=[{{name: mine, path: {path}, params: {{after: 30}}}}]",)
    plan, events = read(MARKETS, settings)
    outputs = run_events(plan, events[:200]).outputs
    signals = outputs[outputs["kind"] == t.OutputKind.SIGNAL]
    assert [(int(s["symbol"]), int(s["ts"])) for s in signals] == [
        (0, int(events["close_ts"][58])),
        (1, int(events["close_ts"][58])),
    ]


COMPILED_BODY = """
from paperbot.strategy import compiled
MEMORY = 1

@compiled
def on_bar(ts, bar, features, params, memory, held, target):
    memory[0] += 1.0
    if memory[0] > 100.0:
        {line}
    return 0.0
"""
PYTHON_BODY = """
class Strategy:
    def __init__(self, params):
        self.bars = 0

    def on_bar(self, bar):
        self.bars += 1
        if self.bars > 100:
            {line}
        return 0.0
"""
AT = "2024-01-01T01:41:00Z"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (COMPILED_BODY.format(line="raise ValueError"), f"strategy mine raised an error on BTC/USDT at {AT}"),
        (COMPILED_BODY.format(line="return memory[5]"), f"strategy mine raised an error on BTC/USDT at {AT}"),
        (COMPILED_BODY.format(line="return np.nan").replace("MEMORY", "import numpy as np\nMEMORY"), "not finite"),
        (COMPILED_BODY.format(line="return 1.0 / 0.0"), "strategy mine"),
        (COMPILED_BODY.format(line="return nonsense"), "mine.py:9: does not compile"),
        (PYTHON_BODY.format(line="raise KeyError('x')"), f"on BTC/USDT at {AT}: {{path}}:9: KeyError: 'x'"),
        (PYTHON_BODY.format(line="return float('nan')"), f"strategy mine on BTC/USDT at {AT}: answered nan"),
        (PYTHON_BODY.format(line="return 'long'"), "ValueError: could not convert string to float"),
        ("def on_bar(:\n", "mine.py:1: invalid syntax"),
        ("import nothing_there\n", "mine.py:1: ModuleNotFoundError"),
        ("x = 1\n", "neither an on_bar marked @compiled nor a class Strategy"),
        ("FEATURES = ['smma(3)']\n", "unknown feature smma(3)"),
        ("FEATURES = ['sma']\n", "needs a window"),
        ("PARAMS = 3\n", "PARAMS must be a dict"),
    ],
)
def test_failing_strategies_stop_with_one_sentence_and_write_nothing(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(StrategyError) as error:
        run(tmp_path, f"{{name: mine, path: {path}}}")
    assert message.replace("{path}", str(path)) in str(error.value)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_missing_file_and_unknown_parameter(tmp_path):
    with pytest.raises(StrategyError, match="there is no such file"):
        run(tmp_path, "{name: mine, path: nowhere.py}")
    path = ROOT / "examples" / "breakout.py"
    with pytest.raises(StrategyError, match=r"has no parameter bras \(did you mean bars\?\)"):
        run(tmp_path, f"{{name: mine, path: {path}, params: {{bras: 3}}}}")


def signals_of(strategies, bars=4000):
    plan, events = read([f"BTC/USDT=synthetic:7:{bars}"], (f"strategies=[{strategies}]",))
    outputs = run_events(plan, events).outputs
    signals = outputs[outputs["kind"] == t.OutputKind.SIGNAL].view(t.OUT_SIGNAL)
    return events, [(int(s["ts"]), int(s["target"])) for s in signals]


def edges(events, wanted):
    """Times and values where a column of targets (None: no opinion yet) changes."""
    before, found = 0, []
    for ts, target in zip(events["close_ts"].tolist(), wanted, strict=True):
        if target is not None and target != before:
            found.append((ts, target))
            before = target
    return found


def test_momentum_is_what_it_says():
    events, signals = signals_of("{name: m, kind: momentum, enter: 60, leave: 50, trend: 20}")
    close = events["close"] / 1e8
    rsi, trend = talib.RSI(close, 14), talib.EMA(close, 20)
    held, wanted = 0, []
    for k in range(len(close)):
        if np.isnan(rsi[k]) or np.isnan(trend[k]):
            wanted.append(None)
            continue
        above = close[k] > trend[k]
        held = int(above and (rsi[k] > 50 if held else rsi[k] >= 60))
        wanted.append(held)
    assert signals == edges(events, wanted)
    assert len(signals) > 20


def test_sma_cross_is_what_it_says():
    events, signals = signals_of("{name: s, kind: sma_cross, fast: 5, slow: 20}")
    close = events["close"] / 1e8
    fast, slow = talib.SMA(close, 5), talib.SMA(close, 20)
    assert signals == edges(events, [None if np.isnan(s) else int(f > s) for f, s in zip(fast, slow, strict=True)])


def test_mean_reversion_enters_and_leaves_at_its_scores():
    plan, events = read(["BTC/USDT=synthetic:7:4000"], ("strategies=[{name: m, kind: mean_reversion}]",))
    outputs = run_events(plan, events).outputs
    signals = outputs[outputs["kind"] == t.OutputKind.SIGNAL].view(t.OUT_SIGNAL)
    assert len(signals) > 10
    for signal in signals:
        z = float(signal["value_0"])
        assert z <= -1.6 if signal["target"] == t.Target.LONG else z >= -0.3
        if signal["target"] == t.Target.LONG:
            assert signal["strength_ppb"] == pytest.approx(min(abs(z) / 3.2, 1.0) * 1e9, abs=1)


# ---- objects of the user's ------------------------------------------------------------------------------------------
COUNTED = """
from pathlib import Path
MADE = Path({made!r})

class Strategy:
    def __init__(self, params):
        with MADE.open("a") as file:
            file.write("made\\n")

    def on_bar(self, bar):
        return 0.0
"""


def test_a_users_object_is_made_once_for_each_symbol(tmp_path):
    """In a replay, in a session that begins, and in one that is opened again; and not at all by who only looks."""
    made = tmp_path / "made.txt"
    path = written(tmp_path, COUNTED.format(made=str(made)))
    run(tmp_path, f"{{name: mine, path: {path}}}")
    assert made.read_text().split() == ["made"] * 2
    plan, events = read(MARKETS, (f"strategies=[{{name: mine, path: {path}}}]",))
    for begin in (
        lambda: create_session(tmp_path / "data/sessions", "s", plan, SystemClock()),
        lambda: open_session(tmp_path / "data/sessions", "s", plan, SystemClock()),
    ):
        made.write_text("")
        session = begin()
        session.commit_slice(events[:2], ["stream"] * 2)
        events = events[2:]
        session.close()
        assert made.read_text().split() == ["made"] * 2
    made.write_text("")
    verify(tmp_path / "data", "s")
    session_status(tmp_path / "data", "s")
    assert made.read_text() == ""


# ---- answers of Python strategies in a session ----------------------------------------------------------------------
ALTERNATES = """
from paperbot.strategy import FLAT, LONG

class Strategy:
    def __init__(self, params):
        self.bars = 0

    def on_bar(self, bar):
        self.bars += 1
        return LONG if self.bars % 2 else FLAT
"""
SLICES, DIES_AT = 40, 25


def alternating(tmp_path):
    path = written(tmp_path, ALTERNATES)
    return read(MARKETS, (f"strategies=[{{name: mine, path: {path}}}]",))


def commit(session, events, numbers):
    for k in numbers:
        session.commit_slice(as_bars(events[2 * k : 2 * k + 2]), ["stream"] * 2)


def ended(session):
    """The digest, and how many answers are in the journal."""
    found = session.digest(), sum(1 for _ in session.journal.rows_from(("python",)))
    session.close()
    return found


@pytest.mark.parametrize("answered", [True, False])
def test_each_slice_is_answered_once_wherever_a_session_dies(tmp_path, monkeypatch, answered):
    plan, events = alternating(tmp_path)
    session = create_session(tmp_path / "whole", "s", plan, SystemClock())
    commit(session, events, range(SLICES))
    expected = ended(session)
    assert expected[1] == 2 * SLICES  # Each bar changes the target.
    session = create_session(tmp_path / "cut", "s", plan, SystemClock())
    commit(session, events, range(DIES_AT))
    if answered:
        commit(session, events, [DIES_AT])
    else:  # It dies between the slice's commit and the commit of the answers.
        monkeypatch.setattr(session, "answer", lambda _: None)
        commit(session, events, [DIES_AT])
    session.close()
    session = open_session(tmp_path / "cut", "s", plan, SystemClock())
    assert sum(1 for _ in session.journal.rows_from(("python",))) == 2 * (DIES_AT + 1)
    session.close()
    session = open_session(tmp_path / "cut", "s", plan, SystemClock())  # Nor does a further start answer anything.
    commit(session, events, range(DIES_AT + 1, SLICES))
    assert ended(session) == expected


def test_a_slice_counts_by_one_rule_in_replay_session_and_recovery(tmp_path):
    """Its last bar still warms up, and another one counts: strategies are asked, wherever the bars are from."""
    plan, events = alternating(tmp_path)
    events = events[: 2 * SLICES].copy()
    events["flags"][1 : 2 * 10 : 2] |= t.BarFlag.WARMUP  # The last bars of the first ten slices.
    runner = Runner(plan, [])
    runner.run(as_bars(events))
    replayed = runner.digest.final(runner.machine.state)
    session = create_session(tmp_path, "s", plan, SystemClock())
    commit(session, events, range(SLICES))
    assert session.digest() == replayed
    session.close()
    session = open_session(tmp_path, "s", plan, SystemClock())
    assert session.digest() == replayed
    session.close()
