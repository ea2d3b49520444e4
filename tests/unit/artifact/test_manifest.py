import copy
import json

import pytest

from safegene.artifact.bundle import read_manifest
from safegene.artifact.canonical import canonical_json
from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import MANIFEST_NAME, Manifest, checked_line
from safegene.errors import ManifestError, UnsupportedFormatError, UsageError


@pytest.fixture
def document(vector_directory):
    return json.loads((vector_directory / MANIFEST_NAME).read_bytes())


def changed(document, pointer, value):
    result = copy.deepcopy(document)
    *path, last = pointer.split("/")[1:]
    place = result
    for part in path:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[int(last) if isinstance(place, list) else last] = value
    return canonical_json(result)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("m" * 257, "got 257 in 'm", id="long"),
        pytest.param("", "got 0 in ''", id="empty"),
        pytest.param("a\nb", r"got 3 in 'a\\nb'", id="line break"),
        pytest.param("\udcff", "got 1 in", id="no text"),
    ],
)
def test_a_name_that_no_manifest_can_hold_is_refused_with_its_kind(text, shown):
    with pytest.raises(UsageError, match=shown) as caught:
        checked_line(text, "--model")

    assert caught.value.detail.startswith("--model: expected 1 to 256 characters")
    assert "choose a shorter" in caught.value.detail
    assert len(caught.value.detail) < 200


def test_a_name_of_256_characters_is_held():
    assert checked_line("m" * 256, "--model") == "m" * 256


def test_a_manifest_reads_back_with_the_same_digest(vector_directory):
    manifest = read_manifest(vector_directory)
    data = (vector_directory / MANIFEST_NAME).read_bytes()

    assert Manifest.from_bytes(data) == manifest
    assert manifest.to_bytes() == data
    assert manifest.digest == digest_bytes(data)
    assert manifest.identity == "acme/refusal@1.0.0"
    assert manifest.size_bytes == sum(entry.size for entry in manifest.files)


def test_a_manifest_holds_no_floats(document):
    def floats(value):
        if isinstance(value, dict):
            return [found for item in value.values() for found in floats(item)]
        if isinstance(value, list):
            return [found for item in value for found in floats(item)]
        return [value] if isinstance(value, float) else []

    assert floats(document) == []


def test_a_manifest_cannot_be_changed(vector_directory):
    manifest = read_manifest(vector_directory)

    with pytest.raises(ValueError, match="frozen"):
        manifest.version = "2.0.0"


@pytest.mark.parametrize("number", [0, 2, "1", None, True])
def test_another_format_is_named(document, number):
    with pytest.raises(UnsupportedFormatError) as caught:
        Manifest.from_bytes(changed(document, "/format", number))

    assert caught.value.version == number


@pytest.mark.parametrize(
    ("pointer", "value", "reason"),
    [
        ("/version", "1.0", "canonical spelling"),
        ("/namespace", "../up", "invalid"),
        ("/surprise", 1, "Extra inputs"),
        ("/rank", 7, "rank"),
        ("/footprint/0", "model.layers.99.mlp.down_proj", "no module"),
        ("/footprint", [], "at least 1"),
        ("/files/0/path", "../../etc/passwd", "/files/0/path"),
        ("/files/0/size", -1, "/files/0/size"),
        ("/files/0/digest", "md5:0", "not a digest"),
        ("/files/0/segments", [], "segments belong"),
        ("/files/2/segments/1/offset", 3, "offset"),
        ("/files/2/segments/1/size", 3, "segments"),
        ("/layers/0/index", 5, "rising"),
        ("/layers/0/score", "high", "/layers/0/score"),
        ("/architecture/layers", 0, "/architecture/layers"),
        ("/license", "", "/license"),
    ],
)
def test_a_manifest_that_lies_is_refused(document, pointer, value, reason):
    with pytest.raises(ManifestError) as caught:
        Manifest.from_bytes(changed(document, pointer, value))

    assert reason in str(caught.value)


def test_modules_out_of_order_are_refused(document):
    footprint = list(reversed(document["footprint"]))

    with pytest.raises(ManifestError, match="model order"):
        Manifest.from_bytes(changed(document, "/footprint", footprint))


def test_a_missing_file_is_refused(document):
    with pytest.raises(ManifestError, match="files"):
        Manifest.from_bytes(changed(document, "/files", document["files"][1:]))


def test_a_default_must_be_written_out(document):
    del document["description"]

    with pytest.raises(ManifestError, match="written out"):
        Manifest.from_bytes(canonical_json(document))


def test_what_is_no_object_is_refused():
    with pytest.raises(ManifestError, match="expected an object"):
        Manifest.from_bytes(b"[]")


def test_an_unknown_file_is_named(vector_directory):
    with pytest.raises(ManifestError, match=r"no file 'x\.bin'"):
        read_manifest(vector_directory).file("x.bin")
