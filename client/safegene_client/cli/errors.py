"""What an exception means to the shell: one exit code and one sentence.

    0 done   1 failed   2 usage   3 not found   4 authentication
    5 integrity or compatibility   6 registry unreachable   130 interrupted

The table is the contract with scripts: stable, and tested row by row.
"""

from typing import Any

import click

from safegene.errors import (
    AlreadyExistsError,
    ArtifactError,
    AuthenticationError,
    CompatibilityError,
    ForbiddenError,
    GoneError,
    LocalStorageError,
    NotFoundError,
    PreconditionFailedError,
    PromotionRefusedError,
    RegistryError,
    RejectedError,
    SafeGeneError,
    TransportError,
    UsageError,
)

DONE = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
AUTHENTICATION = 4
INTEGRITY = 5
UNREACHABLE = 6
INTERRUPTED = 130

EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (KeyboardInterrupt, INTERRUPTED),
    (click.exceptions.Abort, INTERRUPTED),
    (click.UsageError, USAGE),
    (click.ClickException, FAILED),
    (UsageError, USAGE),
    (ArtifactError, INTEGRITY),
    (CompatibilityError, INTEGRITY),
    (LocalStorageError, FAILED),
    (NotFoundError, NOT_FOUND),
    (GoneError, NOT_FOUND),
    (AuthenticationError, AUTHENTICATION),
    (ForbiddenError, AUTHENTICATION),
    (RejectedError, INTEGRITY),
    (TransportError, UNREACHABLE),
    (AlreadyExistsError, FAILED),
    (PreconditionFailedError, FAILED),
    (PromotionRefusedError, FAILED),
    (RegistryError, FAILED),
    (SafeGeneError, FAILED),
    (Exception, FAILED),
)
"""The first row whose type fits decides."""


def exit_code(error: BaseException) -> int:
    """The code the command ends with."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


def error_document(error: BaseException) -> dict[str, Any]:
    """The error for machines: stable slug, sentence and facts, never a secret."""
    found: dict[str, Any] = {"code": slug(error), "detail": sentence(error)}
    if isinstance(error, SafeGeneError):
        found["context"] = {
            key: _plain(value)
            for key, value in error.context.items()
            if value is not None
        }
    if isinstance(error, CompatibilityError):
        found["reasons"] = [_plain(reason) for reason in error.reasons]
    if isinstance(error, PromotionRefusedError):
        found["demands"] = [_plain(demand) for demand in error.demands]
    return {"error": found}


def slug(error: BaseException) -> str:
    """Stable name of the kind of error."""
    if isinstance(error, SafeGeneError):
        return error.code
    if isinstance(error, KeyboardInterrupt | click.exceptions.Abort):
        return "interrupted"
    if isinstance(error, click.ClickException):
        return "usage"
    return "internal"


def sentence(error: BaseException) -> str:
    """The error for people."""
    if isinstance(error, SafeGeneError):
        return error.detail
    if isinstance(error, KeyboardInterrupt | click.exceptions.Abort):
        return "interrupted; nothing half-done is visible"
    if isinstance(error, click.ClickException):
        return error.format_message()
    kind = type(error).__name__
    return f"{kind}: {error}; run again with -v to see where, and report it"


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    return value if isinstance(value, str | int | float | bool) else str(value)
