"""Files that are as announced, and made to do harm: refused in few, printable words."""

import struct
from pathlib import Path

import pytest
from safegene_registry.verification import check_file
from support.lying import Pieces, changed, rewritten
from support.versions import write_version

from safegene.artifact.digest import digest_bytes
from safegene.artifact.lineage import write_sketch
from safegene.artifact.manifest import (
    CARD_NAME,
    CONFIG_NAME,
    LINEAGE_NAME,
    TENSORS_NAME,
    FileEntry,
    Manifest,
    Segment,
)
from safegene.artifact.tensorfile import read_header
from safegene.errors import ManifestError


def test_a_sketch_of_another_length_is_refused(tmp_path):
    manifest = write_version(tmp_path / "v")
    data = write_sketch([0.5, 0.25])
    lying = rewritten(manifest, tmp_path / "v", LINEAGE_NAME, data)

    error = complaint(lying, LINEAGE_NAME, data)

    assert "'sketch' of 896 values" in error.detail
    assert "(2,)" in error.detail


def with_tensor_file(manifest: Manifest, directory: Path, data: bytes) -> Manifest:
    """The manifest of a version with this tensor file, good or bad, in one segment."""
    (directory / TENSORS_NAME).write_bytes(data)
    digest = str(digest_bytes(data))
    segment = Segment(offset=0, size=len(data), digest=digest, layers=())
    entry = FileEntry(
        path=TENSORS_NAME, size=len(data), digest=digest, segments=(segment,)
    )
    files = tuple(entry if f.path == TENSORS_NAME else f for f in manifest.files)
    return changed(manifest, files=files)


def tensor_file(header: bytes, size: int) -> bytes:
    """A file with this header, filled up with zeros."""
    return (struct.pack("<Q", len(header)) + header).ljust(size, b"\0")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(
            lambda data: struct.pack("<Q", 1 << 62) + data[8:],
            str(1 << 62),
            id="header of 2^62 bytes",
        ),
        pytest.param(
            lambda data: tensor_file(b'{"\\ud800":3}', len(data)),
            "exactly dtype",
            id="half a character",
        ),
        pytest.param(
            lambda data: tensor_file(b'{"\\u0000":3}', len(data)),
            "exactly dtype",
            id="NUL",
        ),
        pytest.param(
            lambda data: tensor_file(b"[" * 5000, len(data)), "with {", id="deep list"
        ),
        pytest.param(
            lambda data: data.replace(b"q_proj.lora_A", b"x_proj.lora_A", 1),
            "no tensor",
            id="another name",
        ),
        pytest.param(
            lambda data: data.replace(b'"F32","shape":[8,', b'"I32","shape":[8,', 1),
            "I32",
            id="integers",
        ),
        pytest.param(
            lambda data: data.replace(b'{"format":"pt"}', b'{"a":"","b":""}'),
            "metadata",
            id="metadata",
        ),
        pytest.param(lambda data: data + bytes(4), "after its last", id="hidden bytes"),
    ],
)
def test_a_tensor_file_with_a_hostile_header_is_refused(tmp_path, spoil, said):
    manifest = write_version(tmp_path / "v")
    data = spoil((tmp_path / "v" / TENSORS_NAME).read_bytes())
    lying = with_tensor_file(manifest, tmp_path / "v", data)

    error = complaint(lying, TENSORS_NAME, data)

    assert said in error.detail
    assert TENSORS_NAME in error.detail
    assert error.pointer == "/files/2"


def complaint(manifest: Manifest, name: str, data: bytes) -> ManifestError:
    """What is said of a file that is as announced, and wrong."""
    with pytest.raises(ManifestError) as caught:
        check_file(manifest, manifest.file(name), Pieces(data))
    assert len(caught.value.detail) < 1000
    return caught.value


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        pytest.param(CARD_NAME, lambda _: b"\xff\xfe", "UTF-8", id="no text"),
        pytest.param(
            CONFIG_NAME,
            lambda data: data[:-1] + b',"\\ud800":1}',
            r"'\ud800': expected None, got 1",
            id="half a character",
        ),
        pytest.param(CONFIG_NAME, lambda _: b'{"\\u0000":1}', r"'\x00'", id="NUL"),
        pytest.param(
            CONFIG_NAME, lambda _: b'{"%s":1}' % (b"A" * 9999), "AAA", id="long key"
        ),
        pytest.param(
            CONFIG_NAME,
            lambda data: data.replace(b'"LORA"', b'"%s"' % (b"A" * 9999)),
            "peft_type: expected 'LORA', got 'AAA",
            id="long value",
        ),
        pytest.param(CONFIG_NAME, lambda _: b"[" * 99999, "not JSON", id="deep"),
    ],
)
def test_hostile_text_is_refused_in_short_words(tmp_path, name, spoil, said):
    manifest = write_version(tmp_path / "v")
    data = spoil((tmp_path / "v" / name).read_bytes())
    lying = rewritten(manifest, tmp_path / "v", name, data)

    error = complaint(lying, name, data)

    assert said in error.detail
    assert name in error.detail


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"{", b"{ ", id="other spelling"),
        pytest.param(b"{", b'{"__metadata__":{"a":"b"},', id="metadata"),
        pytest.param(
            b"{",
            b'{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},',
            id="another tensor",
        ),
    ],
)
def test_a_sketch_holds_nothing_else(tmp_path, old, new):
    manifest = write_version(tmp_path / "v")
    path = tmp_path / "v" / LINEAGE_NAME
    start = read_header(path).data_start
    text = path.read_bytes()[8:start].replace(old, new, 1)
    data = struct.pack("<Q", len(text)) + text + path.read_bytes()[start:]
    lying = rewritten(manifest, tmp_path / "v", LINEAGE_NAME, data)

    error = complaint(lying, LINEAGE_NAME, data)

    assert "nothing else" in error.detail
    assert error.pointer == "/files/3"
