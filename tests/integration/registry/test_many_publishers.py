"""Many publishers at once, each with the client, of two replicas that share all.

PostgreSQL and an S3 server; `test_concurrency` asks the same of few publishers, and of
the embedded registry.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest
from safegene_client import Registry
from safegene_registry.services import open_store
from safegene_registry.settings import Settings
from safegene_registry.storage import BlobStore
from support.backends import environment_of
from support.registry_server import running_registry
from support.replicas import TIMEOUT
from support.s3_stores import MIB
from support.versions import write_version

from safegene.artifact.bundle import verify_directory
from safegene.artifact.digest import Digest, digest_chunks
from safegene.artifact.manifest import Manifest
from safegene.errors import AlreadyExistsError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RIVALS = 50
"""Publishers of one version."""

NEIGHBORS = 200
"""Publishers of a version each."""

CROWD = 50
"""Those of them who publish versions of one vector, and so one after the other."""


@dataclass(frozen=True)
class Replicas:
    """Two processes that serve one registry, and clients of theirs."""

    clients: list[Registry]
    store: BlobStore
    """Where they keep its blobs."""

    def client(self, number: int) -> Registry:
        """Of the replica whose turn it is."""
        return self.clients[number % len(self.clients)]

    def publish_at_once(self, places: list[Path]) -> list[str | int | None]:
        """Publish all of these in the same moment; digests, or a refusal's status."""
        barrier = Barrier(len(places))

        def publish(number: int) -> str | int | None:
            barrier.wait(TIMEOUT)
            try:
                return self.client(number).publish(places[number]).digest
            except AlreadyExistsError as error:
                return error.status

        with ThreadPoolExecutor(len(places)) as pool:
            return list(pool.map(publish, range(len(places))))


@pytest.fixture(scope="module")
def replicas(shared_parts, tmp_path_factory):
    # Under a quota, who publishes into one namespace waits for the others there.
    limited = {**shared_parts, "namespace_quota_bytes": 1 << 40}
    environment = environment_of(limited)
    clients = []
    with ExitStack() as stack:
        for _ in range(2):
            place = tmp_path_factory.mktemp("replica")
            replica = stack.enter_context(
                running_registry(place, environment=environment)
            )
            client = Registry(
                replica.url, token=replica.token, cache=place, timeout=TIMEOUT
            )
            clients.append(stack.enter_context(client))
        yield Replicas(clients, open_store(Settings(**shared_parts)))


def check_pulled(client: Registry, manifest: Manifest) -> None:
    """The version is there, and every file of it is what was sent."""
    pulled = client.pull(manifest.identity)
    assert verify_directory(pulled.path) == manifest


def digest_of(store: BlobStore, name: str) -> Digest:
    """What the bytes under a final key hash to."""
    with store.open(Digest.parse(name)) as blob:
        return digest_chunks(iter(lambda: blob.read(MIB), b""))


def test_fifty_publishers_of_the_same_all_succeed(replicas, tmp_path):
    """There is one version, whoever published it."""
    manifest = write_version(tmp_path / "v", vector="many/same")

    told = replicas.publish_at_once([tmp_path / "v"] * RIVALS)

    assert told == [str(manifest.digest)] * RIVALS
    for client in replicas.clients:
        found = client.describe("many/same")
        assert [entry.digest for entry in found.versions] == [str(manifest.digest)]
        assert found.version_count == 1
        check_pulled(client, manifest)


def test_of_fifty_publishers_of_different_ones_one_succeeds(replicas, tmp_path):
    """All others are told that the version exists: 409."""
    manifests = [
        write_version(tmp_path / str(seed), vector="many/different", seed=seed)
        for seed in range(RIVALS)
    ]

    told = replicas.publish_at_once([tmp_path / str(n) for n in range(RIVALS)])

    assert Counter(told)[409] == RIVALS - 1
    winner = next(number for number, each in enumerate(told) if each != 409)
    assert told[winner] == str(manifests[winner].digest)
    for client in replicas.clients:
        found = client.describe("many/different")
        assert [entry.digest for entry in found.versions] == [told[winner]]
        check_pulled(client, manifests[winner])


def test_of_two_hundred_publishers_nobody_loses_anything(replicas, tmp_path):
    """Every version is there right afterwards, in both replicas, and whole."""
    manifests = []
    for number in range(NEIGHBORS):
        crowded = number < CROWD
        manifests.append(
            write_version(
                tmp_path / str(number),
                vector="many/versions" if crowded else f"many/vector-{number}",
                version=f"1.{number}.0",
                seed=1000 + number,
            )
        )

    told = replicas.publish_at_once([tmp_path / str(n) for n in range(NEIGHBORS)])

    assert told == [str(manifest.digest) for manifest in manifests]
    for number, manifest in enumerate(manifests):
        found = replicas.client(number + 1).resolve(manifest.identity)
        assert found.digest == str(manifest.digest)
        named = {file.path: file.digest for file in found.files}
        assert named == {entry.path: entry.digest for entry in manifest.files}
    blobs = {entry.digest for manifest in manifests for entry in manifest.files}
    with ThreadPoolExecutor(8) as pool:
        kept = pool.map(partial(digest_of, replicas.store), blobs)
        assert [str(digest) for digest in kept] == list(blobs)
    for number, manifest in enumerate(manifests[:: NEIGHBORS // 10]):
        check_pulled(replicas.client(number + 1), manifest)
    for client in replicas.clients:
        crowd = client.describe("many/versions")
        assert crowd.version_count == len(crowd.versions) == CROWD
        assert crowd.latest.version == f"1.{CROWD - 1}.0"
        alone = client.search("vector-", namespace="many", limit=NEIGHBORS)
        assert len(alone) == NEIGHBORS - CROWD
