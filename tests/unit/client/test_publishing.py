"""Publishing: where the bytes go, who sees the token, and how an interruption ends."""

import shutil
import threading

import pytest
from safegene_client import Registry
from safegene_client.answers import Upload
from safegene_client.sending import Sender, StoppedError, run_at_once
from safegene_client.uploads import upload_record
from support.scripted_server import Reply, json_reply, problem_reply
from support.upload_registry import UPLOAD, ObjectStore, UploadRegistry, asked
from support.versions import llama_config, write_version

from safegene.artifact.digest import Digest, digest_bytes
from safegene.errors import (
    AlreadyExistsError,
    LocalStorageError,
    RegistryError,
    RejectedError,
    TransportError,
)

TOKEN = "sgt_secret"
PART = 50_000
COMPLETE = f"{UPLOAD}/complete"
GONE = Reply(503, headers={"Retry-After": "0"})


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    place = tmp_path_factory.mktemp("published") / "v"
    write_version(place, rank=256, config=llama_config(hidden=64))
    return place


@pytest.fixture
def store():
    return ObjectStore()


@pytest.fixture
def store_server(serve, store):
    return serve(store)


@pytest.fixture
def upload(directory, store, store_server):
    return UploadRegistry(directory, store_server.url, store, part_bytes=PART)


@pytest.fixture
def server(serve, upload):
    return serve(upload)


@pytest.fixture
def registry(server, tmp_path):
    with Registry(server.url, token=TOKEN, cache=tmp_path / "cache") as made:
        yield made


def records(registry):
    return list((registry.settings.cache / "uploads").glob("*.json"))


def check_sent(upload, directory):
    """Every file has arrived whole."""
    sent = upload.sent()
    assert len(sent) == 4
    for entry in upload.manifest.files:
        data = sent[Digest.parse(entry.digest).hex]
        assert data == (directory / entry.path).read_bytes()


def test_bytes_go_straight_to_the_store(registry, server, store_server, upload):
    seen = []

    published = registry.publish(
        upload.directory, progress=lambda done, total: seen.append((done, total))
    )

    assert published.digest == str(upload.manifest.digest)
    check_sent(upload, upload.directory)
    assert asked(server) == [("POST", "/v1/uploads"), ("POST", COMPLETE)]
    assert {got.method for got in store_server.requests} == {"PUT"}
    assert len([got for got in store_server.requests if got.path.endswith("/2")]) == 1
    assert seen[-1] == (upload.manifest.size_bytes,) * 2
    assert records(registry) == []


def test_the_store_never_sees_the_token(registry, server, store_server, upload):
    registry.publish(upload.directory)

    assert all(TOKEN in got.headers["authorization"] for got in server.requests)
    for got in store_server.requests:
        assert "authorization" not in got.headers
        assert TOKEN not in str(got.headers)
    whole = [got for got in store_server.requests if got.path.count("/") == 1]
    assert {got.headers["x-amz-checksum-sha256"] for got in whole} == {"sum"}


def test_a_store_that_fails_for_a_moment_is_asked_again(registry, store, upload):
    store.answers = [Reply(503, headers={"Retry-After": "0"}), Reply(500), Reply(502)]

    registry.publish(upload.directory)

    check_sent(upload, upload.directory)


def test_an_expired_address_is_replaced(registry, server, store, store_server, upload):
    expired = b"<Error><Code>AccessDenied</Code></Error>"
    store.answers = [Reply(), Reply(403, expired)]

    registry.publish(upload.directory)

    assert asked(server).count(("GET", UPLOAD)) == 1
    signatures = {got.query["X-Signature"] for got in store_server.requests}
    assert signatures == {"1", "2"}
    check_sent(upload, upload.directory)


def test_a_store_that_always_refuses_is_an_error_that_tells_no_secret(
    registry, serve, upload
):
    refusing = serve(lambda _: Reply(403, b"<Code>SignatureDoesNotMatch</Code>"))
    upload.store_url = refusing.url

    with pytest.raises(TransportError) as caught:
        registry.publish(upload.directory)

    assert refusing.url in caught.value.detail
    assert "403 (SignatureDoesNotMatch)" in caught.value.detail
    assert "X-Signature" not in caught.value.detail
    assert 2 <= len(refusing.requests) <= 40


def test_a_store_that_refuses_the_bytes_is_not_asked_again(registry, store, upload):
    store.answers = [Reply(400, b"<Code>BadDigest</Code>")]

    with pytest.raises(RejectedError, match=r"400 \(BadDigest\)"):
        registry.publish(upload.directory)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"offset": 1}, "do not fit together", id="gap"),
        pytest.param({"size_bytes": 0}, "do not fit together", id="nothing"),
        pytest.param({"size_bytes": 10}, "do not fit together", id="short"),
    ],
)
def test_a_senseless_plan_is_refused(registry, store, upload, change, said):
    blobs = upload.blobs()
    large = next(blob for blob in blobs if blob.get("parts"))
    large["parts"][0] |= change
    upload.blobs = lambda: blobs

    with pytest.raises(RegistryError, match=said):
        registry.publish(upload.directory)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        pytest.param([], "does not say where part", id="none"),
        pytest.param(
            [{"number": 9, "url": "/x"}], "does not say where part", id="another"
        ),
        pytest.param([{"number": 1}], "no PartAddresses", id="no address"),
    ],
)
def test_a_senseless_address_of_a_part_is_refused(registry, upload, parts, said):
    upload.part_answers = [json_reply({"parts": parts}) for _ in range(4)]

    with pytest.raises(RegistryError, match=said):
        registry.publish(upload.directory)


def test_a_transfer_that_has_ended_is_looked_at_again(registry, server, upload):
    upload.part_answers = [problem_reply(404, "not-found", "Not sent in parts.")]

    registry.publish(upload.directory)

    assert asked(server).count(("GET", UPLOAD)) == 1
    check_sent(upload, upload.directory)


def test_a_transfer_that_keeps_ending_is_an_error(registry, server, upload):
    gone = problem_reply(404, "not-found", "Not sent in parts.")
    upload.part_answers = [gone] * 100

    with pytest.raises(TransportError, match="Not sent in parts"):
        registry.publish(upload.directory)

    assert ("POST", COMPLETE) not in asked(server)


def test_a_blob_without_an_address_is_refused(registry, upload):
    blobs = [blob | {"url": None, "parts": []} for blob in upload.blobs()]
    upload.blobs = lambda: blobs

    with pytest.raises(RegistryError, match="nowhere to send README"):
        registry.publish(upload.directory)


def test_what_was_sent_in_parts_need_not_be_sent_again(
    registry, server, store, store_server, upload
):
    store_server.respond = lambda got: store(got) if len(store.kept) < 3 else GONE
    with pytest.raises(TransportError):
        registry.publish(upload.directory)
    first = set(store.kept)
    store_server.respond = store
    begun = len(store_server.requests)

    registry.publish(upload.directory)

    assert ("DELETE", UPLOAD) not in asked(server)
    assert asked(server).count(("POST", "/v1/uploads")) == 1
    again = {got.path for got in store_server.requests[begun:]}
    assert first
    assert not again & first
    check_sent(upload, upload.directory)
    assert records(registry) == []


def test_an_upload_that_expired_is_opened_anew(registry, server, store, upload):
    with upload_record(
        registry.settings.cache / "uploads", server.url, upload.manifest.digest
    ) as record:
        record.write(UPLOAD.rpartition("/")[2])
    upload.known = False

    registry.publish(upload.directory)

    assert asked(server)[:2] == [("GET", UPLOAD), ("POST", "/v1/uploads")]


def test_a_small_upload_is_cancelled(registry, server, store_server, upload):
    upload.part_bytes = 10_000_000
    store_server.respond = lambda _: GONE

    with pytest.raises(TransportError):
        registry.publish(upload.directory)

    assert asked(server)[-1] == ("DELETE", UPLOAD)
    assert records(registry) == []


def test_a_refused_upload_is_cancelled_however_large(registry, server, upload):
    upload.completions = [lambda: problem_reply(409, "version-exists", "Taken.")]

    with pytest.raises(AlreadyExistsError):
        registry.publish(upload.directory)

    assert asked(server)[-1] == ("DELETE", UPLOAD)
    assert records(registry) == []


def test_a_file_that_goes_away_is_named(session_with, server, upload, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(upload.directory, copy)
    (copy / "adapter_model.safetensors").unlink()
    opened = Upload.model_validate(upload.upload())
    sender = Sender(session_with(server.url), upload.manifest, copy, None)

    with pytest.raises(LocalStorageError) as caught:
        sender.send(opened, lambda: opened)

    assert "adapter_model.safetensors: No such file" in caught.value.detail
    assert "nothing was published" in caught.value.detail
    assert "publish again" in caught.value.detail


@pytest.fixture
def short_looks(monkeypatch):
    monkeypatch.setattr("safegene_client.publishing.FIRST_LOOK_SECONDS", 0.01)


COMPLETING, OPEN = {"state": "completing"}, {"state": "open"}


@pytest.mark.usefixtures("short_looks")
def test_a_completion_in_the_background_is_waited_for(registry, server, upload):
    upload.completions = [lambda: json_reply({}, 202)]
    upload.looks = [COMPLETING, COMPLETING, {"state": "published"}]

    published = registry.publish(upload.directory)

    assert published.identity == upload.manifest.identity
    assert asked(server).count(("GET", UPLOAD)) == 3
    assert asked(server).count(("POST", COMPLETE)) == 1


@pytest.mark.usefixtures("short_looks")
def test_a_completion_that_was_stopped_is_begun_anew(registry, server, upload):
    upload.completions = [lambda: json_reply({}, 202)]
    upload.looks = [COMPLETING, OPEN]

    registry.publish(upload.directory)

    assert asked(server).count(("POST", COMPLETE)) == 2


def problem(slug, status):
    return {
        "type": f"http://registry.test/problems/{slug}",
        "title": slug,
        "status": status,
        "detail": "The tensor q holds NaN.",
        "instance": "urn:x",
        "request_id": "req-9",
    }


@pytest.mark.usefixtures("short_looks")
def test_what_the_background_found_wrong_is_an_error(registry, server, upload):
    upload.completions = [lambda: json_reply({}, 202)]
    upload.looks = [{**OPEN, "problem": problem("manifest-invalid", 422)}]

    with pytest.raises(RejectedError, match="holds NaN") as caught:
        registry.publish(upload.directory)

    assert caught.value.problem_type == "manifest-invalid"
    assert asked(server)[-1] == ("DELETE", UPLOAD)


@pytest.mark.usefixtures("short_looks")
def test_a_passing_trouble_in_the_background_is_tried_again(registry, server, upload):
    upload.completions = [lambda: json_reply({}, 202)]
    upload.looks = [{**OPEN, "problem": problem("storage-unavailable", 503)}]

    registry.publish(upload.directory)

    assert asked(server).count(("POST", COMPLETE)) == 2


def test_one_process_at_a_time_remembers_an_upload(tmp_path):
    digest = digest_bytes(b"")
    upload_id = UPLOAD.rpartition("/")[2]

    with upload_record(tmp_path, "http://r", digest) as first:
        first.write(upload_id)
        with upload_record(tmp_path, "http://r", digest) as second:
            second.write("other")
            seen = second.read()
        with upload_record(tmp_path, "http://other", digest) as elsewhere:
            other = elsewhere.read()
    with upload_record(tmp_path, "http://r", digest) as later:
        kept = later.read()
        later.forget()
        gone = later.read()

    assert (seen, other, kept, gone) == (None, None, upload_id, None)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"upload": "../../x"}', "\xff"])
def test_a_damaged_record_is_none(tmp_path, text):
    with upload_record(tmp_path, "http://r", digest_bytes(b"")) as record:
        record.write(UPLOAD.rpartition("/")[2])
        next(tmp_path.glob("*.json")).write_text(text, encoding="latin-1")

        assert record.read() is None


def test_publishing_needs_no_cache(server, upload, tmp_path):
    (tmp_path / "file").write_text("in the way")

    with Registry(server.url, token=TOKEN, cache=tmp_path / "file" / "cache") as made:
        made.publish(upload.directory)

    check_sent(upload, upload.directory)


def test_the_first_error_of_many_ends_them_all():
    begun, stopped = [], threading.Event()

    def work(item, stop):
        begun.append(item)
        if item == 0:
            raise ValueError(item)
        stop.wait(60)
        stopped.set()
        raise StoppedError

    with pytest.raises(ValueError, match="0"):
        run_at_once(work, range(100), workers=3)

    assert stopped.wait(60)
    assert len(begun) <= 3


def test_everything_is_done_once():
    done = []

    run_at_once(lambda item, stop: done.append(item), range(50), workers=4)
    run_at_once(lambda item, stop: done.append(item), [], workers=4)

    assert sorted(done) == list(range(50))
