"""What a registry and its object store say to a publisher, as plain data.

The store is another server, as it is in production: nothing of the registry's may reach
it but what it is sent on purpose. Tests change what either answers.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from support.scripted_server import (
    Got,
    Reply,
    ScriptedServer,
    json_reply,
    problem_reply,
)

from safegene.artifact.bundle import read_manifest
from safegene.artifact.digest import Digest, digest_bytes
from safegene.artifact.manifest import Manifest

UPLOAD_ID = "0b5c7a52-6a5e-4e0e-9d3b-3c8c2f1d7a10"
UPLOAD = f"/v1/uploads/{UPLOAD_ID}"


CHECKSUM = "x-amz-checksum-sha256"
WHOLE = "sum"
"""In the place of the checksum of what is sent whole; that is not looked at here."""

NOT_FOR_STORES = {"Authorization": "not this"}


def asked(server: ScriptedServer) -> list[tuple[str, str]]:
    """What a registry was asked, but for where parts go."""
    return [
        (got.method, got.path)
        for got in server.requests
        if not got.path.endswith("/parts")
    ]


@dataclass
class ObjectStore:
    """Keeps what is PUT to it, by path; of parts, what their addresses take."""

    kept: dict[str, bytes] = field(default_factory=dict)
    answers: list[Reply] = field(default_factory=list)
    """Given before anything is kept, one a request."""

    def __call__(self, got: Got) -> Reply:
        if self.answers:
            return self.answers.pop(0)
        # A sender that was stopped in the middle has sent less than it said.
        if got.method == "PUT" and len(got.body) == int(got.headers["content-length"]):
            signed = got.query.get("X-Checksum", WHOLE)
            if got.headers.get(CHECKSUM) != signed:
                return Reply(403, b"<Code>SignatureDoesNotMatch</Code>")
            if signed not in (WHOLE, checksum(digest_bytes(got.body))):
                return Reply(400, b"<Code>BadDigest</Code>")
            self.kept[got.path] = got.body
        return Reply()


def checksum(digest: Digest) -> str:
    """A digest as S3 spells it."""
    return b64encode(bytes.fromhex(digest.hex)).decode()


class UploadRegistry:
    """One upload of one version, whose blobs go to an object store.

    Args:
        directory: of the version.
        store_url: of the store.
        part_bytes: blobs above this are sent in parts of it.
    """

    def __init__(
        self, directory: Path, store_url: str, store: ObjectStore, *, part_bytes: int
    ) -> None:
        self.manifest: Manifest = read_manifest(directory)
        self.directory = directory
        self.store_url = store_url
        self.store = store
        self.part_bytes = part_bytes
        self.state = "open"
        self.problem: dict[str, Any] | None = None
        self.completions: list[Callable[[], Reply]] = []
        """What completing answers, one after the other, before it publishes."""
        self.part_answers: list[Reply] = []
        """Given before any address of a part, one a request."""
        self.known = True
        """Whether the upload can be looked at; else it has expired."""
        self.looks: list[dict[str, Any]] = []
        """Changes to the state and problem, one before each look."""
        self.signature = 0
        """Changes whenever addresses are given out."""

    def address(self, path: str) -> str:
        return f"{self.store_url}{path}?X-Signature={self.signature}"

    def blobs(self) -> list[dict[str, Any]]:
        self.signature += 1
        return [self.blob(e.digest, e.size) for e in self.manifest.files]

    def blob(self, digest: str, size: int) -> dict[str, Any]:
        name = digest.removeprefix("sha256:")
        found: dict[str, Any] = {"digest": digest, "size_bytes": size}
        if size <= self.part_bytes:
            present = f"/{name}" in self.store.kept
            headers = {CHECKSUM: WHOLE, **NOT_FOR_STORES}
            url = None if present else self.address(f"/{name}")
            state = "present" if present else "missing"
            return {**found, "state": state, "url": url, "headers": headers}
        parts = []
        for number, offset in enumerate(range(0, size, self.part_bytes), 1):
            present = f"/{name}/{number}" in self.store.kept
            parts.append(
                {
                    "number": number,
                    "offset": offset,
                    "size_bytes": min(self.part_bytes, size - offset),
                    "state": "present" if present else "missing",
                }
            )
        return {**found, "state": "missing", "url": None, "parts": parts}

    def part(self, digest: str, number: int, part_digest: str) -> dict[str, Any]:
        """Where a part is to be sent."""
        name, signed = (
            digest.removeprefix("sha256:"),
            checksum(Digest.parse(part_digest)),
        )
        url = f"{self.address(f'/{name}/{number}')}&X-Checksum={quote(signed, safe='')}"
        return {
            "number": number,
            "url": url,
            "headers": {CHECKSUM: signed, **NOT_FOR_STORES},
        }

    def upload(self) -> dict[str, Any]:
        return {
            "id": UPLOAD_ID,
            "digest": str(self.manifest.digest),
            "state": self.state,
            "blobs": self.blobs() if self.state == "open" else [],
            "problem": self.problem,
        }

    def version(self) -> dict[str, Any]:
        return {
            "namespace": self.manifest.namespace,
            "name": self.manifest.name,
            "version": self.manifest.version,
            "digest": str(self.manifest.digest),
            "size_bytes": self.manifest.size_bytes,
        }

    def sent(self) -> dict[str, bytes]:
        """The files as the store has them, parts put together."""
        found: dict[str, bytes] = {}
        for path in sorted(self.store.kept, key=lambda p: (len(p), p)):
            name = path.split("/")[1]
            found[name] = found.get(name, b"") + self.store.kept[path]
        return found

    def __call__(self, got: Got) -> Reply:
        if got.path.startswith(f"{UPLOAD}/blobs/") and got.path.endswith("/parts"):
            return self.parts(got.path.split("/")[-2], json.loads(got.body)["parts"])
        if got.path.startswith("/v1/vectors/"):
            return json_reply(self.version())
        return self.about_upload(got)

    def about_upload(self, got: Got) -> Reply:
        request = (got.method, got.path)
        if request == ("POST", f"{UPLOAD}/complete"):
            return self.complete()
        if request == ("DELETE", UPLOAD):
            return Reply(204)
        if request == ("POST", "/v1/uploads"):
            self.known = True
            return json_reply(self.upload(), 201)
        if request == ("GET", UPLOAD) and self.known:
            if self.looks:
                vars(self).update(self.looks.pop(0))
            return json_reply(self.upload())
        return problem_reply(404, "not-found", f"There is nothing at {got.path}.")

    def parts(self, digest: str, wanted: list[dict[str, Any]]) -> Reply:
        """Where parts are to be sent."""
        if self.part_answers:
            return self.part_answers.pop(0)
        found = [self.part(digest, part["number"], part["digest"]) for part in wanted]
        return json_reply({"parts": found})

    def complete(self) -> Reply:
        if self.completions:
            return self.completions.pop(0)()
        self.state = "published"
        return json_reply(self.version(), 201)
