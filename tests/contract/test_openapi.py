"""The interface is what its OpenAPI document says, for strangers and for operators."""

import json
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from safegene_registry.access import Scope
from schemathesis.specs.openapi.checks import positive_data_acceptance
from support.registry_app import app_registry, bearer
from support.versions import write_version

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
        "the interface has changed: if that is meant, save what /openapi.json answers"
        " as tests/contract/openapi.json, with the version `any`, and say it in the"
        " changelog"
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
        case.call_and_validate(
            excluded_checks=[positive_data_acceptance], headers=headers
        )

    ask()


def test_strangers_get_what_the_document_says(schema):
    assert "POST /v1/uploads" in ask_everything(schema)


def test_operators_get_what_the_document_says(schema, registry):
    """Whose requests get past every guard, and who publish as well."""

    def new_headers():
        return bearer(registry.token_of("tests", Scope.ADMIN, operator=True))

    assert "PUT /v1/namespaces/{namespace}/quota" in ask_everything(schema, new_headers)
