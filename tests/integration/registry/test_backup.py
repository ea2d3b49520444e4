"""A backup of any kind of registry becomes one of any kind, with the same digests."""

import dataclasses
import json
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from safegene_registry import publishing_repository
from safegene_registry.access import Scope
from safegene_registry.care import table_repository
from safegene_registry.care.backup import back_up
from safegene_registry.care.fsck import examine
from safegene_registry.care.restore import restore
from safegene_registry.care.snapshots import BackupError
from safegene_registry.storage import StorageError
from sqlalchemy import text
from support.access_requests import ISSUER
from support.backends import BACKENDS, backend_of
from support.backups import Ways, fill, publish_one, rows, shown
from support.registry_app import app_registry, bearer
from support.stores import Faulty, keys_of, remove_behind, write_behind

from safegene.artifact.digest import Digest, digest_bytes
from safegene.artifact.manifest import TENSORS_NAME

WAYS = [(source, target) for source in BACKENDS for target in BACKENDS]


@pytest.fixture(params=WAYS, ids="-to-".join)
def ways(request, tmp_path) -> Iterator[Ways]:
    kinds = request.param
    with ExitStack() as stack:
        source, target = (
            stack.enter_context(backend_of(request, kind)()) for kind in kinds
        )
        registry = stack.enter_context(
            app_registry(tmp_path / "data", oidc_issuers=(ISSUER,), **source)
        )
        yield Ways(registry, target, tmp_path)


@pytest.fixture
def way(request, tmp_path) -> Iterator[Ways]:
    """Only one, where it does not matter."""
    with app_registry(tmp_path / "data") as registry:
        yield Ways(registry, {}, tmp_path)


def test_what_is_restored_serves_the_same(ways):
    """Every row, every byte, the same tokens; whatever either registry is kept in."""
    fill(ways)
    before = shown(ways.registry)
    there = rows(ways.registry.services)

    done = back_up(ways.registry.services, ways.place / "backup")
    with ways.opened() as services:
        restored = restore(services, ways.place / "backup")
        assert rows(services) == there
        assert examine(services).findings == []

    assert (done.versions, restored.versions) == (3, 3)
    assert done.blobs == done.copied == restored.copied == restored.blobs
    token, data = ways.registry.token, ways.place / "restored"
    with app_registry(data, oidc_issuers=(ISSUER,), **ways.target) as registry:
        registry.token = token
        assert shown(registry) == before
        ways.registry = registry
        publish_one(ways, "1.2.0", seed=9)


def test_a_later_backup_copies_only_what_is_new(way):
    publish_one(way, "1.0.0", seed=1)
    first = back_up(way.registry.services, way.place / "backup")
    assert stat.S_IMODE((way.place / "backup").stat().st_mode) == 0o700
    again = back_up(way.registry.services, way.place / "backup")
    publish_one(way, "1.1.0", seed=2)
    later = back_up(way.registry.services, way.place / "backup")

    assert (first.copied, again.copied) == (4, 0)
    # The adapter config is the same in all.
    assert (later.copied, later.blobs) == (3, 7)
    name = first.snapshot.path.name
    with way.opened() as services:
        assert restore(services, way.place / "backup", name).versions == 1


def test_a_backup_beside_publishers_is_whole(ways):
    """Each is of one moment, with every blob that it names."""
    publish_one(ways, "1.0.0", seed=0)
    ended = threading.Event()

    def go_on() -> int:
        number = 0
        while not ended.is_set():
            number += 1
            publish_one(ways, f"1.{number}.0", seed=number)
        return number

    publisher = threading.Thread(target=go_on)
    publisher.start()
    try:
        done = [
            back_up(ways.registry.services, ways.place / "backup") for _ in range(3)
        ]
    finally:
        ended.set()
        publisher.join()

    assert all(each.snapshot.damaged == () for each in done)
    with ways.opened() as services:
        restored = restore(services, ways.place / "backup")
        assert examine(services).findings == []
    assert restored.versions == done[-1].versions >= 1


def test_a_restoration_that_breaks_off_is_begun_again(ways):
    """Nobody sees anything before it is all there."""
    fill(ways)
    back_up(ways.registry.services, ways.place / "backup")

    class Breaking(Faulty):
        left = 5

        def promote(self, upload_id, digest):
            self.left -= 1
            if self.left <= 0:
                raise StorageError("the disk is full")
            return self.inner.promote(upload_id, digest)

    with ways.opened() as services:
        broken = dataclasses.replace(services, store=Breaking(services.store))
        with pytest.raises(StorageError):
            restore(broken, ways.place / "backup")
        seen = {name for name, found in rows(services).items() if found}
        kept = len(keys_of(services.store, "blobs/"))
        done = restore(services, ways.place / "backup")
        assert examine(services).findings == []

    assert seen == {"blobs"}
    assert kept == 4
    assert done.copied == done.blobs - kept


def test_a_registry_with_something_in_it_is_left_alone(way):
    publish_one(way, "1.0.0", seed=1)
    back_up(way.registry.services, way.place / "backup")
    with way.opened() as services:
        restore(services, way.place / "backup")
        before = rows(services)

        with pytest.raises(BackupError, match=r"is not empty: it has accounts"):
            restore(services, way.place / "backup")

        assert rows(services) == before


def test_a_registry_with_other_blobs_is_left_alone(way):
    publish_one(way, "1.0.0", seed=1)
    back_up(way.registry.services, way.place / "backup")
    with way.opened() as services:
        other = str(digest_bytes(b"other"))
        with services.database.writing() as session:
            session.execute(text(f"INSERT INTO blobs VALUES ('{other}', 5)"))

        with pytest.raises(BackupError, match=f"is not empty: it has the blob {other}"):
            restore(services, way.place / "backup")


def test_a_backup_with_a_wrong_blob_is_refused(way):
    """And nothing is restored."""
    manifest = publish_one(way, "1.0.0", seed=1)
    back_up(way.registry.services, way.place / "backup")
    digest = Digest.parse(manifest.file(TENSORS_NAME).digest)
    blob = way.place / "backup" / "blobs" / "sha256" / digest.hex[:2] / digest.hex
    blob.write_bytes(b"\0" * blob.stat().st_size)

    with way.opened() as services:
        with pytest.raises(BackupError, match=rf"1 blobs are .* is {digest}; nothing"):
            restore(services, way.place / "backup")
        assert {name for name, found in rows(services).items() if found} == {"blobs"}


@pytest.mark.parametrize("name", ["versions", "tokens"])
def test_a_backup_with_a_wrong_row_is_refused(way, name):
    publish_one(way, "1.0.0", seed=1)
    done = back_up(way.registry.services, way.place / "backup")
    path = done.snapshot.path / "tables" / f"{name}.jsonl"
    path.write_bytes(path.read_bytes().replace(b"2026", b"2027"))

    with (
        way.opened() as services,
        pytest.raises(BackupError, match=rf"{name}\.jsonl: expected sha256"),
    ):
        restore(services, way.place / "backup")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": "0001"}, "tables are of revision 0001"),
        ({"tables": []}, "restore with the version"),
        ({"format": 2}, "this release reads format 1, got 2"),
        ({"damaged": None}, "it is damaged"),
    ],
)
def test_another_kind_of_backup_is_refused(way, change, told):
    done = back_up(way.registry.services, way.place / "backup")
    path = done.snapshot.path / "backup.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))

    with way.opened() as services, pytest.raises(BackupError, match=told):
        restore(services, way.place / "backup")


def test_what_is_no_backup_is_told(way):
    with way.opened() as services:
        with pytest.raises(BackupError, match="expected a snapshot of `backup`"):
            restore(services, way.place / "typo")
        back_up(way.registry.services, way.place / "backup")
        with pytest.raises(BackupError, match="expected the snapshot yesterday"):
            restore(services, way.place / "backup", "yesterday")


def test_a_registry_is_no_place_for_its_backup(way):
    with pytest.raises(BackupError, match="choose another directory"):
        back_up(way.registry.services, way.place / "data")


def test_what_the_registry_has_lost_does_not_keep_the_rest_from_being_saved(ways):
    """The backup says so, and so does the registry that is restored from it."""
    publish_one(ways, "1.0.0", seed=0)
    lost, flipped = (
        Digest.parse(publish_one(ways, version, seed=seed).file(TENSORS_NAME).digest)
        for version, seed in (("1.1.0", 1), ("1.2.0", 2))
    )
    store = ways.registry.services.store
    remove_behind(store, f"blobs/sha256/{lost.hex[:2]}/{lost.hex}")
    with store.open(flipped) as blob:
        size = len(b"".join(iter(lambda: blob.read(1 << 16), b"")))
    write_behind(store, f"blobs/sha256/{flipped.hex[:2]}/{flipped.hex}", b"\0" * size)

    done = back_up(ways.registry.services, ways.place / "backup")
    with ways.opened() as services:
        restored = restore(services, ways.place / "backup")
        report = examine(services)

    assert set(done.snapshot.damaged) == {str(lost), str(flipped)}
    assert restored.copied == restored.blobs - 2
    assert {finding.name for finding in report.findings} == {str(lost), str(flipped)}


def test_versions_purged_meanwhile_begin_the_backup_anew(way):
    """The blob goes between the catalog and its turn, as when an owner purges it."""
    manifest = publish_one(way, "1.0.0", seed=1)
    stray = digest_bytes(b"purged")
    services = way.registry.services
    with services.database.writing() as session:
        session.execute(text(f"INSERT INTO blobs VALUES ('{stray}', 6)"))

    class Purging(Faulty):
        def find(self, digest):
            return self.inner.find(digest)

        def open(self, digest, *, start=0):
            if digest == stray:
                with services.database.writing() as session:
                    session.execute(text(f"DELETE FROM blobs WHERE digest='{stray}'"))
            return self.inner.open(digest, start=start)

    purging = dataclasses.replace(services, store=Purging(services.store))
    done = back_up(purging, way.place / "backup")

    assert (done.versions, done.blobs, done.snapshot.damaged) == (1, 4, ())
    with services.database.reading() as session:
        names = [entry.digest for entry in manifest.files]
        assert len(publishing_repository.known_blobs(session, names)) == 4
    assert [path.name for path in (way.place / "backup" / "snapshots").iterdir()] == [
        done.snapshot.path.name
    ]


def test_what_is_backed_up_refers_to_nothing_that_is_not():
    kept = {table.name for table in table_repository.kept_tables()}

    for table in table_repository.kept_tables():
        for key in table.foreign_keys:
            assert key.column.table.name in kept
    assert "versions" in kept
    assert "uploads" not in kept


def test_a_backup_can_be_taken_with_cp(way):
    """Its blobs lie as in a data directory."""
    manifest = publish_one(way, "1.0.0", seed=1)
    back_up(way.registry.services, way.place / "backup")
    data = way.registry.data

    shutil.rmtree(data / "blobs")
    shutil.copytree(way.place / "backup" / "blobs", data / "blobs")

    assert examine(way.registry.services).findings == []
    assert len(keys_of(way.registry.services.store, "blobs/")) == len(manifest.files)


def test_what_was_purged_is_neither_backed_up_nor_missed(way):
    """Its rows are: number, tombstone and reason are there after a restoration."""
    bad = publish_one(way, "1.0.0", seed=1)
    publish_one(way, "1.1.0", seed=2)
    owner = bearer(way.registry.token_of("tests", Scope.ADMIN))
    gone = way.registry.client.post(
        f"/v1/vectors/{bad.vector}/versions/1.0.0/purge",
        json={"reason": "court", "digest": str(bad.digest)},
        headers=owner,
    )
    assert gone.status_code == 200, gone.text
    tensors = Digest.parse(bad.file(TENSORS_NAME).digest)

    backed = back_up(way.registry.services, way.place / "backup")
    with way.opened() as services:
        restore(services, way.place / "backup")
        found = examine(services).findings
        with services.database.reading() as session:
            tombstones = session.execute(text("SELECT reason FROM purges")).all()
        kept = services.store.find(tensors)

    assert backed.snapshot.damaged == ()
    assert found == []
    assert [row.reason for row in tombstones] == ["court"]
    assert kept is None
