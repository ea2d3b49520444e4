"""The table of who gets what, as it is committed and compared."""

from support.access_requests import ABSENT, PRIVATE, PUBLIC, REQUESTS
from support.access_world import ASKERS, World

LISTS = (
    *("GET /v1/vectors", "GET /v1/namespaces", "GET /v1/compatibility"),
    *("POST /v1/compatibility", "POST /v1/compatibility/fleet"),
)
"""Routes that show what is in every namespace the asker may read."""


def about_namespace(route: str) -> bool:
    """Whether a route's answer depends on a namespace."""
    return "{namespace}" in route or "/v1/uploads" in route or "/v1/oidc" in route


def heading() -> list[str]:
    """The first lines of the table."""
    titles = [asker.title for asker in ASKERS]
    return ["route | namespace | " + " | ".join(titles), "-|-" + "|-" * len(titles)]


def rows_of(world: World, route: str) -> list[str]:
    """Who gets which status from a route where, and sees what in lists."""
    rows = []
    for namespace in (PUBLIC, PRIVATE, ABSENT) if about_namespace(route) else ("",):
        answers = [world.ask(route, asker, namespace) for asker in ASKERS]
        cells = [str(answer.status_code) for answer in answers]
        rows.append(f"{route} | {namespace} | " + " | ".join(cells))
    for namespace in (PUBLIC, PRIVATE) if route in LISTS else ():
        answers = [world.ask(route, asker, namespace).text for asker in ASKERS]
        cells = ["shown" if f'"{namespace}"' in text else "-" for text in answers]
        rows.append(f"{route} | {namespace} | " + " | ".join(cells))
    return rows


def table_of(world: World) -> str:
    """The text of the committed table."""
    rows = [row for route in REQUESTS for row in rows_of(world, route)]
    return "\n".join([*heading(), *rows]) + "\n"
