"""Every answer that is not a success, as RFC 9457 problem details.

The slug at the end of `type` is the contract; titles and details may change. What
there is stands in `problem_kinds`. Details never hold tokens, SQL or stack traces.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from safegene.errors import (
    ArtifactError,
    AttestationError,
    DigestMismatchError,
    InvalidReferenceError,
    ManifestError,
    SafeGeneError,
    SizeMismatchError,
)
from safegene_registry.problem_kinds import PROBLEMS

PROBLEM_MEDIA_TYPE = "application/problem+json"

BY_STATUS = {
    401: "authentication-required",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "payload-too-large",
    415: "unsupported-media-type",
}
"""Slugs for refusals that come from the framework and carry only a status."""


SHOWN = 1000
"""Most characters of a text in an answer; some quote what was sent."""


def plain(text: str) -> str:
    """A text that any JSON, database and terminal can hold: printable, and not long.

    What is refused may be quoted, and hold half a character, NUL or a megabyte.
    """
    text = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class Fault(NamedTuple):
    """One wrong part of a request: a JSON pointer into it, and what is wrong there."""

    pointer: str
    detail: str


class ProblemError(Exception):
    """Stop the request with this answer.

    Args:
        detail: one sentence for people about this occurrence.
        slug: which problem, a key of `PROBLEMS`.
        faults: the wrong parts of the request, where parts can be named.
        headers: further headers of the answer.
        members: further members of the body, what programs may want as JSON.
    """

    def __init__(
        self,
        detail: str,
        slug: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = PROBLEMS[slug]
        self.detail = plain(detail)
        self.faults = tuple(Fault(*map(plain, fault)) for fault in faults)
        self.headers = dict(headers or {})
        self.members = dict(members or {})

    def document(self) -> dict[str, Any]:
        """As JSON, to be kept; the inverse of `from_document`."""
        return {
            "slug": self.kind.slug,
            "detail": self.detail,
            "faults": [list(fault) for fault in self.faults],
            "headers": self.headers,
            "members": self.members,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """What `document` gave."""
        return cls(
            document["detail"],
            document["slug"],
            faults=[Fault(*fault) for fault in document["faults"]],
            headers=document["headers"],
            members=document["members"],
        )


def problem_from_error(error: SafeGeneError) -> ProblemError:
    """Say which problem an error of the core is to the sender of the request."""
    match error:
        case ManifestError():
            fault = Fault(error.pointer, error.detail)
            return ProblemError(error.detail, "manifest-invalid", faults=[fault])
        case AttestationError():
            fault = Fault(error.pointer, error.detail)
            return ProblemError(error.detail, "attestation-invalid", faults=[fault])
        case DigestMismatchError() | SizeMismatchError():
            return ProblemError(error.detail, "digest-mismatch")
        case ArtifactError():
            return ProblemError(error.detail, "manifest-invalid")
        case InvalidReferenceError():
            return ProblemError(error.detail, "invalid-request")
        case _:
            raise error


def public_base(request: Request) -> str:
    """The base of absolute links, without a trailing slash."""
    configured: str | None = request.app.state.settings.public_url
    return (configured or str(request.base_url)).rstrip("/")


def problem_body(request: Request, problem: ProblemError) -> dict[str, Any]:
    """The JSON members of one answer."""
    kind = problem.kind
    request_id: str = request.state.request_id
    body: dict[str, Any] = {
        "type": f"{public_base(request)}/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "instance": f"urn:uuid:{request_id}",
        "request_id": request_id,
        **problem.members,
    }
    if problem.faults:
        body["errors"] = [fault._asdict() for fault in problem.faults]
    return body


def problem_response(request: Request, problem: ProblemError) -> JSONResponse:
    """The answer itself."""
    headers = {"Cache-Control": "no-store", **problem.headers}
    if problem.kind.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        problem_body(request, problem),
        status_code=problem.kind.status,
        headers=headers,
        media_type=PROBLEM_MEDIA_TYPE,
    )


def pointer_to(location: Sequence[str | int]) -> str:
    """JSON pointer of a validation error's location.

    Errors in the body point into the body; others start with where they are: `/query`,
    `/path` or `/header`.
    """
    parts = location[1:] if location and location[0] == "body" else location
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in parts)
    return "".join(f"/{part}" for part in escaped)


def install_problem_handlers(app: FastAPI) -> None:
    """Make every refusal of the application a problem."""

    @app.exception_handler(ProblemError)
    def own_problem(request: Request, error: ProblemError) -> JSONResponse:
        return problem_response(request, error)

    @app.exception_handler(SafeGeneError)
    def core_error(request: Request, error: SafeGeneError) -> JSONResponse:
        return problem_response(request, problem_from_error(error))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            Fault(pointer_to(entry["loc"]), entry["msg"]) for entry in error.errors()
        ]
        named = ", ".join(sorted({fault.pointer or "the body" for fault in faults}))
        detail = f"The request is malformed at {named}."
        return problem_response(
            request, ProblemError(detail, "invalid-request", faults=faults)
        )

    @app.exception_handler(HTTPException)
    def framework_refusal(request: Request, error: HTTPException) -> JSONResponse:
        slug = BY_STATUS.get(error.status_code, "invalid-request")
        detail = {
            "not-found": f"There is nothing at {request.url.path}.",
            "method-not-allowed": f"{request.url.path} does not take {request.method}.",
        }.get(slug, error.detail)
        return problem_response(
            request, ProblemError(detail, slug, headers=error.headers)
        )
