"""Logging: one arrangement for our own and for foreign records.

`get_logger` may be called at import: it touches no global state and hands each event to
the standard library's logger of that name. `configure_logging` is called once, by the
command, and decides how all records look. Events are snake_case and past tense; values
are keys, never interpolated.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
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


def configure_logging(log_format: LogFormat, level: str) -> None:
    """Send every record of the process to standard error in one format.

    Args:
        log_format: lines for people, or one JSON object per line.
        level: least severe level that is written.
    """
    renderer: list[Any]
    if log_format is LogFormat.JSON:
        renderer = [
            structlog.processors.ExceptionRenderer(
                # Local variables may be secrets.
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        renderer = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    renderer.append(redact_text)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
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
