"""Another registry, over its REST interface, as a mirror reads it.

Nothing that it says is taken on trust: names are checked, documents have a largest
size, manifests and files are hashed by whoever asked for them.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from itertools import islice
from typing import Any, Self

import httpx

from safegene.artifact.digest import Digest
from safegene.artifact.manifest import FileEntry, Manifest
from safegene.artifact.reference import VectorName
from safegene_registry.care.remote import (
    News,
    Remark,
    RemoteAdvisory,
    RemoteAlias,
    RemoteAttestation,
    RemoteVersion,
    advisory_of,
    alias_of,
    attestation_of,
    remark_of,
    version_of,
)

ATTEMPTS = 6
"""Tries in a row of a request that fails in passing, or breaks off."""

LONGEST_WAIT = 30.0
MAX_DOCUMENT_BYTES = 16 << 20
MAX_ATTESTATIONS = 1000
"""Of one version; the newest ones, of more."""

PAGE = 200
SILENCE_SECONDS = 60.0
CONNECT_SECONDS = 10.0


class UpstreamError(Exception):
    """The other registry cannot be asked, or says what cannot be."""


class SilentError(UpstreamError):
    """The other registry does not answer, or breaks off, however often it is asked."""


class RefusedError(UpstreamError):
    """The other registry does not take a request as it is."""


class NothingThereError(UpstreamError):
    """The other registry has nothing at an address, or does not know such ones."""


class PassingError(Exception):
    """It may be asked again in a while."""

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Upstream:
    """The other registry.

    Args:
        url: of it.
        token: that may read what is to be mirrored; None: what is public.
        attempts: tries in a row.
        seconds: the longest silence.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        attempts: int = ATTEMPTS,
        seconds: float = SILENCE_SECONDS,
    ) -> None:
        headers = {"Accept-Encoding": "identity"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self.url = url.rstrip("/")
        self.attempts = attempts
        timeout = httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
        # httpx sends the token to this origin alone, wherever files redirect to.
        self._client = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout, follow_redirects=True
        )

    def __enter__(self) -> Self:
        """Use it as a context, so that its connections end."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def find(
        self, vector: VectorName, version: str | None, digest: Digest | None
    ) -> RemoteVersion:
        """One version, by number or else by digest, as the other registry describes it.

        Raises:
            NothingThereError: it has none.
            UpstreamError: it cannot be asked, or says what cannot be.
        """
        path, query = f"/v1/vectors/{vector}/resolve", {"digest": str(digest)}
        if version is not None:
            path, query = f"/v1/vectors/{vector}/versions/{version}", {}
        found = self._document(path, query)
        with understood(self.url):
            return version_of(vector, found)

    def vectors(self) -> Iterator[VectorName]:
        """Every vector that has a version which is not yanked."""
        for item in self._pages("/v1/vectors"):
            with understood(self.url):
                vector = VectorName(item["namespace"], item["name"])
            yield vector

    def versions(self, vector: VectorName) -> list[RemoteVersion]:
        """All versions of a vector that can be had, those published first first."""
        found = list(self._pages(f"/v1/vectors/{vector}/versions"))
        with understood(self.url):
            return [
                version_of(vector, item)
                for item in reversed(found)
                if not item.get("purged")
            ]

    def deprecation(self, vector: VectorName) -> Remark | None:
        """What is said of a whole vector."""
        found = self._document(f"/v1/vectors/{vector}")
        with understood(self.url):
            return remark_of(found, about="vector")

    def aliases(self, vector: VectorName) -> list[RemoteAlias]:
        """The aliases of a vector."""
        found = self._known_pages(f"/v1/vectors/{vector}/aliases")
        with understood(self.url):
            return [alias_of(item) for item in found]

    def advisories(self, vector: VectorName) -> list[RemoteAdvisory]:
        """The advisories of a vector, the first one first."""
        found = self._known_pages(f"/v1/vectors/{vector}/advisories")
        with understood(self.url):
            return [advisory_of(item) for item in reversed(found)]

    def attestations(self, version: RemoteVersion) -> list[RemoteAttestation]:
        """What is said of a version, once each, what was said first first."""
        pages = self._pages(f"{version.path}/attestations")
        try:
            found = list(islice(pages, MAX_ATTESTATIONS))
        except NothingThereError:
            return []
        with understood(self.url):
            # Several accounts may have posted one: the first of them comes last.
            said = {each.digest: each for each in map(attestation_of, found)}
        return sorted(said.values(), key=lambda each: each.posted_at)

    def envelope(self, version: RemoteVersion, attestation: RemoteAttestation) -> bytes:
        """The bytes of an envelope."""
        return self._body(f"{version.path}/attestations/{attestation.digest}")

    def news(self, namespace: str, after: int) -> News:
        """What events behind a position are about.

        Raises:
            RefusedError: the chain has not come so far.
            UpstreamError: the other registry cannot be asked.
        """
        news = News(after)
        while True:
            query = {"after": str(news.last), "limit": str(PAGE)}
            page = self._document(f"/v1/namespaces/{namespace}/events", query)
            with understood(self.url):
                news.add(page)
                if not page["more"]:
                    return news

    def _known_pages(self, path: str) -> list[Any]:
        try:
            return list(self._pages(path))
        except NothingThereError:
            # An older registry, which has no such thing.
            return []

    def visibility(self, namespace: str) -> str:
        """Who may read a namespace there; without a token, what is read is public."""
        if "Authorization" not in self._client.headers:
            return "public"
        found = self._document(f"/v1/namespaces/{namespace}")
        with understood(self.url):
            return str(found["visibility"])

    def manifest(self, version: RemoteVersion) -> bytes:
        """The exact bytes of a manifest."""
        return self._body(f"{version.path}/manifest")

    def file(self, version: RemoteVersion, entry: FileEntry) -> Iterator[bytes]:
        """The bytes of a file; where the connection breaks off, it goes on there.

        Raises:
            UpstreamError: it cannot be had.
        """
        position = failures = 0
        path = f"{version.path}/files/{entry.path}"
        while position < entry.size:
            error: Exception = PassingError("it ends too early")
            try:
                for piece in self._range(path, position):
                    position += len(piece)
                    failures = 0
                    yield piece
            except (httpx.TransportError, PassingError) as broken:
                error = broken
            if position < entry.size:
                failures += 1
                self._wait(error, failures, f"{version.name}, {entry.path}")

    def _range(self, path: str, start: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._client.stream("GET", path, headers=headers) as answer:
            self._check(answer)
            skipped = start if answer.status_code == HTTPStatus.OK else 0
            for piece in answer.iter_raw():
                left = piece[skipped:]
                skipped = max(0, skipped - len(piece))
                if left:
                    yield left

    def _pages(self, path: str) -> Iterator[Any]:
        cursor: str | None = None
        while True:
            more = {} if cursor is None else {"cursor": cursor}
            page = self._document(path, {"limit": str(PAGE), **more})
            with understood(self.url):
                items, cursor = list(page["items"]), page["next_cursor"]
            yield from items
            if cursor is None:
                return

    def _document(self, path: str, query: dict[str, str] | None = None) -> Any:
        with understood(self.url):
            return json.loads(self._body(path, query))

    def _body(self, path: str, query: dict[str, str] | None = None) -> bytes:
        failures = 0
        while True:
            try:
                with self._client.stream("GET", path, params=query) as answer:
                    self._check(answer)
                    data = bytearray()
                    for piece in answer.iter_raw():
                        data += piece
                        if len(data) > MAX_DOCUMENT_BYTES:
                            message = f"{self.url}{path} is too large to be what it is"
                            raise UpstreamError(message)
                    return bytes(data)
            except (httpx.TransportError, PassingError) as error:
                failures += 1
                self._wait(error, failures, path)

    def _check(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        where = f"{answer.request.url} answered {answer.status_code}"
        wait = answer.headers.get("Retry-After", "")
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or wait:
            seconds = float(wait) if wait.isdigit() else None
            raise PassingError(where, seconds)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise NothingThereError(where)
        if answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise RefusedError(where)
        raise UpstreamError(where)

    def _wait(self, error: Exception, failures: int, what: str) -> None:
        if failures >= self.attempts:
            message = f"{self.url} does not give {what}: {error}"
            raise SilentError(message) from error
        seconds = getattr(error, "seconds", None) or 0.2 * 2**failures
        time.sleep(min(seconds, LONGEST_WAIT))


@contextmanager
def understood(url: str) -> Iterator[None]:
    """Say that what comes is not what a registry says."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        message = f"{url}: expected the answers of a registry, got something else"
        raise UpstreamError(message) from error


def read_manifest(version: RemoteVersion, data: bytes) -> Manifest:
    """A manifest that is what its list says.

    Raises:
        UpstreamError: it is another.
        ManifestError: it is none.
    """
    manifest = Manifest.from_bytes(data)
    if (manifest.identity, str(manifest.digest)) != (version.name, version.digest):
        message = (
            f"expected the manifest {version.digest} of {version.name}, got"
            f" {manifest.digest} of {manifest.identity}"
        )
        raise UpstreamError(message)
    return manifest
