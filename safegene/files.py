"""Directories that appear whole or not at all, and places that can be written to."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safegene.errors import LocalStorageError, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What only writing runs into, whichever file the error names: copying names both."""


@contextmanager
def fresh_directory(directory: Path) -> Iterator[Path]:
    """Give a working directory that becomes `directory` when the block succeeds.

    The work is done beside the final place and renamed at the end; on any error,
    Ctrl-C included, it is removed and `directory` stays as it was.

    Raises:
        UsageError: `directory` exists and is not empty, or is a file.
        LocalStorageError: the disk is full or not writable, or a file that the block
            reads cannot be read; the message names which.
    """
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            message = (
                f"{directory} exists already; choose another place or remove it first"
            )
            raise UsageError(message)
        directory.parent.mkdir(parents=True, exist_ok=True)
        work = Path(
            tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent)
        )
    except OSError as error:
        raise _cannot_write(directory, error) from error
    try:
        yield work
        # mkdtemp makes private directories; a result is as readable as any other file.
        work.chmod(0o777 & ~_umask())
        work.rename(directory)
    except ConnectionError:
        raise  # of whoever is told the progress: no file's fault
    except OSError as error:
        raise _blamed(error, directory, work) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def require_writable(place: Path) -> None:
    """Refuse a place that cannot be written to, before the work for it is done.

    Nothing is made: directories that are missing will be, in the nearest one that is
    there, which is tried.

    Raises:
        LocalStorageError: that one is not writable, or is a file.
    """
    home = place.parent
    try:
        while not home.exists():
            home = home.parent
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        why = error.strerror or error
        message = (
            f"cannot write {place}: {why}; choose another place, or make {home} a"
            " directory that you can write to"
        )
        raise LocalStorageError(message) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _blamed(error: OSError, directory: Path, work: Path) -> LocalStorageError:
    """The error with the file that is to blame: not always the one being written."""
    name = error.filename
    if error.errno in _FULL or not isinstance(name, str | bytes | os.PathLike):
        return _cannot_write(directory, error)
    culprit = Path(os.fsdecode(name))
    if culprit.absolute().is_relative_to(work.absolute()):
        return _cannot_write(directory, error)
    message = (
        f"{culprit}: {error.strerror or error}; {directory} was not written and nothing"
        " was left behind, see to that file and try again"
    )
    return LocalStorageError(message)


def _cannot_write(directory: Path, error: OSError) -> LocalStorageError:
    why = error.strerror or error
    advice = (
        "free some space or choose another place"
        if error.errno in _FULL
        else "choose another place, or one that you can write to"
    )
    message = f"cannot write {directory}: {why}; nothing was left behind, {advice}"
    return LocalStorageError(message)
