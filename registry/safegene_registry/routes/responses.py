"""What the OpenAPI document says about answers that are not plain JSON."""

from typing import Any

from safegene_registry.problems import PROBLEM_MEDIA_TYPE, PROBLEMS
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


COMMON_RESPONSES: Responses = {
    # Naming the model once puts its schema into the document.
    "default": {
        "model": Problem,
        "description": "A problem",
        "content": {PROBLEM_MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}},
    },
    **problems(
        "invalid-request", "payload-too-large", "internal-error", "storage-unavailable"
    ),
}

WRITE_PROBLEMS = problems("authentication-required", "forbidden", "not-found")

BINARY_SCHEMA = {"type": "string", "format": "binary"}


def content(media_type: str) -> Responses:
    """The answers of an endpoint that sends bytes."""
    body = {"content": {media_type: {"schema": BINARY_SCHEMA}}}
    return {
        200: {"description": "The bytes", **body},
        206: {"description": "The requested range of the bytes", **body},
        304: {"description": "The caller has them already"},
        **problems("not-found", "range-not-satisfiable"),
    }
