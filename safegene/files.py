"""Directories that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safegene.errors import LocalStorageError, UsageError


@contextmanager
def fresh_directory(directory: Path) -> Iterator[Path]:
    """Give a working directory that becomes `directory` when the block succeeds.

    The work is done beside the final place and renamed at the end; on any error,
    Ctrl-C included, it is removed and `directory` stays as it was.

    Raises:
        UsageError: `directory` exists and is not empty, or is a file.
        LocalStorageError: the disk is full or not writable.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        message = f"{directory} exists already; choose another place or remove it first"
        raise UsageError(message)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        work = Path(
            tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent)
        )
    except OSError as error:
        raise _storage_error(directory, error) from error
    try:
        yield work
        # mkdtemp makes private directories; a result is as readable as any other file.
        work.chmod(0o777 & ~_umask())
        work.rename(directory)
    except OSError as error:
        raise _storage_error(directory, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _storage_error(directory: Path, error: OSError) -> LocalStorageError:
    message = (
        f"cannot write {directory}: {error.strerror or error}; nothing was left behind,"
        " free some space or choose another place"
    )
    return LocalStorageError(message)
