"""`safegene-registry gc` beside a registry that is publishing."""

import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from safegene_registry.sweeping import remove_orphans
from support.backends import Parts, environment_of
from support.registry_app import AppRegistry, app_registry
from support.versions import write_version

from safegene.artifact.digest import Digest, digest_bytes

PUBLISHERS = 4
VERSIONS = 4
"""Published by each of them."""


@pytest.fixture
def registry(tmp_path: Path, parts: Parts):
    with app_registry(tmp_path / "data", **parts) as running:
        yield running


def gc(data: Path, *options: str, parts: Parts) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "safegene_registry", "gc", "--data", data, *options],
        env={
            **os.environ,
            **environment_of(parts),
            "SAFEGENE_REGISTRY_BLOB_GRACE": "PT0S",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def orphaned(registry: AppRegistry, directory: Path) -> dict[str, int]:
    """Blobs that a crash has left under their final keys; sizes by digest."""
    manifest = write_version(directory, version="9.0.0", seed=9)
    upload = registry.send(manifest, directory)
    for entry in manifest.files:
        digest = Digest.parse(entry.digest)
        registry.services.store.promote(UUID(upload["id"]), digest)
    return {entry.digest: entry.size for entry in manifest.files}


def test_the_command_prints_what_it_removes_beside_a_running_registry(
    registry, tmp_path, parts
):
    """A dry run tells the same lines first and removes nothing."""
    orphans = orphaned(registry, tmp_path / "old")
    published = registry.publish(write_version(tmp_path / "v"), tmp_path / "v").json()
    for file in published["files"]:
        orphans.pop(file["digest"], None)

    told = gc(registry.data, "--dry-run", parts=parts)
    before = len(registry.final_blobs())
    done = gc(registry.data, parts=parts)
    again = gc(registry.data, parts=parts)

    assert (told.returncode, done.returncode, again.returncode) == (0, 0, 0), done
    lines = {f"blob {digest} {size}" for digest, size in orphans.items()}
    assert set(told.stdout.splitlines()) == set(done.stdout.splitlines()) == lines
    freed = f"3 leftovers; their blobs have {sum(orphans.values())} bytes."
    assert told.stderr == f"Would remove {freed}\n"
    assert done.stderr == f"Removed {freed}\n"
    assert (again.stdout, before) == ("", 7)
    assert len(registry.final_blobs()) == 4
    for file in published["files"]:
        assert digest_bytes(registry.client.get(file["url"]).content) == Digest.parse(
            file["digest"]
        )


def test_the_command_makes_no_registry_where_there_is_none(tmp_path):
    """A mistyped directory is an error, not an empty registry."""
    ended = gc(tmp_path / "typo", parts={})

    assert ended.returncode == 2
    assert "there is no registry in" in ended.stderr
    assert not (tmp_path / "typo").exists()


def test_every_version_has_its_blobs_however_often_is_swept(tmp_path, parts):
    """Publishers share blobs while sweeps without any grace go on and on."""
    settings = {**parts, "blob_grace": timedelta(0)}
    with app_registry(tmp_path / "data", **settings) as registry:
        ended, answered = threading.Event(), threading.Event()
        removed = []

        def sweep():
            while not ended.is_set():
                removed.extend(remove_orphans(registry.services))
                if registry.services.store.direct is not None:
                    # Where both take as long, nothing would get through.
                    answered.wait()
                    answered.clear()

        def publish(number: int):
            for minor in range(VERSIONS):
                place = tmp_path / f"{number}-{minor}"
                # The adapter config is the same in all, the rest only within a column.
                manifest = write_version(
                    place, vector=f"acme/p{number}", version=f"1.{minor}.0", seed=minor
                )
                upload = registry.send(manifest, place)
                while (answer := registry.complete(upload)).status_code == 503:
                    answered.set()
                answers.append(answer)
                answered.set()

        answers: list = []
        sweeper = threading.Thread(target=sweep)
        publishers = [
            threading.Thread(target=publish, args=(n,)) for n in range(PUBLISHERS)
        ]
        sweeper.start()
        for thread in publishers:
            thread.start()
        for thread in publishers:
            thread.join()
        ended.set()
        answered.set()
        sweeper.join()
        remove_orphans(registry.services)

        assert [answer.status_code for answer in answers] == [201] * (
            PUBLISHERS * VERSIONS
        )
        for file in (file for answer in answers for file in answer.json()["files"]):
            content = registry.client.get(file["url"]).content
            assert str(digest_bytes(content)) == file["digest"]
        named = {f["digest"] for answer in answers for f in answer.json()["files"]}
        assert len(registry.final_blobs()) == len(named)
