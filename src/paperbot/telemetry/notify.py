"""Sends messages to the user through apprise, on its own thread, so that the event loop never waits."""

import contextlib
import queue
import threading
from collections import deque
from typing import Any

from paperbot.clock import SystemClock
from paperbot.environment import secret
from paperbot.settings import NotifySettings
from paperbot.telemetry.logs import Log
from paperbot.telemetry.metrics import Metrics

WAITING = 100
CLOSE_S = 2.0


def report_fault(log: Log, metrics: Metrics, task: str, error: Exception) -> None:
    """Log and count an exception of a background task; `task` is one of BACKGROUND."""
    log.error("background_fault", task=task, error=f"{type(error).__name__}: {error}")
    metrics.inc("paperbot_background_faults_total", task)


class Notifier:
    """Sends messages from a queue.

    It is off if the variable named by `notify.urls_env` is empty. Messages beyond `max_per_minute`, or that do not fit
    into the queue, are dropped and counted.
    """

    def __init__(self, settings: NotifySettings, log: Log, metrics: Metrics) -> None:
        self._on = set(settings.on)
        self._log, self._metrics = log, metrics
        self._limit = settings.max_per_minute
        self._sent_s: deque[float] = deque()
        self._queue: queue.Queue[str | None] = queue.Queue(WAITING)
        urls = secret(settings.urls_env)
        self._thread: threading.Thread | None = None
        if urls is not None:
            self._thread = threading.Thread(target=self._run, args=(urls.get_secret_value().split(),), daemon=True)
            self._thread.start()

    @property
    def is_on(self) -> bool:
        """Whether messages are sent at all."""
        return self._thread is not None

    def tell(self, kind: str, text: str) -> None:
        """Queue a message if its kind is in `notify.on`. Never waits."""
        if self._thread is None or kind not in self._on:
            return
        now_s = SystemClock.monotonic_s()
        while self._sent_s and self._sent_s[0] < now_s - 60.0:
            self._sent_s.popleft()
        if len(self._sent_s) >= self._limit or self._queue.full():
            self._metrics.inc("paperbot_notifications_total", "dropped")
            return
        self._queue.put_nowait(text)  # Only this thread puts messages, so there is room.
        self._sent_s.append(now_s)

    def close(self) -> None:
        """Send the queued messages; waits at most CLOSE_S."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(None)
            self._thread.join(CLOSE_S)

    def _run(self, urls: list[str]) -> None:
        import apprise  # noqa: PLC0415  (takes half a second, and most runs send nothing)

        messenger: Any = apprise.Apprise()
        accepted = [bool(messenger.add(url)) for url in urls]
        if not all(accepted):
            self._log.error("notify_address_refused", addresses=len(accepted), refused=accepted.count(False))
        while (text := self._queue.get()) is not None:
            sent = False
            try:
                sent = bool(messenger.notify(title="paperbot", body=text))
            except Exception as error:  # noqa: BLE001  (the next message may still be sent)
                report_fault(self._log, self._metrics, "notifier", error)
            self._metrics.inc("paperbot_notifications_total", "sent" if sent else "failed")
