"""Is a JWT what it says: signed by an issuer the operator named, in time, complete.

Whom it stands for, and what that one may do, is decided elsewhere. Nothing in a JWT
chooses how it is checked: algorithms and issuers are lists of our own, keys come from
the issuer, and the addresses and keys that a header can carry (`jku`, `jwk`, `x5u`) are
not looked at.
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import jwt
from jwt.exceptions import PyJWTError

from safegene_registry.issuers import Issuers

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""Signatures with a private key; never `none`, and no shared secrets (`HS256`)."""

MAX_CHARACTERS = 16 * 1024

LEEWAY_SECONDS = 30
"""How far the issuer's clock and ours may be apart."""

MAX_REUSABLE_SECONDS = 3600
"""Longest life of a JWT without `jti`: it may be exchanged as often as it is brought,
since two jobs may have the same one."""

REQUIRED = ("iss", "sub", "aud", "exp", "iat")


class JwtError(Exception):
    """A JWT is not to be believed; the text says why and holds nothing secret."""


def verify_jwt(text: str, issuers: Issuers) -> dict[str, Any]:
    """Check signature, issuer and times.

    Args:
        text: the JWT.
        issuers: whose word counts.

    Returns:
        Its claims. The audience is still to be compared.

    Raises:
        JwtError: it is not to be believed.
        ProblemError: `issuer-unavailable`.

    Source:
        RFC 7519; RFC 8725 (best current practices).
    """
    if len(text) > MAX_CHARACTERS:
        message = f"it has more than {MAX_CHARACTERS} characters"
        raise JwtError(message)
    issuer, key_id, algorithm = read_unverified(text)
    if issuer not in issuers:
        message = f"this registry does not know its issuer {issuer!r}"
        raise JwtError(message)
    jwk = issuers.find_key(issuer, key_id)
    if jwk is None:
        message = f"{issuer} has no key {key_id!r}"
        raise JwtError(message)
    # A key may be bound to one algorithm; PyJWK would not compare it with ours.
    if jwk.get("alg", algorithm) != algorithm:
        message = f"the key {key_id!r} is not for {algorithm}"
        raise JwtError(message)
    try:
        claims: dict[str, Any] = jwt.decode(
            text,
            jwt.PyJWK(dict(jwk), algorithm),
            algorithms=list(ALGORITHMS),
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={
                "require": list(REQUIRED),
                "verify_aud": False,
                "enforce_minimum_key_length": True,
            },
        )
    except (PyJWTError, ValueError, TypeError, OverflowError, KeyError) as error:
        raise JwtError(reason_of(error)) from error
    if once_id(claims) is None and lifetime(claims) > MAX_REUSABLE_SECONDS:
        message = (
            f"it has no id (jti) and lives for {lifetime(claims)} seconds; without one"
            f" at most {MAX_REUSABLE_SECONDS} are allowed"
        )
        raise JwtError(message)
    return claims


def lifetime(claims: Mapping[str, Any]) -> int:
    """Seconds between the making and the end of a verified JWT."""
    return int(claims["exp"]) - int(claims["iat"])


def read_unverified(text: str) -> tuple[str, str, str]:
    """Issuer, key id and algorithm, only to know which key to ask which issuer for."""
    try:
        parts = jwt.decode_complete(text, options={"verify_signature": False})
    except (PyJWTError, ValueError, TypeError) as error:
        raise JwtError(reason_of(error)) from error
    header, claims = parts["header"], parts["payload"]
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        message = f"its algorithm {algorithm!r} is not allowed"
        raise JwtError(message)
    if not isinstance(key_id, str):
        message = "its header names no key (kid)"
        raise JwtError(message)
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        message = "it names no issuer (iss)"
        raise JwtError(message)
    return issuer, key_id, algorithm


def reason_of(error: Exception) -> str:
    """The library's reason as the middle of a sentence."""
    text = str(error).rstrip(".") or type(error).__name__
    return text[0].lower() + text[1:]


def audiences(claims: Mapping[str, Any]) -> list[str]:
    """Whom the JWT is meant for."""
    found = claims.get("aud")
    named = found if isinstance(found, list) else [found]
    return [audience for audience in named if isinstance(audience, str)]


def has_claims(claims: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether all wanted claims are there with these very values.

    Types count: `true` is not 1, which Python takes for the same.
    """
    return all(
        key in claims and type(claims[key]) is type(value) and claims[key] == value
        for key, value in wanted.items()
    )


def once_id(claims: Mapping[str, Any]) -> UUID | None:
    """A name that only this JWT gives; None when it carries no `jti`."""
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        return None
    # JSON can spell half a character.
    text = f"{claims['iss']}\n{jti}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(text).digest()
    return UUID(bytes=digest[:16], version=5)
