"""Who asks for a version learns what is wrong with it, and where it is mended."""

import json

import pytest
from safegene_registry.access import Scope
from safegene_registry.models import EventRow
from sqlalchemy import select
from support.registry_app import bearer
from support.versions import write_version

GUARD = "/v1/vectors/acme/guard"
CODE = {
    "severity": "high",
    "affected": ">=1.0,<1.2",
    "summary": "refuses code",
    "details": "All of it.",
    "fixed_in": "1.2",
}


@pytest.fixture
def owner(registry, tmp_path):
    """Publish some versions; headers of who owns the vector."""
    for seed, version in enumerate(("0.9.0", "1.0.0", "1.1.0rc1", "1.2.0")):
        place = tmp_path / version
        manifest = write_version(place, vector="acme/guard", version=version, seed=seed)
        assert registry.publish(manifest, place).status_code == 201
    return bearer(registry.token_of("tests", Scope.ADMIN))


def publish(registry, headers, status=201, **changed):
    answer = registry.client.post(
        f"{GUARD}/advisories", json={**CODE, **changed}, headers=headers
    )
    assert answer.status_code == status, answer.text
    return answer.json()


def withdraw(registry, headers, number, status=200):
    answer = registry.client.put(
        f"{GUARD}/advisories/{number}/withdrawal",
        json={"reason": " it was the target "},
        headers=headers,
    )
    assert answer.status_code == status, answer.text
    return answer.json()


def told(registry, path, **params):
    """Numbers of what is told with a version, with a token and without one."""
    short = registry.client.get(f"{GUARD}/{path}", params=params)
    long = registry.client.get(f"{GUARD}/{path}", params=params, headers=registry.auth)
    assert short.json() == long.json()
    return [one["number"] for one in short.json()["advisories"]]


def test_a_version_in_the_range_tells_and_others_do_not(registry, owner):
    said = publish(registry, owner)
    publish(registry, owner, severity="low", affected="<1", fixed_in=None)

    assert (said["number"], said["fixed_in"], said["withdrawn"]) == (1, "1.2.0", None)
    assert said["affected"] == "<1.2,>=1.0"
    assert told(registry, "versions/0.9.0") == [2]
    assert told(registry, "versions/1.0.0") == [1]
    assert told(registry, "versions/1.1.0rc1") == [1]
    assert told(registry, "versions/1.2.0") == []
    assert told(registry, "resolve", constraint="<1.1") == [1]
    assert told(registry, "resolve") == []
    note = registry.client.get(f"{GUARD}/versions/1.0.0").json()["advisories"][0]
    assert note == {name: said[name] for name in note}
    assert "details" not in note


def test_all_are_listed_and_those_about_a_version(registry, owner):
    first = publish(registry, owner)
    second = publish(registry, owner, affected="<1", fixed_in=None)

    def page(**params):
        return registry.client.get(f"{GUARD}/advisories", params=params).json()

    one = page(limit=1)
    rest = page(limit=1, cursor=one["next_cursor"])

    assert page()["items"] == [second, first] == one["items"] + rest["items"]
    assert rest["next_cursor"] is None
    assert page(version="1.0")["items"] == [first]
    assert page(version="1.2")["items"] == []
    assert registry.client.get(f"{GUARD}/advisories/1").json() == first
    assert registry.client.get(f"{GUARD}/advisories/3").status_code == 404
    assert registry.client.get(f"{GUARD}/advisories?version=x").status_code == 422


def test_one_that_was_wrong_is_withdrawn_and_stays_in_the_list(registry, owner):
    publish(registry, owner)

    gone = withdraw(registry, owner, 1)
    again = withdraw(registry, owner, 1)

    assert gone["withdrawn"]["reason"] == "it was the target"
    assert again == gone
    assert told(registry, "versions/1.0.0") == []
    listed = registry.client.get(f"{GUARD}/advisories").json()["items"]
    about = registry.client.get(f"{GUARD}/advisories?version=1.0").json()["items"]
    assert (listed, about) == ([gone], [])
    withdraw(registry, owner, 2, status=404)


def test_one_that_stands_is_not_published_twice(registry, owner):
    first = publish(registry, owner)

    again = publish(registry, owner, affected="<1.2, >=1.0", summary=" refuses code ")
    withdraw(registry, owner, 1)
    later = publish(registry, owner)

    assert again == first
    assert later["number"] == 2


def test_caches_are_told(registry, owner):
    path = f"{GUARD}/versions/1.0.0"
    tag = registry.client.get(path).headers["etag"]

    publish(registry, owner)

    assert registry.client.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_both_are_events(registry, owner):
    publish(registry, owner)
    withdraw(registry, owner, 1)
    withdraw(registry, owner, 1)

    with registry.services.database.reading() as session:
        rows = session.scalars(select(EventRow).order_by(EventRow.position)).all()
    said = [
        (row.kind, json.loads(row.details))
        for row in rows
        if row.kind.startswith("advisory")
    ]
    content = {**CODE, "affected": "<1.2,>=1.0", "fixed_in": "1.2.0", "number": 1}
    del content["details"]
    assert said == [
        ("advisory.published", content),
        ("advisory.withdrawn", {"number": 1, "reason": "it was the target"}),
    ]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"fixed_in": "1.1"}, 422),
        ({"fixed_in": "one"}, 422),
        ({"affected": "1.0"}, 422),
        ({"affected": ""}, 422),
        ({"severity": "bad"}, 422),
        ({"summary": " "}, 422),
        ({"details": "x" * 10_001}, 422),
    ],
)
def test_what_makes_no_sense_is_refused(registry, owner, changed, status):
    publish(registry, owner, status=status, **changed)

    assert registry.client.get(f"{GUARD}/advisories").json()["items"] == []


@pytest.mark.usefixtures("owner")
def test_who_only_publishes_does_not_say_so(registry):
    publish(registry, registry.auth, status=403)
