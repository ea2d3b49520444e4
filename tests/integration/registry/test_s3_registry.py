"""A registry whose blobs are in a bucket: publishing and downloading over HTTP.

As in `test_store_qualification`, `-m slow` puts the second server to them.
"""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from safegene_registry.models import Namespace
from safegene_registry.s3.keys import final_key, staging_key
from safegene_registry.sweeping import remove_leftovers
from sqlalchemy import update
from support.registry_app import Clock, app_registry, new_token, parts_request
from support.s3_stores import MIB, s3_settings
from support.versions import llama_config, write_version

from safegene.artifact.digest import Digest, digest_bytes
from safegene.artifact.manifest import CARD_NAME, TENSORS_NAME

VERSION_URL = "/v1/vectors/acme/refusal/versions/1.0.0"
FILE_URL = f"{VERSION_URL}/files/{TENSORS_NAME}"
PART = 5 * MIB


@pytest.fixture
def registry(bucket, tmp_path):
    """What has more than 5 MiB is sent in parts of 5 MiB."""
    settings = s3_settings(bucket, s3_part_bytes=PART)
    with app_registry(tmp_path / "data", **settings) as running:
        yield running


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A version of about 12 MB; each test publishes it anew."""
    place = tmp_path_factory.mktemp("large") / "v"
    manifest = write_version(
        place, rank=512, config=llama_config(hidden=1024, layers=3), seed=1
    )
    assert manifest.file(TENSORS_NAME).size > 2 * PART
    return manifest, place


def digest_of(manifest, name) -> Digest:
    return Digest.parse(manifest.file(name).digest)


def look(registry, upload):
    url = f"/v1/uploads/{upload['id']}"
    return registry.client.get(url, headers=registry.auth)


def keys(registry, prefix=""):
    return sorted(found.key for found in registry.services.store.bucket.list(prefix))


def check_published(registry, manifest, place):
    for entry in manifest.files:
        url = f"{VERSION_URL}/files/{entry.path}"
        assert registry.client.get(url).content == (place / entry.path).read_bytes()


def test_a_version_goes_from_directory_to_download(registry, bucket, tmp_path):
    """No byte of a file passes through the registry, and staging is left empty."""
    manifest = write_version(tmp_path / "v")

    opened = registry.open_upload(manifest.to_bytes())
    for blob in opened.json()["blobs"]:
        assert blob["url"].startswith(bucket.server.endpoint)
        assert f"/{bucket.name}/staging/" in blob["url"]
    published = registry.publish(manifest, tmp_path / "v")

    assert published.status_code == 201
    assert opened.headers["cache-control"] == "no-store"
    check_published(registry, manifest, tmp_path / "v")
    registry.client.delete(f"/v1/uploads/{opened.json()['id']}", headers=registry.auth)
    assert keys(registry) == sorted(
        final_key(Digest.parse(entry.digest)) for entry in manifest.files
    )


def test_a_blob_may_come_through_the_registry_as_well(registry, tmp_path):
    """For a client that cannot reach the store."""
    manifest = write_version(tmp_path / "v")
    upload = registry.open_upload(manifest.to_bytes()).json()

    for entry in manifest.files:
        data = (tmp_path / "v" / entry.path).read_bytes()
        assert registry.put_blob(upload, entry.digest, data).status_code == 204
        wrong = registry.put_blob(upload, entry.digest, data[::-1])
        assert wrong.status_code == 422

    assert registry.complete(upload).status_code == 201
    check_published(registry, manifest, tmp_path / "v")


def test_a_large_file_is_sent_in_parts_and_taken_up_again(registry, large):
    """Whoever asks is told which parts are missing; one transfer, however many ask."""
    manifest, place = large
    upload = registry.open_upload(manifest.to_bytes()).json()
    tensors = manifest.file(TENSORS_NAME)
    data = (place / TENSORS_NAME).read_bytes()
    blob = next(b for b in upload["blobs"] if b["digest"] == tensors.digest)
    sent = registry.send_part(upload, blob, blob["parts"][0], data)

    again = look(registry, upload).json()
    early = registry.complete(upload)
    third = look(registry, upload).json()

    assert sent.status_code == 200
    assert blob["url"] is None
    for told in (again, third):
        blob = next(b for b in told["blobs"] if b["digest"] == tensors.digest)
        states = [part["state"] for part in blob["parts"]]
        assert states == ["present", *["missing"] * (len(states) - 1)]
    assert early.status_code == 409
    assert len(list(registry.services.store.bucket.multiparts(""))) == 1
    for blob in third["blobs"]:
        path = next(e.path for e in manifest.files if e.digest == blob["digest"])
        registry.send_blob(upload, blob, (place / path).read_bytes())
    assert registry.complete(upload).status_code == 201
    check_published(registry, manifest, place)
    assert keys(registry, "staging/") == []


def test_the_address_of_a_part_takes_the_bytes_named_and_no_others(registry, large):
    """Not without their sha256 either; and it is nobody else's to keep."""
    manifest, place = large
    upload = registry.open_upload(manifest.to_bytes()).json()
    blob = next(b for b in upload["blobs"] if b["parts"])
    last = blob["parts"][-1]
    data = (place / TENSORS_NAME).read_bytes()[last["offset"] :]

    answer = registry.address_parts(upload, blob, parts_request(last, data))
    (target,) = answer.json()["parts"]
    bare = registry.client.put(target["url"], content=data)
    wrong = registry.client.put(
        target["url"], content=data[::-1], headers=target["headers"]
    )
    again = look(registry, upload).json()

    assert answer.headers["cache-control"] == "no-store"
    assert target["number"] == last["number"]
    assert bare.status_code == 403
    assert wrong.status_code in (200, 400)
    if wrong.status_code == 400:  # not every server looks
        (seen,) = [b["parts"][-1] for b in again["blobs"] if b["parts"]]
        assert seen["state"] == "missing"


def test_only_what_is_being_sent_in_parts_has_addresses(registry, large):
    """Not a part beyond the last, a small blob, or what is published."""
    manifest, place = large
    upload = registry.open_upload(manifest.to_bytes()).json()
    blobs = sorted(upload["blobs"], key=lambda b: b["size_bytes"])
    wanted = parts_request(blobs[-1]["parts"][0], b"")
    beyond = {"parts": [*wanted["parts"], {**wanted["parts"][0], "number": 99}]}

    refused = registry.address_parts(upload, blobs[-1], beyond)
    small = registry.address_parts(upload, blobs[0], wanted)
    assert registry.publish(manifest, place).status_code == 201
    registry.complete(upload)
    late = registry.address_parts(upload, blobs[-1], wanted)

    assert refused.status_code == 422
    assert "has parts 1 to 3, not 99" in refused.json()["detail"]
    assert refused.json()["errors"][0]["pointer"] == "/parts/1/number"
    assert [small.status_code, late.status_code] == [404, 404]
    assert "look at the upload" in small.json()["detail"]


def test_a_transfer_that_the_bucket_aborts_is_begun_anew(registry, large):
    """By a rule of the bucket, behind the registry's back."""
    manifest, place = large
    upload = registry.open_upload(manifest.to_bytes()).json()
    bucket = registry.services.store.bucket
    for found in list(bucket.multiparts("")):
        bucket.abort(found.key, found.id)

    again = look(registry, upload).json()
    for blob in again["blobs"]:
        path = next(e.path for e in manifest.files if e.digest == blob["digest"])
        registry.send_blob(upload, blob, (place / path).read_bytes())

    assert registry.complete(upload).status_code == 201


@pytest.mark.parametrize("end", ["cancelled", "expired"])
def test_an_upload_that_ends_takes_its_transfers_along(registry, large, end, tmp_path):
    """Nothing that costs money is left in the bucket."""
    manifest, _ = large
    upload = registry.open_upload(manifest.to_bytes()).json()
    blob = next(b for b in upload["blobs"] if b["parts"])
    registry.send_part(upload, blob, blob["parts"][0], bytes(PART))
    bucket = registry.services.store.bucket
    before = list(bucket.multiparts(""))

    if end == "cancelled":
        url = f"/v1/uploads/{upload['id']}"
        assert registry.client.delete(url, headers=registry.auth).status_code == 204
    else:
        clock = Clock()
        clock.ahead = timedelta(hours=25)
        registry.put_clock(clock)
        registry.open_upload(write_version(tmp_path / "w").to_bytes())

    assert len(before) == 1
    assert list(bucket.multiparts("")) == []


def stage_behind(registry, upload, digest, data):
    """Stage bytes as a server would let a client that does not check them."""
    key = staging_key(UUID(upload["id"]), digest)
    registry.services.store.bucket.put(key, data)


def test_other_bytes_than_announced_are_refused_and_may_be_sent_again(
    registry, tmp_path
):
    """Whatever the server has let pass."""
    manifest = write_version(tmp_path / "v")
    upload = registry.send(manifest, tmp_path / "v")
    card = (tmp_path / "v" / CARD_NAME).read_bytes()
    digest = digest_of(manifest, CARD_NAME)
    stage_behind(registry, upload, digest, card[::-1])

    refused = registry.complete(upload)
    told = look(registry, upload).json()
    states = {blob["digest"]: blob["state"] for blob in told["blobs"]}
    left = registry.services.store.find(digest)
    blob = next(b for b in told["blobs"] if b["state"] == "missing")
    registry.send_blob(upload, blob, card)
    published = registry.complete(upload)

    assert refused.status_code == 422
    assert refused.json()["type"].endswith("/problems/digest-mismatch")
    assert CARD_NAME in refused.json()["detail"]
    assert refused.json()["errors"][0]["pointer"] == "/files/0"
    assert states.pop(str(digest)) == "missing"
    assert set(states.values()) == {"present"}
    assert left is None
    assert published.status_code == 201
    check_published(registry, manifest, tmp_path / "v")


def test_nobody_changes_what_is_published(registry, tmp_path):
    """An upload that was opened before sends garbage under a digest that now is."""
    manifest = write_version(tmp_path / "v")
    early = registry.open_upload(manifest.to_bytes()).json()
    addresses = {blob["digest"]: blob for blob in early["blobs"]}
    registry.publish(manifest, tmp_path / "v")

    for entry in manifest.files:
        data = (tmp_path / "v" / entry.path).read_bytes()
        stage_behind(registry, early, Digest.parse(entry.digest), data[::-1])
    answer = registry.complete(early)

    # The version is published already, so there is nothing to verify.
    assert answer.status_code in (200, 422)
    assert addresses
    check_published(registry, manifest, tmp_path / "v")


def test_knowing_a_digest_gives_nobody_the_bytes(registry, tmp_path):
    """A stranger announces blobs of a private namespace and sends something else."""
    manifest = write_version(tmp_path / "v", vector="secret/refusal")
    registry.publish(manifest, tmp_path / "v")
    with registry.services.database.writing() as session:
        session.execute(update(Namespace).values(visibility="private"))
        stranger = new_token(session, "stranger")
    theirs = write_version(tmp_path / "w", vector="stranger/refusal")
    shared = manifest.file(TENSORS_NAME)
    registry.token = stranger

    upload = registry.open_upload(theirs.to_bytes()).json()
    for blob in upload["blobs"]:
        path = next(e.path for e in theirs.files if e.digest == blob["digest"])
        data = (tmp_path / "w" / path).read_bytes()
        garbage = data[::-1] if blob["digest"] == shared.digest else data
        stage_behind(registry, upload, Digest.parse(blob["digest"]), garbage)
    refused = registry.complete(upload)

    assert theirs.file(TENSORS_NAME).digest == shared.digest
    assert {blob["state"] for blob in upload["blobs"]} == {"missing"}
    assert refused.status_code == 422
    assert refused.json()["type"].endswith("/problems/digest-mismatch")
    found = registry.client.get("/v1/vectors/stranger/refusal", headers=registry.auth)
    assert found.status_code == 404


def test_garbage_of_others_does_not_keep_a_version_from_being_published(
    registry, tmp_path
):
    """It lies under the final key already; the right bytes take its place."""
    manifest = write_version(tmp_path / "v")
    digest = digest_of(manifest, TENSORS_NAME)
    registry.services.store.bucket.put(final_key(digest), b"garbage")

    published = registry.publish(manifest, tmp_path / "v")

    assert published.status_code == 201
    check_published(registry, manifest, tmp_path / "v")


def test_a_damaged_published_blob_heals_when_it_is_sent_again(registry, tmp_path):
    """A version that shares it cannot be published before."""
    manifest = write_version(tmp_path / "v")
    registry.publish(manifest, tmp_path / "v")
    digest = digest_of(manifest, TENSORS_NAME)
    data = (tmp_path / "v" / TENSORS_NAME).read_bytes()
    registry.services.store.bucket.put(final_key(digest), data[::-1])
    following = write_version(tmp_path / "w", version="1.1.0")
    upload = registry.send(following, tmp_path / "w")

    refused = registry.complete(upload)
    registry.put_blob(upload, str(digest), data)
    healed = registry.complete(upload)

    assert refused.status_code == 409
    assert str(digest) in refused.json()["errors"][0]["detail"]
    assert healed.status_code == 201
    check_published(registry, manifest, tmp_path / "v")


def test_a_sweep_takes_what_nobody_needs(registry, tmp_path):
    """Orphans, staged and sealed leftovers, transfers; and no published blob."""
    manifest = write_version(tmp_path / "v")
    registry.publish(manifest, tmp_path / "v")
    bucket = registry.services.store.bucket
    orphan = digest_bytes(b"orphan")
    left = [
        final_key(orphan),
        f"staging/{uuid4()}/{orphan.hex}",
        f"sealed/{uuid4()}/{orphan.hex}",
    ]
    for key in left:
        bucket.put(key, b"orphan")
    bucket.begin(f"staging/{uuid4()}/{orphan.hex}", {})
    bucket.begin(final_key(orphan), {})
    young = remove_leftovers(registry.services)
    clock = Clock()
    clock.ahead = timedelta(hours=26)
    registry.put_clock(clock)

    removed = remove_leftovers(registry.services)

    assert young == []
    kinds = sorted(leftover.kind for leftover in removed)
    assert kinds == ["blob", "staging", "staging", "staging", "staging", "upload"]
    assert list(bucket.multiparts("")) == []
    assert keys(registry) == sorted(
        final_key(Digest.parse(entry.digest)) for entry in manifest.files
    )
    check_published(registry, manifest, tmp_path / "v")
