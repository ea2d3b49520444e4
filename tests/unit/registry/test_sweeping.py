"""What refusals and crashes leave in the final place goes; what is needed stays."""

import dataclasses
import struct
from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from safegene_registry.db import Database
from safegene_registry.storage import StorageError
from safegene_registry.sweeping import remove_leftovers, remove_orphans
from support.registry_app import AppRegistry, Clock, app_registry, bearer
from support.stores import Faulty, write_behind
from support.versions import file_entries, write_version

from safegene.artifact.digest import Digest
from safegene.artifact.manifest import TENSORS_NAME, Manifest

VERSION_URL = "/v1/vectors/acme/refusal/versions/1.0.0"


def write_poisoned(directory: Path, *, seed: int = 0) -> Manifest:
    """A version whose last value is NaN; everything else is right."""
    manifest = write_version(directory, seed=seed)
    path = directory / TENSORS_NAME
    path.write_bytes(path.read_bytes()[:-4] + struct.pack("<f", float("nan")))
    old = {name: getattr(manifest, name) for name in Manifest.model_fields}
    return Manifest.model_validate({**old, "files": file_entries(directory)})


def leave_orphans(registry: AppRegistry, manifest: Manifest, directory: Path) -> dict:
    """Promote a version's blobs and crash; the upload."""
    upload = registry.send(manifest, directory)
    store, upload_id = registry.services.store, UUID(upload["id"])
    for digest in (Digest.parse(entry.digest) for entry in manifest.files):
        if digest in store.staged(upload_id):
            store.promote(upload_id, digest)
    return upload


def blobs_of(*manifests: Manifest) -> set[str]:
    """Names of all files."""
    return {Digest.parse(e.digest).hex for m in manifests for e in m.files}


def kept(registry: AppRegistry) -> set[str]:
    return {path.name for path in registry.final_blobs()}


def put_clock(registry: AppRegistry) -> Clock:
    clock = Clock()
    registry.app.state.services = dataclasses.replace(registry.services, now=clock)
    return clock


def test_refused_publications_leave_no_final_blob(registry, tmp_path):
    for seed in range(3):
        manifest = write_poisoned(tmp_path / str(seed), seed=seed)

        refused = registry.publish(manifest, tmp_path / str(seed))

        assert refused.status_code == 422
        assert "NaN" in refused.json()["detail"]
        assert registry.final_blobs() == []


def test_completing_a_refused_upload_again_gives_the_same_answer(registry, tmp_path):
    upload = registry.send(write_poisoned(tmp_path / "v"), tmp_path / "v")

    first, second = registry.complete(upload), registry.complete(upload)

    assert first.status_code == second.status_code == 422
    assert first.json()["detail"] == second.json()["detail"]
    assert registry.final_blobs() == []


def test_the_loser_of_a_version_takes_only_its_own_blobs_back(registry, tmp_path):
    one = write_version(tmp_path / "one", seed=1)
    two = write_version(tmp_path / "two", seed=2)
    shared = blobs_of(one) & blobs_of(two)
    first = registry.send(one, tmp_path / "one")
    second = registry.send(two, tmp_path / "two")

    won, lost = registry.complete(first), registry.complete(second)

    assert (won.status_code, lost.status_code) == (201, 409)
    assert shared
    assert kept(registry) == blobs_of(one)
    for file in won.json()["files"]:
        expected = (tmp_path / "one" / file["path"]).read_bytes()
        assert registry.client.get(file["url"]).content == expected


def test_a_refusal_leaves_what_another_upload_has_promoted_since(registry, tmp_path):
    poisoned = write_poisoned(tmp_path / "p")
    sound = write_version(tmp_path / "v")
    shared = blobs_of(poisoned) & blobs_of(sound)
    upload = registry.send(poisoned, tmp_path / "p")

    class OvertakenStore(Faulty):
        def open(self, digest: Digest, *, start: int = 0):
            if not self.overtaken:
                self.overtaken = True
                self.other = leave_orphans(registry, sound, tmp_path / "v")
            return self.inner.open(digest, start=start)

    store = OvertakenStore(registry.services.store)
    store.overtaken = False
    whole = registry.services
    registry.app.state.services = dataclasses.replace(whole, store=store)

    refused = registry.complete(upload)
    left = kept(registry)
    published = registry.complete(store.other)

    assert refused.status_code == 422
    assert shared
    if whole.store.direct is None:
        assert left == blobs_of(sound)
    assert left <= blobs_of(sound)
    assert published.status_code == 201
    assert kept(registry) == blobs_of(sound)


def test_a_passing_failure_takes_nothing_back(registry, tmp_path):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    whole = registry.services

    class BusyStore(Faulty):
        def open(self, digest: Digest, *, start: int = 0):
            raise StorageError(str(digest))

    registry.app.state.services = dataclasses.replace(
        whole, store=BusyStore(registry.services.store)
    )
    failed = registry.complete(upload)
    registry.app.state.services = whole

    assert failed.status_code == 503
    assert len(registry.final_blobs()) == 4
    assert registry.complete(upload).status_code == 201


def test_cancelling_takes_back_what_a_crash_had_promoted(registry, tmp_path):
    upload = leave_orphans(registry, write_version(tmp_path / "v"), tmp_path / "v")
    url = f"/v1/uploads/{upload['id']}"

    assert registry.client.delete(url, headers=registry.auth).status_code == 204

    assert registry.final_blobs() == []


def test_a_stranger_takes_nothing_back(registry, tmp_path):
    upload = leave_orphans(registry, write_version(tmp_path / "v"), tmp_path / "v")
    stranger = registry.token_of("stranger")

    url = f"/v1/uploads/{upload['id']}/complete"
    refused = registry.client.post(url, headers=bearer(stranger))

    assert refused.status_code == 404
    assert len(registry.final_blobs()) == 4


def test_an_upload_that_expires_takes_its_blobs_along(registry, tmp_path):
    clock = put_clock(registry)
    leave_orphans(registry, write_version(tmp_path / "v"), tmp_path / "v")

    clock.ahead = timedelta(hours=25)
    registry.open_upload(write_version(tmp_path / "w", seed=3).to_bytes())

    assert registry.final_blobs() == []
    assert registry.staged_files() == []


def test_old_orphans_go_and_what_is_named_or_young_stays(registry, tmp_path):
    published = write_version(tmp_path / "v")
    registry.publish(published, tmp_path / "v")
    old = write_version(tmp_path / "old", version="2.0.0", seed=1)
    leave_orphans(registry, old, tmp_path / "old")
    registry.make_old()
    young = write_version(tmp_path / "young", version="3.0.0", seed=2)
    leave_orphans(registry, young, tmp_path / "young")

    found = remove_orphans(registry.services, dry_run=True)
    before = kept(registry)
    removed = remove_orphans(registry.services)

    orphans = blobs_of(old) - blobs_of(published, young)
    assert {blob.name for blob in removed} == {f"sha256:{name}" for name in orphans}
    sizes = {entry.digest: entry.size for entry in old.files}
    assert all(blob.size_bytes == sizes[blob.name] for blob in removed)
    assert sorted(map(repr, found)) == sorted(map(repr, removed))
    assert before == kept(registry) | orphans
    assert kept(registry) == blobs_of(published, young)
    assert remove_orphans(registry.services) == []


def test_the_grace_period_is_a_setting(tmp_path, parts):
    settings = {**parts, "blob_grace": timedelta(hours=2)}
    with app_registry(tmp_path / "data", **settings) as registry:
        clock = put_clock(registry)
        manifest = write_version(tmp_path / "v")
        leave_orphans(registry, manifest, tmp_path / "v")

        clock.ahead = timedelta(hours=1)
        early = remove_orphans(registry.services)
        clock.ahead = timedelta(hours=3)
        late = remove_orphans(registry.services)

        assert early == []
        assert {blob.name for blob in late} == {e.digest for e in manifest.files}


def test_starting_removes_old_orphans_of_a_directory(tmp_path, parts):
    """A bucket may be large, or out of reach: it is swept by `gc` alone."""
    with app_registry(tmp_path / "data", **parts) as registry:
        leave_orphans(registry, write_version(tmp_path / "v"), tmp_path / "v")

    with app_registry(tmp_path / "data", **parts, blob_grace=timedelta(0)) as registry:
        embedded = registry.services.store.direct is None
        assert len(registry.final_blobs()) == (0 if embedded else 4)
        assert len(registry.staged_files()) == 4


def test_a_blob_that_cannot_be_removed_keeps_nothing_else(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    leave_orphans(registry, manifest, tmp_path / "v")
    registry.make_old()
    stuck = Digest.parse(manifest.file(TENSORS_NAME).digest)

    class StickyStore(Faulty):
        def remove(self, digest: Digest, **when):
            if digest == stuck:
                raise StorageError(str(digest))
            return self.inner.remove(digest, **when)

    services = dataclasses.replace(
        registry.services, store=StickyStore(registry.services.store)
    )
    removed = remove_orphans(services)

    assert len(removed) == 3
    assert kept(registry) == {stuck.hex}


def test_a_dry_run_tells_all_and_removes_nothing(registry, tmp_path):
    clock = put_clock(registry)
    expired = leave_orphans(registry, write_version(tmp_path / "v"), tmp_path / "v")
    stray = str(uuid4())
    write_behind(registry.services.store, f"staging/{stray}/half", b"half")
    clock.ahead = timedelta(hours=25)

    told = remove_leftovers(registry.services, dry_run=True)
    blobs, staged = len(registry.final_blobs()), len(registry.staged_files())
    done = remove_leftovers(registry.services)

    assert (blobs, staged) == (4, 5)
    assert told == done
    assert [leftover.kind for leftover in done] == ["upload", *["blob"] * 4, "staging"]
    assert done[0].name == expired["id"]
    assert done[-1].name == stray
    assert registry.final_blobs() == registry.staged_files() == []
    assert remove_leftovers(registry.services) == []


class OvertakenDatabase:
    """Something happens just before the next write transaction."""

    def __init__(self, database: Database, meanwhile: Callable[[], None]) -> None:
        self.database = database
        self.reading = database.reading
        self.meanwhile = meanwhile

    @contextmanager
    def writing(self):
        """Begin a little late."""
        self.meanwhile()
        with self.database.writing() as session:
            yield session


def test_a_sweep_that_a_publication_overtakes_leaves_its_blobs(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    upload = leave_orphans(registry, manifest, tmp_path / "v")
    registry.make_old()

    def publish():
        assert registry.complete(upload).status_code in (200, 201)
        registry.make_old()

    late = OvertakenDatabase(registry.services.database, publish)
    removed = remove_orphans(dataclasses.replace(registry.services, database=late))

    assert removed == []
    assert kept(registry) == blobs_of(manifest)


def test_a_sweep_leaves_a_blob_that_is_promoted_meanwhile(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    leave_orphans(registry, manifest, tmp_path / "v")
    registry.make_old()

    uploads = []

    def promote():
        uploads.append(leave_orphans(registry, manifest, tmp_path / "v"))

    late = OvertakenDatabase(registry.services.database, promote)
    removed = remove_orphans(dataclasses.replace(registry.services, database=late))
    published = registry.complete(uploads[-1])

    if registry.services.store.direct is None:
        assert removed == []
    assert published.status_code == 201
    assert kept(registry) == blobs_of(manifest)


class SweptStore(Faulty):
    """A sweep takes every orphan, however young, while a version is verified."""

    def __init__(self, registry: AppRegistry, moment: str, *, times: int) -> None:
        super().__init__(registry.services.store)
        self.registry = registry
        self.moment = moment
        self.times = times
        self.read = 0

    @contextmanager
    def open(self, digest: Digest, *, start: int = 0):
        """Read a file; a sweep may come before or right after."""
        self.read += 1
        self.sweep(f"before {self.read % 4}")
        with self.inner.open(digest, start=start) as blob:
            yield blob
        self.sweep(f"after {self.read % 4}")

    def sweep(self, moment: str) -> None:
        """Sweep if it is time."""
        if moment == self.moment and self.times > 0:
            self.times -= 1
            self.registry.make_old()
            assert remove_orphans(self.registry.services)


@pytest.mark.parametrize("moment", ["before 1", "after 1", "before 3", "after 0"])
def test_a_publication_survives_a_sweep_while_it_verifies(registry, tmp_path, moment):
    manifest = write_version(tmp_path / "v")
    upload = registry.send(manifest, tmp_path / "v")
    whole = registry.services
    swept = SweptStore(registry, moment, times=1)
    registry.app.state.services = dataclasses.replace(whole, store=swept)

    published = registry.complete(upload)
    registry.app.state.services = whole

    assert swept.times == 0
    assert published.status_code == 201
    for file in published.json()["files"]:
        expected = (tmp_path / "v" / file["path"]).read_bytes()
        assert registry.client.get(file["url"]).content == expected


def test_a_publication_that_is_swept_for_ever_fails_cleanly(registry, tmp_path):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    whole = registry.services
    swept = SweptStore(registry, "after 1", times=1000)
    registry.app.state.services = dataclasses.replace(whole, store=swept)

    failed = registry.complete(upload)
    registry.app.state.services = whole
    seen = registry.client.get(VERSION_URL).status_code

    assert failed.status_code == 503
    assert int(failed.headers["retry-after"]) > 0
    assert seen == 404
    assert registry.complete(upload).status_code == 201
