"""Logging: one arrangement for our own and for foreign records.

`get_logger` may be called at import: it touches no global state and hands each event to
the standard library's logger of that name. `configure_logging` is called once, by the
command, and decides how all records look. Events are snake_case and past tense; values
are keys, never interpolated.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import structlog

from safegene_registry.settings import LogFormat

REDACTED = "[redacted]"
SECRET_KEYS = frozenset({"authorization", "token", "secret", "password"})

Event = MutableMapping[str, Any]


def redact_secrets(_logger: object, _method: str, event: Event) -> Event:
    """Replace secrets by key name, and cut the query string off every URL.

    A presigned URL carries its signature in the query string.
    """
    for key, value in event.items():
        if key.lower() in SECRET_KEYS:
            event[key] = REDACTED
        elif key.endswith("url") and isinstance(value, str):
            event[key] = urlunsplit((*urlsplit(value)[:3], "", ""))
    return event


SECRETS_IN_TEXT = (
    # Our tokens, whoever quotes them.
    (re.compile(r"\bsgt_[A-Za-z0-9_-]+"), f"sgt_{REDACTED}"),
    # Three parts of base64 that begin as every JWT does.
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), REDACTED),
    (re.compile(r"(?i)\b(bearer|basic) +[^\s\"'\\]+"), rf"\1 {REDACTED}"),
    # A signed address: its query is as good as a token until it expires.
    (
        re.compile(r"\?[^\s\"'\\?]*(?i:x-amz-|signature=)[^\s\"'\\]*"),
        f"?{REDACTED}",
    ),
    # The password of a database's address.
    (re.compile(r"(://[^\s/:@\"'\\]*:)[^\s/@\"'\\]+@"), rf"\1{REDACTED}@"),
)
"""What no line may hold, wherever it comes from: messages and tracebacks of libraries
quote what they were given."""

TALKATIVE = ("botocore", "boto3", "urllib3", "httpcore")
"""Libraries that write down at DEBUG what they send: headers, signatures of addresses,
and what is signed, in lines that no pattern tells from others."""


def redact_text(_logger: object, _method: str, line: str) -> str:
    """Take secrets out of a line that is otherwise ready to be written."""
    for pattern, replacement in SECRETS_IN_TEXT:
        line = pattern.sub(replacement, line)
    return line


SHARED_PROCESSORS: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    redact_secrets,
)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Logger whose events become records of the standard library's logger `name`."""
    return cast(
        "structlog.stdlib.BoundLogger",
        structlog.wrap_logger(
            logging.getLogger(name),
            wrapper_class=structlog.stdlib.BoundLogger,
            processors=[
                structlog.stdlib.filter_by_level,
                *SHARED_PROCESSORS,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            cache_logger_on_first_use=True,
        ),
    )


class ReadyEvent(dict[str, Any]):
    """An event that needs no processor: it is whole, and secrets are taken out."""


class EventLogger:
    """Makes one event again and again, with the same keys, at a tenth of the cost.

    What every request leaves should cost less than the request. To whoever gets them,
    its records are like those of `get_logger`.

    Args:
        name: of the standard library's logger.
        event: what has happened.
    """

    def __init__(self, name: str, event: str) -> None:
        self.logger = logging.getLogger(name)
        self.event = event

    def info(self, texts: dict[str, str | None], **values: Any) -> None:
        """Log it.

        Args:
            texts: what came from outside, and may hold a secret.
            values: numbers, and words of our own.
        """
        if not self.logger.isEnabledFor(logging.INFO):
            return
        event = ReadyEvent(
            values,
            event=self.event,
            level="info",
            logger=self.logger.name,
            timestamp=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        )
        for key, text in texts.items():
            event[key] = text and redact_text(None, "info", text)
        # By these structlog's formatter knows that there is an event.
        known = {"_logger": self.logger, "_name": "info"}
        self.logger.handle(
            self.logger.makeRecord(
                *(self.logger.name, logging.INFO, "", 0, event, (), None), extra=known
            )
        )


FIRST = frozenset({"timestamp", "level", "event", "logger"})
"""Keys that lines for people begin with; the others come by name."""

PLAIN = re.compile("[^ \\t=\\r\\n\"']*")


def plain_line(event: ReadyEvent) -> str:
    """An event without an exception, as structlog shows it to people without colors."""
    head = "{timestamp} [{level:<9}] {event:<30} [{logger}]".format(**event)
    shown = (
        f"{key}={plain_value(value)}"
        for key, value in sorted(event.items())
        if key not in FIRST
    )
    return " ".join((head, *shown))


def plain_value(value: object) -> str:
    """A value for people."""
    plain = isinstance(value, str) and PLAIN.fullmatch(value)
    return str(value) if plain else repr(value)


class EventFormatter(structlog.stdlib.ProcessorFormatter):
    """structlog's, and a short way for events that are ready.

    Args:
        ready: makes a line of one; None: structlog does.
        options: of structlog's.
    """

    def __init__(
        self, ready: Callable[[ReadyEvent], str] | None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.ready = ready

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        if self.ready is not None and isinstance(record.msg, ReadyEvent):
            return self.ready(record.msg)
        return super().format(record)


def configure_logging(log_format: LogFormat, level: str) -> None:
    """Send every record of the process to standard error in one format.

    Args:
        log_format: lines for people, or one JSON object per line.
        level: least severe level that is written.
    """
    renderer: list[Any]
    ready: Callable[[ReadyEvent], str] | None
    if log_format is LogFormat.JSON:
        ready = json.dumps
        renderer = [
            structlog.processors.ExceptionRenderer(
                # Local variables may be secrets.
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        colors = sys.stderr.isatty()
        renderer = [
            structlog.dev.ConsoleRenderer(
                colors=colors, exception_formatter=structlog.dev.plain_traceback
            )
        ]
        ready = None if colors else plain_line
    renderer.append(redact_text)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        EventFormatter(
            ready=ready,
            foreign_pre_chain=list(SHARED_PROCESSORS),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(root.level, logging.INFO))
    # uvicorn's own lines repeat what `request_served` says, without the request id.
    logging.getLogger("uvicorn.access").disabled = True
    # It tells two things of every look at the schema, none of them of use.
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
