"""What is deprecated works as before, and everybody is told."""

import json

import pytest
from safegene_registry.models import EventRow
from sqlalchemy import select
from support.versions import llama_config, write_version

GUARD = "/v1/vectors/acme/guard"
OLD = f"{GUARD}/versions/1.0.0"


@pytest.fixture
def guard(registry, tmp_path):
    """A vector with two versions."""
    for seed, version in enumerate(("1.0.0", "1.1.0")):
        place = tmp_path / version
        manifest = write_version(place, vector="acme/guard", version=version, seed=seed)
        assert registry.publish(manifest, place).status_code == 201


def put(registry, path, message="too old", status=200, **more):
    answer = registry.client.put(
        f"{path}/deprecation", json={"message": message, **more}, headers=registry.auth
    )
    assert answer.status_code == status, answer.text
    return answer.json()


def take_back(registry, path):
    answer = registry.client.delete(f"{path}/deprecation", headers=registry.auth)
    assert answer.status_code == 204, answer.text


def shown(registry, path, **options):
    """The same for who has a token and who has none."""
    short = registry.client.get(path, **options)
    long = registry.client.get(path, headers=registry.auth, **options)
    assert short.json() == long.json()
    return short.json()["deprecated"]


@pytest.mark.usefixtures("guard")
def test_a_version_is_found_as_before_and_says_so(registry):
    said = put(registry, OLD, "  too old ", successor=" acme/guard@~=1.1")

    assert (said["of"], said["message"]) == ("version", "too old")
    assert said["successor"] == "acme/guard@~=1.1"
    assert shown(registry, OLD) == said
    assert shown(registry, f"{GUARD}/resolve", params={"constraint": "<1.1"}) == said
    assert shown(registry, f"{GUARD}/resolve") is None
    assert shown(registry, f"{GUARD}/versions/1.1.0") is None
    listed = registry.client.get(f"{GUARD}/versions").json()["items"]
    assert [one["deprecated"] for one in listed] == [None, said]
    question = {"config": llama_config(), "constraint": "<1.1"}
    fits = registry.client.post("/v1/compatibility", json=question).json()["fits"]
    assert [match["version"] for match in fits] == ["1.0.0"]


@pytest.mark.usefixtures("guard")
def test_of_a_whole_vector_every_version_says_so(registry):
    put(registry, OLD, "leaks")
    said = put(registry, GUARD, "see guard2", successor="acme/guard2")

    assert (said["of"], said["successor"]) == ("vector", "acme/guard2")
    assert shown(registry, GUARD) == said
    assert shown(registry, f"{GUARD}/resolve") == said
    assert shown(registry, f"{GUARD}/resolve?alias=latest") == said
    assert shown(registry, OLD)["message"] == "leaks"


@pytest.mark.usefixtures("guard")
@pytest.mark.parametrize("path", [GUARD, OLD])
def test_it_can_be_taken_back(registry, path):
    put(registry, path)

    take_back(registry, path)
    take_back(registry, path)

    assert shown(registry, path) is None


@pytest.mark.usefixtures("guard")
@pytest.mark.parametrize("path", [GUARD, OLD])
def test_the_same_again_changes_nothing_and_another_message_the_message(registry, path):
    first = put(registry, path, "too old")

    again = put(registry, path, "too old")
    other = put(registry, path, "leaks", successor="acme/other:stable")

    assert again == first
    assert other == {**first, "message": "leaks", "successor": "acme/other:stable"}
    assert shown(registry, path) == other


@pytest.mark.usefixtures("guard")
def test_caches_are_told(registry):
    tag = registry.client.get(OLD).headers["etag"]

    put(registry, OLD)

    answer = registry.client.get(OLD, headers={"If-None-Match": tag})
    assert answer.status_code == 200


@pytest.mark.usefixtures("guard")
def test_every_change_is_an_event(registry):
    put(registry, f"{GUARD}/versions/1.0")
    put(registry, f"{GUARD}/versions/1.0")
    put(registry, GUARD, "see guard2", successor="acme/guard2")
    take_back(registry, GUARD)
    take_back(registry, GUARD)

    with registry.services.database.reading() as session:
        rows = session.scalars(select(EventRow).order_by(EventRow.position)).all()
    said = [
        (row.kind, row.vector, row.version, json.loads(row.details))
        for row in rows
        if row.kind.startswith("deprecation")
    ]
    see = {"message": "see guard2", "successor": "acme/guard2"}
    old = {"message": "too old", "successor": None}
    assert said == [
        ("deprecation.set", "guard", "1.0.0", old),
        ("deprecation.set", "guard", None, see),
        ("deprecation.removed", "guard", None, {}),
    ]


@pytest.mark.usefixtures("guard")
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{GUARD}/versions/9.0.0", {}, 404),
        ("/v1/vectors/acme/nothing", {}, 404),
        (f"{GUARD}/versions/one", {}, 422),
        (OLD, {"message": " "}, 422),
        (OLD, {"message": "x" * 501}, 422),
        (OLD, {"successor": "guard2"}, 422),
        (GUARD, {"successor": "acme/guard@1.x"}, 422),
    ],
)
def test_what_cannot_be_deprecated(registry, path, body, status):
    put(registry, path, **{"message": "too old", **body}, status=status)

    assert shown(registry, OLD) is None
