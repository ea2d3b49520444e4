"""The envelope: a statement's exact bytes and who signed them, as DSSE has it.

An envelope without signatures is a statement that nobody has signed: it is allowed, and
shown as unsigned. One with a signature brings the public key along, so that everybody
can check the signature; whether that key means anything is for its reader to say.

Source:
    DSSE v1.0 (secure-systems-lab/dsse), protocol.md and envelope.md. `publicKey` beside
    `keyid` is ours; readers ignore fields that they do not know.
"""

import base64
import binascii
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from safegene.artifact.attestation.statement import MAX_PAYLOAD_BYTES, Statement
from safegene.artifact.canonical import canonical_json, parse_canonical
from safegene.artifact.digest import Digest, digest_bytes
from safegene.artifact.manifest import DigestText
from safegene.errors import AttestationError, ManifestError

if TYPE_CHECKING:
    from safegene.artifact.attestation.keys import PrivateKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"

ENVELOPE_MEDIA_TYPE = "application/vnd.dsse.envelope.v1+json"

MAX_ENVELOPE_BYTES = MAX_PAYLOAD_BYTES * 4 // 3 + 4096
"""A payload in base64, a signature and a key."""


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Signature(_Shape):
    """A signature, and the key that checks it."""

    keyid: DigestText
    """Digest of `publicKey`."""
    publicKey: Annotated[str, Field(max_length=1024)]  # noqa: N815 - as it is written
    """PEM, SubjectPublicKeyInfo."""
    sig: Annotated[str, Field(max_length=256)]


class _Outer(_Shape):
    payload: str
    payloadType: str  # noqa: N815 - as it is written
    signatures: Annotated[tuple[Signature, ...], Field(max_length=1)]


@dataclass(frozen=True)
class Envelope:
    """A statement as it was made, signed or not."""

    payload: bytes
    """The statement's exact bytes."""
    signature: Signature | None = None

    @cached_property
    def statement(self) -> Statement:
        """What is said.

        Raises:
            AttestationError: the payload is no statement.
        """
        return Statement.from_bytes(self.payload)

    @cached_property
    def digest(self) -> Digest:
        """Of the envelope's bytes: the attestation's name."""
        return digest_bytes(self.to_bytes())

    @property
    def key_id(self) -> Digest | None:
        """The key that the signature says it is of; None: it is unsigned."""
        return None if self.signature is None else Digest.parse(self.signature.keyid)

    def to_bytes(self) -> bytes:
        """Canonical JSON; `from_bytes` reads it back."""
        signatures = [] if self.signature is None else [self.signature.model_dump()]
        return canonical_json(
            {
                "payload": base64.b64encode(self.payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": signatures,
            }
        )

    @classmethod
    def of(cls, statement: Statement, key: "PrivateKey | None" = None) -> Self:
        """Put a statement into an envelope, signed if there is a key."""
        payload = statement.to_bytes()
        if key is None:
            return cls(payload)
        signature = key.sign(pre_authentication(PAYLOAD_TYPE, payload))
        signed = Signature(
            keyid=str(key.public.key_id),
            publicKey=key.public.pem,
            sig=base64.b64encode(signature).decode(),
        )
        return cls(payload, signed)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read an envelope with its statement, whoever wrote it.

        The signature, if there is one, is not checked: `verify` does that.

        Raises:
            AttestationError: too large, not canonical JSON, not an envelope, of another
                payload type, its base64 cannot be read, or what is in it is no
                statement; `.reason` says which.
        """
        if len(data) > MAX_ENVELOPE_BYTES:
            told = f"expected at most {MAX_ENVELOPE_BYTES} bytes, got {len(data)}"
            _refuse(told, "too-large")
        try:
            outer = _Outer.model_validate_json(canonical_json(parse_canonical(data)))
        except ManifestError as error:
            _refuse(str(error), "not-canonical", error.pointer)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            pointer = "".join(f"/{part}" for part in first["loc"])
            _refuse(f"{pointer[:200]}: {first['msg']}", "envelope", pointer)
        if outer.payloadType != PAYLOAD_TYPE:
            told = (
                f"/payloadType: expected {PAYLOAD_TYPE}, got"
                f" {outer.payloadType[:100]!r}"
            )
            _refuse(told, "payload-type", "/payloadType")
        payload = _decoded(outer.payload, "/payload")
        found = cls(payload, outer.signatures[0] if outer.signatures else None)
        _ = found.statement
        return found

    def verify(self) -> Digest | None:
        """Check the signature, if there is one.

        Returns:
            The id of the key that made it; None: the envelope is unsigned.

        Raises:
            AttestationError: the key is none of ours or not the one that is named, or
                the signature is not of these bytes; `.reason` says which.
        """
        if self.signature is None:
            return None
        from safegene.artifact.attestation.keys import PublicKey

        place = "/signatures/0"
        key = PublicKey.from_pem(self.signature.publicKey)
        if key.pem != self.signature.publicKey or key.key_id != self.key_id:
            told = (
                f"the signature names the key {self.key_id} and brings {key.key_id};"
                " sign anew, with the key's PEM as it is digested"
            )
            _refuse(told, "unknown-key", f"{place}/keyid")
        signature = _decoded(self.signature.sig, f"{place}/sig")
        if not key.verifies(signature, pre_authentication(PAYLOAD_TYPE, self.payload)):
            told = (
                f"the signature is not one of the key {key.key_id} on these bytes; they"
                " were changed after signing, or another key signed them"
            )
            _refuse(told, "signature", f"{place}/sig")
        return key.key_id


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """What is signed: the payload with its type, so that neither stands for another."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _decoded(text: str, pointer: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = None
    # Padding can be spelled in ways that mean the same; one envelope has one digest.
    if data is None or base64.b64encode(data).decode() != text:
        _refuse(f"{pointer}: expected base64 in its standard form", "base64", pointer)
    return data


def _refuse(told: str, reason: str, pointer: str = "") -> NoReturn:
    message = f"attestation: {told}"
    raise AttestationError(message, reason=reason, pointer=pointer)
