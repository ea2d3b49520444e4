"""What the OpenAPI document says about answers that are not plain JSON."""

from typing import Any

from fastapi import FastAPI

from safegene_registry.problem_kinds import PROBLEMS
from safegene_registry.problems import PROBLEM_MEDIA_TYPE
from safegene_registry.schemas import Problem

Responses = dict[int | str, dict[str, Any]]

PROBLEM_SCHEMA = {"$ref": f"#/components/schemas/{Problem.__name__}"}


def problems(*slugs: str) -> Responses:
    """The problems an endpoint may answer with, for its `responses`."""
    found: dict[int, list[str]] = {}
    for slug in slugs:
        found.setdefault(PROBLEMS[slug].status, []).append(slug)
    return {
        status: {
            "description": " or ".join(f"`{slug}`" for slug in names),
            "content": {PROBLEM_MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}},
        }
        for status, names in found.items()
    }


COMMON_RESPONSES = problems(
    "invalid-request", "payload-too-large", "internal-error", "storage-unavailable"
)

WRITE_PROBLEMS = problems("authentication-required", "not-found")

BINARY_SCHEMA = {"type": "string", "format": "binary"}


class RegistryAPI(FastAPI):
    """The application, with the schema of problems in its OpenAPI document.

    A `model` in `responses` would put the schema there too, but would also promise
    plain `application/json`.
    """

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        if self.openapi_schema is None:
            schemas = super().openapi()["components"]["schemas"]
            document = Problem.model_json_schema(
                ref_template="#/components/schemas/{model}"
            )
            schemas.update(document.pop("$defs"))
            schemas[Problem.__name__] = document
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
        return super().openapi()


def content(media_type: str) -> Responses:
    """The answers of an endpoint that sends bytes."""
    body = {"content": {media_type: {"schema": BINARY_SCHEMA}}}
    return {
        200: {"description": "The bytes", **body},
        206: {"description": "The requested range of the bytes", **body},
        304: {"description": "The caller has them already"},
        **problems("not-found", "range-not-satisfiable"),
    }
