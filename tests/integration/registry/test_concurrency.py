"""Many publishers at once, over HTTP, of replicas where the database can be shared.

Of one version the database has one winner; of different ones none is lost.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import httpx
import pytest
from safegene_registry.services import open_store
from safegene_registry.settings import Settings
from safegene_registry.storage import BlobStore
from support.backends import environment_of
from support.registry_server import running_registry
from support.replicas import Publisher, client_of
from support.stores import keys_of
from support.versions import llama_config, write_version

from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import TENSORS_NAME, Manifest

PUBLISHERS = 8
ROUNDS = 3
"""A race that is lost by luck once is not lost by luck three times."""


@dataclass(frozen=True)
class Replicas:
    """Processes that serve one registry, and a token for all of them."""

    urls: list[str]
    token: str
    store: BlobStore
    """What they all keep their blobs in."""

    def client(self, number: int = 0) -> httpx.Client:
        """Of the replica whose turn it is."""
        return client_of(self.urls[number % len(self.urls)], self.token)

    def final_blobs(self) -> set[str]:
        """Names of the blobs under final keys."""
        return {path.name for path in keys_of(self.store, "blobs/")}


@pytest.fixture(scope="module")
def replicas(tmp_path_factory, module_parts):
    """Two of them, or the one process that an embedded database allows."""
    environment = environment_of(module_parts)
    data = tmp_path_factory.mktemp("data")
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                running_registry(
                    tmp_path_factory.mktemp("replica"),
                    data=data,
                    environment=environment,
                )
            )
            for _ in range(2 if module_parts else 1)
        ]
        urls = [replica.url for replica in running]
        store = open_store(Settings(data=data, **module_parts))
        yield Replicas(urls, running[0].token, store)


def send(client: httpx.Client, manifest: Manifest, directory: Path) -> str:
    """Everything but the last step; its address."""
    publisher = Publisher(client, manifest, directory)
    publisher.open()
    publisher.send()
    return f"/v1/uploads/{publisher.upload['id']}/complete"


def complete_at_once(replicas: Replicas, urls: list[str]) -> list[httpx.Response]:
    """Complete all uploads in the same moment, each on a connection of its own."""
    barrier = Barrier(len(urls))

    def complete(number: int, url: str) -> httpx.Response:
        with replicas.client(number) as client:
            client.get("/healthz")
            barrier.wait()
            return client.post(url)

    with ThreadPoolExecutor(len(urls)) as pool:
        return list(pool.map(complete, range(len(urls)), urls))


def versions_of(client: httpx.Client, vector: str) -> list[tuple[str, str]]:
    found = client.get(f"/v1/vectors/{vector}").json()["versions"]
    return [(entry["version"], entry["digest"]) for entry in found]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_of_different_manifests_exactly_one_is_published(replicas, tmp_path, number):
    """One 201; everybody else hears that the version exists, and leaves nothing."""
    vector = f"different/round-{number}"
    manifests = [
        write_version(
            tmp_path / str(seed), vector=vector, seed=2000 + 100 * number + seed
        )
        for seed in range(PUBLISHERS)
    ]
    with replicas.client() as client:
        urls = [
            send(client, manifest, tmp_path / str(seed))
            for seed, manifest in enumerate(manifests)
        ]

        answers = complete_at_once(replicas, urls)

        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
        for answer in answers:
            if answer.status_code == 409:
                assert answer.json()["type"].endswith("/problems/version-exists")
        winner = next(at for at, a in enumerate(answers) if a.status_code == 201)
        digest = str(manifests[winner].digest)
        assert versions_of(client, vector) == [("1.0.0", digest)]
        for file in answers[winner].json()["files"]:
            assert str(digest_bytes(client.get(file["url"]).content)) == file["digest"]
        kept = replicas.final_blobs()
        for at, manifest in enumerate(manifests):
            tensors = manifest.file(TENSORS_NAME).digest.removeprefix("sha256:")
            assert (tensors in kept) == (at == winner)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_the_same_manifest_is_published_once_and_succeeds_everywhere(
    replicas, tmp_path, number
):
    """Uploads of their own or one shared by all: every answer is a success."""
    vector = f"same/round-{number}"
    manifest = write_version(tmp_path / "v", vector=vector, seed=1000 + number)
    with replicas.client() as client:
        urls = [send(client, manifest, tmp_path / "v") for _ in range(PUBLISHERS // 2)]

        answers = complete_at_once(replicas, urls + urls[:1] * (PUBLISHERS // 2))

        told = [answer.text for answer in answers if answer.status_code > 201]
        assert told == []
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
        assert all(answer.json() == answers[0].json() for answer in answers)
        digest = str(manifest.digest)
        assert versions_of(client, vector) == [("1.0.0", digest)]
        for file in answers[0].json()["files"]:
            assert str(digest_bytes(client.get(file["url"]).content)) == file["digest"]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_different_vectors_of_a_new_namespace_are_all_published(
    replicas, tmp_path, number
):
    """Every one of them is the first to need the namespace, the family and a blob."""
    config = llama_config(layers=2 + number)
    manifests = [
        write_version(
            tmp_path / str(at), vector=f"new-{number}/v{at}", seed=at, config=config
        )
        for at in range(PUBLISHERS)
    ]
    with replicas.client() as client:
        urls = [
            send(client, manifest, tmp_path / str(at))
            for at, manifest in enumerate(manifests)
        ]

        answers = complete_at_once(replicas, urls)

        assert [answer.status_code for answer in answers] == [201] * PUBLISHERS
        for at, manifest in enumerate(manifests):
            expected = [("1.0.0", str(manifest.digest))]
            assert versions_of(client, f"new-{number}/v{at}") == expected


@pytest.mark.parametrize("number", range(ROUNDS))
def test_different_versions_of_a_new_vector_are_all_published(
    replicas, tmp_path, number
):
    """The newest is the newest, whoever came last; all are counted."""
    versions = [f"1.{at}.0" for at in range(PUBLISHERS)]
    vector = f"versions/round-{number}"
    with replicas.client() as client:
        urls = []
        for at, version in enumerate(versions):
            place = tmp_path / version
            manifest = write_version(place, vector=vector, version=version, seed=at)
            urls.append(send(client, manifest, place))

        answers = complete_at_once(replicas, urls)

        assert [answer.status_code for answer in answers] == [201] * PUBLISHERS
        found = client.get(f"/v1/vectors/{vector}").json()
        # In the order of their publication, which is anybody's guess.
        assert {entry["version"] for entry in found["versions"]} == {*versions}
        assert found["latest"]["version"] == versions[-1]
        assert found["version_count"] == PUBLISHERS
