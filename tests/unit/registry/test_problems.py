"""Refusals: every one is a problem with a page, and says nothing it should not."""

from pathlib import Path
from uuid import UUID

import pytest
from fastapi import HTTPException
from safegene_registry.problem_kinds import PROBLEMS
from safegene_registry.problem_pages import problems_document
from safegene_registry.problems import (
    SHOWN,
    Fault,
    ProblemError,
    pointer_to,
    problem_from_error,
)
from sqlalchemy import text
from support.registry_app import app_registry

from safegene.errors import ArtifactError, CompatibilityError, ManifestError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/v1/vectors/", 404, "not-found"),
        ("GET", "/v1/vectors/a/b/c/d", 404, "not-found"),
        ("DELETE", "/v1/vectors", 405, "method-not-allowed"),
        ("GET", "/v1/compatibility/fleet", 405, "method-not-allowed"),
        ("GET", "/v1/vectors?limit=many", 422, "invalid-request"),
        ("POST", "/v1/uploads", 401, "authentication-required"),
        ("GET", "/problems/nothing", 404, "not-found"),
    ],
)
def test_every_refusal_is_a_problem(registry, method, path, status, slug):
    answer = registry.client.request(method, path)

    problem = answer.json()
    assert answer.status_code == problem["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"http://testserver/problems/{slug}"
    assert problem["title"] == PROBLEMS[slug].title
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["instance"] == f"urn:uuid:{UUID(problem['request_id'])}"
    assert problem["detail"]


def test_a_method_that_is_not_taken_names_those_that_are(registry):
    answer = registry.client.delete("/v1/compatibility/fleet")

    assert answer.headers["allow"] == "POST"


def test_the_public_address_names_the_problems(tmp_path):
    with app_registry(tmp_path / "d", public_url="https://gene.example/r/") as registry:
        problem = registry.client.get("/nowhere").json()

    assert problem["type"] == "https://gene.example/r/problems/not-found"


@pytest.mark.parametrize("slug", PROBLEMS)
def test_every_problem_has_a_page(registry, slug):
    page = registry.client.get(f"/problems/{slug}")

    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert slug in page.text
    assert str(PROBLEMS[slug].status) in page.text


def test_the_document_is_made_from_the_table():
    written = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")

    assert written == problems_document()


def test_what_was_not_foreseen_is_an_answer_without_its_cause(registry):
    @registry.app.get("/breaks")
    def breaks():
        raise RuntimeError("secret sgt_abc in SELECT * FROM tokens")

    answer = registry.client.get("/breaks")

    assert answer.status_code == 500
    assert answer.json()["type"].endswith("/problems/internal-error")
    assert "secret" not in answer.text
    assert "SELECT" not in answer.text


def test_a_broken_database_is_an_answer_without_its_statements(registry):
    with registry.services.database.writing() as session:
        session.execute(text("ALTER TABLE heads RENAME TO elsewhere"))

    answer = registry.client.get("/v1/vectors")

    assert answer.status_code == 500
    assert "elsewhere" not in answer.text
    assert "SELECT" not in answer.text


@pytest.mark.parametrize(
    ("status", "told", "slug"),
    [
        (400, 422, "invalid-request"),
        (403, 403, "forbidden"),
        (418, 422, "invalid-request"),
    ],
)
def test_a_refusal_of_the_framework_is_a_problem_too(registry, status, told, slug):
    @registry.app.get("/refuses")
    def refuses():
        raise HTTPException(status)

    answer = registry.client.get("/refuses")

    assert answer.status_code == told
    assert answer.json()["type"].endswith(f"/problems/{slug}")


def test_pointers_are_escaped_and_say_where():
    assert pointer_to(("body", "config", "a/b~c", 0)) == "/config/a~1b~0c/0"
    assert pointer_to(("query", "limit")) == "/query/limit"
    assert pointer_to(()) == ""


def test_errors_of_the_core_become_problems():
    manifest = problem_from_error(ManifestError("no", pointer="/rank"))
    artifact = problem_from_error(ArtifactError("no"))

    assert manifest.faults[0].pointer == "/rank"
    assert artifact.kind.slug == "manifest-invalid"
    with pytest.raises(CompatibilityError):
        problem_from_error(CompatibilityError("not for a server"))


@pytest.mark.parametrize(
    "quoted", ["\ud800", "a\x00b", "\x1b[31m", "\u202eevil", "x" * 100_000]
)
def test_what_a_problem_quotes_can_be_stored_shown_and_sent(quoted):
    problem = ProblemError(
        f"No {quoted}.", "invalid-request", faults=[Fault(f"/{quoted}", quoted)]
    )

    for text_ in (problem.detail, *problem.faults[0]):
        assert text_.isprintable()
        assert len(text_) <= SHOWN + 1
