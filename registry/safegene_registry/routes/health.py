"""Is it alive, can it serve, and what do its problems mean."""

import secrets

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST

from safegene import __version__
from safegene_registry.guards import ANYBODY
from safegene_registry.problem_kinds import PROBLEMS
from safegene_registry.problem_pages import problem_page
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.readiness import ReadinessDep
from safegene_registry.routes.responses import problems
from safegene_registry.schemas import Health, Ready

RETRY_SECONDS = 5
"""What a caller is told to wait who asked a replica that is not ready."""

router = APIRouter(tags=["service"])


@router.get("/healthz", dependencies=[ANYBODY])
def health() -> Health:
    """Whether the process answers; asks nothing of the database."""
    return Health(status="ok", version=__version__)


@router.get("/readyz", responses=problems("not-ready"), dependencies=[ANYBODY])
async def ready(readiness: ReadinessDep) -> Ready:
    """Whether this replica can serve: its database and its blob store answer, soon.

    `errors` of the problem names the parts that fail, as `/parts/NAME`.
    """
    found = await readiness.problems()
    faults = [Fault(f"/parts/{name}", text) for name, text in found.items() if text]
    if faults:
        named = ", ".join(fault.pointer.rpartition("/")[2] for fault in faults)
        detail = f"This replica is not ready: {named}."
        headers = {"Retry-After": str(RETRY_SECONDS)}
        raise ProblemError(detail, "not-ready", faults=faults, headers=headers)
    return Ready(status="ready", parts=dict.fromkeys(found, "ok"))


# It has a token of its own: no account of the registry opens it.
@router.get("/metrics", include_in_schema=False, dependencies=[ANYBODY])
async def metrics(request: Request) -> Response:
    """Numbers of this replica for Prometheus, if the operator has set a token."""
    expected = request.app.state.settings.metrics_token
    if expected is None:
        detail = "There is nothing at /metrics."
        raise ProblemError(detail, "not-found")
    given = request.headers.get("authorization", "")
    wanted = f"Bearer {expected.get_secret_value()}"
    if not secrets.compare_digest(given.encode(), wanted.encode()):
        detail = "The metrics take the token of SAFEGENE_REGISTRY_METRICS_TOKEN."
        raise ProblemError(detail, "authentication-required")
    return Response(
        request.app.state.metrics.text(),
        media_type=CONTENT_TYPE_LATEST,
        headers={"Cache-Control": "no-store"},
    )


@router.get(
    "/problems/{slug}",
    response_class=HTMLResponse,
    responses=problems("not-found"),
    dependencies=[ANYBODY],
)
def get_problem_page(slug: str) -> HTMLResponse:
    """What a problem type means and what to do about it."""
    kind = PROBLEMS.get(slug)
    if kind is None:
        known = ", ".join(PROBLEMS)
        detail = f"There is no problem type {slug!r}; there are {known}."
        raise ProblemError(detail, "not-found")
    return HTMLResponse(problem_page(kind))
