"""A version's files are verified in the same memory, however large they are."""

import hashlib
import json
import struct
import tracemalloc

import pytest
from safegene_registry.manifests import check_manifest
from safegene_registry.verification import READ_BYTES, check_file
from support.versions import llama_config, write_version

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.manifest import FILE_NAMES, TENSORS_NAME, Manifest, Segment
from safegene.artifact.segments import segment_bounds
from safegene.artifact.tensorfile import read_header
from safegene.artifact.vectorfile import factor_shapes
from safegene.errors import ManifestError

MIB = 1 << 20


class Zeros:
    """A file that is on no disk: a header, zeros, and what its end is.

    It counts what it is asked for.
    """

    tag = ""

    def __init__(self, header: bytes, size: int, end: bytes = b"") -> None:
        self.header = header
        self.size = size
        self.end = end
        self.at = 0
        self.largest = 0

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        self.largest = max(self.largest, size)
        size = min(size, self.size - self.at)
        start, self.at = self.at, self.at + size
        piece = bytearray(size)
        head = self.header[start : self.at]
        piece[: len(head)] = head
        tail = self.at - (self.size - len(self.end))
        if size and tail > 0:
            piece[size - tail :] = self.end
        return bytes(piece)

    def digest(self, start: int, stop: int) -> str:
        """Digest of a range."""
        whole = hashlib.sha256()
        self.at = start
        while self.at < stop:
            whole.update(self.read(min(MIB, stop - self.at)))
        return f"sha256:{whole.hexdigest()}"


def large_version(directory, *, width: int, end: bytes = b""):
    """A manifest whose tensor file holds zeros, and that file.

    Args:
        directory: for the small files.
        width: of the base model, which the file's size goes with.
        end: last bytes of the last tensor.
    """
    small = write_version(directory)
    config = {**llama_config(hidden=width), "intermediate_size": 2 * width}
    facts = {
        **{name: getattr(small, name) for name in Manifest.model_fields},
        "architecture": architecture_from_config(config),
        "rank": 512,
    }
    shapes = [(name, shape) for name, _, shape in factor_shapes(Manifest(**facts))]
    header, offset = {}, 0
    for name, (rows, columns) in shapes:
        begin, offset = offset, offset + 4 * rows * columns
        facts_of = {"dtype": "F32", "shape": [rows, columns]}
        header[name] = {**facts_of, "data_offsets": [begin, offset]}
    text = json.dumps(header).encode()
    size = 8 + len(text) + offset
    file = Zeros(struct.pack("<Q", len(text)) + text, size, end)
    segments = tuple(
        Segment(
            offset=start, size=stop - start, digest=file.digest(start, stop), layers=at
        )
        for start, stop, at in segment_bounds(
            read_header(file, file_size=size), TENSORS_NAME
        )
    )
    changed = {"size": size, "digest": file.digest(0, size), "segments": segments}
    entries = list(small.files)
    at = FILE_NAMES.index(TENSORS_NAME)
    entries[at] = entries[at].model_copy(update=changed)
    file.at = file.largest = 0
    return Manifest(**{**facts, "files": tuple(entries)}), file


def peak_of(manifest, file) -> int:
    """Most memory that verifying the file takes at any time, in bytes."""
    tracemalloc.start()
    try:
        check_file(manifest, manifest.file(TENSORS_NAME), file)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_file_is_read_in_pieces_and_its_size_costs_no_memory(tmp_path):
    peaks = {}
    for width in (512, 4096):
        manifest, file = large_version(tmp_path / str(width), width=width)
        check_manifest(manifest)

        peaks[file.size] = peak_of(manifest, file)

        assert file.at == file.size
        assert file.largest <= READ_BYTES
    small, large = peaks
    assert large > 7 * small > 7 * 8 * MIB
    assert peaks[large] < peaks[small] + 2 * MIB  # pieces that threads hold
    assert peaks[large] < 10 * MIB


def test_the_last_value_of_a_large_file_is_looked_at(tmp_path):
    end = struct.pack("<f", float("nan"))
    manifest, file = large_version(tmp_path / "v", width=512, end=end)

    with pytest.raises(ManifestError, match="NaN or infinity") as caught:
        check_file(manifest, manifest.file(TENSORS_NAME), file)

    assert file.at == file.size
    assert "down_proj.lora_B" in caught.value.detail
