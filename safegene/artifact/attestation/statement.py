"""The statement: what is said, of which version, in in-toto's form.

Written as canonical JSON, so that the same statement is the same bytes and says the
same to every reader. Stable.

Source:
    in-toto attestation framework, Statement v1.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, NoReturn, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from safegene.artifact.attestation.predicates import (
    KINDS,
    MODELS,
    CalibrationMade,
    Kind,
    Said,
    kind_of,
)
from safegene.artifact.canonical import canonical_json, parse_canonical
from safegene.artifact.digest import Digest
from safegene.errors import AttestationError, ManifestError

STATEMENT_TYPE: Literal["https://in-toto.io/Statement/v1"] = (
    "https://in-toto.io/Statement/v1"
)

MAX_PAYLOAD_BYTES = 192 * 1024
"""Of a statement; a calibration of 900 modules, each with a coefficient, has 60 kB."""


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Digests(_Shape):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Subject(_Shape):
    name: Annotated[str, Field(min_length=1, max_length=300)]
    digest: _Digests


class _Outer(_Shape):
    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[_Subject]
    predicate_type: str = Field(alias="predicateType")
    predicate: dict[str, object]


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that is said of one version."""

    subject: str
    """The version for people, `namespace/name@version`."""
    digest: Digest
    """The version's digest: what the statement is about, whatever it is called."""
    said: Said

    @property
    def kind(self) -> Kind:
        """What kind of thing is said."""
        return kind_of(self.said)

    def to_bytes(self) -> bytes:
        """Canonical JSON; `from_bytes` reads it back."""
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [
                    {"name": self.subject, "digest": {"sha256": self.digest.hex}}
                ],
                "predicateType": self.kind.predicate_type,
                "predicate": self.said.model_dump(mode="json", exclude_none=True),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a statement, whoever wrote it.

        Raises:
            AttestationError: too large, not canonical JSON, not a statement, of an
                unknown predicate type, or its predicate breaks the format; `.reason`
                says which.
        """
        if len(data) > MAX_PAYLOAD_BYTES:
            told = f"expected at most {MAX_PAYLOAD_BYTES} bytes, got {len(data)}"
            _refuse(told, "too-large")
        try:
            outer = _Outer.model_validate_json(canonical_json(parse_canonical(data)))
        except ManifestError as error:
            _refuse(str(error), "not-canonical", pointer=error.pointer)
        except ValidationError as error:
            _refuse(*_first(error, ""))
        kind = KINDS.get(outer.predicate_type)
        if kind is None:
            told = (
                f"/predicateType: expected one of {', '.join(KINDS)}, got"
                f" {outer.predicate_type[:100]!r}"
            )
            _refuse(told, "predicate-type", pointer="/predicateType")
        (subject,) = outer.subject
        found = cls(
            subject.name,
            Digest(subject.digest.sha256),
            _said(kind, canonical_json(outer.predicate)),
        )
        _check_calibration(found)
        return found

    def require_subject(self, digest: Digest) -> None:
        """Make sure that the statement is about this version.

        Raises:
            AttestationError: it is about another one.
        """
        if self.digest != digest:
            told = (
                f"the statement is about {self.subject} with the digest {self.digest},"
                f" not about {digest}; attest the version that was measured"
            )
            _refuse(told, "subject", pointer="/subject/0/digest")


def _said(kind: Kind, data: bytes) -> Said:
    try:
        return MODELS[kind].model_validate_json(data)
    except ValidationError as error:
        told, _, pointer = _first(error, "/predicate")
        _refuse(told, "predicate", pointer=pointer)


def _check_calibration(found: Statement) -> None:
    """The file inside names its version, too: both are one, or one of them is wrong."""
    said = found.said
    if isinstance(said, CalibrationMade):
        named = Digest.parse(said.calibration.digest)
        if named != found.digest:
            told = (
                f"the calibration is for the version {named}, the statement is about"
                f" {found.digest}"
            )
            _refuse(told, "subject", pointer="/predicate/calibration/digest")


def _first(error: ValidationError, below: str) -> tuple[str, str, str]:
    first = error.errors(include_url=False)[0]
    pointer = below + "".join(f"/{part}" for part in first["loc"])
    return f"{pointer[:200]}: {first['msg']}", "statement", pointer


def _refuse(told: str, reason: str, pointer: str = "") -> NoReturn:
    message = f"attestation: {told}"
    raise AttestationError(message, reason=reason, pointer=pointer)


assert set(MODELS.values()) == set(get_args(Said))  # noqa: S101 - all kinds are read
