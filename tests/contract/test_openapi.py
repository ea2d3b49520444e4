"""The interface is what its OpenAPI document says, for strangers and for operators."""

import json
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from safegene_registry.access import Scope
from safegene_registry.db import Database
from schemathesis.specs.openapi.checks import positive_data_acceptance
from support.access_requests import PRIVATE, PUBLIC, REQUESTS
from support.access_table import about_namespace
from support.access_world import ASKERS, SETTINGS, World
from support.registry_app import app_registry, bearer, new_token
from support.versions import write_version

UNDOCUMENTED = {"GET /metrics"}
"""For the operator's own tools, behind a token that is no account's."""

TITLES = (
    "anonymous",
    "stranger",
    "reader",
    "publisher",
    "owner",
    "operator",
    "expired",
)
"""Who puts a well-formed request of every route."""

REFUSED = {"{digest}": 422, "/parts": 422, "/complete": 409, "/oidc/token": 401}
"""Ends of routes whose request in the table is refused to everybody, for its content:
wrong bytes, no part, an upload without blobs and a JWT that is none."""

COMMITTED = Path(__file__).with_name("openapi.json")

EXAMPLES = 12
"""Per operation; the laws are simple, and there are dozens of operations."""


@pytest.fixture(scope="module")
def registry(tmp_path_factory, module_parts):
    root = tmp_path_factory.mktemp("contract")
    with app_registry(root / "data", **module_parts) as registry:
        registry.publish(write_version(root / "v"), root / "v")
        registry.send(write_version(root / "w", version="2.0.0"), root / "w")
        yield registry


def test_the_document_is_the_committed_one(registry):
    document = registry.client.get("/openapi.json").json()
    document["info"]["version"] = "any"

    committed = json.loads(COMMITTED.read_text(encoding="utf-8"))

    assert document == committed, (
        "the interface has changed: if that is meant, save it with"
        " `python tests/contract/freeze_openapi.py`, and say it in the changelog"
    )


@pytest.fixture(scope="module")
def schema(registry):
    return schemathesis.openapi.from_asgi("/openapi.json", registry.app)


def ask_everything(schema, new_headers=dict):
    """Put generated requests to every operation, each answer held to the document.

    Args:
        schema: of the application.
        new_headers: makes those of one operation; some operations end their token.

    A well-formed cursor, range or manifest can still be senseless, which a schema
    cannot say; so a 422 to a request that matches the schema is no failure.
    """
    asked = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        ask_operation(operation, new_headers())
        asked.add(operation.label)
    return asked


def ask_operation(operation, headers):
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=operation.as_strategy())
    def ask(case):
        answer = case.call_and_validate(
            excluded_checks=[positive_data_acceptance],
            headers=headers,
        )
        check_documented(operation.definition.raw, answer)

    ask()


def check_documented(operation, answer):
    """The document names the status, and if it is a problem, which one it may be."""
    told = operation["responses"].get(str(answer.status_code))
    assert told is not None, answer.status_code
    media = answer.headers.get("content-type") or ""
    media = media if isinstance(media, str) else media[0]
    if answer.request.method == "HEAD":
        return  # The same without a body.
    if media.startswith("application/problem+json"):
        slug = answer.json()["type"].rpartition("/")[2]
        assert f"`{slug}`" in told["description"]
    else:
        assert answer.status_code < 400


def everything(document):
    """Every operation that the document describes."""
    return {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    }


def test_the_document_describes_every_route(registry):
    document = registry.client.get("/openapi.json").json()

    assert everything(document) == set(REQUESTS) - UNDOCUMENTED


def test_strangers_get_what_the_document_says(schema):
    assert ask_everything(schema) == everything(schema.raw_schema)


@pytest.fixture
def database(registry):
    """The registry's; Schemathesis starts and stops the application's as it likes."""
    database = Database(registry.app.state.settings.parsed_database_url)
    yield database
    database.dispose()


@pytest.mark.parametrize(
    ("scope", "operator"),
    [
        pytest.param(Scope.PUBLISH, False, id="publishers", marks=pytest.mark.slow),
        pytest.param(Scope.ADMIN, True, id="operators"),
    ],
)
def test_who_has_a_token_gets_what_the_document_says(schema, database, scope, operator):
    """Operators' requests get past every guard, and they publish as well."""

    def new_headers():
        with database.writing() as session:
            account = f"tests-{scope}"
            return bearer(new_token(session, account, scope, operator=operator))

    assert ask_everything(schema, new_headers) == everything(schema.raw_schema)


@pytest.fixture(scope="module")
def world(tmp_path_factory, new_backend):
    root = tmp_path_factory.mktemp("world")
    with (
        new_backend() as parts,
        app_registry(root / "data", **SETTINGS, **parts) as registry,
    ):
        world = World(registry, root)
        world.build()
        yield world


@pytest.mark.parametrize("route", sorted(set(REQUESTS) - UNDOCUMENTED))
def test_well_formed_requests_get_what_the_document_says(world, schema, route):
    """Those that generated ones seldom are: about something that is there."""
    method, _, path = route.partition(" ")
    operation = schema[path][method]
    statuses = set()
    for asker in (asker for asker in ASKERS if asker.title in TITLES):
        for namespace in (PUBLIC, PRIVATE) if about_namespace(route) else ("",):
            answer = world.ask(route, asker, namespace)
            check_documented(operation.definition.raw, answer)
            if method != "HEAD":
                operation.validate_response(answer)
            statuses.add(answer.status_code)

    refused = {status for end, status in REFUSED.items() if path.endswith(end)}
    assert statuses & refused or min(statuses) < 300
