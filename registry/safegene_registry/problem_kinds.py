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
            "The request came without a token and is one that takes a token, or the "
            "token is unknown, expired or revoked.",
            "Send `Authorization: Bearer sgt_…`. An operator makes tokens with "
            "`safegene-registry token create`. Without a token, what is public can be "
            "read.",
        ),
        ProblemKind(
            "identity-rejected",
            401,
            "Identity rejected",
            "The JWT of a CI job was not exchanged for a token: it is not believed, it "
            "was used before, or no trusted publisher of the namespace accepts it.",
            "`detail` says why, as far as strangers may know. Ask for a new JWT with "
            "the audience that the trusted publisher names, and compare its claims "
            "with those that an owner sees with `safegene-registry publisher list`.",
        ),
        ProblemKind(
            "forbidden",
            403,
            "Forbidden",
            "The token is good but does not allow this: its scope, the namespace it is "
            "restricted to, or the role of its account stands in the way.",
            "`detail` says which. An owner of the namespace gives roles, the holder "
            "makes tokens of another scope.",
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
            "version-yanked",
            409,
            "Version yanked",
            "The version was yanked, so nothing new may point at it.",
            "Choose another version, or take the yank back first.",
        ),
        ProblemKind(
            "promotion-refused",
            409,
            "Promotion refused",
            "The namespace has a policy about what a version has to show before this "
            "alias may point at it, and the version does not. `demands` lists each "
            "demand: whether it is met, what was wanted and found, by how much it was "
            "missed, and what to do. Nothing was changed.",
            "Do what `advice` says of each demand that is not met, then move the alias "
            "again. Looking first costs nothing: `POST …/aliases/{alias}/check`. Only "
            "another policy, by an owner, asks for less.",
        ),
        ProblemKind(
            "name-taken",
            409,
            "Name taken",
            "There is something of this name already.",
            "Choose another name.",
        ),
        ProblemKind(
            "owner-required",
            409,
            "Owner required",
            "The change would leave the namespace without an owner.",
            "Make another member an owner first.",
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
            "version-purged",
            410,
            "Version purged",
            "An owner has removed the version's bytes for good, by law or after an "
            "accident. `detail` says when and why. Its number is never used again.",
            "Use another version, or publish under a new one. Nobody can bring the "
            "bytes back.",
        ),
        ProblemKind(
            "alias-changed",
            412,
            "Alias changed",
            "The alias does not point where the request expects it to: somebody has "
            "moved, made or removed it. `detail` says where it points; nothing was "
            "changed.",
            "Look at the alias again and decide anew.",
        ),
        ProblemKind(
            "policy-changed",
            412,
            "Policy changed",
            "The namespace does not have the promotion policy that the request expects "
            "it to: somebody has set another one. Nothing was changed.",
            "Read the policy again and decide anew.",
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
            "attestation-limit",
            409,
            "Too many attestations",
            "The account has posted as many attestations of this version as are kept.",
            "Say several things in one evaluation: it takes many sets of prompts.",
        ),
        ProblemKind(
            "quota-exceeded",
            413,
            "Quota exceeded",
            "The versions of the namespace, with those that are being uploaded, would "
            "add up to more than it may hold. `used_bytes`, `reserved_bytes`, "
            "`limit_bytes` and `wanted_bytes` tell how many.",
            "Ask an operator for a larger quota. Versions never go away, unless an "
            "owner purges one; uploads give their room back when they are cancelled "
            "or expire.",
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
            "attestation-invalid",
            422,
            "Attestation invalid",
            "The envelope or the statement in it breaks the format, its signature does "
            "not hold, or it is about another version. Nothing was kept.",
            "`errors` points into the envelope or the statement. Make it anew with "
            "`safegene attest`.",
        ),
        ProblemKind(
            "rate-limited",
            429,
            "Rate limited",
            "The caller, known by token or else by address, has asked too often.",
            "Wait as long as `Retry-After` says and send the same request again.",
        ),
        ProblemKind(
            "internal-error",
            500,
            "Internal error",
            "The registry failed in a way it did not foresee. Nothing was half done.",
            "Tell the operator the `request_id`: the log has the reason under it.",
        ),
        ProblemKind(
            "upstream-invalid",
            502,
            "Upstream invalid",
            "The version is not here, and what the upstream registry gives in its "
            "place is not what it promised, or is not taken here. Nothing was kept.",
            "Tell the operator: the log has the reason. The upstream registry is "
            "damaged, lies, or has what this one refuses.",
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
            "issuer-unavailable",
            503,
            "Issuer unavailable",
            "The JWT cannot be checked, since the keys of its issuer cannot be fetched "
            "right now.",
            "Wait as long as `Retry-After` says and send the same request again.",
        ),
        ProblemKind(
            "storage-unavailable",
            503,
            "Storage unavailable",
            "The registry's disk or database cannot take or give the bytes right now: "
            "full, busy or out of reach. Nothing was half kept.",
            "Wait as long as `Retry-After` says and send the same request again.",
        ),
        ProblemKind(
            "upstream-unavailable",
            504,
            "Upstream unavailable",
            "The version is not here, and the upstream registry does not give it now: "
            "it is slow, busy or out of reach. What has come so far is kept aside.",
            "Wait as long as `Retry-After` says and send the same request again.",
        ),
    )
}
