"""`gc` without any grace, again and again, beside twenty publishers of all replicas.

Real processes on either side. What a publisher sends is made an orphan at once, as by a
replica that was killed before its transaction, so that `gc` is after every blob that a
completion is about to reuse.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from safegene_registry.services import open_store
from safegene_registry.settings import Settings
from safegene_registry.storage import BlobStore, StagedBlobMissingError, StorageError
from support.backends import environment_of
from support.registry_server import running_registry
from support.replicas import PATIENCE, Publisher, client_of
from support.stores import keys_of
from support.versions import write_version

from safegene.artifact.digest import Digest, digest_chunks

PUBLISHERS = 20
SEEDS = 3
"""So many kinds of bytes there are: all else is shared by many versions."""


@dataclass
class Scene:
    """A registry under way, and what has been told of it."""

    urls: list[str]
    token: str
    store: BlobStore
    environment: dict[str, str]
    data: Path
    work: Path
    published: dict[str, str] = field(default_factory=dict)
    """Digests of manifests, by vector and version."""
    named: set[str] = field(default_factory=set)
    """Digests of all files of those."""
    again: int = 0
    """Completions that were told to come back."""

    def collect(self) -> tuple[int, int]:
        """Run `gc`; how much has gone, and how much could not."""
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "safegene_registry", "gc"),
                *("--data", self.data, "--grace", "PT0S", "--json"),
            ],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert ended.stdout, ended.stderr
        told = json.loads(ended.stdout)
        assert ended.returncode == (1 if told["kept"] else 0), ended.stderr
        blobs = [each for each in told["removed"] if each["kind"] == "blob"]
        return len(blobs), len(told["kept"])

    def publish(self, number: int, turn: int) -> None:
        """Publish a version whose blobs `gc` may take until it is there."""
        vector, version = f"room{number % 4}/v{number}", f"1.{turn}.0"
        place = self.work / f"{number}-{turn}"
        manifest = write_version(
            place, vector=vector, version=version, seed=(number + turn) % SEEDS
        )
        with client_of(self.urls[number % len(self.urls)], self.token) as client:
            publisher = Publisher(client, manifest, place)
            publisher.open()
            publisher.send()
            self.orphan(UUID(publisher.upload["id"]))
            deadline = time.monotonic() + PATIENCE
            while (answer := publisher.complete()).status_code == 503:
                assert time.monotonic() < deadline, answer.text
                assert int(answer.headers["retry-after"]) > 0
                self.again += 1
        assert answer.status_code == 201, answer.text
        self.named |= {entry.digest for entry in manifest.files}
        self.published[f"{vector}@{version}"] = str(manifest.digest)

    def abandon(self, number: int) -> None:
        """Leave the blobs of a version that nobody will ever complete."""
        place = self.work / f"abandoned-{number}"
        manifest = write_version(place, vector=f"gone/v{number}", seed=100 + number)
        with client_of(self.urls[number % len(self.urls)], self.token) as client:
            publisher = Publisher(client, manifest, place)
            publisher.open()
            publisher.send()
            self.orphan(UUID(publisher.upload["id"]))

    def orphan(self, upload_id: UUID) -> None:
        """Promote what an upload has staged, as a replica that then dies."""
        for digest in self.store.staged(upload_id):
            try:
                self.store.promote(upload_id, digest)
            except (StagedBlobMissingError, StorageError):
                # It can be busy: this is chaos, and publishing is not to mind.
                continue

    def digest_of(self, name: str) -> str:
        """What the bytes under a final key hash to."""
        with self.store.open(Digest.parse(name)) as blob:
            return str(digest_chunks(iter(lambda: blob.read(1 << 20), b"")))


@pytest.fixture
def scene(tmp_path, parts) -> Iterator[Scene]:
    environment, data = environment_of(parts), tmp_path / "data"
    with ExitStack() as stack:
        running = []
        for number in range(2 if parts else 1):
            (tmp_path / f"replica{number}").mkdir()
            running.append(
                stack.enter_context(
                    running_registry(
                        tmp_path / f"replica{number}",
                        data=data,
                        environment=environment,
                    )
                )
            )
        yield Scene(
            [replica.url for replica in running],
            running[0].token,
            open_store(Settings(data=data, **parts)),
            environment,
            data,
            tmp_path / "work",
        )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seconds", [2, pytest.param(120, marks=pytest.mark.slow)])
def test_no_version_ever_loses_a_blob(scene, seconds):
    """Whatever was answered 201 is there, whole, at the end and whenever looked at."""
    until = time.monotonic() + seconds
    ended = threading.Event()

    def publish(number: int) -> int:
        scene.abandon(number)
        turn = 0
        while turn == 0 or time.monotonic() < until:
            scene.publish(number, turn)
            turn += 1
        return turn

    def collect() -> int:
        gone = 0
        while True:
            named = sorted(scene.named)
            gone += scene.collect()[0]
            assert [scene.digest_of(name) for name in named] == named
            if ended.is_set():
                return gone

    with ThreadPoolExecutor(PUBLISHERS + 1) as pool:
        collector = pool.submit(collect)
        try:
            turns = list(pool.map(publish, range(PUBLISHERS)))
        finally:
            ended.set()
        gone = collector.result()

    assert len(scene.published) == sum(turns) >= PUBLISHERS
    gone += scene.collect()[0]
    assert gone >= PUBLISHERS
    kept = {f"sha256:{path.name}" for path in keys_of(scene.store, "blobs/")}
    assert kept == scene.named
    assert [scene.digest_of(name) for name in sorted(kept)] == sorted(kept)
    with httpx.Client(base_url=scene.urls[0], trust_env=False, timeout=120) as client:
        for name, digest in scene.published.items():
            vector, _, version = name.partition("@")
            found = client.get(f"/v1/vectors/{vector}/versions/{version}")
            assert found.json()["digest"] == digest
