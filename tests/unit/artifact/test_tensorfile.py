import contextlib
import io
import json
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safegene.artifact.tensorfile import ITEM_BYTES, read_header
from safegene.artifact.tensorwriter import tensor_file_bytes
from safegene.errors import TensorFileError

VALID = tensor_file_bytes(
    [("a", (2, 3), bytes(24)), ("b", (1,), bytes(4)), ("empty", (0, 5), b"")],
    metadata={"format": "pt"},
)


def raw(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(begin=0, end=4, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_a_valid_file_is_read_with_absolute_offsets():
    header = read_header(VALID)

    assert [entry.name for entry in header.tensors] == ["a", "b", "empty"]
    assert header.get("a").start == header.data_start
    assert header.get("b").end == header.file_size == len(VALID)
    assert header.get("none") is None
    assert header.metadata == {"format": "pt"}


def test_a_path_and_a_stream_give_the_same(tmp_path):
    path = tmp_path / "f.safetensors"
    path.write_bytes(VALID)

    assert read_header(path) == read_header(VALID) == read_header(io.BytesIO(VALID))


def test_a_wrong_file_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "bad" / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")

    with pytest.raises(TensorFileError) as caught:
        read_header(path)

    assert caught.value.detail == (
        "bad/model.safetensors: not a sound safetensors file: header of"
        " 4611686018427387904 bytes is larger than the limit of 16777216; fetch or save"
        " the file again"
    )


@given(st.binary(max_size=400))
def test_arbitrary_bytes_raise_nothing_else(data):
    with contextlib.suppress(TensorFileError):
        read_header(data)


@given(st.integers(0, len(VALID) - 1), st.integers(1, 255))
def test_flipped_bytes_raise_nothing_else(place, change):
    data = bytearray(VALID)
    data[place] ^= change
    with contextlib.suppress(TensorFileError):
        read_header(bytes(data))


@given(st.integers(0, len(VALID) - 1))
def test_every_truncation_is_refused(length):
    with pytest.raises(TensorFileError):
        read_header(VALID[:length])


def test_a_header_of_2_to_62_bytes_allocates_nothing():
    data = struct.pack("<Q", 2**62) + b"{}"
    tracemalloc.start()

    with pytest.raises(TensorFileError, match="larger than the limit"):
        read_header(io.BytesIO(data), file_size=2**63)

    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(raw([]), "begins with {", id="a list"),
        pytest.param(raw(b' {"a":1}'), "begins with {", id="a space first"),
        pytest.param(raw('{"a":1}'.encode("utf-16-le")), "not JSON", id="utf-16"),
        pytest.param(raw(b'{"\xff":1}'), "not JSON", id="no text"),
        pytest.param(raw(b'{"a":1,"a":2}'), "twice", id="a name twice"),
        pytest.param(raw(b'{"a":' * 100_000), "not JSON", id="deep nesting"),
        pytest.param(raw({"__metadata__": {"a": 1}}), "strings", id="metadata"),
        pytest.param(
            raw(b'{"__metadata__":{"a":"\\ud800"}}'), "surrogate", id="half a character"
        ),
        pytest.param(raw({"a": 3}), "exactly dtype", id="no facts"),
        pytest.param(raw({"a": tensor(dtype="F99")}, bytes(4)), "dtype", id="dtype"),
        pytest.param(raw({"a": tensor(dtype=[])}, bytes(4)), "dtype", id="dtype list"),
        pytest.param(raw({"a": tensor(shape=(-1,))}, bytes(4)), "shape", id="negative"),
        pytest.param(raw({"a": tensor(shape=(True,))}, bytes(4)), "shape", id="bool"),
        pytest.param(raw({"a": tensor(shape=[1] * 9)}, bytes(4)), "shape", id="9 axes"),
        pytest.param(raw({"a": tensor(shape=(2**40,))}, bytes(4)), "bytes", id="huge"),
        pytest.param(raw({"a": tensor(4, 0)}, bytes(4)), "bytes", id="backwards"),
        pytest.param(raw({"a": tensor(4, 8)}, bytes(8)), "gap", id="gap"),
        pytest.param(
            raw({"a": tensor(), "b": tensor()}, bytes(4)), "overlap", id="overlap"
        ),
        pytest.param(raw({"a": tensor()}, bytes(5)), "after its last", id="tail"),
        pytest.param(
            raw({"a": {**tensor(), "data_offsets": [0]}}, bytes(4)),
            "data_offsets",
            id="one offset",
        ),
    ],
)
def test_a_hostile_header_is_refused_with_its_reason(data, reason):
    with pytest.raises(TensorFileError, match=reason):
        read_header(data)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"x" * 100_000: 3}, id="name"),
        pytest.param({"\ud800": 3}, id="half a character"),
        pytest.param({"a": tensor(dtype="x" * 100_000)}, id="dtype"),
        pytest.param({"a": {**tensor(), "shape": ["x" * 100_000]}}, id="shape"),
    ],
)
def test_hostile_names_and_values_are_quoted_in_short_and_as_text(header):
    with pytest.raises(TensorFileError) as caught:
        read_header(raw(header, bytes(4)))

    assert len(caught.value.detail) < 500
    assert caught.value.detail.isprintable()


@pytest.mark.parametrize("depth", range(100, 1000, 50))
def test_nested_values_raise_nothing_else(depth):
    nested = b"[" * depth + b"]" * depth
    header = b'{"a":{"dtype":"F32","data_offsets":[0,4],"shape":' + nested + b"}}"

    with pytest.raises(TensorFileError):
        read_header(raw(header, bytes(4)))


@pytest.mark.parametrize("dtype", sorted(ITEM_BYTES))
def test_every_known_dtype_is_measured(dtype):
    size = 3 * ITEM_BYTES[dtype]

    header = read_header(raw({"a": tensor(0, size, (3,), dtype)}, bytes(size)))

    assert header.get("a").dtype == dtype


def test_the_reference_library_reads_what_the_writer_wrote(tmp_path):
    from safetensors import safe_open

    path = tmp_path / "f.safetensors"
    path.write_bytes(
        tensor_file_bytes([("z", (2,), struct.pack("<2f", 1, 2)), ("a", (0,), b"")])
    )

    with safe_open(path, framework="np") as reader:
        assert list(reader.get_tensor("z")) == [1.0, 2.0]
