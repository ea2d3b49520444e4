"""Quotas: uploads reserve their room, and what they give back is there again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from safegene_registry.access import Role, Scope
from support.registry_app import (
    MANIFEST_MEDIA_TYPE,
    AppRegistry,
    Clock,
    app_registry,
    bearer,
)
from support.versions import write_version

from safegene.artifact.manifest import Manifest


def slug(response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["type"].rpartition("/")[2]


@pytest.fixture
def ops(registry):
    """Headers of an operator; the account that publishes owns acme."""
    headers = bearer(registry.token_of("ops", Scope.ADMIN, operator=True))
    made = registry.client.post(
        "/v1/namespaces", json={"name": "acme"}, headers=registry.auth
    )
    assert made.status_code == 201
    return headers


def set_quota(registry: AppRegistry, headers, quota: int | None) -> None:
    url = "/v1/namespaces/acme/quota"
    set_ = registry.client.put(url, json={"quota_bytes": quota}, headers=headers)
    assert set_.status_code == 200


def numbered(manifest: Manifest, number: int) -> Manifest:
    """Another version with the same files."""
    changed = {**manifest.model_dump(), "version": f"1.{number}.0"}
    return Manifest.model_validate(changed)


def opened(registry: AppRegistry, manifest: Manifest, headers=None):
    return registry.client.post(
        "/v1/uploads",
        content=manifest.to_bytes(),
        headers={**(headers or registry.auth), "Content-Type": MANIFEST_MEDIA_TYPE},
    )


def shown(registry: AppRegistry) -> tuple[int, int]:
    """Bytes that are used and that are reserved."""
    told = registry.client.get("/v1/namespaces/acme").json()
    return told["used_bytes"], told["reserved_bytes"]


@pytest.mark.parametrize("rounds", range(3))
def test_of_many_opened_at_once_those_are_that_fit_together(
    registry, tmp_path, ops, rounds
):
    """Each of the ten would fit alone; exactly three fit together."""
    del rounds
    manifest = write_version(tmp_path / "v")
    set_quota(registry, ops, 4 * manifest.size_bytes - 1)

    with ThreadPoolExecutor(10) as pool:
        wanted = [numbered(manifest, number) for number in range(10)]
        answers = list(pool.map(lambda each: opened(registry, each), wanted))

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] * 3 + [413] * 7
    assert {slug(each) for each in answers if each.status_code == 413} == {
        "quota-exceeded"
    }
    assert shown(registry) == (0, 3 * manifest.size_bytes)


def test_the_problem_says_what_is_reserved(registry, tmp_path, ops):
    manifest = write_version(tmp_path / "v")
    size = manifest.size_bytes
    set_quota(registry, ops, 2 * size)
    registry.publish(manifest, tmp_path / "v")
    opened(registry, numbered(manifest, 1))

    refused = opened(registry, numbered(manifest, 2)).json()

    assert refused["used_bytes"] == refused["reserved_bytes"] == size
    assert (refused["limit_bytes"], refused["wanted_bytes"]) == (2 * size, size)
    assert f"{size} more are kept for uploads that are under way" in refused["detail"]


def test_a_cancelled_upload_gives_its_room_back(registry, tmp_path, ops):
    manifest = write_version(tmp_path / "v")
    set_quota(registry, ops, manifest.size_bytes)
    upload = opened(registry, manifest).json()
    refused = opened(registry, numbered(manifest, 1))

    url = f"/v1/uploads/{upload['id']}"
    registry.client.delete(url, headers=registry.auth)

    assert refused.status_code == 413
    assert shown(registry) == (0, 0)
    assert opened(registry, numbered(manifest, 1)).status_code == 201


def test_an_expired_upload_gives_its_room_back(registry, tmp_path, ops):
    manifest = write_version(tmp_path / "v")
    set_quota(registry, ops, manifest.size_bytes)
    opened(registry, manifest)
    clock = registry.put_clock(Clock())
    clock.ahead = timedelta(hours=24, seconds=1)

    assert shown(registry) == (0, 0)
    assert opened(registry, numbered(manifest, 1)).status_code == 201


def test_a_published_version_counts_once(registry, tmp_path, ops):
    """Also while another upload of it is still open."""
    manifest = write_version(tmp_path / "v")
    size = manifest.size_bytes
    set_quota(registry, ops, 2 * size)
    other = opened(registry, manifest)

    registry.publish(manifest, tmp_path / "v")

    assert other.status_code == 201
    assert shown(registry) == (size, 0)
    assert opened(registry, numbered(manifest, 1)).status_code == 201
    assert registry.complete(other.json()).status_code == 200
    assert shown(registry) == (size, size)


def test_uploads_of_one_version_reserve_the_room_of_the_largest(
    registry, tmp_path, ops
):
    """A sender who was interrupted, or builds anew, is not kept out by themselves."""
    small = write_version(tmp_path / "small", rank=8)
    large = write_version(tmp_path / "large", rank=16)
    set_quota(registry, ops, large.size_bytes)

    answers = [opened(registry, each) for each in (small, small, large, small)]

    assert [answer.status_code for answer in answers] == [201] * 4
    assert shown(registry) == (0, large.size_bytes)


def test_a_stranger_holds_nothing_back(tmp_path, parts):
    """Neither before a namespace is made nor after they had to leave it."""
    manifest = write_version(tmp_path / "v")
    quota = manifest.size_bytes
    with app_registry(
        tmp_path / "data", namespace_quota_bytes=quota, **parts
    ) as registry:
        stranger = bearer(registry.token_of("stranger"))
        assert opened(registry, manifest, stranger).status_code == 201
        assert opened(registry, numbered(manifest, 1), stranger).status_code == 413
        assert opened(registry, numbered(manifest, 1)).status_code == 201

        made = registry.client.post(
            "/v1/namespaces", json={"name": "acme"}, headers=registry.auth
        )
        ann = bearer(registry.token_of("tests", Scope.ADMIN))
        url = "/v1/namespaces/acme/members/stranger"
        before = shown(registry)
        registry.client.put(url, json={"role": Role.PUBLISHER}, headers=ann)
        during = shown(registry)
        registry.client.delete(url, headers=ann)

        assert made.status_code == 201
        assert before == shown(registry) == (0, quota)
        assert during == (0, 2 * quota)


def test_a_quota_that_was_lowered_holds_for_what_was_opened_before(
    registry, tmp_path, ops
):
    """Two that fit until then: whoever completes second is refused."""
    one = write_version(tmp_path / "one", seed=1)
    two = write_version(tmp_path / "two", seed=2, version="2.0.0")
    uploads = [
        registry.send(one, tmp_path / "one"),
        registry.send(two, tmp_path / "two"),
    ]
    set_quota(registry, ops, one.size_bytes)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(registry.complete, uploads))

    assert sorted(answer.status_code for answer in answers) == [201, 413]
    used, _ = shown(registry)
    assert used in (one.size_bytes, two.size_bytes)
