"""Is it alive, and what do its problems mean."""

from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from safegene import __version__
from safegene_registry.problems import PROBLEMS, ProblemError
from safegene_registry.routes.responses import problems
from safegene_registry.schemas import Health

router = APIRouter(tags=["service"])

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1><p><code>{slug}</code>, HTTP status {status}</p>
<p>{meaning}</p><h2>What to do</h2><p>{remedy}</p></body></html>
"""


@router.get("/healthz")
def health() -> Health:
    """Whether the process answers; asks nothing of the database."""
    return Health(status="ok", version=__version__)


@router.get(
    "/problems/{slug}", response_class=HTMLResponse, responses=problems("not-found")
)
def problem_page(slug: str) -> HTMLResponse:
    """What a problem type means and what to do about it."""
    kind = PROBLEMS.get(slug)
    if kind is None:
        known = ", ".join(PROBLEMS)
        detail = f"There is no problem type {slug!r}; there are {known}."
        raise ProblemError(detail, "not-found")
    page = PAGE.format(
        slug=kind.slug,
        status=kind.status,
        title=escape(kind.title),
        meaning=escape(kind.meaning),
        remedy=escape(kind.remedy),
    )
    return HTMLResponse(page)
