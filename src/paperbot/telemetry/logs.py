"""Log lines, through structlog.

The lines that `docs/RUNBOOK.md` names are the same plain text in every format: a few words, and for most of them one
JSON object. Pattern events and denials are whole-line JSON in every format. Everything else follows `LOG_FORMAT`.
Each line passes the redactor last, whatever it was made from; so do the records of other libraries' loggers.
"""

import json
import logging
import sys
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from paperbot.redact import MASK, Redactor, is_secret_name

PLAIN = "_plain"
"""Marks an event of the runbook: `event: {fields as JSON}`, or the event alone when it has no fields."""

WHOLE = "_whole"
"""Marks an event that is one JSON object in every format."""

Format = Literal["console", "json"]
Log = Any
"""A structlog logger."""


def compact(fields: Any) -> str:
    """One line of ASCII JSON: whatever a name or a reason holds, it cannot break the line or hide in it."""
    return json.dumps(fields, ensure_ascii=True, allow_nan=False, separators=(", ", ": "), default=str)


class _Render:
    """The last step: an event's fields become the line."""

    def __init__(self, log_format: Format, redactor: Redactor, *, colors: bool) -> None:
        self._redactor = redactor
        self._json = log_format == "json"
        self._console = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        plain, whole = event.pop(PLAIN, False), event.pop(WHOLE, False)
        event = {"event": event.pop("event"), **_mask(event)}
        if plain or whole:
            event.pop("timestamp", None)
            event.pop("level", None)
        if plain:
            words = str(event.pop("event"))
            line = f"{words}: {compact(event)}" if event else words
        elif whole or self._json:
            line = compact(event)
        else:
            line = str(self._console(logger, name, event))
        return self._redactor(line)


def _mask(value: Any) -> Any:
    """The same without the values of keys that name a secret."""
    if isinstance(value, dict):
        return {key: MASK if is_secret_name(str(key)) else _mask(one) for key, one in value.items()}
    return value


class _Foreign(logging.Handler):
    """Sends what other libraries log the same way."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One record as an event of ours."""
        self._log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)


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
