"""Publishing through the interface: what is accepted, refused and left behind."""

import json
from datetime import timedelta

import pytest
from support.registry_app import Clock, app_registry, bearer
from support.versions import write_version

from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import TENSORS_NAME

VERSION_URL = "/v1/vectors/acme/refusal/versions/1.0.0"


def slug(response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["type"].rpartition("/")[2]


def test_a_version_goes_from_directory_to_download(registry, tmp_path):
    manifest = write_version(tmp_path / "v")

    published = registry.publish(manifest, tmp_path / "v")

    assert published.status_code == 201
    detail = published.json()
    assert detail["digest"] == str(manifest.digest)
    assert detail["size_bytes"] == manifest.size_bytes
    assert detail["yanked"] is None
    for file in detail["files"]:
        expected = (tmp_path / "v" / file["path"]).read_bytes()
        assert registry.client.get(file["url"]).content == expected
    assert registry.client.get(f"{VERSION_URL}/manifest").content == manifest.content
    assert registry.staged_files() == []


def test_nothing_is_visible_before_completion(registry, tmp_path):
    manifest = write_version(tmp_path / "v")

    upload = registry.send(manifest, tmp_path / "v")

    assert registry.client.get(VERSION_URL).status_code == 404
    assert registry.client.get("/v1/vectors").json()["items"] == []
    assert {blob["state"] for blob in upload["blobs"]} == {"missing"}
    again = registry.client.get(f"/v1/uploads/{upload['id']}", headers=registry.auth)
    assert {blob["state"] for blob in again.json()["blobs"]} == {"present"}


def test_the_same_manifest_again_is_a_success(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    upload = registry.send(manifest, tmp_path / "v")
    first = registry.complete(upload)

    completed_again = registry.complete(upload)
    opened_again = registry.open_upload(manifest.to_bytes())

    assert (first.status_code, completed_again.status_code) == (201, 200)
    assert completed_again.json() == first.json()
    assert opened_again.status_code == 200
    assert opened_again.json()["state"] == "published"
    assert opened_again.json()["blobs"] == []


def test_versions_are_listed_as_they_were_published_whatever_clocks_say(
    registry, tmp_path
):
    """Another replica's clock is an hour behind, or this one's was set back."""
    clock = Clock()
    registry.put_clock(clock)
    for hours, version in ((1, "1.0.0"), (0, "0.9.0"), (0.5, "1.1.0"), (2, "0.8.0")):
        clock.ahead = timedelta(hours=hours)
        place = tmp_path / version
        registry.publish(write_version(place, version=version), place)

    page = registry.client.get("/v1/vectors/acme/refusal/versions").json()

    listed = [entry["version"] for entry in page["items"]]
    assert listed == ["0.8.0", "1.1.0", "0.9.0", "1.0.0"]


def test_another_manifest_under_the_version_is_a_conflict(registry, tmp_path):
    registry.publish(write_version(tmp_path / "v"), tmp_path / "v")
    other = write_version(tmp_path / "other", seed=1)

    refused = registry.open_upload(other.to_bytes())

    assert refused.status_code == 409
    assert slug(refused) == "version-exists"
    assert str(other.digest) in refused.json()["detail"]


def test_of_two_open_uploads_the_second_to_complete_is_refused(registry, tmp_path):
    one = write_version(tmp_path / "one", seed=1)
    two = write_version(tmp_path / "two", seed=2)
    first = registry.send(one, tmp_path / "one")
    second = registry.send(two, tmp_path / "two")

    won, lost = registry.complete(first), registry.complete(second)

    assert (won.status_code, lost.status_code) == (201, 409)
    assert slug(lost) == "version-exists"
    assert registry.client.get(VERSION_URL).json()["digest"] == str(one.digest)


def test_a_published_blob_need_not_be_sent_again(registry, tmp_path):
    registry.publish(write_version(tmp_path / "v"), tmp_path / "v")
    next_one = write_version(tmp_path / "next", version="1.1.0")

    upload = registry.open_upload(next_one.to_bytes()).json()

    states = {blob["digest"]: blob["state"] for blob in upload["blobs"]}
    assert states[next_one.file(TENSORS_NAME).digest] == "present"
    assert states[next_one.file("README.md").digest] == "missing"
    readme = (tmp_path / "next" / "README.md").read_bytes()
    registry.put_blob(upload, next_one.file("README.md").digest, readme)
    assert registry.complete(upload).status_code == 201


def test_another_senders_staged_blob_is_not_shared(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    registry.send(manifest, tmp_path / "v")

    second = registry.open_upload(manifest.to_bytes()).json()

    assert {blob["state"] for blob in second["blobs"]} == {"missing"}


def test_completing_too_early_lists_what_is_missing(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    upload = registry.open_upload(manifest.to_bytes()).json()
    readme = (tmp_path / "v" / "README.md").read_bytes()
    registry.put_blob(upload, manifest.file("README.md").digest, readme)

    refused = registry.complete(upload)

    assert refused.status_code == 409
    assert slug(refused) == "blob-missing"
    faults = refused.json()["errors"]
    assert [fault["pointer"] for fault in faults] == [
        "/files/1",
        "/files/2",
        "/files/3",
    ]
    assert manifest.file(TENSORS_NAME).digest in faults[1]["detail"]


@pytest.mark.parametrize(
    ("change", "status", "problem"),
    [
        pytest.param(lambda data: data[:-1], 422, "digest-mismatch", id="truncated"),
        pytest.param(lambda data: data + b"!", 413, "payload-too-large", id="longer"),
        pytest.param(
            lambda data: b"!" + data[1:], 422, "digest-mismatch", id="changed"
        ),
        pytest.param(lambda data: b"", 422, "digest-mismatch", id="empty"),
    ],
)
def test_wrong_bytes_are_refused_and_not_kept(
    registry, tmp_path, change, status, problem
):
    manifest = write_version(tmp_path / "v")
    upload = registry.open_upload(manifest.to_bytes()).json()
    entry = manifest.file(TENSORS_NAME)
    data = (tmp_path / "v" / TENSORS_NAME).read_bytes()

    refused = registry.put_blob(upload, entry.digest, change(data))

    assert refused.status_code == status
    assert slug(refused) == problem
    assert registry.staged_files() == []
    assert registry.put_blob(upload, entry.digest, data).status_code == 204


def test_a_blob_may_be_sent_twice(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    upload = registry.send(manifest, tmp_path / "v")
    data = (tmp_path / "v" / TENSORS_NAME).read_bytes()
    digest = manifest.file(TENSORS_NAME).digest

    before = registry.put_blob(upload, digest, data)
    completed = registry.complete(upload)
    after = registry.put_blob(upload, digest, data)

    assert (before.status_code, completed.status_code) == (204, 201)
    assert after.status_code == 204
    assert registry.staged_files() == []


def test_a_blob_the_manifest_does_not_name_is_not_found(registry, tmp_path):
    upload = registry.open_upload(write_version(tmp_path / "v").to_bytes()).json()

    refused = registry.put_blob(upload, str(digest_bytes(b"x")), b"x")

    assert refused.status_code == 404
    assert "names no blob" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 415),
        ("", 415),
        ("application/vnd.safegene.manifest+json; charset=utf-8", 201),
    ],
)
def test_a_manifest_has_a_media_type_of_its_own(
    registry, tmp_path, content_type, status
):
    manifest = write_version(tmp_path / "v")

    answer = registry.client.post(
        "/v1/uploads",
        content=manifest.to_bytes(),
        headers={**registry.auth, "Content-Type": content_type},
    )

    assert answer.status_code == status


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        pytest.param({"namespace": "../etc"}, "/namespace", id="namespace"),
        pytest.param({"version": "1.0"}, "/version", id="spelling of the version"),
        pytest.param({"rank": 7}, "", id="rank"),
        pytest.param({"extra": 1}, "/extra", id="unknown field"),
    ],
)
def test_a_bad_manifest_is_pointed_at(registry, tmp_path, change, pointer):
    manifest = write_version(tmp_path / "v")
    value = {**json.loads(manifest.to_bytes()), **change}
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    refused = registry.open_upload(data)

    assert refused.status_code == 422
    assert slug(refused) == "manifest-invalid"
    assert refused.json()["errors"][0]["pointer"] == pointer


def test_a_file_name_that_leaves_the_directory_is_refused(registry, tmp_path):
    value = json.loads(write_version(tmp_path / "v").to_bytes())
    value["files"][0]["path"] = "../../etc/passwd"
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    refused = registry.open_upload(data)

    assert slug(refused) == "manifest-invalid"
    assert refused.json()["errors"][0]["pointer"] == "/files/0/path"


@pytest.mark.parametrize(
    "settings", [{"max_file_bytes": 1000}, {"max_version_bytes": 1000}]
)
def test_versions_over_the_limit_are_refused_at_once(tmp_path, parts, settings):
    manifest = write_version(tmp_path / "v")
    with app_registry(tmp_path / "data", **parts, **settings) as registry:
        refused = registry.open_upload(manifest.to_bytes())

        assert refused.status_code == 413
        assert slug(refused) == "payload-too-large"
        assert "1000" in refused.json()["detail"]


@pytest.mark.parametrize("announced", [True, False])
def test_other_bodies_over_the_limit_are_refused(tmp_path, parts, announced):
    def chunks():
        yield b"x" * 1500
        yield b"x" * 1500

    settings = {**parts, "max_request_bytes": 2000}
    with app_registry(tmp_path / "data", **settings) as registry:
        refused = registry.open_upload(b"x" * 3000 if announced else chunks())

        assert refused.status_code == 413
        assert slug(refused) == "payload-too-large"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("sgt_unknown"),
        {"Authorization": "Basic c2d0OnNndA=="},
        {"Authorization": "Bearer"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/uploads"),
        ("GET", "/v1/uploads/{id}"),
        ("DELETE", "/v1/uploads/{id}"),
        ("PUT", "/v1/uploads/{id}/blobs/{digest}"),
        ("POST", "/v1/uploads/{id}/complete"),
    ],
)
def test_every_write_asks_for_a_token(registry, tmp_path, method, path, headers):
    manifest = write_version(tmp_path / "v")
    upload = registry.send(manifest, tmp_path / "v")
    url = path.format(id=upload["id"], digest=manifest.files[0].digest)

    refused = registry.client.request(method, url, headers=headers)

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert slug(refused) == "authentication-required"
    assert "sgt_unknown" not in refused.text
    assert registry.complete(upload).status_code == 201


def test_another_tokens_upload_is_not_found(registry, tmp_path):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    stranger = registry.token_of("stranger")
    url = f"/v1/uploads/{upload['id']}"

    answers = [
        registry.client.request(method, address, headers=bearer(stranger))
        for method, address in (
            ("GET", url),
            ("DELETE", url),
            ("POST", f"{url}/complete"),
        )
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert registry.complete(upload).status_code == 201


def test_a_cancelled_upload_leaves_nothing(registry, tmp_path):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    url = f"/v1/uploads/{upload['id']}"

    cancelled = registry.client.delete(url, headers=registry.auth)

    assert cancelled.status_code == 204
    assert registry.client.get(url, headers=registry.auth).status_code == 404
    assert registry.complete(upload).status_code == 404
    assert registry.client.delete(url, headers=registry.auth).status_code == 404
    assert registry.staged_files() == []
    assert registry.final_blobs() == []


def test_cancelling_after_publication_keeps_the_version(registry, tmp_path):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    registry.complete(upload)

    cancelled = registry.client.delete(
        f"/v1/uploads/{upload['id']}", headers=registry.auth
    )

    assert cancelled.status_code == 204
    assert registry.client.get(VERSION_URL).status_code == 200
