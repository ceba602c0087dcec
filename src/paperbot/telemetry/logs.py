"""Log lines, through structlog.

The lines that `docs/RUNBOOK.md` names are the same plain text in every format: a few words, and for most of them one
JSON object. Pattern events and denials are whole-line JSON in every format. Everything else follows `LOG_FORMAT`.
Each line passes the redactor last, whatever it was made from; so do the records of other libraries' loggers.
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
"""Marks an event of the runbook: `event: {fields as JSON}`, or the event alone when it has no fields."""

WHOLE = "_whole"
"""Marks an event that is one JSON object in every format."""

LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)

Format = Literal["console", "json"]
Log = Any
"""A structlog logger."""


def compact(fields: Any) -> str:
    """One line of ASCII JSON: whatever a name or a reason holds, it cannot break the line or hide in it."""
    try:
        return json.dumps(fields, ensure_ascii=True, allow_nan=False, separators=(", ", ": "), default=str)
    except (ValueError, TypeError):  # A number that JSON has no form for, or a key: a line is worth more than its form.
        return json.dumps(_simple(fields), ensure_ascii=True)


def _simple(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _simple(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_simple(one) for one in value]
    is_plain = value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value))
    return value if is_plain else str(value)


class _Render:
    """The last step: an event's fields become the line."""

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
        # The console shows text as it is: what could move its cursor is escaped, and tracebacks keep their lines.
        shown = {key: _escaped(value) if key != "exception" else value for key, value in event.items()}
        return self._redactor(str(self._console(logger, name, shown)))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return "".join(one if one.isascii() and one.isprintable() else compact(one)[1:-1] for one in value)
    return value


class _Foreign(logging.Handler):
    """Sends what other libraries log the same way."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One record as an event of ours."""
        try:
            level = max(known for known in LEVELS if known <= max(record.levelno, LEVELS[0]))
            self._log.log(level, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)
        except Exception:  # noqa: BLE001  (a library's bad log call is not to stop it)
            self.handleError(record)


def make_log(log_format: Format, level: str, redactor: Redactor, out: TextIO | None = None) -> Log:
    """A logger that writes to `out`, standard output by default. Other libraries' warnings go there too."""
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
