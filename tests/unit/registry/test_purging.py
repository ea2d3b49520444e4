"""What was purged is gone for good: its bytes, not its number, nor others' bytes."""

import dataclasses
import json

import pytest
from safegene_registry import access_repository
from safegene_registry.access import Scope
from safegene_registry.care.fsck import examine
from safegene_registry.models import EventRow, Removal
from safegene_registry.removals import TAKE_OVER
from safegene_registry.services import utc_now
from safegene_registry.storage import StorageError
from safegene_registry.sweeping import remove_leftovers
from sqlalchemy import select, update
from support.registry_app import bearer
from support.stores import Faulty
from support.versions import llama_config, write_version

from safegene.artifact.digest import Digest
from safegene.artifact.manifest import CARD_NAME, TENSORS_NAME

GUARD = "/v1/vectors/acme/guard"
REASON = "court order 7"
PRIVATE = {TENSORS_NAME, CARD_NAME}
"""Files that versions of one vector do not share."""


@pytest.fixture
def publish(registry, tmp_path):
    """Publish versions of `acme/guard`; their manifests."""

    def publish(*versions, status=201, seed=None):
        made = []
        for version in versions:
            place = tmp_path / f"{version}-{len(list(tmp_path.iterdir()))}"
            number = len(list(tmp_path.iterdir())) if seed is None else seed
            manifest = write_version(
                place, vector="acme/guard", version=version, seed=number
            )
            answer = registry.publish(manifest, place)
            assert answer.status_code == status, answer.text
            made.append(manifest)
        return made

    return publish


@pytest.fixture
def owner(registry):
    """Headers of who owns the vector."""
    return bearer(registry.token_of("tests", Scope.ADMIN))


def purge(registry, headers, manifest, status=200, **changed):
    wanted = {"reason": REASON, "digest": str(manifest.digest), **changed}
    answer = registry.client.post(
        f"{GUARD}/versions/{manifest.version}/purge", json=wanted, headers=headers
    )
    assert answer.status_code == status, answer.text
    return answer.json()


def stored(registry, manifest):
    """Which files of a version have their bytes in the store."""
    find = registry.services.store.find
    return {entry.path for entry in manifest.files if find(Digest.parse(entry.digest))}


def slug(answer):
    return answer.json()["type"].rpartition("/")[2]


def test_its_bytes_are_gone_and_those_of_others_stay(registry, publish, owner):
    bad, other = publish("1.0.0", "1.1.0")
    shared = {entry.digest for entry in bad.files} & {e.digest for e in other.files}
    assert shared

    said = purge(registry, owner, bad)

    assert said["purged"]["reason"] == REASON
    assert set(said["kept"]) == shared
    paths = {entry.path for entry in bad.files if entry.digest in shared}
    assert stored(registry, bad) == paths
    assert TENSORS_NAME not in paths
    assert stored(registry, other) == {entry.path for entry in other.files}
    for entry in other.files:
        path = f"{GUARD}/versions/1.1.0/files/{entry.path}"
        assert registry.client.get(path).status_code == 200
    assert examine(registry.services).findings == []


@pytest.mark.parametrize("token", [False, True])
def test_who_asks_for_it_is_told(registry, publish, owner, token):
    (bad,) = publish("1.0.0")
    publish("1.1.0")
    purge(registry, owner, bad)
    version = f"{GUARD}/versions/1.0.0"

    for path in (
        version,
        f"{version}/manifest",
        f"{version}/files/{CARD_NAME}",
        f"{version}/files/{TENSORS_NAME}",
        f"{GUARD}/resolve?digest={bad.digest}",
        f"{GUARD}/resolve?constraint===1.0",
    ):
        answer = registry.client.get(path, headers=owner if token else {})
        assert (answer.status_code, slug(answer)) == (410, "version-purged"), path
        assert REASON in answer.json()["detail"]
    head = registry.client.head(f"{version}/files/{TENSORS_NAME}")
    assert head.status_code == 410


@pytest.mark.parametrize("token", [False, True])
def test_nothing_means_it_any_more(registry, publish, owner, token):
    old, bad = publish("1.0.0", "1.1.0")
    for alias, version in (("stable", "1.1.0"), ("canary", "1.0.0")):
        moved = registry.client.put(
            f"{GUARD}/aliases/{alias}", json={"version": version}, headers=owner
        )
        assert moved.status_code == 200
    purge(registry, owner, bad)
    headers = owner if token else {}

    def resolved(query):
        answer = registry.client.get(f"{GUARD}/resolve?{query}", headers=headers)
        return answer.json().get("version", answer.status_code)

    assert [resolved(q) for q in ("", "alias=latest", "constraint=~=1.0")] == [
        *("1.0.0",) * 3
    ]
    assert (resolved("alias=canary"), resolved("alias=stable")) == ("1.0.0", 404)
    question = {"config": llama_config()}
    fits = registry.client.post("/v1/compatibility", json=question).json()["fits"]
    assert [match["version"] for match in fits] == ["1.0.0"]
    moves = registry.client.get(f"{GUARD}/aliases/stable/history").json()["items"]
    assert (moves[0]["from_version"], moves[0]["to_version"]) == ("1.1.0", None)
    listed = registry.client.get(f"{GUARD}/versions").json()["items"]
    assert [one["version"] for one in listed if one["purged"]] == ["1.1.0"]
    assert listed[0]["yanked"]["reason"] == f"purged: {REASON}"
    assert stored(registry, old) == {entry.path for entry in old.files}


def test_its_number_is_never_used_again(registry, publish, owner):
    (bad,) = publish("1.0.0", seed=1)
    publish("1.1.0")
    purge(registry, owner, bad)

    same = registry.open_upload(bad.to_bytes())
    other = registry.open_upload(
        type(bad).model_validate({**bad.model_dump(), "description": "x"}).to_bytes()
    )

    assert (same.status_code, slug(same)) == (410, "version-purged")
    assert (other.status_code, slug(other)) == (410, "version-purged")


def test_nothing_takes_it_back_and_nothing_is_done_to_it(registry, publish, owner):
    (bad,) = publish("1.0.0")
    version = f"{GUARD}/versions/1.0.0"
    purge(registry, owner, bad)

    for method, path, body in (
        ("DELETE", f"{version}/yank", None),
        ("PUT", f"{version}/yank", {"reason": "x"}),
        ("PUT", f"{version}/deprecation", {"message": "x"}),
        ("PUT", f"{GUARD}/aliases/stable", {"version": "1.0.0"}),
    ):
        answer = registry.client.request(method, path, json=body, headers=owner)
        assert (answer.status_code, slug(answer)) == (410, "version-purged"), path


def test_the_same_again_is_a_success_and_changes_nothing(registry, publish, owner):
    bad, _ = publish("1.0.0", "1.1.0")
    first = purge(registry, owner, bad)

    again = purge(registry, owner, bad, reason="another")

    assert again == first


def test_the_same_bytes_may_come_back_in_another_version(registry, publish, owner):
    """They are of no use to who only knows their digest."""
    (bad,) = publish("1.0.0", seed=5)
    purge(registry, owner, bad)
    assert stored(registry, bad) == set()

    (again,) = publish("1.1.0", seed=5)

    assert stored(registry, again) == {entry.path for entry in again.files}
    assert registry.client.get(f"{GUARD}/versions/1.1.0").status_code == 200
    assert registry.client.get(f"{GUARD}/versions/1.0.0").status_code == 410
    assert remove_leftovers(registry.services) == []
    assert examine(registry.services).findings == []


class Stubborn(Faulty):
    """A store that removes nothing."""

    def remove(self, *_args, **_options):
        raise StorageError("it does not answer")


def test_what_the_store_keeps_now_goes_with_the_next_request_or_sweep(
    registry, publish, owner
):
    bad, worse, _ = publish("1.0.0", "1.1.0", "1.2.0")
    services = registry.services
    stubborn = dataclasses.replace(services, store=Stubborn(services.store))
    registry.app.state.services = stubborn
    answers = [
        registry.client.post(
            f"{GUARD}/versions/{manifest.version}/purge",
            json={"reason": REASON, "digest": str(manifest.digest)},
            headers=owner,
        )
        for manifest in (bad, worse)
    ]
    registry.app.state.services = services

    assert [answer.status_code for answer in answers] == [503, 503]
    assert answers[0].headers["retry-after"]
    assert TENSORS_NAME in stored(registry, bad)
    path = f"{GUARD}/versions/1.0.0/files/{TENSORS_NAME}"
    assert registry.client.get(path).status_code == 410
    # Until it is certain that the store will not do it any more.
    with services.database.writing() as session:
        session.execute(update(Removal).values(started_at=utc_now() - 2 * TAKE_OVER))
    purge(registry, owner, bad)
    remove_leftovers(services)
    assert not stored(registry, bad) & PRIVATE
    assert not stored(registry, worse) & PRIVATE


def test_it_takes_the_versions_own_digest_and_an_owner(registry, publish, owner):
    bad, other = publish("1.0.0", "1.1.0")

    purge(registry, owner, bad, digest=str(other.digest), status=422)
    purge(registry, registry.auth, bad, status=403)
    purge(registry, owner, bad, reason=" ", status=422)
    missing = registry.client.post(
        f"{GUARD}/versions/9/purge",
        json={"reason": REASON, "digest": str(bad.digest)},
        headers=owner,
    )

    assert missing.status_code == 404
    assert registry.client.get(f"{GUARD}/versions/1.0.0").status_code == 200


def test_it_makes_room_and_is_an_event(registry, publish, owner):
    bad, other = publish("1.0.0", "1.1.0")
    purge(registry, owner, bad)

    with registry.services.database.reading() as session:
        used = access_repository.used_bytes(session, "acme")
        rows = session.scalars(
            select(EventRow).where(EventRow.kind == "version.purged")
        ).all()

    assert used == other.size_bytes
    assert [(row.version, row.actor, json.loads(row.details)) for row in rows] == [
        ("1.0.0", "tests", {"digest": str(bad.digest), "reason": REASON})
    ]
