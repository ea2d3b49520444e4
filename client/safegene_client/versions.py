"""All versions of a vector, page by page, newest first."""

from packaging.version import InvalidVersion, Version

from safegene.artifact.reference import VectorName
from safegene.errors import RegistryError
from safegene_client.answers import VectorDetail, VersionPage
from safegene_client.fetching import vector_path
from safegene_client.session import Session

PAGE_SIZE = 200
"""Entries of a list asked for at once; no registry gives more."""

MAX_VERSIONS = 100_000
"""A registry that lists more of one vector is not believed."""


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
