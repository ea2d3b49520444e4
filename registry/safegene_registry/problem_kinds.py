"""The table of problems, the single source of what the registry refuses with.

Answers, the pages under `/problems/` and `docs/problems.md` are made from it.
"""

from dataclasses import dataclass


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
            "not-ready",
            503,
            "Not ready",
            "This replica cannot serve now: a part of it fails or is too slow, or it "
            "is about to stop. `errors` names the parts.",
            "Send requests to another replica. The operator finds the reason in the "
            "log; a wrong schema goes with `safegene-registry migrate`.",
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
