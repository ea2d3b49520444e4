"""Every error SafeGene raises on purpose, in one tree.

Two questions are answered by the type: whose fault it is, and whether trying again can
help. The module is stable, imports nothing and is shared by all three packages.

    SafeGeneError
    ├── UsageError                 the caller asked for something impossible
    │   ├── InvalidReferenceError
    │   ├── InvalidDataError
    │   ├── RankError
    │   └── UnsupportedFamilyError
    ├── ArtifactError              the bytes are wrong: do not retry, do not trust
    │   ├── DigestMismatchError
    │   ├── SizeMismatchError
    │   ├── ManifestError
    │   ├── AttestationError
    │   ├── UnsupportedFormatError
    │   ├── TensorFileError
    │   ├── ShapeMismatchError
    │   └── NonFiniteTensorError
    ├── CompatibilityError         the vector does not fit this model
    ├── LocalStorageError          this machine's disk or permissions stand in the way
    └── RegistryError              the registry answered no, or could not be reached
        ├── NotFoundError
        ├── AlreadyExistsError
        ├── PreconditionFailedError
        ├── PromotionRefusedError
        ├── GoneError
        ├── AuthenticationError
        ├── ForbiddenError
        ├── RejectedError          the registry found the request or its bytes wrong
        └── TransportError         a retry may help
"""

from typing import Any, ClassVar


class SafeGeneError(Exception):
    """Root of the tree: catch this to catch everything SafeGene raises on purpose.

    Args:
        detail: one sentence that names the thing, what was expected, what came, and
            what to do.
        context: the same facts as keys and values, safe to log (never a secret).
    """

    code: ClassVar[str] = "error"
    """Stable slug of the type, for logs and machine-readable output."""

    def __init__(self, detail: str, **context: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.context = context

    def __str__(self) -> str:
        return self.detail


class UsageError(SafeGeneError, ValueError):
    """The caller asked for something impossible; the same call will fail again."""

    code = "usage"


class InvalidReferenceError(UsageError):
    """A vector name, version, range, alias or digest is not well formed."""

    code = "invalid-reference"


class InvalidDataError(UsageError):
    """A data file (prompts, calibration samples) cannot be used as it is."""

    code = "invalid-data"


class RankError(UsageError):
    """A rank is outside what the matrices or the servable profile allow."""

    code = "invalid-rank"


class UnsupportedFamilyError(UsageError):
    """A model's architecture is not one SafeGene knows; it never guesses.

    Args:
        detail: the sentence for people.
        reason: the slug that a verdict gives as its reason: `unknown-architecture`,
            `unsupported-experts`, `closed-weights` or `invalid-config`.
        field: of the config, that decided.
        expected: what it should have been, where that can be said.
        actual: what came, cut short and printable.
    """

    code = "unknown-architecture"

    def __init__(
        self,
        detail: str,
        *,
        reason: str = "unknown-architecture",
        field: str | None = None,
        expected: str | None = None,
        actual: str | None = None,
        **context: Any,
    ) -> None:
        super().__init__(
            detail,
            reason=reason,
            field=field,
            expected=expected,
            actual=actual,
            **context,
        )
        self.reason = reason
        self.field = field
        self.expected = expected
        self.actual = actual


class ArtifactError(SafeGeneError):
    """The bytes are wrong: do not retry the same bytes, do not trust them."""

    code = "artifact"


class DigestMismatchError(ArtifactError):
    """Bytes do not have the digest they were promised under.

    Args:
        detail: the sentence for people.
        expected: the promised digest.
        actual: the digest of what came.
    """

    code = "digest-mismatch"

    def __init__(
        self, detail: str, *, expected: str, actual: str, **context: Any
    ) -> None:
        super().__init__(detail, expected=expected, actual=actual, **context)
        self.expected = expected
        self.actual = actual


class SizeMismatchError(ArtifactError):
    """A file has another size than promised.

    Args:
        detail: the sentence for people.
        expected: the promised size in bytes.
        actual: the size that came, in bytes.
    """

    code = "size-mismatch"

    def __init__(
        self, detail: str, *, expected: int, actual: int, **context: Any
    ) -> None:
        super().__init__(detail, expected=expected, actual=actual, **context)
        self.expected = expected
        self.actual = actual


class ManifestError(ArtifactError):
    """A manifest breaks the format.

    Args:
        detail: the sentence for people.
        pointer: JSON pointer of the offending value, "" for the whole document.
    """

    code = "manifest-invalid"

    def __init__(self, detail: str, *, pointer: str = "", **context: Any) -> None:
        super().__init__(detail, pointer=pointer, **context)
        self.pointer = pointer


class AttestationError(ArtifactError):
    """What is said of a version breaks the format, or its signature does not hold.

    Args:
        detail: the sentence for people.
        reason: the slug of what is wrong: `too-large`, `not-canonical`, `envelope`,
            `payload-type`, `base64`, `statement`, `predicate-type`, `predicate`,
            `subject`, `unknown-key` or `signature`.
        pointer: JSON pointer of the offending value, "" for the whole document.
    """

    code = "attestation-invalid"

    def __init__(
        self, detail: str, *, reason: str, pointer: str = "", **context: Any
    ) -> None:
        super().__init__(detail, reason=reason, pointer=pointer, **context)
        self.reason = reason
        self.pointer = pointer


class UnsupportedFormatError(ArtifactError):
    """A manifest has a format number this release cannot read.

    Args:
        detail: the sentence for people.
        version: the format number found.
    """

    code = "unsupported-format"

    def __init__(self, detail: str, *, version: object, **context: Any) -> None:
        super().__init__(detail, version=version, **context)
        self.version = version


class TensorFileError(ArtifactError):
    """A safetensors file is malformed, truncated or hostile."""

    code = "tensor-file-invalid"


class ShapeMismatchError(ArtifactError):
    """A tensor does not have the shape its module needs.

    Args:
        detail: the sentence for people.
        module: path of the module.
        expected: the shape the module needs.
        actual: the shape that came.
    """

    code = "shape-mismatch"

    def __init__(
        self, detail: str, *, module: str, expected: object, actual: object
    ) -> None:
        super().__init__(
            detail, module=module, expected=str(expected), actual=str(actual)
        )
        self.module = module
        self.expected = expected
        self.actual = actual


class NonFiniteTensorError(ArtifactError):
    """A tensor holds NaN or infinity.

    Args:
        detail: the sentence for people.
        module: path of the module or name of the tensor.
    """

    code = "non-finite-tensor"

    def __init__(self, detail: str, *, module: str) -> None:
        super().__init__(detail, module=module)
        self.module = module


class CompatibilityError(SafeGeneError):
    """The vector does not fit the model; nothing was applied.

    Args:
        detail: the sentence for people, with the first reasons spelled out.
        reasons: the machine-readable reasons of the verdict.
    """

    code = "incompatible"

    def __init__(
        self, detail: str, *, reasons: tuple[Any, ...] = (), **context: Any
    ) -> None:
        super().__init__(detail, **context)
        self.reasons = reasons


class LocalStorageError(SafeGeneError):
    """This machine's disk is full, read-only or not permitted; nothing is half kept."""

    code = "local-storage"


class RegistryError(SafeGeneError):
    """The registry answered with a problem, or no answer came.

    Args:
        detail: the sentence for people.
        status: HTTP status, None when no answer came.
        problem_type: slug of the RFC 9457 problem type, None when there was none.
        request_id: the registry's name for the request, to quote when asking for help.
    """

    code = "registry"

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        problem_type: str | None = None,
        request_id: str | None = None,
        **context: Any,
    ) -> None:
        super().__init__(detail, status=status, problem_type=problem_type, **context)
        self.status = status
        self.problem_type = problem_type
        self.request_id = request_id


class NotFoundError(RegistryError):
    """No such vector, version, alias or file, or it is hidden from this caller."""

    code = "not-found"


class AlreadyExistsError(RegistryError):
    """Another manifest is already published under this version."""

    code = "version-exists"


class PreconditionFailedError(RegistryError):
    """What was to be changed has changed meanwhile; read it again and decide anew."""

    code = "precondition-failed"


class PromotionRefusedError(RegistryError):
    """The version does not show what the policy demands; the alias was not moved.

    Args:
        detail: the sentence for people.
        demands: each demand of the policy and what it comes to.
    """

    code = "promotion-refused"

    def __init__(
        self, detail: str, *, demands: tuple[Any, ...] = (), **context: Any
    ) -> None:
        super().__init__(detail, **context)
        self.demands = demands


class GoneError(RegistryError):
    """The version's bytes were purged on purpose."""

    code = "gone"


class AuthenticationError(RegistryError):
    """No token was sent, or the token is unknown, expired or revoked."""

    code = "authentication-required"


class ForbiddenError(RegistryError):
    """The token is good but does not allow this."""

    code = "forbidden"


class RejectedError(RegistryError):
    """The registry found the request or the bytes it came with wrong."""

    code = "rejected"


class TransportError(RegistryError):
    """No usable answer: connection, time-out, 429 or 503. A retry may help.

    Args:
        detail: the sentence for people.
        retry_after: seconds the registry asked to wait, None when it did not say.
    """

    code = "unreachable"

    def __init__(
        self, detail: str, *, retry_after: float | None = None, **context: Any
    ) -> None:
        super().__init__(detail, **context)
        self.retry_after = retry_after
