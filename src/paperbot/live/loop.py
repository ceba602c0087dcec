"""The live session: feeds a venue's bars, slice by slice, to the same engine as a replay."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paperbot.clock import SystemClock, format_ts
from paperbot.config import Configuration
from paperbot.core import types as t
from paperbot.engine.merge import Merger, merge
from paperbot.errors import PaperbotError, StateError
from paperbot.events import NO_SIGNALS, Bars, Controls, as_bars, joined
from paperbot.knobs import duration_s
from paperbot.live.advisor import AdviceDesk
from paperbot.live.artifacts import LiveArtifacts, moment_of
from paperbot.live.beside import cancel_all, in_thread
from paperbot.live.commands import Command, Halt, Resume, Stop, events_of
from paperbot.live.link import START_TRIES
from paperbot.live.news import News
from paperbot.live.observers import Observers
from paperbot.live.session import Session
from paperbot.live.stalls import StallWatch
from paperbot.live.start import LiveRequest
from paperbot.live.status import LastBlocked, status_of
from paperbot.llm.advisor import Provider
from paperbot.market.ccxt_source import BinanceSource
from paperbot.market.feed import Feed
from paperbot.market.lane import Arrival
from paperbot.market.source import MS, Answer, SourceError, patiently
from paperbot.provenance import settings_of
from paperbot.telemetry.notify import Notifier

Tree = dict[str, Any]
TICK_S = 0.25
REFUSAL_EVERY_S = 60.0
LARGEST_SKEW_NS = int(t.DAY_NS)
END_OF_SLICE = int(t.BarFlag.END_OF_SLICE)


@dataclass
class Live:
    """One run of a session, from start to stop."""

    request: LiveRequest
    configuration: Configuration
    source: BinanceSource
    session: Session
    observers: Observers
    notifier: Notifier
    provider: Provider | None
    clock: SystemClock = field(default_factory=SystemClock)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    slices: int = 0
    merger: Merger = field(init=False)
    feed: Feed = field(init=False)
    artifacts: LiveArtifacts = field(init=False)
    desk: AdviceDesk | None = field(init=False, default=None)
    consulting: "asyncio.Task[None] | None" = None
    writing: "asyncio.Task[None] | None" = None
    saving: "asyncio.Task[None] | None" = None
    blocked: LastBlocked = field(default_factory=LastBlocked)
    refusals: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict)
    stalls: StallWatch = field(init=False)
    sources: dict[tuple[int, int], tuple[str, float]] = field(default_factory=dict)
    failure: PaperbotError | None = None
    written_at_s: float = 0.0
    day: int = -1
    stale_reported: bool = False

    def __post_init__(self) -> None:
        """Wire merger, feed, advisor and watchers to the session."""
        plan, settings = self.session.runner.plan, self.configuration.settings
        self.merger = Merger(plan.timeframes_ns)
        self.stalls = StallWatch(self.clock, lambda: self.session.committing_s)
        self.artifacts = LiveArtifacts(self.request.out, self.session, settings_of(self.configuration, plan))
        self.feed = Feed(
            self.source,
            plan.symbols,
            plan.price_decimals,
            settings.timeframe,
            plan.timeframes_ns[0] // MS,
            settings.feed.bar_grace_ms,
            self.clock,
            self._refused,
            self._failed,
        )
        names, log, metrics = self.observers.names, self.observers.log, self.observers.metrics
        machine = self.session.runner.machine
        self.observers.machine = machine
        if self.provider is not None:
            self.desk = AdviceDesk(self.configuration, plan, names, machine, self.provider, log, metrics)
            self.desk.remember(self.session.journal.exchanges())
        telemetry = self.observers.telemetry(self._notes)
        telemetry.catch_up(machine.account, machine.state.symbols, machine.state.positions, machine.state.orders)
        news = [News(self.notifier, names)] if self.notifier.is_on else []
        for records in self.session.outputs.read():
            telemetry.catch_up_realized(records)
            self.blocked.records(records)
            for watcher in news:
                watcher.catch_up(records)
        self.session.runner.watch([*self.session.writers(), self.blocked, telemetry, *news])

    def _notes(self, ts: int, symbol: str) -> Any:
        return self.desk.notes(ts, symbol) if self.desk is not None else {}

    def _refused(self, code: str, symbol: str, detail: str) -> None:
        """Count a refused row, and log it unless that code and symbol had a line in the last minute: a flood of them
        must not delay what is good.
        """
        self.observers.metrics.inc("paperbot_feed_refused_total", code)
        now_s = self.clock.monotonic_s()
        key = (code, symbol if symbol in self.session.runner.plan.symbols else "")
        at_s, unlogged = self.refusals.get(key, (-REFUSAL_EVERY_S, 0))
        if now_s - at_s < REFUSAL_EVERY_S:
            self.refusals[key] = at_s, unlogged + 1
            return
        self.refusals[key] = now_s, 0
        more = {"unlogged": unlogged} if unlogged else {}
        self.observers.log.warning("bar_refused", code=code, symbol=symbol[:40], detail=detail, **more)

    def _failed(self, reason: str) -> None:
        self.observers.metrics.inc("paperbot_feed_errors_total")
        self.observers.log.warning("venue_error", reason=reason)

    # ---- start
    async def begin(self) -> None:
        """Read the venue's time, warm up or prepare to catch up, and set where the feed begins."""
        market = self.session.runner.machine.market
        step_ms = self.session.runner.plan.timeframes_ns[0] // MS
        grace_ms = self.configuration.settings.feed.bar_grace_ms
        server_ms = await self._patiently(self.feed.ask_time)
        self._check_time(server_ms)
        present_ms = (server_ms - grace_ms) // step_ms * step_ms
        last_ms = int(market["slice_ts"]) // MS
        self._stop_if_over(int(market["slice_ts"]))
        if last_ms == 0:
            await self._warm_up(present_ms)
            self.feed.begin(present_ms)
            self._stop_if_over(present_ms * MS)
            return
        missed_s = (present_ms - last_ms) / 1000
        if missed_s > duration_s(self.configuration.settings.feed.catch_up_max):
            self.observers.log.error("down_too_long", seconds=missed_s, go_on_at=format_ts(present_ms * MS))
            self.session.commit(self._control(Halt(t.HaltReason.FEED)), "feed")
            self.feed.begin(present_ms)
            return
        if missed_s > 0:
            self.observers.log.info("catching_up", seconds=missed_s, mode=self.configuration.settings.feed.catch_up)
        self.feed.present_ms = present_ms
        self.feed.begin(last_ms)

    def _check_time(self, server_ms: int) -> None:
        """Raises StateError for a real venue's time that is more than a day from ours.

        A venue of one's own (`feed.rest_url`) may serve another time, and where its clock counts ours does not matter.
        """
        feed, ours_ns = self.configuration.settings.feed, self.clock.now_ns()
        is_real = feed.clock != "venue" and not feed.rest_url
        if is_real and abs(server_ms * MS - ours_ns) > LARGEST_SKEW_NS:
            theirs, ours = format_ts(server_ms * MS)[:19], format_ts(ours_ns)[:19]
            raise StateError(f"the venue's time is {theirs}Z and ours is {ours}Z: set the clock that is wrong")

    async def _patiently(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Await a call, and retry while the venue fails. Raises StateError when all tries have failed."""
        try:
            return await patiently(call, START_TRIES, lambda error: self._failed(str(error)))
        except SourceError as error:
            raise StateError(f"the venue cannot be reached: {error}") from None

    async def _warm_up(self, present_ms: int) -> None:
        plan = self.session.runner.plan
        if plan.warmup_bars == 0:
            return
        batches = []
        for symbol in plan.symbols:

            async def page(symbol: str = symbol) -> Bars:
                return await self.feed.history(symbol, plan.warmup_bars, present_ms)

            events = await self._patiently(page)
            events["flags"] |= t.BarFlag.WARMUP
            batches.append(iter([events]))
        merged = list(merge(batches, plan.timeframes_ns))
        if merged and sum(map(len, merged)):
            self.session.commit(joined(merged), "warmup")

    # ---- run
    async def go(self) -> None:
        """Run until stopped, or until the requested end."""
        feeding = asyncio.create_task(self.feed.run())
        ticking = asyncio.create_task(self._tick())
        watching = asyncio.create_task(self.stalls.run())
        stopping: asyncio.Task[Any] = asyncio.create_task(self.stop.wait())
        try:
            while not self.stop.is_set():
                taking = asyncio.create_task(self.feed.take())
                done, _ = await asyncio.wait({taking, stopping, feeding, ticking}, return_when=asyncio.FIRST_COMPLETED)
                for task in (feeding, ticking):
                    if task in done:
                        task.result()
                if taking not in done:
                    taking.cancel()
                    break
                arrival: Arrival | None = taking.result()
                while arrival is not None:
                    self._take(arrival)
                    arrival = self.feed.take_now()
                self._release()
                self._stop_if_over(self.merger.watermark)
                await asyncio.sleep(0)
        finally:
            left: list[asyncio.Task[Any]] = [feeding, ticking, stopping, watching]
            await cancel_all([*left, *([self.consulting] if self.consulting else [])])
            for work in (self.writing, self.saving):  # A thread cannot be cancelled: wait until its files are complete.
                if work is not None:
                    await work
            self._hide_feed()

    def _stop_if_over(self, ts: int) -> None:
        """Stop once `--until` is reached, whether or not bars arrived."""
        if self.request.until_ns is not None and ts >= self.request.until_ns:
            self.stop.set()

    def _take(self, arrival: Arrival) -> None:
        if arrival.event is None:
            self.merger.advance(arrival.symbol, arrival.close_ts)
            return
        if arrival.source == "catch_up" and self.configuration.settings.feed.catch_up == "manage_only":
            arrival.event["flags"] |= t.BarFlag.CATCH_UP
        self.sources[arrival.close_ts, arrival.symbol] = arrival.source, self.clock.monotonic_s()
        self.merger.push(arrival.symbol, arrival.event)

    def _release(self) -> None:
        """Commit all complete slices, one by one."""
        events = self.merger.release()
        ends = np.flatnonzero(events["flags"] & END_OF_SLICE)
        start = 0
        for end in ends.tolist():
            if self.request.until_ns is not None and int(events["close_ts"][end]) > self.request.until_ns:
                self.stop.set()
                return
            self._slice(as_bars(events[start : end + 1]))
            start = end + 1
            if self.stop.is_set():
                return

    def _slice(self, events: Bars) -> None:
        ts = int(events["close_ts"][0])
        arrivals = [self.sources.pop((ts, symbol)) for symbol in events["symbol"].tolist()]
        self.session.commit_slice(events, [source for source, _ in arrivals])
        self.slices += 1
        if all(source != "catch_up" for source, _ in arrivals):  # Caught-up bars wait for each other, not for the disk.
            lag_s = self.clock.monotonic_s() - max(at_s for _, at_s in arrivals)
            self.observers.metrics.observe("paperbot_journal_lag_seconds", value=lag_s)
        self.observers.metrics.set("paperbot_journal_inputs", to=self.session.journal.seq)
        if self.slices % self.configuration.settings.run.snapshot_every == 0 and self.saving is None:
            self.saving = asyncio.create_task(self._save(self.session.journal.seq, self.session.snapshot()))
        day = (ts - 1) // int(t.DAY_NS)
        if day != self.day:  # A new day: write the last day's rows at the next tick.
            self.day, self.written_at_s = day, float("-inf")
        self._stop_if_over(ts)
        if self.desk is not None and self.consulting is None and self.desk.is_due(ts):
            self.consulting = asyncio.create_task(self._consult(self.desk, ts))

    async def _consult(self, desk: AdviceDesk, ts: int) -> None:
        """Ask the advisor without blocking. Its advice enters between slices, at the time of the answer."""
        before = len(desk.exchanges)
        answer = NO_SIGNALS
        try:
            wait = desk.begin(ts)
            if wait is not None:
                settle = await in_thread(wait)
                answer = settle(self._now_ts())
            self.session.commit(answer, "llm", [exchange.stored() for exchange in desk.exchanges[before:]])
        except PaperbotError as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001  (the next question is still asked)
            self.observers.background_fault("advisor", error)
        finally:
            self.consulting = None

    async def _save(self, seq: int, content: bytes) -> None:
        """Write a snapshot on a thread. If it fails, recovery only takes longer: the journal has everything."""
        try:
            await in_thread(lambda: self.session.write_snapshot(seq, content))
        except Exception as error:  # noqa: BLE001  (the next snapshot is still tried)
            self.observers.background_fault("snapshot", error)
        finally:
            self.saving = None

    def _give_up(self, error: PaperbotError) -> None:
        """Stop the session cleanly because an input could not be made durable, and keep the error."""
        self.failure = error
        self.stop.set()

    def _now_ts(self) -> int:
        """The time of an input other than a bar: that of the configured clock, but never before the last slice."""
        is_venue = self.configuration.settings.feed.clock == "venue"
        now = self.feed.server.now_ms() * MS if is_venue else self.clock.now_ns()
        return max(int(self.session.runner.machine.market["clock_ts"]), now)

    def _control(self, command: Halt | Resume) -> Controls:
        return events_of(command, self._now_ts())

    # ---- periodic work
    async def _tick(self) -> None:
        settings = self.configuration.settings
        duration_s = settings.run.duration_s if self.request.duration_s is None else self.request.duration_s
        began_s = self.clock.monotonic_s()
        self.written_at_s = began_s
        while True:
            await asyncio.sleep(TICK_S)
            now_s = self.clock.monotonic_s()
            self._show_feed()
            self._watch_age(settings.feed.max_wait_s)
            self.observers.metrics.set("paperbot_loop_stall_seconds", to=self.stalls.longest_s)
            if now_s - self.written_at_s >= settings.run.artifacts_every_s and self.writing is None:
                self.writing = asyncio.create_task(self._refresh())
            if duration_s and now_s - began_s >= duration_s:
                self.stop.set()

    def _show_feed(self) -> None:
        metrics, feed = self.observers.metrics, self.feed
        metrics.set("paperbot_feed_age_seconds", to=feed.age_s)
        metrics.set("paperbot_feed_connected", to=float(feed.listening))
        skew_ms = feed.server.skew_ms
        metrics.set("paperbot_feed_clock_skew_seconds", to=None if skew_ms is None else skew_ms / 1000)
        counted = metrics.value("paperbot_feed_reconnects_total") or 0.0
        metrics.inc("paperbot_feed_reconnects_total", by=max(feed.reconnects - counted, 0.0))

    def _hide_feed(self) -> None:
        """Remove the feed's metrics: while `/metrics` is held, their last values would look current."""
        for name in ("paperbot_feed_age_seconds", "paperbot_feed_connected", "paperbot_feed_clock_skew_seconds"):
            self.observers.metrics.set(name, to=None)

    def _watch_age(self, max_wait_s: float) -> None:
        is_stale = max_wait_s > 0 and self.feed.age_s > max_wait_s
        if is_stale and not self.stale_reported:
            self.observers.log.error("feed_stale", age_s=round(self.feed.age_s, 1))
            self.notifier.tell("stale_feed", f"no bar for {self.feed.age_s:.0f} s; trading is halted")
            if not self.session.runner.machine.account["halted"]:
                self.session.commit(self._control(Halt(t.HaltReason.FEED)), "feed")
        self.stale_reported = is_stale

    async def _refresh(self) -> None:
        """Write the Parquet files on a thread."""
        self.written_at_s = self.clock.monotonic_s()
        moment = moment_of(self.session)
        try:
            await in_thread(lambda: self.artifacts.write(moment))
        except Exception as error:  # noqa: BLE001  (the files are derived, and the next write is still tried)
            self.observers.background_fault("artifacts", error)
        finally:
            self.writing = None

    def write(self) -> None:
        """Write the final Parquet files. Raises OutputError."""
        self.artifacts.write(moment_of(self.session))
        self.artifacts.close()

    async def handle(self, command: Command) -> dict[str, Any]:
        """Execute a command. Returns the status once the command is durable."""
        if isinstance(command, Halt | Resume):
            try:
                self.session.commit(self._control(command), "command")
            except PaperbotError as error:
                self._give_up(error)
                return {"error": str(error)}
        elif isinstance(command, Stop):
            self.stop.set()
        feed = {
            "connected": self.feed.listening,
            "age_s": round(self.feed.age_s, 3),
            "reconnects": max(self.feed.reconnects, 0),
            "skew_ms": self.feed.server.skew_ms,
        }
        return {**status_of(self.session, self.blocked.kept), "running": True, "feed": feed}
