"""What the OpenAPI document says about answers that are not plain JSON."""

from typing import Any

from fastapi import FastAPI

from safegene_registry.access import RULES, Action
from safegene_registry.problem_kinds import PROBLEMS
from safegene_registry.problems import PROBLEM_MEDIA_TYPE
from safegene_registry.schemas import Problem

Responses = dict[int | str, dict[str, Any]]

PROBLEM_SCHEMA = {"$ref": f"#/components/schemas/{Problem.__name__}"}


COMMON = (
    *("invalid-request", "payload-too-large"),
    *("internal-error", "storage-unavailable"),
)
"""Problems that every endpoint may answer with."""


def problems(*slugs: str) -> Responses:
    """The problems an endpoint may answer with, for its `responses`.

    What is said here of a status stands in the place of what is said for all endpoints:
    so the common problems of that status are named once more.
    """
    wanted = {PROBLEMS[slug].status for slug in slugs}
    common = [slug for slug in COMMON if PROBLEMS[slug].status in wanted]
    found: dict[int, list[str]] = {}
    for slug in dict.fromkeys((*common, *slugs)):
        found.setdefault(PROBLEMS[slug].status, []).append(slug)
    return {
        status: {
            "description": " or ".join(f"`{slug}`" for slug in names),
            "content": {PROBLEM_MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}},
        }
        for status, names in found.items()
    }


def refusals(action: Action) -> Responses:
    """The problems that a guard of this action may answer with."""
    rule = RULES[action]
    if action is Action.PASS:
        return {}
    slugs = ["authentication-required", "rate-limited"]
    if rule.scope is not None:
        slugs.append("forbidden")
    if rule.role is not None:
        slugs.append("not-found")
    return problems(*slugs)


COMMON_RESPONSES = problems(*COMMON)
UPSTREAM = problems("upstream-invalid", "upstream-unavailable")
"""Where a version is read that may have to be fetched."""


BINARY_SCHEMA = {"type": "string", "format": "binary"}


class RegistryAPI(FastAPI):
    """The application; its OpenAPI document knows problems and guards.

    A `model` in `responses` would put the schema of problems there too, but would also
    promise plain `application/json`.
    """

    actions: dict[tuple[str, str], Action]
    """What each method of each path is guarded as."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.actions = {}

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        if self.openapi_schema is None:
            whole = super().openapi()
            schemas = whole["components"]["schemas"]
            document = Problem.model_json_schema(
                ref_template="#/components/schemas/{model}"
            )
            schemas.update(document.pop("$defs"))
            schemas[Problem.__name__] = document
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            for (method, path), action in self.actions.items():
                operation = whole["paths"].get(path, {}).get(method.lower())
                if operation is not None:
                    describe_guard(operation, action)
        return super().openapi()


def describe_guard(operation: dict[str, Any], action: Action) -> None:
    """Say in the document how a guard may refuse, and whether it needs a token."""
    responses = operation["responses"]
    for code, refusal in refusals(action).items():
        known = responses.setdefault(str(code), refusal)
        if refusal["description"] not in known["description"]:
            known["description"] += f" or {refusal['description']}"
    if action is not Action.PASS and RULES[action].scope is None:
        # What is public needs none.
        operation["security"] = [{}, *operation["security"]]


TAGGED: Responses = {
    200: {
        "headers": {
            "ETag": {
                "description": "For `If-None-Match`: it changes with the answer",
                "schema": {"type": "string"},
            }
        }
    },
    304: {"description": "The caller has the answer already"},
}
"""For the `responses` of `conditional.tagged_response`."""


def content(media_type: str, schema: dict[str, str] | None = None) -> Responses:
    """The answers of an endpoint that sends bytes.

    Args:
        media_type: of them.
        schema: of the whole of them; None: any bytes.
    """
    body = {"content": {media_type: {"schema": BINARY_SCHEMA}}}
    whole = {"content": {media_type: {"schema": schema or BINARY_SCHEMA}}}
    return {
        200: {"description": "The bytes", **whole},
        206: {"description": "The requested range of the bytes", **body},
        304: {"description": "The caller has them already"},
        **problems("not-found", "version-purged", "range-not-satisfiable"),
        **UPSTREAM,
    }
