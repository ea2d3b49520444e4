"""A store that is slow to answer holds up whoever asked it, and nobody else."""

import dataclasses
import threading

import pytest
from safegene_registry.storage import BlobStore, FoundBlob
from support.registry_app import app_registry
from support.stores import Faulty
from support.versions import write_version

from safegene.artifact.digest import Digest
from safegene.artifact.manifest import TENSORS_NAME

PATIENCE = 120.0


class HangingStore(Faulty):
    """Says whether one blob is there only when it is let to."""

    def __init__(self, store: BlobStore, digest: Digest) -> None:
        super().__init__(store)
        self.digest = digest
        self.asked, self.answers = threading.Event(), threading.Event()

    def find(self, digest: Digest) -> FoundBlob | None:
        """Hang, or not."""
        if digest == self.digest:
            self.asked.set()
            assert self.answers.wait(PATIENCE)
        return self.inner.find(digest)


@pytest.fixture
def registry(tmp_path, shared_parts):
    """On PostgreSQL: SQLite has one writer, whatever is written."""
    with app_registry(tmp_path / "data", **shared_parts) as running:
        yield running


def test_other_versions_of_a_vector_need_not_wait(registry, tmp_path):
    """Until the store has answered, who publishes one has no lock on the vector."""
    slow, quick = (
        write_version(tmp_path / version, version=version, seed=seed)
        for seed, version in enumerate(["1.0.0", "1.1.0"])
    )
    uploads = [
        registry.send(manifest, tmp_path / manifest.version)
        for manifest in (slow, quick)
    ]
    store = HangingStore(
        registry.services.store, Digest.parse(slow.file(TENSORS_NAME).digest)
    )
    registry.app.state.services = dataclasses.replace(registry.services, store=store)
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(registry.complete(uploads[0]))
    )

    waiting.start()
    asked = store.asked.wait(PATIENCE)
    other = registry.complete(uploads[1])
    ended = not waiting.is_alive()
    store.answers.set()
    waiting.join(PATIENCE)

    assert asked
    assert not ended
    assert other.status_code == 201, other.text
    assert [answer.status_code for answer in answers] == [201]
