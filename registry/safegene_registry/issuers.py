"""The keys of OIDC issuers: discovered, fetched over HTTPS, kept for a while.

Only issuers that the operator has named are ever asked, never an address that a JWT
brings along. Keys are fetched anew when they are old, and when a JWT names a key that
is not among them (issuers change keys without notice), but not more often than
`COOL_DOWN_SECONDS`, or anybody could make the registry hammer an issuer. When old keys
cannot be fetched anew they are not used: an issuer may have withdrawn one.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from safegene_registry.addresses import is_acceptable
from safegene_registry.log import get_logger
from safegene_registry.problems import ProblemError

log = get_logger("safegene_registry.issuers")

KEYS_LIFETIME_SECONDS = 600
COOL_DOWN_SECONDS = 30
TIMEOUT_SECONDS = 5.0
"""Of each step of a request: to connect, to wait for the next bytes."""

DEADLINE_SECONDS = 10.0
"""Of a whole document."""

MAX_BYTES = 256 * 1024
"""Largest document that is read; real ones have a few kilobytes."""

RETRY_SECONDS = 30

Jwk = Mapping[str, Any]


class IssuerError(Exception):
    """An issuer cannot be asked, or what it says is no good."""


def unavailable(issuer: str) -> ProblemError:
    """The problem."""
    detail = f"The keys of {issuer} cannot be fetched right now."
    headers = {"Retry-After": str(RETRY_SECONDS)}
    return ProblemError(detail, "issuer-unavailable", headers=headers)


@dataclass(slots=True)
class KnownKeys:
    """What was last heard from one issuer."""

    keys: dict[str, Jwk] = field(default_factory=dict)
    """By key id."""
    fetched_at: float | None = None
    tried_at: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Issuers:
    """The issuers that the settings name, and their keys.

    Args:
        urls: as in the `iss` of their JWTs, to the letter.
        allow_loopback: whether plain HTTP will do on this machine.
        clock: seconds, never backwards.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        allow_loopback: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.allow_loopback = allow_loopback
        self.clock = clock
        self.known = {url: KnownKeys() for url in urls}

    def __contains__(self, url: object) -> bool:
        return url in self.known

    def find_key(self, issuer: str, key_id: str) -> Jwk | None:
        """The issuer's key of this id; None when it has none.

        Raises:
            ProblemError: `issuer-unavailable`.
            KeyError: the settings do not name the issuer.
        """
        known = self.known[issuer]
        if not self.needs_fetching(known, key_id):
            return self.fresh_key(issuer, key_id)
        # One fetches, others wait for it a little: they are threads that others need.
        if not known.lock.acquire(timeout=TIMEOUT_SECONDS):
            raise unavailable(issuer)
        try:
            if self.needs_fetching(known, key_id):
                self.refresh(issuer, known)
        finally:
            known.lock.release()
        return self.fresh_key(issuer, key_id)

    def refresh(self, issuer: str, known: KnownKeys) -> None:
        """Fetch the keys and remember when; a failure leaves what was known."""
        try:
            known.keys = self.fetch(issuer)
            known.fetched_at = self.clock()
        except IssuerError as error:
            log.warning("issuer_failed", issuer=issuer, reason=str(error))
        # Last: until then, others have reason to wait for the answer.
        known.tried_at = self.clock()

    def fresh_key(self, issuer: str, key_id: str) -> Jwk | None:
        """The key, from keys that are young enough to be believed."""
        known = self.known[issuer]
        if self.is_old(known):
            raise unavailable(issuer)
        return known.keys.get(key_id)

    def needs_fetching(self, known: KnownKeys, key_id: str) -> bool:
        """Whether there is reason to ask the issuer, and it was not asked just now."""
        cooling = (
            known.tried_at is not None
            and self.clock() - known.tried_at < COOL_DOWN_SECONDS
        )
        return not cooling and (self.is_old(known) or key_id not in known.keys)

    def is_old(self, known: KnownKeys) -> bool:
        """Whether keys are too old to be believed."""
        return (
            known.fetched_at is None
            or self.clock() - known.fetched_at > KEYS_LIFETIME_SECONDS
        )

    def fetch(self, issuer: str) -> dict[str, Jwk]:
        """Ask an issuer where its keys are, then for the keys.

        Source:
            OpenID Connect Discovery 1.0, section 4; RFC 7517, section 5.
        """
        # Proxies of the environment lead out of a company's network, not to loopback.
        outward = urlsplit(issuer).scheme == "https"
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=outward) as client:
            discovery = issuer.rstrip("/") + "/.well-known/openid-configuration"
            document = read_object(client, discovery)
            if document.get("issuer") != issuer:
                message = f"it calls itself {document.get('issuer')!r}"
                raise IssuerError(message)
            address = document.get("jwks_uri")
            if not isinstance(address, str) or not is_acceptable(
                address, allow_loopback=self.allow_loopback
            ):
                message = f"its jwks_uri {address!r} is not an HTTPS address"
                raise IssuerError(message)
            keys = read_object(client, address).get("keys")
        if not isinstance(keys, list):
            message = f"{address} holds no list of keys"
            raise IssuerError(message)
        found: dict[str, Jwk] = {
            key["kid"]: key
            for key in keys
            if isinstance(key, dict)
            and isinstance(key.get("kid"), str)
            and key.get("use", "sig") == "sig"
        }
        log.info("issuer_keys_fetched", issuer=issuer, count=len(found))
        return found


def read_object(client: httpx.Client, url: str) -> dict[str, Any]:
    """A JSON object, not larger than is sensible; redirects are not followed."""
    data = bytearray()
    started = time.monotonic()
    try:
        # Uncompressed: a few bytes must not become many.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        with client.stream("GET", url, headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                message = f"{url} answered {answer.status_code}"
                raise IssuerError(message)
            for chunk in answer.iter_raw():
                data += chunk
                if len(data) > MAX_BYTES:
                    message = f"{url} sends more than {MAX_BYTES} bytes"
                    raise IssuerError(message)
                if time.monotonic() - started > DEADLINE_SECONDS:
                    message = f"{url} took more than {DEADLINE_SECONDS:.0f} seconds"
                    raise IssuerError(message)
        value = json.loads(data)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        message = f"{url} cannot be read: {error or type(error).__name__}"
        raise IssuerError(message) from error
    except (ValueError, RecursionError) as error:
        message = f"{url} is not JSON"
        raise IssuerError(message) from error
    if not isinstance(value, dict):
        message = f"{url} is not a JSON object"
        raise IssuerError(message)
    return value
