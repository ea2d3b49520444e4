"""Keys that attestations are signed with: EC P-256, in PEM files.

The one module of the format that needs `cryptography`; others import it when a key is
used. Signatures are deterministic (RFC 6979): the same statement signed again with the
same key is the same envelope, so that attesting can be repeated.

Source:
    RFC 6979; FIPS 186-5; the key id is that of OpenSSF model signing, the sha256 of the
    public key in PEM.
"""

from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from safegene.artifact.digest import Digest, digest_bytes
from safegene.errors import AttestationError, UsageError

ALGORITHM = ec.ECDSA(hashes.SHA256())

MAKE_ONE = "make one with `safegene keys new KEY.pem`"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that checks signatures."""

    pem: str
    """SubjectPublicKeyInfo, as `cryptography` writes it."""

    @classmethod
    def from_pem(cls, text: str) -> Self:
        """Read a public key.

        Raises:
            AttestationError: it is not PEM, or not a key on P-256.
        """
        try:
            key = serialization.load_pem_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not _is_p256(key.curve):
            message = (
                "attestation: expected the PEM of a public key on EC P-256; other kinds"
                " of keys are not taken"
            )
            raise AttestationError(message, reason="unknown-key")
        return cls(_pem_of(key))

    @property
    def key_id(self) -> Digest:
        """What it goes by: the digest of its PEM."""
        return digest_bytes(self.pem.encode())

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether the signature is this key's, on these bytes."""
        key = serialization.load_pem_public_key(self.pem.encode())
        assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101 - `from_pem` saw
        try:
            key.verify(signature, data, ALGORITHM)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True, repr=False)
class PrivateKey:
    """A key that signs. Never printed, never sent."""

    secret: ec.EllipticCurvePrivateKey

    @classmethod
    def from_pem(cls, data: bytes, password: bytes | None = None) -> Self:
        """Read a private key.

        Args:
            data: a PEM file.
            password: of an encrypted one.

        Raises:
            UsageError: it is not PEM, not a private key on P-256, or the password is
                missing or wrong.
        """
        try:
            key = serialization.load_pem_private_key(data, password)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            message = (
                f"expected the PEM of a private key on EC P-256: {error}; {MAKE_ONE}"
            )
            raise UsageError(message) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not _is_p256(key.curve):
            message = (
                f"expected a private key on EC P-256, got {_kind_of(key)}; {MAKE_ONE}"
            )
            raise UsageError(message)
        return cls(key)

    @classmethod
    def generate(cls) -> Self:
        """A new key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @property
    def public(self) -> PublicKey:
        """The key that checks what this one signs."""
        return PublicKey(_pem_of(self.secret.public_key()))

    def to_pem(self, password: str | None = None) -> bytes:
        """As a file that only its owner should read: PKCS #8.

        Args:
            password: encrypts it, so that it takes that to read it; not empty.
        """
        encryption: serialization.KeySerializationEncryption
        if password is None:
            encryption = serialization.NoEncryption()
        else:
            encryption = serialization.BestAvailableEncryption(password.encode())
        return self.secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )

    def sign(self, data: bytes) -> bytes:
        """Sign bytes."""
        way = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        return self.secret.sign(data, way)


def _is_p256(curve: ec.EllipticCurve) -> bool:
    return isinstance(curve, ec.SECP256R1)


def _kind_of(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return f"one on {key.curve.name}"
    return f"a {type(key).__name__}"


def _pem_of(key: ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
