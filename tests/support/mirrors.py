"""A registry that is mirrored, and all that its mirror has to say and send."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from safegene_registry import membership
from safegene_registry.access import Visibility
from safegene_registry.tokens import user_account
from support.backends import Parts, environment_of
from support.opened import opened
from support.registry_app import app_registry
from support.registry_server import running_registry
from support.replicas import Publisher, client_of
from support.versions import write_version

VECTORS = ("acme/one", "acme/two", "lab/three")
VERSIONS = 3
"""Of each; the second of the first is yanked."""


@dataclasses.dataclass
class Source:
    """The registry that is mirrored."""

    url: str
    token: str
    """Of a member of the private namespace, too."""
    data: Path
    """Its data directory."""


@contextmanager
def running_source(place: Path) -> Iterator[Source]:
    """One with `VECTORS`, and one more in the private namespace `hidden`."""
    with running_registry(place) as running:
        with (
            opened(running.data, {}) as services,
            services.database.writing() as session,
        ):
            owner = user_account(session, "tests", operator=False, by="tests")
            membership.create_namespace(
                session,
                "hidden",
                owner=owner,
                visibility=Visibility.PRIVATE,
                quota_bytes=None,
                by="tests",
            )
        with client_of(running.url, running.token) as client:
            for at, vector in enumerate((*VECTORS, "hidden/four")):
                for number in range(VERSIONS):
                    add_version(
                        client, place, vector, f"1.{number}.0", seed=10 * at + number
                    )
            yanked = client.put(
                "/v1/vectors/acme/one/versions/1.1.0/yank", json={"reason": "Too weak"}
            )
            assert yanked.status_code == 200
        yield Source(running.url, running.token_of(scope="admin"), running.data)


@contextmanager
def running_one(place: Path) -> Iterator[Source]:
    """One with a vector of its own, `acme/one`, to change what is said of it."""
    place.mkdir()
    with running_registry(place) as running:
        token = running.token_of(scope="admin")
        with client_of(running.url, token) as client:
            for number in range(VERSIONS):
                add_version(client, place, "acme/one", f"1.{number}.0", seed=number)
        yield Source(running.url, token, running.data)


def add_version(
    client: httpx.Client, place: Path, vector: str, version: str, *, seed: int
) -> None:
    """Publish a version."""
    at = place / f"{vector.replace('/', '-')}-{version}"
    manifest = write_version(at, vector=vector, version=version, seed=seed)
    assert Publisher(client, manifest, at).publish().status_code == 201


def told(client: httpx.Client, vectors: Sequence[str] = VECTORS) -> dict[str, bytes]:
    """All that a registry says and sends of some vectors."""
    answers = {}
    for vector in vectors:
        url = f"/v1/vectors/{vector}"
        paths = [url, f"{url}/versions", f"{url}/resolve"]
        for number in range(VERSIONS):
            version = f"{url}/versions/1.{number}.0"
            paths += [version, f"{version}/manifest"]
            answer = client.get(version)
            assert answer.status_code == 200, answer.text
            paths += [file["url"] for file in answer.json()["files"]]
        for path in paths:
            answer = client.get(path)
            assert answer.status_code == 200, answer.text
            answers[path] = answer.content
    return answers


def source_of(source: Source, vectors: Sequence[str] = VECTORS) -> dict[str, bytes]:
    """All that the registry says and sends that is mirrored."""
    with client_of(source.url, source.token) as client:
        return told(client, vectors)


def target_of(
    place: Path, parts: Parts, vectors: Sequence[str] = VECTORS
) -> dict[str, bytes]:
    """All that the mirror in `place / "target"` says and sends."""
    with app_registry(place / "target", **parts) as registry:
        return told(registry.client, vectors)


def mirror_command(
    source: Source, data: Path, parts: Parts, *options: str
) -> subprocess.Popen[str]:
    """Begin `safegene-registry mirror`."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "safegene_registry", "mirror", source.url),
            *("--data", data, *options),
        ],
        env={**os.environ, **environment_of(parts)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
