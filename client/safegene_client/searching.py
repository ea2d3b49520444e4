"""A search of a registry, page by page, and what it can ask of evaluations."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from safegene.errors import UsageError
from safegene_client.answers import VectorPage, VectorSummary
from safegene_client.fits import MAX_PAGES
from safegene_client.session import Session
from safegene_client.versions import PAGE_SIZE


class Order(StrEnum):
    """What comes first in a search."""

    NAME = "name"
    J = "j"
    """The best J that counts, by the lower end of its interval; who has none is left
    out."""


def as_order(text: str) -> Order:
    """The order of this name.

    Raises:
        UsageError: there is none.
    """
    try:
        return Order(text)
    except ValueError:
        message = f"expected sort to be one of {', '.join(Order)}, got {text}"
        raise UsageError(message) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What one evaluation of the newest version has to show, all of it.

    Only those by whom the vector's namespace trusts count. Of a 95 % interval it is
    the pessimistic end that must hold, as in promotion policies.
    """

    harmful_samples: int | None = None
    """Answers to harmful prompts behind it, at least."""
    harmless_samples: int | None = None
    """The same of harmless ones."""
    j_at_least: float | None = None
    harm_at_most: float | None = None
    over_refusal_at_most: float | None = None
    against: str | None = None
    """The harmless set of prompts."""
    signed: bool | None = None
    """True: a trusted key has to have signed it."""


ANYTHING = Evaluated()
"""Nothing is asked, so vectors without an evaluation are found, too."""


def search_vectors(
    session: Session,
    facts: Mapping[str, str | int | None],
    evaluated: Evaluated,
    order: Order,
    limit: int,
) -> list[VectorSummary]:
    """Vectors of which everything holds that is asked for.

    Args:
        session: with the registry.
        facts: filters by the interface's names; what is empty or None asks nothing.
        evaluated: of an evaluation.
        order: what comes first.
        limit: at most so many.

    Raises:
        RegistryError: it refused or could not be reached.
    """
    params = {name: str(value) for name, value in facts.items() if value}
    for name, value in asdict(evaluated).items():
        if value is not None:
            # 0 asks for something, and the interface writes booleans in small letters.
            params[name] = str(value).lower() if name == "signed" else str(value)
    if order is not Order.NAME:
        params["sort"] = str(order)
    found: dict[str, VectorSummary] = {}
    # A page may be short, and even empty, with others behind it.
    for _ in range(MAX_PAGES):
        params["limit"] = str(min(PAGE_SIZE, limit - len(found)))
        page = session.ask(VectorPage, "GET", "/v1/vectors", params=params)
        for item in page.items:
            # By J, a vector for several families comes once for each: the best stays.
            found.setdefault(item.vector, item)
        if page.next_cursor is None or len(found) >= limit:
            break
        params["cursor"] = page.next_cursor
    return list(found.values())[:limit]
