"""The laws of the format again, with ten times the examples: `make test-slow`."""

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safegene.artifact.canonical import canonical_json, parse_canonical
from safegene.artifact.tensorfile import read_header
from safegene.artifact.tensorwriter import tensor_file_bytes
from safegene.errors import ManifestError, TensorFileError

pytestmark = pytest.mark.slow

AT_LENGTH = settings(
    max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck)
)
VALID = tensor_file_bytes(
    [(f"layers.{at}.w", (at + 1, 2), bytes(8 * (at + 1))) for at in range(4)],
    metadata={"format": "pt"},
)


@AT_LENGTH
@given(st.binary(max_size=4000))
def test_arbitrary_bytes_never_surprise_a_reader(data):
    with contextlib.suppress(TensorFileError):
        read_header(data)
    with contextlib.suppress(ManifestError):
        assert canonical_json(parse_canonical(data)) == data


@AT_LENGTH
@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(1, 255))))
def test_a_mutated_file_is_refused_or_consistent(changes):
    data = bytearray(VALID)
    for place, change in changes:
        data[place] ^= change

    with contextlib.suppress(TensorFileError):
        header = read_header(bytes(data))
        assert header.tensors[-1].end == len(data)
        assert header.tensors[0].start == header.data_start


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=40,
)


@AT_LENGTH
@given(JSON)
def test_any_json_is_canonical_once_or_never(value):
    with contextlib.suppress(ManifestError):
        data = canonical_json(value)
        assert parse_canonical(data) == value
        assert json.loads(data) == value
