"""Turns a registry's refusal into an exception of `safegene.errors`.

The slug at the end of an RFC 9457 problem's `type` decides; where there is none (a
proxy answered), the status does. What a server says is cleaned before people see it.
"""

import json
import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter, ValidationError

from safegene.errors import (
    AlreadyExistsError,
    AuthenticationError,
    ForbiddenError,
    GoneError,
    NotFoundError,
    PreconditionFailedError,
    PromotionRefusedError,
    RegistryError,
    RejectedError,
    TransportError,
)
from safegene_client.promotion_answers import Demand

PROBLEM_MEDIA_TYPE = "application/problem+json"
MAX_DETAIL_CHARACTERS = 500
MAX_ERRORS_SPELLED = 5

ADDRESS_REFUSED = frozenset({401, 403, 404, 410})
"""Statuses of an address that has expired, or of a transfer that has ended."""

STORE_ADVICE = {
    "BadDigest": "the file changed while it was sent, or the way there changes bytes:"
    " leave it alone and publish again",
}
"""What to do about a store's code; other codes mean that the registry asked wrongly."""

MAX_CODE_BYTES = 4096
_DEMANDS: TypeAdapter[tuple[Demand, ...]] = TypeAdapter(tuple[Demand, ...])
_STORE_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")

BY_SLUG: dict[str, type[RegistryError]] = {
    "alias-changed": PreconditionFailedError,
    "attestation-invalid": RejectedError,
    "attestation-limit": RegistryError,
    "authentication-required": AuthenticationError,
    "blob-missing": RejectedError,
    "digest-mismatch": RejectedError,
    "forbidden": ForbiddenError,
    "identity-rejected": AuthenticationError,
    "internal-error": RegistryError,
    "invalid-request": RejectedError,
    "issuer-unavailable": TransportError,
    "upstream-invalid": RegistryError,
    "upstream-unavailable": TransportError,
    "manifest-invalid": RejectedError,
    "method-not-allowed": RejectedError,
    "name-taken": AlreadyExistsError,
    "not-found": NotFoundError,
    "owner-required": RejectedError,
    "payload-too-large": RejectedError,
    "policy-changed": PreconditionFailedError,
    "promotion-refused": PromotionRefusedError,
    "quota-exceeded": RegistryError,
    "range-not-satisfiable": RejectedError,
    "rate-limited": TransportError,
    "request-timeout": TransportError,
    "storage-unavailable": TransportError,
    "unsupported-media-type": RejectedError,
    "version-exists": AlreadyExistsError,
    "version-purged": GoneError,
    "version-yanked": RegistryError,
}
"""Exception of every problem type that registries know."""

BY_STATUS: dict[int, type[RegistryError]] = {
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    408: TransportError,
    410: GoneError,
    412: PreconditionFailedError,
    429: TransportError,
    502: TransportError,
    503: TransportError,
    504: TransportError,
}
"""Exception of a status that came without a known problem type."""

ADVICE: dict[type[RegistryError], str] = {
    AlreadyExistsError: "versions never change: publish under a new one",
    AuthenticationError: (
        "set SAFEGENE_TOKEN to a token of this registry (an operator makes one with"
        " `safegene-registry token create`); what is public can be read without one"
    ),
    ForbiddenError: "ask an owner of the namespace, or the registry's operator",
    GoneError: "choose another version",
    PromotionRefusedError: (
        "do what each demand takes; an owner can demand less by another policy"
    ),
    TransportError: "try again later",
}
"""What to do, said after the registry's own sentence."""

ADVICE_BY_SLUG: dict[str, str] = {
    "identity-rejected": (
        "compare the JWT's claims with the namespace's trusted publishers"
    ),
    "name-taken": "choose another name",
    "quota-exceeded": "ask its operator for a larger quota, or wait for other uploads",
}
"""The same, where the problem says more than its exception."""


def error_from_response(
    status: int, headers: Mapping[str, str], body: bytes, *, url: str
) -> RegistryError:
    """Say what a refusal means.

    Args:
        status: of the answer, 400 or above (or a redirect that leads nowhere).
        headers: of the answer, names in lower case or case-insensitive.
        body: of the answer, as much as was read.
        url: the registry's address, for the sentence.
    """
    problem = _problem(headers, body)
    slug = plain_text(str(problem.get("type", "")).rstrip("/").rpartition("/")[2])
    kind = BY_SLUG.get(slug) or BY_STATUS.get(status) or _by_class(status)
    request_id = problem.get("request_id") or headers.get("x-request-id")
    facts: dict[str, Any] = {
        "status": status,
        "problem_type": slug or None,
        "request_id": plain_text(str(request_id)) if request_id else None,
    }
    if kind is TransportError:
        facts["retry_after"] = _seconds(headers.get("retry-after"))
    if kind is PromotionRefusedError:
        facts["demands"] = _demands(problem)
    said = problem.get("detail") or problem.get("title") or _reason(status)
    sentence = (
        f"{plain_text(str(said)).rstrip('.')}{_spelled_errors(problem)}"
        f" (the registry at {url} answered {status})"
    )
    advice = ADVICE_BY_SLUG.get(slug) or ADVICE.get(kind)
    if advice is None and kind is RegistryError and facts["request_id"]:
        advice = f"tell its operator the request id {facts['request_id']}"
    return kind(f"{sentence}; {advice}" if advice else sentence, **facts)


class AddressRefusedError(TransportError):
    """An address of the object store works no more; the registry can give another."""


def error_from_store(
    status: int, headers: Mapping[str, str], body: bytes, *, host: str, url: str
) -> RegistryError:
    """Say what a refusal of the registry's object store means.

    Args:
        status: of the answer, 400 or above.
        headers: of the answer, names in lower case or case-insensitive.
        body: of the answer, as much as was read; S3 servers send XML with a code.
        host: the store's address, for the sentence; nothing secret.
        url: the registry's address, likewise.
    """
    match = _STORE_CODE.search(body[:MAX_CODE_BYTES])
    code = match[1].decode() if match else _reason(status)
    sentence = (
        f"the object store at {host}, where the registry at {url} keeps its files,"
        f" answered {status} ({code})"
    )
    if status in ADDRESS_REFUSED:
        message = f"{sentence}; try again later, or tell the registry's operator"
        return AddressRefusedError(message, status=status)
    kind = BY_STATUS.get(status) or _by_class(status)
    if kind is not RejectedError:
        after = _seconds(headers.get("retry-after"))
        message = f"{sentence}; {ADVICE[TransportError]}"
        return TransportError(message, status=status, retry_after=after)
    advice = STORE_ADVICE.get(code, "tell the registry's operator")
    return RejectedError(f"{sentence}; {advice}", status=status)


def plain_text(text: str) -> str:
    """Make foreign text safe for a terminal: one line, no control marks, capped."""
    spaced = " ".join(text.split())
    clean = "".join(mark if mark.isprintable() else "?" for mark in spaced)
    if len(clean) <= MAX_DETAIL_CHARACTERS:
        return clean
    return clean[:MAX_DETAIL_CHARACTERS] + "…"


def _problem(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != PROBLEM_MEDIA_TYPE:
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _by_class(status: int) -> type[RegistryError]:
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return RejectedError
    return RegistryError


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "an unknown status"


def _spelled_errors(problem: Mapping[str, Any]) -> str:
    errors = problem.get("errors")
    if not isinstance(errors, list):
        return ""
    spelled = [
        f"{entry.get('pointer', '')}: {entry.get('detail', '')}"
        for entry in errors[:MAX_ERRORS_SPELLED]
        if isinstance(entry, dict)
    ]
    return f" [{plain_text('; '.join(spelled))}]" if spelled else ""


def _demands(problem: Mapping[str, Any]) -> tuple[Demand, ...]:
    """What a policy demands; none where the answer is not what it should be."""
    try:
        return _DEMANDS.validate_python(problem.get("demands", ()))
    except ValidationError:
        return ()


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds; its other form, a date, is not worth a clock's trust."""
    try:
        seconds = float(header) if header is not None else math.nan
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None
