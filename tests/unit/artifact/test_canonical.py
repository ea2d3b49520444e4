import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safegene.artifact.canonical import (
    MAX_BYTES,
    MAX_DEPTH,
    _text,
    canonical_json,
    parse_canonical,
)
from safegene.errors import ManifestError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(VALUES)
def test_canonical_json_reads_back_and_is_idempotent(value):
    data = canonical_json(value)

    assert parse_canonical(data) == value
    assert canonical_json(parse_canonical(data)) == data
    assert json.loads(data) == value


PLAIN = st.text(st.characters(max_codepoint=127))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | PLAIN,
        lambda inner: st.lists(inner) | st.dictionaries(PLAIN, inner),
        max_leaves=20,
    )
)
def test_what_is_plain_is_written_as_everything_else(value):
    """Plain values take a way of their own, for speed."""
    assert canonical_json(value) == _text(value, "", 0).encode()
    assert canonical_json([value, "\xe9"]) == _text([value, "\xe9"], "", 0).encode()


@pytest.mark.parametrize("inner", [1, "\xe9"], ids=["plain", "not plain"])
def test_the_deepest_value_is_as_deep_whatever_it_holds(inner):
    value = inner
    for _ in range(MAX_DEPTH):
        value = [value]

    assert parse_canonical(canonical_json(value)) == value
    with pytest.raises(ManifestError, match="nested deeper than 64"):
        canonical_json([value])


@given(st.dictionaries(TEXT, st.integers(0, 9)), st.randoms())
def test_key_order_does_not_matter(value, rng):
    shuffled = list(value.items())
    rng.shuffle(shuffled)

    assert canonical_json(dict(shuffled)) == canonical_json(value)


def test_keys_are_sorted_by_utf16_code_units():
    data = canonical_json({"\U0001f600": 1, "\ufb33": 2, "a": 3})

    assert data.decode() == '{"a":3,"\U0001f600":1,"\ufb33":2}'


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        (1.5, ""),
        ({"a": [0, 1.0]}, "/a/1"),
        (2**53, ""),
        ({"a": {1: 2}}, "/a"),
        ({"a": "\ud800"}, "/a"),
        ({"a": b"x"}, "/a"),
    ],
)
def test_what_has_no_canonical_form_is_refused_with_its_place(value, pointer):
    with pytest.raises(ManifestError) as caught:
        canonical_json(value)

    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a":1,"a":2}',
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b"1.0",
        b"NaN",
        b"9007199254740992",
        b'"\\u0041"',
        b"\xff",
        b"[" * 100 + b"]" * 100,
        b"[" * 200_000,
        b" " * (MAX_BYTES + 1),
    ],
)
def test_other_bytes_are_refused(data):
    with pytest.raises(ManifestError):
        parse_canonical(data)


def test_a_key_that_stands_twice_is_found_in_a_long_object_at_once():
    """By looking at every key once: at 200 000 keys, pairs would take hours."""
    keys = [*map(str, range(200_000)), "199999"]
    data = "{" + ",".join(f'"{key}":1' for key in keys) + "}"

    with pytest.raises(ManifestError, match="'199999' stands twice"):
        parse_canonical(data.encode())
