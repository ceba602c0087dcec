"""Work beside the main line: what it raises is shown, and the session and the task go on."""

import asyncio
import queue
from types import SimpleNamespace

import numpy as np
import pytest

from desk import Desk
from paperbot.app.beside import in_thread
from paperbot.app.live import Live
from paperbot.app.recorder import names_of
from paperbot.app.session import control_event
from paperbot.core import types as t
from paperbot.llm.advisor import OUTCOMES
from paperbot.llm.guards import CODES
from paperbot.market.feed import REFUSALS
from paperbot.redact import Redactor
from paperbot.settings import NotifySettings
from paperbot.telemetry.logs import make_log
from paperbot.telemetry.metrics import BACKGROUND, Metrics
from paperbot.telemetry.notify import Notifier, report_fault
from paperbot.telemetry.watch import domains
from shell import PATIENCE_S


def fail(*_, **__):
    raise ValueError("boom")


def observers(capsys):
    """What a session shows; `shown()` gives (faults by task, what was logged)."""
    log = make_log("json", "INFO", Redactor([]))
    metrics = Metrics(domains(names_of(Desk().plan), "crypto", CODES, OUTCOMES, REFUSALS), frozenset())
    names = "paperbot_background_faults_total"
    return SimpleNamespace(
        log=log,
        metrics=metrics,
        background_fault=lambda task, error: report_fault(log, metrics, task, error),
        shown=lambda: ({task: metrics.value(names, task) for task in BACKGROUND}, "".join(capsys.readouterr())),
    )


def test_what_a_thread_raises_is_raised_where_it_is_waited_for():
    async def story():
        with pytest.raises(ValueError, match="boom"):
            await in_thread(fail)
        assert await in_thread(lambda: 3) == 3

    asyncio.run(asyncio.wait_for(story(), PATIENCE_S))


@pytest.mark.parametrize("where", ["begin", "wait", "settle"])
def test_an_advisor_that_fails_is_asked_again(capsys, where):
    """Wherever it happens, the question is over, and its failure is in log and metric."""
    seen = observers(capsys)
    committed = []
    session = SimpleNamespace(commit=lambda *what: committed.append(what))
    live = SimpleNamespace(consulting="busy", session=session, observers=seen, _now_ts=lambda: 7)

    def wait():
        return fail() if where == "wait" else fail if where == "settle" else lambda _: np.zeros(0)

    def begin(_):
        return fail() if where == "begin" else wait

    asyncio.run(asyncio.wait_for(Live._consult(live, SimpleNamespace(exchanges=[], begin=begin), 7), PATIENCE_S))
    faults, logged = seen.shown()
    assert live.consulting is None
    assert committed == []
    assert faults == {"advisor": 1, "notifier": 0}
    assert "background_fault" in logged
    assert "ValueError: boom" in logged


def test_a_message_that_cannot_be_sent_does_not_end_the_notifier(capsys, monkeypatch):
    seen = observers(capsys)
    answers = iter([fail, lambda **_: True])
    done = queue.Queue()

    class Messenger:
        def add(self, _):
            return True

        def notify(self, **what):
            done.put(what["body"])
            return next(answers)(**what)

    monkeypatch.setitem(__import__("sys").modules, "apprise", SimpleNamespace(Apprise=Messenger))
    monkeypatch.setenv("PAPERBOT_NOTIFY_URLS", "json://localhost")
    settings = NotifySettings(urls_env="PAPERBOT_NOTIFY_URLS", on=["halt"])
    notifier = Notifier(settings, seen.log, seen.metrics)
    notifier.tell("halt", "first")
    notifier.tell("halt", "second")
    assert [done.get(timeout=PATIENCE_S), done.get(timeout=PATIENCE_S)] == ["first", "second"]
    notifier.close()
    faults, logged = seen.shown()
    assert faults == {"advisor": 0, "notifier": 1}
    assert "ValueError: boom" in logged
    assert seen.metrics.value("paperbot_notifications_total", "sent") == 1.0


# ---- the time of an input that is no bar ----------------------------------------------------------------------------
@pytest.mark.parametrize(("clock", "venue_ms"), [("local", 0), ("venue", 999)])
@pytest.mark.parametrize(("ours", "expected"), [(999, 1000), (1000, 1000), (1001, 1001)])
def test_an_input_is_never_older_than_the_market(clock, venue_ms, ours, expected):
    """A clock behind the market, ours or the venue's, must not put a command before the last slice."""
    market_ts = 1000 * 10**6
    machine = SimpleNamespace(account={"clock_ts": market_ts})
    settings = SimpleNamespace(feed=SimpleNamespace(clock=clock))
    live = SimpleNamespace(
        configuration=SimpleNamespace(settings=settings),
        feed=SimpleNamespace(server=SimpleNamespace(now_ms=lambda: ours if clock == "venue" else venue_ms)),
        clock=SimpleNamespace(now_ns=lambda: ours * 10**6),
        session=SimpleNamespace(runner=SimpleNamespace(machine=machine)),
    )
    assert Live._now_ts(live) == expected * 10**6
    runner = SimpleNamespace(machine=machine)
    assert control_event(t.EventKind.HALT, runner, 0, ours * 10**6).view(t.CONTROL_EVENT)["ts"][0] == expected * 10**6
