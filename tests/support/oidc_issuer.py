"""A real OIDC issuer on this machine: discovery and keys over HTTP, real signatures.

It can change its keys, fall silent, and sign whatever a test asks it to.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from support.scripted_server import (
    Got,
    Reply,
    ScriptedServer,
    json_reply,
    scripted_server,
)

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/keys"
AUDIENCE = "safegene"
REPOSITORY = "acme/vectors"


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key by name; made once, since that takes a while."""
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    """A key on P-256 by name."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class SigningKey:
    """A private key with what the issuer says of it."""

    kid: str
    private: Any
    algorithm: str = "RS256"
    members: dict[str, Any] = field(default_factory=dict)
    """Of its public form, beside those that follow from the key."""

    def public(self) -> dict[str, Any]:
        """The JWK that everybody may see."""
        family = RSAAlgorithm if self.algorithm[:2] in {"RS", "PS"} else ECAlgorithm
        numbers = family.to_jwk(self.private.public_key(), as_dict=True)
        numbers.pop("key_ops", None)
        said = {"kid": self.kid, "use": "sig", "alg": self.algorithm, **self.members}
        return {**numbers, **{k: v for k, v in said.items() if v is not None}}


@dataclass
class Issuer:
    """The running issuer."""

    server: ScriptedServer
    keys: list[SigningKey]
    """Those it publishes; it signs with the first."""
    discovery: dict[str, Any] = field(default_factory=dict)
    """What its discovery document says otherwise than a good one."""
    silent: bool = False
    """Answers 503 to everything."""

    @property
    def url(self) -> str:
        """Its `iss`."""
        return self.server.url

    def respond(self, got: Got) -> Reply:
        """Discovery and keys."""
        if self.silent:
            return Reply(503)
        if got.path == DISCOVERY:
            good = {"issuer": self.url, "jwks_uri": self.url + KEYS}
            return json_reply({**good, **self.discovery})
        if got.path == KEYS:
            return json_reply({"keys": [key.public() for key in self.keys]})
        return Reply(404)

    def claims(self, **changed: Any) -> dict[str, Any]:
        """What a CI job's JWT says; None leaves a claim out."""
        now = int(time.time())
        found = {
            "iss": self.url,
            "sub": f"repo:{REPOSITORY}:environment:release",
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": str(uuid4()),
            "repository": REPOSITORY,
            "environment": "release",
            **changed,
        }
        return {name: value for name, value in found.items() if value is not None}

    def sign(
        self,
        claims: dict[str, Any] | None = None,
        *,
        key: SigningKey | None = None,
        headers: dict[str, Any] | None = None,
    ) -> str:
        """A JWT; a header of None is left out."""
        chosen = key or self.keys[0]
        said = {"kid": chosen.kid, **(headers or {})}
        return jwt.encode(
            self.claims() if claims is None else claims,
            chosen.private,
            algorithm=chosen.algorithm,
            headers={name: value for name, value in said.items() if value is not None},
        )


def plain_key(kid: str = "one") -> SigningKey:
    """An RSA key as issuers have them."""
    return SigningKey(kid, rsa_key(kid))


@contextmanager
def oidc_issuer(*keys: SigningKey) -> Iterator[Issuer]:
    """Run an issuer on a free port of this machine."""
    with scripted_server(lambda _got: Reply(503)) as server:
        issuer = Issuer(server, list(keys) or [plain_key()])
        server.respond = issuer.respond
        yield issuer


def unsigned(
    header: dict[str, Any], claims: dict[str, Any], signature: str = ""
) -> str:
    """A JWT with any header and any signature, for forgers."""
    parts = (json.dumps(part).encode() for part in (header, claims))
    encoded = (jwt.utils.base64url_encode(part).decode() for part in parts)
    return ".".join([*encoded, signature])
