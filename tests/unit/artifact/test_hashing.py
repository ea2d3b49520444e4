"""What a thread hashes has the digest that it has without one."""

import hashlib

import pytest

from safegene.artifact.digest import VerifyingWriter, digest_bytes
from safegene.artifact.hashing import BATCH_BYTES, MOST_WAITING, HashedBeside
from safegene.errors import DigestMismatchError

SIZES = [1, 65_536, BATCH_BYTES - 1, BATCH_BYTES, BATCH_BYTES + 1]


@pytest.mark.parametrize("size", SIZES)
def test_pieces_are_hashed_in_order(size):
    count = 3 * (MOST_WAITING + 1) * max(1, BATCH_BYTES // size) % 1000
    pieces = [bytes([number % 251]) * size for number in range(count)]

    with HashedBeside() as beside:
        empty = beside.hexdigest()
        for piece in pieces:
            beside.update(piece)
        found = beside.hexdigest()
        beside.update(b"more")
        then = beside.hexdigest()

    assert empty == hashlib.sha256().hexdigest()
    assert found == hashlib.sha256(b"".join(pieces)).hexdigest()
    assert then == hashlib.sha256(b"".join(pieces) + b"more").hexdigest()


@pytest.mark.parametrize("last", [b"right", b"wrong"])
def test_a_writer_may_have_its_bytes_hashed_so(tmp_path, last):
    data = bytes(2 * BATCH_BYTES)
    digest = digest_bytes(data + b"right")

    with (tmp_path / "file").open("wb") as stream, HashedBeside() as beside:
        writer = VerifyingWriter(
            stream, digest=digest, size=len(data) + 5, name="it", state=beside
        )
        writer.write(data)
        writer.write(last)
        if last == b"right":
            writer.finish()
        else:
            with pytest.raises(DigestMismatchError, match="it: expected digest"):
                writer.finish()

    assert (tmp_path / "file").read_bytes() == data + last
