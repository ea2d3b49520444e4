"""Lists, page by page; above all the versions of a vector, newest first."""

from collections.abc import Callable
from typing import TypeVar

from packaging.version import InvalidVersion, Version

from safegene.artifact.reference import VectorName
from safegene.errors import RegistryError
from safegene_client.answers import VectorDetail, VersionPage
from safegene_client.fetching import vector_path
from safegene_client.lifecycle_answers import Page
from safegene_client.session import Session

Entry = TypeVar("Entry")

PAGE_SIZE = 200
"""Entries of a list asked for at once; no registry gives more."""

MAX_VERSIONS = 100_000
"""A registry that lists more of one vector, or of anything else, is not believed."""


def describe_vector(session: Session, vector: VectorName) -> VectorDetail:
    """A vector and all its versions, newest first.

    The registry lists them by when they were published, some at a time.

    Raises:
        RegistryError: it refused, could not be reached, or its list has no end.
    """
    path = vector_path(vector)
    detail = session.ask(VectorDetail, "GET", path)
    versions = list(detail.versions)
    cursor = detail.next_cursor
    while cursor is not None:
        params = {"limit": str(PAGE_SIZE), "cursor": cursor}
        page = session.ask(VersionPage, "GET", f"{path}/versions", params=params)
        versions.extend(page.items)
        cursor = page.next_cursor if page.items else None
        if len(versions) > MAX_VERSIONS:
            message = (
                f"the registry lists more than {MAX_VERSIONS} versions of {vector},"
                " which none has; ask its operator, or resolve the one you need"
            )
            raise RegistryError(message)
    versions.sort(key=lambda entry: order(entry.version), reverse=True)
    return detail.model_copy(update={"versions": tuple(versions), "next_cursor": None})


def order(version: str) -> tuple[bool, Version]:
    """What versions are sorted by; what is none comes last."""
    try:
        return True, Version(version)
    except InvalidVersion:
        return False, Version("0")


def all_pages(page: Callable[[dict[str, str]], Page[Entry]]) -> list[Entry]:
    """The entries of all pages of a list.

    Args:
        page: asks for one, with these parameters.

    Raises:
        RegistryError: the list has no end.
    """
    params = {"limit": str(PAGE_SIZE)}
    found: list[Entry] = []
    while True:
        answer = page(params)
        found.extend(answer.items)
        if answer.next_cursor is None or not answer.items:
            return found
        if len(found) > MAX_VERSIONS:
            message = "the registry's list has no end; ask its operator"
            raise RegistryError(message)
        params["cursor"] = answer.next_cursor
