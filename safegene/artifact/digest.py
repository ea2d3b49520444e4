"""Digests: the names that bytes go by everywhere in SafeGene.

Stable. A digest is always written with its algorithm, `sha256:<64 hex>`.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from safegene.errors import (
    DigestMismatchError,
    InvalidReferenceError,
    SizeMismatchError,
)

CHUNK_BYTES = 1 << 20
"""Bytes read at a time when a file is hashed."""

_PATTERN = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, order=True)
class Digest:
    """The sha256 of some bytes."""

    hex: str
    """64 lower-case hexadecimal digits."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sha256:<64 hex>`; the inverse of `str`.

        Raises:
            InvalidReferenceError: `text` has another form.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            message = f"not a digest: expected sha256:<64 lower-case hex>, got {text!r}"
            raise InvalidReferenceError(message)
        return cls(match[1])

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


def digest_bytes(data: bytes) -> Digest:
    """Digest of bytes held in memory."""
    return Digest(hashlib.sha256(data).hexdigest())


def digest_chunks(chunks: Iterable[bytes]) -> Digest:
    """Digest of a stream; how it is cut into chunks does not matter."""
    state = hashlib.sha256()
    for chunk in chunks:
        state.update(chunk)
    return Digest(state.hexdigest())


def digest_file(path: Path) -> tuple[Digest, int]:
    """Digest and size in bytes of a file, read in constant memory."""
    size = 0
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            state.update(chunk)
            size += len(chunk)
    return Digest(state.hexdigest()), size


class Hash(Protocol):
    """What is needed of a sha256."""

    def update(self, piece: bytes, /) -> None:
        """Hash these bytes, too."""

    def hexdigest(self) -> str:
        """Digest of all bytes so far."""


class VerifyingWriter:
    """Writes through to a binary file and proves at the end that the bytes are right.

    Args:
        stream: where the bytes go; the caller opens and closes it.
        digest: what the bytes must hash to.
        size: how many bytes there must be.
        name: what to call the thing in errors.
        state: hashes the bytes; None for sha256 in this thread.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        digest: Digest,
        size: int,
        name: str,
        state: Hash | None = None,
    ) -> None:
        self._stream = stream
        self._digest = digest
        self._size = size
        self._name = name
        self._state = state or hashlib.sha256()
        self.written = 0

    def write(self, chunk: bytes) -> None:
        """Write one chunk.

        Raises:
            SizeMismatchError: more bytes than promised; the excess is not written.
        """
        self.written += len(chunk)
        if self.written > self._size:
            self._refuse_size(f"at least {self.written}")
        self._state.update(chunk)
        self._stream.write(chunk)

    def finish(self) -> None:
        """Check size and digest; call it before the bytes become visible.

        Raises:
            SizeMismatchError: fewer bytes came than promised.
            DigestMismatchError: the bytes are not the promised ones.
        """
        if self.written != self._size:
            self._refuse_size(str(self.written))
        actual = Digest(self._state.hexdigest())
        if actual != self._digest:
            message = (
                f"{self._name}: expected digest {self._digest}, got {actual};"
                " the bytes were changed on the way, fetch them again"
            )
            raise DigestMismatchError(
                message, expected=str(self._digest), actual=str(actual)
            )

    def _refuse_size(self, actual: str) -> None:
        message = (
            f"{self._name}: expected {self._size} bytes, got {actual}; some were lost"
            " or added on the way, transfer them again"
        )
        raise SizeMismatchError(message, expected=self._size, actual=self.written)
