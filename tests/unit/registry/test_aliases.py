"""Aliases move as those say who move them, and mean only what may be meant."""

import threading
from functools import partial

import pytest
from safegene_registry.access import Role
from support.aliases import (
    GUARD,
    make_member,
    meant,
    move,
    moves,
    publish_guard,
    remove,
    slug,
    steps,
    yank,
)
from support.registry_app import bearer


@pytest.fixture
def publish(registry, tmp_path):
    """Publish versions of `acme/guard`."""
    return partial(publish_guard, registry, tmp_path)


@pytest.fixture
def member(registry):
    """Make members of `acme`, and tokens of theirs."""
    return partial(make_member, registry)


@pytest.mark.parametrize("token", [False, True])
def test_an_alias_means_what_it_was_pointed_at(registry, publish, token):
    publish("1.0.0", "1.1.0")

    made = move(registry, "stable", "1.0")

    assert (made["alias"], made["version"]) == ("stable", "1.0.0")
    assert made["yanked"] is None
    assert made["protected"] is False
    assert meant(registry, "stable", token=token) == "1.0.0"
    assert meant(registry, "latest", token=token) == "1.1.0"
    move(registry, "stable", "1.1.0")
    assert meant(registry, "stable", token=token) == "1.1.0"


def test_it_says_the_same_with_and_without_a_token(registry, publish):
    publish("1.0.0", "1.1.0")
    move(registry, "stable", "1.0.0")
    params = {"alias": "stable"}

    short = registry.client.get(f"{GUARD}/resolve", params=params)
    long = registry.client.get(f"{GUARD}/resolve", params=params, headers=registry.auth)

    assert short.json() == long.json()
    assert short.headers["etag"] == long.headers["etag"]


def test_only_who_knows_where_it_points_moves_it(registry, publish):
    publish("1.0.0", "1.1.0", "1.2.0")
    move(registry, "stable", "1.0.0", expected=None)

    again = move(registry, "stable", "1.1.0", expected=None, status=412)
    other = move(registry, "stable", "1.1.0", expected="1.2.0", status=412)
    absent = move(registry, "canary", "1.1.0", expected="1.0", status=412)

    assert {slug(one) for one in (again, other, absent)} == {"alias-changed"}
    assert "points at 1.0.0; it was expected not to exist" in again["detail"]
    assert "points at 1.0.0; it was expected to point at 1.2.0" in other["detail"]
    assert "canary of acme/guard does not exist" in absent["detail"]
    assert other["errors"] == [{"pointer": "/expected", "detail": "is 1.0.0"}]
    assert steps(moves(registry, "stable")) == [(None, "1.0.0")]
    move(registry, "stable", "1.1.0", expected="1.0")
    remove(registry, "stable", expected="1.0.0", status=412)
    remove(registry, "stable", expected="1.1")


def test_of_many_who_believe_the_same_one_wins(registry, publish):
    versions = [f"1.{number}.0" for number in range(5)]
    publish("1.9.0", *versions)
    move(registry, "stable", "1.9.0")
    answers = {}

    def try_to(version):
        answers[version] = registry.client.put(
            f"{GUARD}/aliases/stable",
            json={"version": version, "expected": "1.9.0"},
            headers=registry.auth,
        ).status_code

    threads = [threading.Thread(target=try_to, args=[version]) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    winners = [version for version, status in answers.items() if status == 200]
    assert sorted(answers.values()) == [200, 412, 412, 412, 412]
    assert meant(registry, "stable") == winners[0]
    assert steps(moves(registry, "stable")) == [("1.9.0", winners[0]), (None, "1.9.0")]


def test_every_move_is_kept_and_the_same_again_is_none(registry, publish):
    publish("1.0.0", "1.1.0")
    move(registry, "stable", "1.0.0")
    move(registry, "stable", "1.0.0", expected="1.0.0")
    move(registry, "stable", "1.1.0")
    remove(registry, "stable")
    move(registry, "stable", "1.0.0", expected=None)

    found = moves(registry, "stable")
    first = moves(registry, "stable", limit=3)
    rest = moves(registry, "stable", limit=3, cursor=first["next_cursor"])

    whole = [
        (None, "1.0.0"),
        ("1.1.0", None),
        ("1.0.0", "1.1.0"),
        (None, "1.0.0"),
    ]
    assert steps(found) == whole == steps(first) + steps(rest)
    assert [one["number"] for one in found["items"]] == [4, 3, 2, 1]
    assert {one["by"] for one in found["items"]} == {"tests"}
    assert rest["next_cursor"] is None


def test_strangers_do_not_learn_who_moved_it(registry, publish, member):
    publish("1.0.0")
    move(registry, "stable", "1.0.0")
    stranger = registry.token_of("stranger")
    reader = member("reader", Role.READER)

    def by(**headers):
        path = f"{GUARD}/aliases/stable/history"
        return registry.client.get(path, headers=headers).json()["items"][0]["by"]

    assert by() is None
    assert by(**bearer(stranger)) is None
    assert by(**bearer(reader)) == "tests"


@pytest.mark.parametrize("cursor", ["WyJ4Il0=", "WyItMSJd", "W10=", "?"])
def test_a_cursor_of_another_list_is_refused(registry, publish, cursor):
    publish("1.0.0")
    move(registry, "stable", "1.0.0")

    answer = registry.client.get(
        f"{GUARD}/aliases/stable/history", params={"cursor": cursor}
    )

    assert answer.status_code == 422


def test_aliases_are_listed_by_name_page_by_page(registry, publish):
    publish("1.0.0", "1.1.0")
    for name, version in (("stable", "1.0.0"), ("canary", "1.1.0"), ("next", "1.1.0")):
        move(registry, name, version)

    def page(**params):
        return registry.client.get(f"{GUARD}/aliases", params=params)

    first = page(limit=2)
    rest = page(limit=2, cursor=first.json()["next_cursor"])
    one = registry.client.get(f"{GUARD}/aliases/canary")

    assert [item["alias"] for item in first.json()["items"]] == ["canary", "next"]
    assert first.headers["link"].endswith('rel="next"')
    assert [item["alias"] for item in rest.json()["items"]] == ["stable"]
    assert one.json() == first.json()["items"][0]
    assert one.headers["etag"]
    assert [item["version"] for item in page().json()["items"]] == [
        "1.1.0",
        "1.1.0",
        "1.0.0",
    ]


@pytest.mark.parametrize("token", [False, True])
def test_an_alias_of_what_was_yanked_means_nothing(registry, publish, token):
    publish("1.0.0", "1.1.0")
    move(registry, "stable", "1.1.0")
    move(registry, "canary", "1.1.0")

    told = yank(registry, "1.1.0")
    problem = meant(registry, "stable", token=token)

    assert told["aliases"] == ["canary", "stable"]
    assert problem["status"] == 404
    assert "stable of acme/guard points at 1.1.0" in problem["detail"]
    assert "refuses code" in problem["detail"]
    listed = registry.client.get(f"{GUARD}/aliases/stable").json()
    assert listed["yanked"]["reason"] == "refuses code"
    yank(registry, "1.1.0", back=True)
    assert meant(registry, "stable", token=token) == "1.1.0"


def test_nothing_is_pointed_at_what_was_yanked(registry, publish):
    publish("1.0.0", "1.1.0")
    yank(registry, "1.1.0")

    problem = move(registry, "stable", "1.1.0", status=409)

    assert slug(problem) == "version-yanked"
    assert "acme/guard@1.1.0 was yanked (refuses code)" in problem["detail"]
    assert registry.client.get(f"{GUARD}/aliases").json()["items"] == []


def test_caches_are_told(registry, publish):
    publish("1.0.0", "1.1.0")
    move(registry, "stable", "1.0.0")
    paths = [f"{GUARD}/resolve?alias=stable", f"{GUARD}/aliases/stable"]
    tags = [registry.client.get(path).headers["etag"] for path in paths]

    def statuses():
        return [
            registry.client.get(path, headers={"If-None-Match": tag}).status_code
            for path, tag in zip(paths, tags, strict=True)
        ]

    before = statuses()
    move(registry, "stable", "1.1.0")

    assert (before, statuses()) == ([304, 304], [200, 200])


@pytest.mark.parametrize(
    ("alias", "version", "status"),
    [
        ("latest", "1.0.0", 422),
        ("v1", "1.0.0", 422),
        ("1.x", "1.0.0", 422),
        ("Stable", "1.0.0", 422),
        ("a..b", "1.0.0", 422),
        ("stable", "2.0.0", 404),
        ("stable", "one", 422),
    ],
)
def test_what_no_alias_can_be_or_mean(registry, publish, alias, version, status):
    publish("1.0.0")

    move(registry, alias, version, status=status)

    assert registry.client.get(f"{GUARD}/aliases").json()["items"] == []


def test_what_is_not_there_is_said(registry, publish):
    publish("1.0.0")

    for path in ("aliases/stable", "aliases/stable/history", "resolve?alias=stable"):
        assert registry.client.get(f"{GUARD}/{path}").status_code == 404
    assert "has no alias 'stable'" in remove(registry, "stable", status=404).text
    nothing = registry.client.get("/v1/vectors/acme/nothing/aliases")
    assert nothing.status_code == 404
