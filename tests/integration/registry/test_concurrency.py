"""Many publishers of one version at once, over HTTP: the database has one winner."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import httpx
import pytest
from support.registry_app import MANIFEST_MEDIA_TYPE, bearer
from support.registry_server import RunningRegistry, running_registry
from support.versions import write_version

from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import TENSORS_NAME, Manifest

PUBLISHERS = 8
ROUNDS = 3
"""A race that is lost by luck once is not lost by luck three times."""

TIMEOUT = 120.0
"""Of one request, on a busy machine."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def client_of(server: RunningRegistry) -> httpx.Client:
    return httpx.Client(
        base_url=server.url,
        headers=bearer(server.token),
        timeout=TIMEOUT,
        trust_env=False,
    )


def send(client: httpx.Client, manifest: Manifest, directory: Path) -> str:
    """Everything but the last step; its address."""
    opened = client.post(
        "/v1/uploads",
        content=manifest.to_bytes(),
        headers={"Content-Type": MANIFEST_MEDIA_TYPE},
    )
    assert opened.status_code == 201, opened.text
    names = {entry.digest: entry.path for entry in manifest.files}
    for blob in opened.json()["blobs"]:
        if blob["state"] == "missing":
            data = (directory / names[blob["digest"]]).read_bytes()
            assert client.put(blob["url"], content=data).status_code == 204
    return f"/v1/uploads/{opened.json()['id']}/complete"


def complete_at_once(server: RunningRegistry, urls: list[str]) -> list[httpx.Response]:
    """Complete all uploads in the same moment, each on a connection of its own."""
    barrier = Barrier(len(urls))

    def complete(url: str) -> httpx.Response:
        with client_of(server) as client:
            client.get("/healthz")
            barrier.wait()
            return client.post(url)

    with ThreadPoolExecutor(len(urls)) as pool:
        return list(pool.map(complete, urls))


def versions_of(client: httpx.Client, vector: str) -> list[tuple[str, str]]:
    found = client.get(f"/v1/vectors/{vector}").json()["versions"]
    return [(entry["version"], entry["digest"]) for entry in found]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_of_different_manifests_exactly_one_is_published(server, tmp_path, number):
    """One 201; everybody else hears that the version exists, and leaves nothing."""
    vector = f"different/round-{number}"
    manifests = [
        write_version(tmp_path / str(seed), vector=vector, seed=100 * number + seed)
        for seed in range(PUBLISHERS)
    ]
    with client_of(server) as client:
        urls = [
            send(client, manifest, tmp_path / str(seed))
            for seed, manifest in enumerate(manifests)
        ]

        answers = complete_at_once(server, urls)

        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
        for answer in answers:
            if answer.status_code == 409:
                assert answer.json()["type"].endswith("/problems/version-exists")
        winner = next(at for at, a in enumerate(answers) if a.status_code == 201)
        digest = str(manifests[winner].digest)
        assert versions_of(client, vector) == [("1.0.0", digest)]
        for file in answers[winner].json()["files"]:
            assert str(digest_bytes(client.get(file["url"]).content)) == file["digest"]
        kept = {path.name for path in (server.data / "blobs").rglob("*")}
        for at, manifest in enumerate(manifests):
            tensors = manifest.file(TENSORS_NAME).digest.removeprefix("sha256:")
            assert (tensors in kept) == (at == winner)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_the_same_manifest_is_published_once_and_succeeds_everywhere(
    server, tmp_path, number
):
    """Uploads of their own or one shared by all: every answer is a success."""
    vector = f"same/round-{number}"
    manifest = write_version(tmp_path / "v", vector=vector, seed=1000 + number)
    with client_of(server) as client:
        urls = [send(client, manifest, tmp_path / "v") for _ in range(PUBLISHERS // 2)]

        answers = complete_at_once(server, urls + urls[:1] * (PUBLISHERS // 2))

        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
        assert all(answer.json() == answers[0].json() for answer in answers)
        digest = str(manifest.digest)
        assert versions_of(client, vector) == [("1.0.0", digest)]
        for file in answers[0].json()["files"]:
            assert str(digest_bytes(client.get(file["url"]).content)) == file["digest"]
