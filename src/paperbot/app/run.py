"""The process of a live session: sets it up, runs it, and shuts it down cleanly."""

import asyncio
import contextlib
import signal
from collections.abc import Callable

from paperbot.cash import parse_cash
from paperbot.clock import SystemClock
from paperbot.config import ConfigFiles, Configuration
from paperbot.live import socket
from paperbot.live.advisor import make_provider
from paperbot.live.link import (
    learn_from,
    live_configuration,
    live_plan,
    make_source,
    open_source,
    rule_differences,
)
from paperbot.live.loop import Live
from paperbot.live.observers import Observers
from paperbot.live.session import Session
from paperbot.live.start import LiveRequest, open_or_create, tell_start
from paperbot.market.ccxt_source import BinanceSource
from paperbot.telemetry.notify import Notifier


def run_live(request: LiveRequest, say: Callable[[str], None]) -> None:
    """Run a live session until it is stopped or its time is over, then hold `/metrics`. Raises PaperbotError."""
    asyncio.run(_run(request, say))


async def _run(request: LiveRequest, say: Callable[[str], None]) -> None:
    files, cash = ConfigFiles(request.config), parse_cash(request.cash)
    configuration = live_configuration(files, request.overrides, cash)
    source = make_source(configuration)
    session = None
    try:
        say(f"asking the venue ({configuration.settings.feed.market_data}) for its symbols and rules")
        await open_source(source, say)
        if configuration.settings.feed.filters == "venue":
            learn_from(source, files, configuration, configuration.settings.symbols)
            configuration = live_configuration(files, request.overrides, cash)
        rule_differences(source, configuration, say)
        plan = live_plan(configuration)
        session = open_or_create(request, plan, SystemClock())
        await _run_session(request, configuration, source, session)
    finally:
        await source.close()
        if session is not None:
            session.close()


async def _run_session(
    request: LiveRequest, configuration: Configuration, source: BinanceSource, session: Session
) -> None:
    loop = asyncio.get_running_loop()
    observers = Observers(request.environment, configuration, session.runner.plan)
    provider = make_provider(configuration, None)
    notifier = Notifier(configuration.settings.notify, observers.log, observers.metrics)
    live = Live(request, configuration, source, session, observers, notifier, provider)
    with observers:  # The port opens only after the gauges have been set.
        was_signalled = False

        def signalled() -> None:
            nonlocal was_signalled
            was_signalled = True
            live.stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled)
        tell_start(session, observers, notifier)
        try:
            async with socket.serve(session.folder, live.handle):
                await live.begin()
                await live.go()
            if live.failure is not None:
                notifier.tell("session_stop", f"session {session.name} stopped after an error: {live.failure}")
                raise live.failure
            session.save()
            live.write()
            observers.log.info(
                "session_stopped", session=session.name, inputs=session.journal.seq, digest=session.digest()
            )
            notifier.tell("session_stop", f"session {session.name} has stopped; its files are in {request.out}")
            seconds = request.environment.hold_metrics_seconds
            if not was_signalled and seconds > 0:
                live.stop.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await live.stop.wait()
        finally:
            notifier.close()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
