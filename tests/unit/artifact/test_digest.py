import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safegene.artifact.digest import (
    Digest,
    VerifyingWriter,
    digest_bytes,
    digest_chunks,
    digest_file,
)
from safegene.errors import (
    DigestMismatchError,
    InvalidReferenceError,
    SizeMismatchError,
)


@given(st.lists(st.binary()))
def test_a_digest_does_not_depend_on_chunking(chunks):
    whole = b"".join(chunks)

    assert digest_chunks(chunks) == digest_bytes(whole)
    assert digest_bytes(whole).hex == hashlib.sha256(whole).hexdigest()


def test_a_digest_reads_back_as_itself():
    digest = digest_bytes(b"x")

    assert Digest.parse(str(digest)) == digest
    assert str(digest).startswith("sha256:")


@pytest.mark.parametrize("text", ["", "md5:00", "sha256:0", "sha256:" + "G" * 64])
def test_what_is_no_digest_is_refused(text):
    with pytest.raises(InvalidReferenceError, match="not a digest"):
        Digest.parse(text)


def test_a_file_is_hashed_with_its_size(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 700_000)

    assert digest_file(path) == (digest_bytes(path.read_bytes()), 2_100_000)


def test_the_right_bytes_pass():
    sink = io.BytesIO()
    writer = VerifyingWriter(sink, digest=digest_bytes(b"hello"), size=5, name="f")

    writer.write(b"hel")
    writer.write(b"lo")
    writer.finish()

    assert sink.getvalue() == b"hello"


def test_changed_bytes_are_named_with_both_digests():
    writer = VerifyingWriter(
        io.BytesIO(), digest=digest_bytes(b"hello"), size=5, name="weights"
    )
    writer.write(b"hellO")

    with pytest.raises(DigestMismatchError) as caught:
        writer.finish()

    assert caught.value.expected == str(digest_bytes(b"hello"))
    assert caught.value.actual == str(digest_bytes(b"hellO"))
    assert "weights" in str(caught.value)


def test_too_many_bytes_are_refused_before_they_are_written():
    sink = io.BytesIO()
    writer = VerifyingWriter(sink, digest=digest_bytes(b""), size=2, name="f")

    with pytest.raises(SizeMismatchError, match=r"got at least 3; .*transfer them"):
        writer.write(b"abc")

    assert sink.getvalue() == b""


def test_too_few_bytes_are_refused_at_the_end():
    writer = VerifyingWriter(io.BytesIO(), digest=digest_bytes(b"ab"), size=2, name="f")
    writer.write(b"a")

    with pytest.raises(SizeMismatchError) as caught:
        writer.finish()

    assert (caught.value.expected, caught.value.actual) == (2, 1)
    assert "transfer them again" in caught.value.detail
