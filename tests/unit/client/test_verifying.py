"""A directory is hashed beside the sending, and nothing damaged is published."""

import threading

import pytest
from safegene_client import Registry
from safegene_client.answers import Upload
from safegene_client.publishing import verify_readable
from safegene_client.sending import Sender
from support.upload_registry import UPLOAD, ObjectStore, UploadRegistry, asked
from support.versions import write_version

from safegene.artifact.manifest import TENSORS_NAME
from safegene.errors import DigestMismatchError, LocalStorageError

COMPLETE = f"{UPLOAD}/complete"


@pytest.fixture
def directory(tmp_path):
    place = tmp_path / "v"
    write_version(place)
    return place


@pytest.fixture
def damaged(directory):
    """One bit of the last tensor has flipped."""
    path = directory / TENSORS_NAME
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    return directory


@pytest.fixture
def store():
    return ObjectStore()


@pytest.fixture
def upload(directory, serve, store):
    return UploadRegistry(directory, serve(store).url, store, part_bytes=5000)


@pytest.fixture
def server(serve, upload):
    return serve(upload)


@pytest.fixture
def registry(server, tmp_path):
    with Registry(server.url, token="sgt_secret", cache=tmp_path / "cache") as made:
        yield made


@pytest.fixture
def _large(monkeypatch):
    """What is small counts as large."""
    monkeypatch.setattr("safegene_client.publishing.SMALL_BYTES", 0)


def test_of_what_is_small_and_damaged_the_registry_hears_nothing(
    registry, server, damaged
):
    with pytest.raises(DigestMismatchError, match=TENSORS_NAME):
        registry.publish(damaged)

    assert asked(server) == []


@pytest.mark.usefixtures("_large")
def test_what_is_large_and_damaged_is_never_completed(registry, server, damaged):
    with pytest.raises(DigestMismatchError, match=TENSORS_NAME):
        registry.publish(damaged)

    assert ("POST", COMPLETE) not in asked(server)
    assert asked(server)[-1] == ("DELETE", UPLOAD)
    assert list((registry.settings.cache / "uploads").glob("*.json")) == []


@pytest.mark.usefixtures("_large")
def test_a_damaged_copy_of_what_is_published_is_an_error_too(
    registry, server, upload, damaged
):
    upload.state = "published"

    with pytest.raises(DigestMismatchError, match=TENSORS_NAME):
        registry.publish(damaged)

    assert asked(server) == [("POST", "/v1/uploads")]


@pytest.mark.usefixtures("_large")
def test_what_is_large_and_whole_is_published(registry, server, upload):
    published = registry.publish(upload.directory)

    assert published.digest == str(upload.manifest.digest)
    assert asked(server) == [("POST", "/v1/uploads"), ("POST", COMPLETE)]


def test_sending_ends_once_something_wrong_was_found(
    session_with, server, upload, directory
):
    calls = threading.Semaphore(1)

    def watch() -> None:
        if not calls.acquire(blocking=False):
            raise DigestMismatchError("found", expected="", actual="")

    session = session_with(server.url)
    sender = Sender(session, upload.manifest, directory, None, watch)
    opened = Upload.model_validate(upload.upload())

    with pytest.raises(DigestMismatchError, match="found"):
        sender.send(opened, lambda: opened)

    assert len(upload.sent()) <= 1


def test_a_file_that_cannot_be_read_is_named(directory, upload):
    (directory / TENSORS_NAME).unlink()

    with pytest.raises(LocalStorageError, match=r"No such file .*; nothing was pub"):
        verify_readable(directory, upload.manifest)
