"""A stranger's token opens nothing: every route, for everybody, against a table."""

import json
import re
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import APIRouter
from fastapi.routing import iter_route_contexts
from safegene_registry.access import Action
from safegene_registry.guards import ANYBODY, Browser, check_guards
from support.access_requests import ABSENT, PRIVATE, PUBLIC, REQUESTS
from support.access_table import about_namespace, heading, rows_of
from support.access_world import ASKERS, SETTINGS, Asker, World
from support.registry_app import app_registry, bearer

COMMITTED = Path(__file__).with_name("access.md")

UNGUARDED = {"GET /openapi.json", "HEAD /openapi.json"}
"""The framework's own."""

STRANGERS = ("anonymous", "stranger", "owner, elsewhere", "operator, to publish")


@contextmanager
def new_world(root, **settings):
    with app_registry(root / "data", **SETTINGS, **settings) as registry:
        world = World(registry, root)
        world.build()
        yield world


@pytest.fixture(scope="module")
def world(tmp_path_factory, module_parts):
    with new_world(tmp_path_factory.mktemp("access"), **module_parts) as world:
        yield world


@pytest.fixture(scope="module")
def closed_world(tmp_path_factory, new_backend):
    """Who may make a namespace learns that a name is taken; here only operators may."""
    root = tmp_path_factory.mktemp("closed")
    with (
        new_backend() as parts,
        new_world(root, namespace_creation="operators", **parts) as world,
    ):
        yield world


def declared_routes(app):
    """Method and path of everything that the application answers."""
    return {
        f"{method} {route.path}"
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
    }


def test_every_route_is_in_the_table(world):
    assert declared_routes(world.registry.app) == set(REQUESTS) | UNGUARDED


def test_the_table_has_rows_of_these_routes_only():
    text = COMMITTED.read_text(encoding="utf-8")

    assert text.splitlines()[:2] == heading()
    assert {row.split(" | ")[0] for row in text.splitlines()[2:]} == set(REQUESTS)


@pytest.mark.parametrize("route", REQUESTS)
def test_everybody_gets_what_the_table_says(world, route):
    text = COMMITTED.read_text(encoding="utf-8")
    committed = [row for row in text.splitlines() if row.startswith(f"{route} | ")]

    found = rows_of(world, route)

    assert found == committed, (
        "who may do what has changed: if that is meant, save it with"
        " `python tests/contract/freeze_access.py`, and say it in the changelog"
    )


@pytest.mark.parametrize("title", STRANGERS)
@pytest.mark.parametrize("route", [r for r in REQUESTS if about_namespace(r)])
def test_strangers_get_the_same_for_a_private_namespace_as_for_none(
    closed_world, route, title
):
    """Body and headers are equal, names and what names the request apart."""
    asker = next(asker for asker in ASKERS if asker.title == title)

    private = closed_world.ask(route, asker, PRIVATE)
    absent = closed_world.ask(route, asker, ABSENT)

    assert private.status_code in (401, 403, 404)
    assert told(private) == told(absent)


def told(response):
    """What a response says, without what is different every time."""
    text = json.dumps([response.text, sorted(response.headers.items())])
    text = re.sub(rf"{PRIVATE}|{ABSENT}-\d+", "NAME", text)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|content-length\W+\d+", "?", text)


@pytest.mark.parametrize("asker", ASKERS, ids=lambda asker: asker.title)
@pytest.mark.parametrize("route", [r for r in REQUESTS if "{upload_id}" in r])
def test_an_upload_is_known_to_the_account_that_opened_it_only(world, route, asker):
    """Operators included: what is on its way is nobody else's business."""
    opener, token = world.token(Asker("opener", "tests"))
    manifest = world.manifest(PUBLIC)
    upload_id = world.upload(manifest, token)
    method, _, path = route.partition(" ")
    path = path.replace("{upload_id}", str(upload_id))
    path = path.replace("{digest}", manifest.files[0].digest)
    secret, _ = world.token(asker)

    refused = world.registry.client.request(
        method, path, headers=bearer(secret) if asker.account else {}
    )

    knows = asker.account is not None and asker.ended is None
    assert refused.status_code == (404 if knows else 401)
    mine = world.registry.client.get(f"/v1/uploads/{upload_id}", headers=bearer(opener))
    assert mine.json()["state"] == "open"


def no_rule():
    pass


def two_rules(_browser: Browser):
    pass


@pytest.mark.parametrize(
    ("endpoint", "dependencies", "count"),
    [(no_rule, [], 0), (two_rules, [ANYBODY], 2)],
)
def test_a_route_without_exactly_one_guard_cannot_be_served(
    endpoint, dependencies, count
):
    router = APIRouter()
    router.get("/secrets", dependencies=dependencies)(endpoint)

    with pytest.raises(TypeError, match=f"/secrets has {count} guards"):
        check_guards(router.routes)


def test_the_guards_of_a_router_are_told():
    router = APIRouter()
    router.post("/ping", dependencies=[ANYBODY])(no_rule)

    assert check_guards(router.routes) == {("POST", "/ping"): Action.PASS}
