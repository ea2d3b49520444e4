"""Ctrl-C, crashes and full disks: nothing half-done is visible."""

import signal
import time
from zlib import crc32

import pytest
from support.full_disk import limit_file_size, small_disk
from support.guarded_site import guarded_site
from support.safegene_command import finish
from support.versions import llama_config, write_version
from support.waiting import wait_until

from safegene.artifact.bundle import verify_directory

REACH_SECONDS = 120


@pytest.fixture(scope="module")
def site(tmp_path_factory, module_parts):
    """On every kind of backend."""
    with guarded_site(tmp_path_factory.mktemp("site"), module_parts) as site:
        yield site


@pytest.fixture(scope="module")
def registry_server(site):
    """What the command is told of, unless it goes through a network that stalls."""
    return site.registry


@pytest.fixture(autouse=True)
def interrupts_reach_what_is_started():
    """A run in the background ignores interrupts, and so would all it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A directory of about 2 MB; tests publish copies under names of their own."""

    def make(name):
        directory = tmp_path_factory.mktemp("large") / "version"
        manifest = write_version(
            directory,
            vector=f"interruptions/{name}",
            rank=512,
            # Bytes that the registry has from another test would not be sent.
            seed=crc32(name.encode()),
            config=llama_config(hidden=128),
        )
        return directory, manifest

    return make


def files_in(root):
    return [
        path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"
    ]


def test_interrupted_push_leaves_nothing_visible(safegene, site, large):
    """A real SIGINT in the middle of a blob; pushing again then succeeds."""
    directory, manifest = large("pushed")
    staged = site.staged()
    with site.network(upward=200_000) as network:
        process = safegene.having(SAFEGENE_URL=network.url).start("push", directory)
        assert network.wait(REACH_SECONDS)
        process.send_signal(signal.SIGINT)
        ended = finish(process)

    assert ended.code == 130
    assert ended.err.strip() == "error: interrupted; nothing half-done is visible"
    assert ended.out == ""
    assert safegene.run("inspect", manifest.vector).code == 3
    assert safegene.must("search", "pushed", "--namespace", "interruptions") == {
        "vectors": []
    }
    assert site.staged() == staged
    assert safegene.must("push", directory)["digest"] == str(manifest.digest)


def test_interruption_does_not_wait_for_a_registry_that_is_gone(safegene, site, large):
    """The network is frozen: there is nobody to take the cancellation."""
    directory, manifest = large("frozen")
    with site.network(upward=200_000) as network:
        process = safegene.having(SAFEGENE_URL=network.url).start("push", directory)
        assert network.wait(REACH_SECONDS)
        network.freeze()
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        ended = finish(process)
        waited = time.monotonic() - begun

    assert ended.code == 130
    assert waited < 20
    assert safegene.run("inspect", manifest.vector).code == 3


def test_killed_push_leaves_nothing_visible(safegene, site, large):
    """No handler runs at all, as after a power cut."""
    directory, manifest = large("killed")
    with site.network(upward=200_000) as network:
        process = safegene.having(SAFEGENE_URL=network.url).start("push", directory)
        assert network.wait(REACH_SECONDS)
        process.kill()
        finish(process)

    assert safegene.run("inspect", manifest.vector).code == 3
    assert safegene.must("push", directory)["digest"] == str(manifest.digest)


def test_interrupted_pull_goes_on_where_it_stopped(safegene, site, large):
    """What came is kept out of sight, and not fetched a second time."""
    directory, manifest = large("pulled")
    safegene.must("push", directory)
    size = manifest.file("adapter_model.safetensors").size
    with site.network(downward=size // 2) as network:
        process = safegene.having(SAFEGENE_URL=network.url).start(
            "pull", manifest.identity
        )
        assert network.wait(REACH_SECONDS)
        cache = safegene.directory / "cache"
        wait_until(
            lambda: any(path.stat().st_size for path in files_in(cache / "partial")),
            seconds=REACH_SECONDS,
        )
        process.send_signal(signal.SIGINT)
        ended = finish(process)

    assert ended.code == 130
    assert not (cache / "vectors").exists()
    (part,) = files_in(cache / "partial")
    kept = part.stat().st_size
    assert 0 < kept < size

    with site.network() as network:
        pulled = safegene.having(SAFEGENE_URL=network.url).must(
            "pull", manifest.identity, "--out", "copy"
        )
        received = sum(proxy.received for proxy in network.proxies)

    assert pulled["digest"] == str(manifest.digest)
    assert verify_directory(safegene.directory / "copy") == manifest
    assert received < manifest.size_bytes - kept // 2
    assert files_in(cache / "partial") == []


def test_full_disk_while_pulling_leaves_nothing(safegene, large, tmp_path):
    """Exit code 1, a sentence on what to do, and not one byte left behind."""
    directory, manifest = large("disk")
    safegene.must("push", directory)
    with small_disk(tmp_path / "small", "512k") as disk:
        place = disk.place
        ended = safegene.having(SAFEGENE_CACHE=str(place / "cache")).run(
            *("pull", manifest.identity, "--json"),
            **{} if disk.is_own else {"preexec_fn": limit_file_size},
        )
        blobs = files_in(place)
        vectors_there = (place / "cache" / "vectors").exists()

    assert ended.code == 1
    assert ended.document["error"]["code"] == "local-storage"
    assert str(place) in ended.err
    assert "SAFEGENE_CACHE" in ended.err
    assert all(path.parent.parent.name == "sha256" for path in blobs)
    assert not vectors_there
    assert safegene.must("pull", manifest.identity)["digest"] == str(manifest.digest)
