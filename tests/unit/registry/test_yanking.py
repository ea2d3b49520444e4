"""A yanked version is what nothing means any more, and still there for who names it."""

import threading
from datetime import UTC, datetime

import pytest
from support.registry_app import bearer
from support.versions import llama_config, neox_config, write_version

GUARD = "/v1/vectors/acme/guard"
REASON = "refuses code"


@pytest.fixture
def publish(registry, tmp_path):
    """Publish versions of `acme/guard`, or of another vector."""

    def publish(*versions, vector="acme/guard", **facts):
        manifests = []
        for version in versions:
            place = tmp_path / f"{vector.replace('/', '-')}-{version}"
            seed = len(list(tmp_path.iterdir()))
            facts.setdefault("seed", seed)
            manifest = write_version(place, vector=vector, version=version, **facts)
            answer = registry.publish(manifest, place)
            assert answer.status_code == 201, answer.text
            manifests.append(manifest)
        return manifests

    return publish


def yank(registry, version, reason=REASON, vector=GUARD):
    answer = registry.client.put(
        f"{vector}/versions/{version}/yank",
        json={"reason": reason},
        headers=bearer(registry.token),
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def unyank(registry, version):
    answer = registry.client.delete(
        f"{GUARD}/versions/{version}/yank", headers=bearer(registry.token)
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def resolved(registry, *, token=False, **params):
    """What is resolved, without a token (one statement) or with one."""
    headers = bearer(registry.token) if token else {}
    answer = registry.client.get(f"{GUARD}/resolve", params=params, headers=headers)
    return answer.json()["version"] if answer.status_code == 200 else answer.json()


def fits(registry, constraint=None, config=None):
    question = {"config": config or llama_config(), "constraint": constraint}
    answer = registry.client.post("/v1/compatibility", json=question).json()
    return [f"{match['name']}@{match['version']}" for match in answer["fits"]]


@pytest.mark.parametrize("token", [False, True])
def test_what_was_yanked_is_not_resolved(registry, publish, token):
    publish("1.0.0", "1.1.0", "1.2.0")

    yank(registry, "1.2")

    assert resolved(registry, token=token) == "1.1.0"
    assert resolved(registry, token=token, alias="latest") == "1.1.0"
    assert resolved(registry, token=token, constraint="~=1.0") == "1.1.0"
    assert fits(registry) == fits(registry, "~=1.0") == ["guard@1.1.0"]
    found = registry.client.get("/v1/vectors").json()["items"]
    assert [one["latest"]["version"] for one in found] == ["1.1.0"]
    assert found[0]["version_count"] == 3


@pytest.mark.parametrize("token", [False, True])
def test_who_names_it_gets_it_with_the_reason(registry, publish, token):
    first, _ = publish("1.0.0", "1.1.0")
    before = datetime.now(UTC)
    yank(registry, "1.0.0", "  refuses\x1b code ")
    headers = bearer(registry.token) if token else {}

    def got(path, **params):
        return registry.client.get(path, params=params, headers=headers).json()

    exact = got(f"{GUARD}/versions/1.0.0")
    digest = got(f"{GUARD}/resolve", digest=str(first.digest))
    pinned = got(f"{GUARD}/resolve", constraint="==1.0")
    listed = got(GUARD)["versions"] + got(f"{GUARD}/versions")["items"]

    yanked = exact["yanked"]
    assert yanked["reason"] == "refuses\x1b code"
    assert before <= datetime.fromisoformat(yanked["at"]) <= datetime.now(UTC)
    assert digest["yanked"] == pinned["yanked"] == yanked
    assert [one["yanked"] for one in listed] == [None, yanked] * 2
    files = [got_file["url"] for got_file in exact["files"]]
    assert all(registry.client.get(url).status_code == 200 for url in files)


def test_several_that_a_range_may_mean_are_no_pin(registry, publish):
    publish("1.0.0", "1.1.0")
    yank(registry, "1.0.0")

    for constraint in ("==1.0.*", "<=1.0", "~=1.0.0", "==1.0,<2"):
        problem = resolved(registry, constraint=constraint)
        assert problem["status"] == 404
        assert "yanked" in problem["detail"]


def test_it_can_be_taken_back(registry, publish):
    publish("1.0.0", "1.1.0")
    yank(registry, "1.1.0")

    assert unyank(registry, "1.1.0")["yanked"] is None

    assert resolved(registry) == "1.1.0"
    assert fits(registry) == ["guard@1.1.0"]
    assert unyank(registry, "1.1.0")["yanked"] is None


def test_the_same_again_changes_nothing_and_another_reason_the_reason(
    registry, publish
):
    publish("1.0.0")
    first = yank(registry, "1.0.0")

    again = yank(registry, "1.0.0")
    other = yank(registry, "1.0.0", "leaks a key")

    assert again == first
    assert other["yanked"] == {"at": first["yanked"]["at"], "reason": "leaks a key"}


def test_a_vector_of_which_all_is_yanked_is_for_those_only_who_know_it(
    registry, publish
):
    publish("1.0.0", "1.1.0")
    publish("3.0.0", vector="acme/other")
    yank(registry, "1.0.0")
    yank(registry, "1.1.0")

    found = registry.client.get("/v1/vectors").json()["items"]
    detail = registry.client.get(GUARD).json()
    problem = resolved(registry)

    assert [one["name"] for one in found] == ["other"]
    assert fits(registry) == ["other@3.0.0"]
    assert detail["latest"]["version"] == "1.1.0"
    assert all(one["yanked"] for one in detail["versions"])
    assert problem["status"] == 404
    assert "yanked" in problem["detail"]


def test_the_next_version_is_the_newest_again_even_if_it_is_older(registry, publish):
    publish("1.1.0")
    yank(registry, "1.1.0")

    publish("1.0.1")

    assert resolved(registry) == "1.0.1"
    assert fits(registry) == ["guard@1.0.1"]
    unyank(registry, "1.1.0")
    assert resolved(registry) == "1.1.0"


def test_a_family_is_not_named_for_what_is_yanked_in_it(registry, publish):
    """Neither as what fits nor as what comes near."""
    publish("1.0.0")
    publish("1.0.0", vector="acme/neox", config=neox_config(), base_model="acme/neox")
    yank(registry, "1.0.0", vector="/v1/vectors/acme/neox")

    answer = registry.client.post(
        "/v1/compatibility", json={"config": llama_config()}
    ).json()

    assert [match["name"] for match in answer["fits"]] == ["guard"]
    assert answer["others"] == []


def test_caches_are_told(registry, publish):
    publish("1.0.0")
    path = f"{GUARD}/versions/1.0.0"
    tag = registry.client.get(path).headers["etag"]
    assert registry.client.get(path, headers={"If-None-Match": tag}).status_code == 304

    yank(registry, "1.0.0")

    assert registry.client.get(path, headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("acme/guard/versions/9.0.0", {"reason": REASON}, 404),
        ("acme/nothing/versions/1.0.0", {"reason": REASON}, 404),
        ("acme/guard/versions/one", {"reason": REASON}, 422),
        ("acme/guard/versions/1.0.0", {"reason": " "}, 422),
        ("acme/guard/versions/1.0.0", {"reason": "x" * 501}, 422),
        ("acme/guard/versions/1.0.0", {}, 422),
    ],
)
def test_what_cannot_be_yanked(registry, publish, path, body, status):
    publish("1.0.0")

    answer = registry.client.put(
        f"/v1/vectors/{path}/yank", json=body, headers=bearer(registry.token)
    )

    assert answer.status_code == status
    assert registry.client.get(f"{GUARD}/versions/1.0.0").json()["yanked"] is None


def test_whatever_happens_at_once_the_newest_is_right_in_the_end(registry, publish):
    """Publishing and yanking lock the vector: nobody settles on what is outdated."""
    versions = [f"1.{number}.0" for number in range(6)]
    publish(*versions)
    failures = []

    def back_and_forth(version):
        try:
            for _ in range(3):
                yank(registry, version)
                unyank(registry, version)
            yank(registry, version)
        except AssertionError as error:
            failures.append(error)

    threads = [
        threading.Thread(target=back_and_forth, args=[version])
        for version in versions[3:]
    ]
    for thread in threads:
        thread.start()
    publish("1.2.5")
    for thread in threads:
        thread.join()

    assert failures == []
    assert resolved(registry) == "1.2.5"
    assert fits(registry) == ["guard@1.2.5"]
