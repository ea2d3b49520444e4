"""Every answer that is not a success, as RFC 9457 problem details.

The slug at the end of `type` is the contract; titles and details may change. The table
below is the single source: answers, the pages under `/problems/` and `docs/problems.md`
are made from it. Details never hold tokens, SQL or stack traces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from safegene.errors import (
    ArtifactError,
    DigestMismatchError,
    InvalidReferenceError,
    ManifestError,
    SafeGeneError,
    SizeMismatchError,
)

PROBLEM_MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One problem type."""

    slug: str
    status: int
    title: str
    meaning: str
    """What has happened, for the page."""
    remedy: str
    """What the caller can do about it, for the page."""


PROBLEMS: dict[str, ProblemKind] = {
    kind.slug: kind
    for kind in (
        ProblemKind(
            "authentication-required",
            401,
            "Authentication required",
            "The request changes something and came without a token, or with one "
            "that this registry does not know.",
            "Send `Authorization: Bearer sgt_…`. An operator makes tokens with "
            "`safegene-registry token create`.",
        ),
        ProblemKind(
            "not-found",
            404,
            "Not found",
            "There is no such vector, version, alias, file, upload or address; or "
            "there is one and it is hidden from this caller.",
            "Check the spelling; list what exists with `GET /v1/vectors`. An upload "
            "that expired is opened anew.",
        ),
        ProblemKind(
            "method-not-allowed",
            405,
            "Method not allowed",
            "The address exists but does not take this method.",
            "The `Allow` header lists the methods it takes.",
        ),
        ProblemKind(
            "request-timeout",
            408,
            "Request timeout",
            "The sender fell silent in the middle of the body. Nothing was kept.",
            "Send the same request again.",
        ),
        ProblemKind(
            "version-exists",
            409,
            "Version exists",
            "Another manifest is already published under this version. Versions never "
            "change.",
            "Publish under a new version.",
        ),
        ProblemKind(
            "blob-missing",
            409,
            "Blob missing",
            "The upload cannot be completed: `errors` lists the files that have not "
            "been received.",
            "Send the listed blobs, then complete the upload again.",
        ),
        ProblemKind(
            "payload-too-large",
            413,
            "Payload too large",
            "The body, a file or the whole version is larger than this registry takes, "
            "or larger than the manifest promised.",
            "Compare with the limit in `detail`; an operator can raise it.",
        ),
        ProblemKind(
            "unsupported-media-type",
            415,
            "Unsupported media type",
            "The body is not of the media type that the address takes.",
            "Send the `Content-Type` named in `detail`.",
        ),
        ProblemKind(
            "range-not-satisfiable",
            416,
            "Range not satisfiable",
            "The requested range lies outside the file.",
            "The `Content-Range` header gives the size of the file.",
        ),
        ProblemKind(
            "invalid-request",
            422,
            "Invalid request",
            "A part of the request is malformed; `errors` says which and why.",
            "Correct the parts that `errors` points at.",
        ),
        ProblemKind(
            "digest-mismatch",
            422,
            "Digest mismatch",
            "The bytes received do not have the size or the digest they were promised "
            "under. Nothing was kept.",
            "Check that the file has not changed since its manifest was written, and "
            "send it again.",
        ),
        ProblemKind(
            "manifest-invalid",
            422,
            "Manifest invalid",
            "The manifest breaks the format, or a file is not what the manifest says "
            "of it. Nothing was published.",
            "`errors` points into the manifest. Build the directory anew with the "
            "`safegene` command.",
        ),
        ProblemKind(
            "internal-error",
            500,
            "Internal error",
            "The registry failed in a way it did not foresee. Nothing was half done.",
            "Tell the operator the `request_id`: the log has the reason under it.",
        ),
        ProblemKind(
            "storage-unavailable",
            503,
            "Storage unavailable",
            "The registry's disk or database cannot take or give the bytes right now: "
            "full, busy or out of reach. Nothing was half kept.",
            "Wait as long as `Retry-After` says and send the same request again.",
        ),
    )
}

BY_STATUS = {
    401: "authentication-required",
    404: "not-found",
    405: "method-not-allowed",
    413: "payload-too-large",
    415: "unsupported-media-type",
}
"""Slugs for refusals that come from the framework and carry only a status."""


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
    """

    def __init__(
        self,
        detail: str,
        slug: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = PROBLEMS[slug]
        self.detail = detail
        self.faults = tuple(faults)
        self.headers = dict(headers or {})


def problem_from_error(error: SafeGeneError) -> ProblemError:
    """Say which problem an error of the core is to the sender of the request."""
    match error:
        case ManifestError():
            fault = Fault(error.pointer, error.detail)
            return ProblemError(error.detail, "manifest-invalid", faults=[fault])
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
