import pytest
from hypothesis import given
from hypothesis import strategies as st

from safegene.artifact.digest import Digest
from safegene.artifact.reference import (
    PART_PATTERN,
    Reference,
    VectorName,
    best_version,
    canonical_version,
    check_alias,
    parse_reference,
)
from safegene.errors import InvalidReferenceError

PARTS = st.from_regex(PART_PATTERN, fullmatch=True).filter(
    lambda text: ".." not in text
)
VECTORS = st.builds(VectorName, PARTS, PARTS)


def can_be_alias(text):
    try:
        return check_alias(text) == text
    except InvalidReferenceError:
        return False


ALIASES = PARTS.filter(can_be_alias)
VERSIONS = st.builds(
    lambda release, pre: canonical_version(".".join(map(str, release)) + pre),
    st.lists(st.integers(0, 99), min_size=1, max_size=4),
    st.sampled_from(["", "a1", "rc2", ".post1", ".dev3"]),
)
REFERENCES = st.one_of(
    st.builds(Reference, VECTORS),
    st.builds(lambda name, text: Reference(name, version=text), VECTORS, VERSIONS),
    st.builds(lambda name, text: Reference(name, alias=text), VECTORS, ALIASES),
    st.builds(
        lambda name, text: Reference(name, constraint=f">={text}"), VECTORS, VERSIONS
    ),
    st.builds(
        lambda name, raw: Reference(name, digest=Digest(raw.hex())),
        VECTORS,
        st.binary(min_size=32, max_size=32),
    ),
)


@given(REFERENCES)
def test_a_reference_reads_back_as_itself(reference):
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1", "1.0.0"),
        ("1.0", "1.0.0"),
        ("1.0.0.0", "1.0.0"),
        ("1.2.3.4", "1.2.3.4"),
        ("v1.2", "1.2.0"),
        ("1.0-RC.1", "1.0.0rc1"),
        ("1!2.0", "1!2.0.0"),
        ("01.02", "1.2.0"),
        ("1.0.post2.dev3", "1.0.0.post2.dev3"),
    ],
)
def test_every_spelling_of_a_version_becomes_one(text, canonical):
    assert canonical_version(text) == canonical
    assert canonical_version(canonical) == canonical


@pytest.mark.parametrize("text", ["", "latest", "1.0+local", "1..0", "1.0/../2"])
def test_a_version_that_is_none_is_named(text):
    with pytest.raises(InvalidReferenceError) as caught:
        canonical_version(text)

    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "name-alone",
        "Upper/case",
        "a/b/c",
        "../up/name",
        "a..b/name",
        "ns/",
        "/name",
        "ns/name:",
        "ns/name@",
        "ns/name:1.0",
        "ns/name:v1",
        "ns/name:1.x",
        "ns/name@1.x",
        "ns/name@Stable",
        "ns/name@~=x",
        "ns/name@sha256:short",
        "ns/name@sha256:" + "A" * 64,
        "ns/-name",
        "ns/" + "n" * 65,
    ],
)
def test_a_reference_that_is_none_is_refused(text):
    with pytest.raises(InvalidReferenceError):
        parse_reference(text)


@pytest.mark.parametrize("text", ["stable", "v1.x", "rc1", "next-gen", "a"])
def test_an_alias_may_be_written_like_a_version(text):
    """Which is why none may be spelled like one."""
    name = VectorName("ns", "name")

    assert check_alias(text) == text
    assert parse_reference(f"ns/name@{text}") == parse_reference(f"ns/name:{text}")
    assert parse_reference(f"ns/name@{text}") == Reference(name, alias=text)


@pytest.mark.parametrize("text", ["v1", "v1.0rc1", "1.0", "1", "2-canary"])
def test_a_name_that_reads_as_a_version_is_no_alias(text):
    with pytest.raises(InvalidReferenceError, match="read as a version"):
        check_alias(text)


@pytest.mark.parametrize(
    ("constraint", "best"),
    [
        (None, "1.10.0"),
        ("~=1.0", "1.10.0"),
        ("~=1.2.0", "1.2.1"),
        ("<1.2", "1.1.0"),
        (">=2.0rc1", "2.0.0rc1"),
        (">=3", None),
    ],
)
def test_the_newest_version_of_a_range_is_picked(constraint, best):
    versions = ["1.1.0", "1.2.1", "1.10.0", "2.0.0rc1"]

    assert best_version(versions, constraint) == best


def test_pre_releases_count_when_there_is_nothing_else():
    assert best_version(["1.0.0a1", "1.0.0b2"]) == "1.0.0b2"
    assert best_version([]) is None
