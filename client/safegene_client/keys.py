"""Pairs of keys for signing attestations: made on this machine, kept in two files."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from safegene.artifact.digest import Digest
from safegene.errors import UsageError
from safegene_client.storage import storage_errors

NOT_MADE = "no key was made: choose another place, or free some space"

SECRET_MODE, PUBLIC_MODE = 0o600, 0o644


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Where the keys of a pair lie."""

    private: Path
    """Signs; for its owner's eyes only."""
    public: Path
    """Checks what the other signs; to give away."""
    key_id: Digest
    """What both go by."""


def new_key_pair(
    private: Path, public: Path | None = None, *, password: str | None = None
) -> KeyPair:
    """Make a key on EC P-256 and write it down, with its public half beside it.

    Args:
        private: the file of the private key, which nobody else may read; there is none
            yet. Its folder is there.
        public: that of the public key; None: beside it, with the suffix `.pub`.
        password: encrypts the private key.

    Raises:
        UsageError: one of the files is there already, or the password is empty.
        LocalStorageError: the disk does not take them; there is no half of a pair.
    """
    from safegene.artifact.attestation.keys import PrivateKey

    if password == "":
        message = "the password of a key cannot be empty; name one, or none"
        raise UsageError(message)
    public = private.with_suffix(".pub") if public is None else public
    if public.absolute() == private.absolute():
        message = f"{public}: expected another file for the public key; name one"
        raise UsageError(message)
    # Whoever has a key there must not lose it, and is told before anything is written.
    for path in (private, public):
        if os.path.lexists(path):
            raise _there(path)
    key = PrivateKey.generate()
    _write_new(private, key.to_pem(password), SECRET_MODE)
    try:
        _write_new(public, key.public.pem.encode(), PUBLIC_MODE)
    except BaseException:
        with suppress(OSError):
            private.unlink()
        raise
    return KeyPair(private, public, key.public.key_id)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that was not there, and that no other has put there meanwhile."""
    with storage_errors(path, NOT_MADE):
        try:
            # Never readable for others, not even for a moment, whatever the umask is.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            raise _there(path) from None
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise


def _there(path: Path) -> UsageError:
    message = f"{path}: there is a file already, and keys are never overwritten"
    return UsageError(f"{message}; choose another name, or move it away")
