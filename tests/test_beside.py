"""Work beside the main line: what it raises is shown, and the session and the task go on."""

import asyncio
import queue
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from desk import Desk
from paperbot.core import types as t
from paperbot.engine.names import names_of
from paperbot.live.beside import in_thread
from paperbot.live.commands import Halt
from paperbot.live.loop import Live
from paperbot.live.stalls import WINDOW_S, StallWatch
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
        shown=lambda: (
            {task: count for task in BACKGROUND if (count := metrics.value(names, task))},
            "".join(capsys.readouterr()),
        ),
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
    assert faults == {"advisor": 1}
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
    assert faults == {"notifier": 1}
    assert "ValueError: boom" in logged
    assert seen.metrics.value("paperbot_notifications_total", "sent") == 1.0


# ---- files that are written while the session goes on --------------------------------------------------------------
WRITERS = {
    "artifacts": Live._refresh,
    "snapshot": lambda live: Live._save(live, 9, b"state"),
}


def writing_live(monkeypatch, seen, write):
    monkeypatch.setattr("paperbot.live.loop.moment_of", lambda _: "moment")
    return SimpleNamespace(
        session=SimpleNamespace(write_snapshot=lambda *_: write()),
        artifacts=SimpleNamespace(write=lambda _: write()),
        clock=SimpleNamespace(monotonic_s=lambda: 5.0),
        observers=seen,
        writing="busy",
        saving="busy",
        written_at_s=0.0,
    )


@pytest.mark.parametrize("task", WRITERS)
def test_files_are_written_beside_the_loop(capsys, monkeypatch, task):
    """While they are being written, the loop goes on: here it is what lets the writing end."""
    seen, loop_goes_on = observers(capsys), threading.Event()

    def write():
        assert loop_goes_on.wait(60)

    async def story():
        work = asyncio.create_task(WRITERS[task](writing_live(monkeypatch, seen, write)))
        await asyncio.sleep(0)
        loop_goes_on.set()
        await work

    asyncio.run(asyncio.wait_for(story(), 120))
    assert seen.shown()[0] == {}


@pytest.mark.parametrize("task", WRITERS)
def test_files_that_cannot_be_written_end_no_session(capsys, monkeypatch, task):
    seen = observers(capsys)
    live = writing_live(monkeypatch, seen, fail)
    asyncio.run(asyncio.wait_for(WRITERS[task](live), 60))
    faults, logged = seen.shown()
    assert faults == {task: 1}
    assert "ValueError: boom" in logged
    assert (live.writing if task == "artifacts" else live.saving) is None  # The next one is tried.


# ---- how long the loop was held up ----------------------------------------------------------------------------------
def test_the_longest_stall_is_that_of_the_loop_without_its_commits(monkeypatch):
    now, committing = [0.0], [0.0]
    watch = StallWatch(SimpleNamespace(monotonic_s=lambda: now[0]), lambda: committing[0])
    beats = iter([(0.0, 0.0), (0.5, 0.4), (0.03, 0.0)])  # How late each beat comes, and how much of it is a commit.

    async def sleep(seconds):
        late, commit = next(beats, (None, None))
        if late is None:
            raise asyncio.CancelledError
        now[0] += seconds + late
        committing[0] += commit

    monkeypatch.setattr("paperbot.live.stalls.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watch.run())
    assert watch.longest_s == pytest.approx(0.1)
    now[0] += WINDOW_S
    assert watch.longest_s == pytest.approx(0.1)  # It was in the minute before.
    now[0] += WINDOW_S
    assert watch.longest_s == 0.0


# ---- the time of an input that is no bar ----------------------------------------------------------------------------
@pytest.mark.parametrize(("clock", "venue_ms"), [("local", 0), ("venue", 999)])
@pytest.mark.parametrize(("ours", "expected"), [(999, 1000), (1000, 1000), (1001, 1001)])
def test_an_input_is_never_older_than_the_market(clock, venue_ms, ours, expected):
    """A clock behind the market, ours or the venue's, must not put a command before the last slice."""
    market_ts = 1000 * 10**6
    machine = SimpleNamespace(market={"clock_ts": market_ts})
    settings = SimpleNamespace(feed=SimpleNamespace(clock=clock))
    live = SimpleNamespace(
        _now_ts=lambda: Live._now_ts(live),
        configuration=SimpleNamespace(settings=settings),
        feed=SimpleNamespace(server=SimpleNamespace(now_ms=lambda: ours if clock == "venue" else venue_ms)),
        clock=SimpleNamespace(now_ns=lambda: ours * 10**6),
        session=SimpleNamespace(runner=SimpleNamespace(machine=machine)),
    )
    assert Live._now_ts(live) == expected * 10**6
    assert Live._control(live, Halt()).view(t.CONTROL_EVENT)["ts"][0] == expected * 10**6
