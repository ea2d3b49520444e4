"""Publishers of replicas that share one registry, step by step over HTTP."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from safegene_registry.problems import PROBLEM_MEDIA_TYPE
from support.registry_app import (
    MANIFEST_MEDIA_TYPE,
    bearer,
    parts_request,
    parts_url,
)
from support.s3_stores import s3_settings
from support.services import S3Bucket

from safegene.artifact.manifest import Manifest

TIMEOUT = 120.0
"""Of one request, on a busy machine."""

PATIENCE = 180.0
"""How long somebody asks again who is told to come back later."""


def shared_settings(database_url: str, bucket: S3Bucket) -> dict[str, Any]:
    """Of all replicas of one registry, as plain values."""
    secret = bucket.server.secret_key
    return {
        **s3_settings(bucket, s3_secret_access_key=secret),
        "database_url": database_url,
    }


def client_of(
    url: str, token: str, transport: httpx.BaseTransport | None = None
) -> httpx.Client:
    """Of one replica; what it sends elsewhere goes without its token."""
    return httpx.Client(
        base_url=url,
        headers=bearer(token),
        timeout=TIMEOUT,
        trust_env=False,
        follow_redirects=True,
        transport=transport,
    )


class Patient(httpx.BaseTransport):
    """Sends a request again as long as a replica, or the store, is to be asked later.

    Whatever a replica answers instead of the right thing has to say so: 503, as a
    problem, with a time to wait. A store that is down answers nothing at all.

    Args:
        url: of the replica.
    """

    def __init__(self, url: str) -> None:
        self.seen: Counter[int] = Counter()
        """Answers of the replica, by status."""
        self._own = httpx.URL(url).netloc
        self._inner = httpx.HTTPTransport(retries=0)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request until it is answered."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._answer(request, late=time.monotonic() > deadline)
            if answer is not None:
                return answer
            time.sleep(0.1)

    def _answer(self, request: httpx.Request, *, late: bool) -> httpx.Response | None:
        own = request.url.netloc == self._own
        try:
            answer = self._inner.handle_request(request)
        except httpx.TransportError:
            if own or late:
                raise
            return None
        if own:
            self.seen[answer.status_code] += 1
        if answer.status_code < 500 or late:
            return answer
        answer.read()
        answer.close()
        if own:
            assert answer.status_code == answer.json()["status"] == 503, answer.text
            assert answer.json()["type"].endswith("/problems/storage-unavailable")
            assert answer.headers["content-type"] == PROBLEM_MEDIA_TYPE
            assert int(answer.headers["retry-after"]) > 0
        return None

    def close(self) -> None:
        """Close its connections."""
        self._inner.close()


@dataclass
class Halves:
    """A body in two pieces, as often as it is read."""

    data: bytes
    step: Callable[[str], None]

    def __iter__(self) -> Iterator[bytes]:
        half = len(self.data) // 2
        yield self.data[:half]
        self.step("half sent")
        yield self.data[half:]


def no_step(name: str) -> None:
    """Nothing happens between steps."""


@dataclass
class Publisher:
    """Publishes a version through one replica, without a second try of anything."""

    client: httpx.Client
    manifest: Manifest
    directory: Path
    through: bool = False
    """Whether blobs go through the replica also where it has addresses of a store."""
    step: Callable[[str], None] = no_step
    """Called with the name of each step of the publisher's own."""
    upload: dict[str, Any] = field(default_factory=dict)
    """As the replica told it."""

    def open(self) -> None:
        """Announce the version."""
        opened = self.client.post(
            "/v1/uploads",
            content=self.manifest.to_bytes(),
            headers={"Content-Type": MANIFEST_MEDIA_TYPE},
        )
        assert opened.status_code == 201, opened.text
        self.upload = opened.json()
        self.step("announced")

    def send(self) -> None:
        """Send every blob that is missing."""
        paths = {entry.digest: entry.path for entry in self.manifest.files}
        for blob in self.upload["blobs"]:
            if blob["state"] == "missing":
                self.send_blob(blob, (self.directory / paths[blob["digest"]]))
        self.step("all sent")

    def send_blob(self, blob: dict[str, Any], path: Path) -> None:
        """Send one blob, whole or in parts."""
        data = path.read_bytes()
        own = f"/v1/uploads/{self.upload['id']}/blobs/{blob['digest']}"
        if self.through:
            self.put(own, data, {})
        elif blob["url"] is not None:
            self.put(blob["url"], data, blob["headers"])
        for part in [] if self.through else blob["parts"]:
            end = part["offset"] + part["size_bytes"]
            self.put_part(blob, part, data[part["offset"] : end])
            self.step("part sent")
        self.step("blob sent")

    def put_part(self, blob: dict[str, Any], part: dict[str, Any], data: bytes) -> None:
        """Send one part to where the replica says."""
        wanted = parts_request(part, data)
        answer = self.client.post(parts_url(self.upload, blob), json=wanted)
        assert answer.status_code == 200, answer.text
        (target,) = answer.json()["parts"]
        self.step("part addressed")
        self.put(target["url"], data, target["headers"])

    def put(self, url: str, data: bytes, headers: dict[str, str]) -> None:
        """Send bytes to a replica or to its store."""

        sized = {**headers, "Content-Length": str(len(data))}
        halves = Halves(data, self.step)
        request = self.client.build_request("PUT", url, content=halves, headers=sized)
        if not url.startswith("/"):
            del request.headers["Authorization"]
        sent = self.client.send(request)
        assert sent.status_code in (200, 204), sent.text

    def complete(self) -> httpx.Response:
        """Have it published; the answer."""
        return self.client.post(f"/v1/uploads/{self.upload['id']}/complete")

    def look(self) -> httpx.Response:
        """What has become of the upload."""
        return self.client.get(f"/v1/uploads/{self.upload['id']}")

    def publish(self) -> httpx.Response:
        """The whole way."""
        self.open()
        self.send()
        return self.complete()
