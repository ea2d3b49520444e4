"""What fits a model, page by page."""

from typing import Any

from safegene_client.answers import CompatibilityAnswer, Match
from safegene_client.session import Session, json_body

MAX_PAGES = 1000
"""Pages of one list that are asked for: one that goes on for longer has no end."""


def ask_what_fits(session: Session, question: dict[str, Any]) -> CompatibilityAnswer:
    """Ask a registry until there is as much as wanted, or no more.

    Args:
        session: with the registry.
        question: as the interface takes it, with `config` and `limit`.

    Raises:
        RegistryError: it refused or could not be reached.
    """
    limit: int = question["limit"]
    first: CompatibilityAnswer | None = None
    fits: list[Match] = []
    more: dict[str, Any] = {}
    for _ in range(MAX_PAGES):
        body = json_body({**question, **more, "limit": limit - len(fits)})
        page = session.ask(CompatibilityAnswer, "POST", "/v1/compatibility", body=body)
        first = first or page
        fits.extend(page.fits)
        if page.next_cursor is None or len(fits) >= limit:
            break
        more = {"cursor": page.next_cursor}
    assert first is not None  # noqa: S101 - it was asked at least once
    return first.model_copy(update={"fits": tuple(fits[:limit])})
