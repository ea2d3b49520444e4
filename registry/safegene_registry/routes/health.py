"""Is it alive, and what do its problems mean."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from safegene import __version__
from safegene_registry.problem_kinds import PROBLEMS
from safegene_registry.problem_pages import problem_page
from safegene_registry.problems import ProblemError
from safegene_registry.routes.responses import problems
from safegene_registry.schemas import Health

router = APIRouter(tags=["service"])


@router.get("/healthz")
def health() -> Health:
    """Whether the process answers; asks nothing of the database."""
    return Health(status="ok", version=__version__)


@router.get(
    "/problems/{slug}", response_class=HTMLResponse, responses=problems("not-found")
)
def get_problem_page(slug: str) -> HTMLResponse:
    """What a problem type means and what to do about it."""
    kind = PROBLEMS.get(slug)
    if kind is None:
        known = ", ".join(PROBLEMS)
        detail = f"There is no problem type {slug!r}; there are {known}."
        raise ProblemError(detail, "not-found")
    return HTMLResponse(problem_page(kind))
