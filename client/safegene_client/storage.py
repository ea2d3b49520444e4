"""Errors of this machine's disk, told as ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safegene.errors import LocalStorageError

OF_THE_CACHE = (
    "nothing half-written was left behind: free some space, or point SAFEGENE_CACHE at"
    " another disk"
)


@contextmanager
def storage_errors(place: Path, then: str = OF_THE_CACHE) -> Iterator[None]:
    """Turn an OSError of the block into a sentence that names the place.

    Args:
        place: what is read or written.
        then: how things stand, and what to do.

    Raises:
        LocalStorageError: the disk is full, too slow, read-only or not permitted.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        message = f"{place}: {why}; {then}"
        raise LocalStorageError(message) from error
