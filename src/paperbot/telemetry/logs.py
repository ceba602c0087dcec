"""Log lines, through structlog.

The lines in `docs/RUNBOOK.md` are the same plain text in every format: a few words, and for most of them one JSON
object. Pattern events and denials are whole-line JSON in every format. All other lines follow `LOG_FORMAT`. Every line
passes the redactor last; so do the records of other libraries' loggers.
"""

import json
import logging
import sys
from math import isfinite
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from paperbot.redact import Redactor

PLAIN = "_plain"
"""Marks an event of the runbook: `event: {fields as JSON}`, or only the event if it has no fields."""

WHOLE = "_whole"
"""Marks an event that is one JSON object in every format."""

LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)

Format = Literal["console", "json"]
Log = Any
"""A structlog logger."""


def compact(fields: Any) -> str:
    """Return one line of ASCII JSON; no text in it can break the line or be invisible."""
    try:
        return json.dumps(fields, ensure_ascii=True, allow_nan=False, separators=(", ", ": "), default=str)
    except (ValueError, TypeError):  # A number or key that JSON cannot hold: log it as text.
        return json.dumps(_simple(fields), ensure_ascii=True)


def _simple(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _simple(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_simple(item) for item in value]
    is_plain = value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value))
    return value if is_plain else str(value)


class _Render:
    """The last processor: turns an event's fields into the line."""

    def __init__(self, log_format: Format, redactor: Redactor, *, colors: bool) -> None:
        self._redactor = redactor
        self._json = log_format == "json"
        self._console = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        plain, whole = event.pop(PLAIN, False), event.pop(WHOLE, False)
        event = self._redactor.values({"event": event.pop("event"), **event})
        if plain or whole:
            event.pop("timestamp", None)
            event.pop("level", None)
        if plain:
            words = str(event.pop("event"))
            return f"{words}: {compact(event)}" if event else words
        if whole or self._json:
            return compact(event)
        # The console prints text unchanged, so control characters are escaped; tracebacks keep their line breaks.
        shown = {key: _escaped(value) if key != "exception" else value for key, value in event.items()}
        return self._redactor(str(self._console(logger, name, shown)))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return "".join(char if char.isascii() and char.isprintable() else compact(char)[1:-1] for char in value)
    return value


class _Foreign(logging.Handler):
    """Sends other libraries' log records through our logger."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record as one of our events."""
        try:
            level = max(own for own in LEVELS if own <= max(record.levelno, LEVELS[0]))
            self._log.log(level, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)
        except Exception:  # noqa: BLE001  (a library's faulty log call must not stop the program)
            self.handleError(record)


def make_log(log_format: Format, level: str, redactor: Redactor, out: TextIO | None = None) -> Log:
    """Return a logger that writes to `out`, by default standard output. Other libraries' warnings go there too."""
    stream = out or sys.stdout
    log = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _Render(log_format, redactor, colors=stream.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        context_class=dict,
    )
    logging.getLogger().handlers[:] = [_Foreign(log)]
    return log
