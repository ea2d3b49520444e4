"""What a thread reads ahead is the same bytes, in order, and errors come out."""

import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safegene_registry.pipelining import ReadAhead
from safegene_registry.storage import StorageError

PATIENCE = 60.0


class Blob:
    """Gives pieces of any size, and then breaks, if so wished."""

    tag = "this one"

    def __init__(self, data: bytes, most: int, *, breaks: bool = False) -> None:
        self.stream = io.BytesIO(data)
        self.most = most
        self.breaks = breaks

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        data = self.stream.read(min(size, self.most))
        if not data and self.breaks:
            raise StorageError("The store is away.")
        return data


@given(
    data=st.binary(max_size=3000),
    most=st.integers(1, 2000),
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=5),
)
def test_the_bytes_are_those_of_the_blob(data, most, sizes):
    found = []

    with ReadAhead(Blob(data, most)) as ahead:
        while piece := ahead.read(sizes[len(found) % len(sizes)]):
            assert len(piece) <= sizes[len(found) % len(sizes)]
            found.append(piece)
        end = ahead.read(10)
        tag = ahead.tag

    assert b"".join(found) == data
    assert (end, tag) == (b"", "this one")


def test_an_error_comes_where_the_bytes_end():
    with ReadAhead(Blob(b"some", 4, breaks=True)) as ahead:
        first = ahead.read(10)
        with pytest.raises(StorageError, match="away"):
            ahead.read(10)

    assert first == b"some"


def test_the_blob_is_left_alone_afterwards():
    """Whoever opened it closes it, which nobody may be reading then."""
    reading, go = threading.Event(), threading.Event()

    class Slow(Blob):
        def read(self, size: int, /) -> bytes:
            reading.set()
            assert go.wait(PATIENCE)
            return super().read(size)

    blob = Slow(b"some", 4)
    with ReadAhead(blob):
        assert reading.wait(PATIENCE)
        go.set()

    assert blob.stream.tell() == 4
