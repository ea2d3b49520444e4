import json
import struct

import pytest

from safegene.artifact.bundle import read_manifest, verify_directory
from safegene.artifact.canonical import canonical_json
from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import (
    CARD_NAME,
    CONFIG_NAME,
    LINEAGE_NAME,
    MANIFEST_NAME,
    TENSORS_NAME,
    Manifest,
)
from safegene.artifact.segments import segment_file
from safegene.artifact.tensorfile import read_header
from safegene.artifact.tensorwriter import tensor_file_bytes
from safegene.errors import (
    ArtifactError,
    DigestMismatchError,
    ManifestError,
    ShapeMismatchError,
    SizeMismatchError,
    TensorFileError,
)


def rewrite(directory, name, data):
    """Change a file and its manifest entry, as a lying publisher would."""
    (directory / name).write_bytes(data)
    document = json.loads((directory / MANIFEST_NAME).read_bytes())
    for entry in document["files"]:
        if entry["path"] == name:
            entry["size"], entry["digest"] = len(data), str(digest_bytes(data))
            if name == TENSORS_NAME:
                segments = segment_file(directory / name)
                entry["segments"] = [part.model_dump(mode="json") for part in segments]
    (directory / MANIFEST_NAME).write_bytes(canonical_json(document))


def tensors_of(directory):
    data = (directory / TENSORS_NAME).read_bytes()
    return [
        (entry.name, entry.shape, data[entry.start : entry.end])
        for entry in read_header(data).tensors
    ]


def test_a_whole_version_verifies(vector_directory):
    manifest = verify_directory(vector_directory)

    assert manifest == read_manifest(vector_directory)


@pytest.mark.parametrize(
    "name", [CARD_NAME, CONFIG_NAME, TENSORS_NAME, LINEAGE_NAME, MANIFEST_NAME]
)
def test_a_missing_file_is_named(vector_directory, name):
    (vector_directory / name).unlink()

    told = rf"{name}.*; (fetch the whole version again|make one with `safegene)"
    with pytest.raises(ArtifactError, match=told):
        verify_directory(vector_directory)


@pytest.mark.parametrize("name", [CARD_NAME, CONFIG_NAME, TENSORS_NAME, LINEAGE_NAME])
def test_a_flipped_bit_is_found(vector_directory, name):
    path = vector_directory / name
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)

    with pytest.raises(DigestMismatchError, match=r"got sha256:.*; .*fetch them again"):
        verify_directory(vector_directory)


def test_a_flipped_bit_in_a_layer_names_the_layer(vector_directory):
    segment = read_manifest(vector_directory).file(TENSORS_NAME).segments[4]
    path = vector_directory / TENSORS_NAME
    data = bytearray(path.read_bytes())
    data[segment.offset] ^= 1
    path.write_bytes(data)

    with pytest.raises(DigestMismatchError, match=r"layer 3 .*; .*fetch them again"):
        verify_directory(vector_directory)


@pytest.mark.parametrize("full", [True, False])
def test_a_truncated_file_is_found(vector_directory, full):
    path = vector_directory / TENSORS_NAME
    path.write_bytes(path.read_bytes()[:-7])

    with pytest.raises(SizeMismatchError, match=r"bytes, got \d+; .*fetch it again"):
        verify_directory(vector_directory, full=full)


def test_an_unknown_file_is_refused(vector_directory):
    (vector_directory / "evil.pkl").write_bytes(b"x")

    with pytest.raises(ArtifactError, match=r"evil\.pkl"):
        verify_directory(vector_directory)


def test_a_directory_that_is_no_vector_says_how_to_make_one(tmp_path):
    with pytest.raises(ArtifactError, match="safegene extract"):
        read_manifest(tmp_path)


def test_a_factor_of_another_shape_is_refused(vector_directory):
    tensors = tensors_of(vector_directory)
    name, _, data = tensors[0]
    tensors[0] = (name, (16, 16), data)

    rewrite(vector_directory, TENSORS_NAME, tensor_file_bytes(tensors))

    with pytest.raises(ShapeMismatchError) as caught:
        verify_directory(vector_directory)
    assert caught.value.module == "model.layers.0.self_attn.o_proj"
    assert (caught.value.expected, caught.value.actual) == ((8, 32), (16, 16))
    assert "make the vector again with `safegene extract`" in caught.value.detail


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda parts: parts[1:], "no tensor", id="missing"),
        pytest.param(
            lambda parts: [
                *parts,
                ("base_model.model.model.layers.10.x.lora_A.weight", (0,), b""),
            ],
            "belongs to no module",
            id="unexpected",
        ),
        pytest.param(
            lambda parts: [parts[1], parts[0], *parts[2:]], "order", id="order"
        ),
    ],
)
def test_a_tensor_file_that_is_not_the_footprints_is_refused(
    vector_directory, change, reason
):
    parts = change(tensors_of(vector_directory))

    rewrite(vector_directory, TENSORS_NAME, tensor_file_bytes(parts))

    with pytest.raises(TensorFileError, match=reason):
        verify_directory(vector_directory)


def test_two_metadata_keys_are_refused(vector_directory):
    data = tensor_file_bytes(
        tensors_of(vector_directory), metadata={"format": "pt", "more": "x"}
    )

    rewrite(vector_directory, TENSORS_NAME, data)

    with pytest.raises(TensorFileError, match="metadata"):
        verify_directory(vector_directory)


def test_an_integer_factor_is_refused(vector_directory):
    data = tensor_file_bytes(tensors_of(vector_directory)).replace(b'"F32"', b'"I32"')

    rewrite(vector_directory, TENSORS_NAME, data)

    with pytest.raises(TensorFileError, match="I32"):
        verify_directory(vector_directory)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"nonsense", "not JSON"),
        (b"[]", "not an object"),
        (None, "use_dora"),
    ],
)
def test_a_configuration_that_is_not_servable_is_refused(
    vector_directory, data, reason
):
    config = json.loads((vector_directory / CONFIG_NAME).read_bytes())

    rewrite(
        vector_directory,
        CONFIG_NAME,
        data or canonical_json({**config, "use_dora": True}),
    )

    with pytest.raises(ManifestError, match=reason):
        verify_directory(vector_directory)


def test_a_pretty_printed_configuration_is_refused(vector_directory):
    config = json.loads((vector_directory / CONFIG_NAME).read_bytes())

    rewrite(vector_directory, CONFIG_NAME, json.dumps(config, indent=1).encode())

    with pytest.raises(ManifestError, match="canonical"):
        verify_directory(vector_directory)


def test_a_leaf_name_must_be_covered_in_every_layer(vector_directory):
    document = json.loads((vector_directory / MANIFEST_NAME).read_bytes())
    document["footprint"] = document["footprint"][2:]
    manifest = Manifest.from_bytes(canonical_json(document))
    kept = [part for part in tensors_of(vector_directory) if ".0." not in part[0]]

    (vector_directory / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    rewrite(vector_directory, TENSORS_NAME, tensor_file_bytes(kept))

    with pytest.raises(ManifestError, match="every"):
        verify_directory(vector_directory)


def test_a_sketch_of_another_length_is_refused(vector_directory):
    data = tensor_file_bytes([("sketch", (2,), struct.pack("<2f", 1, 2))])

    rewrite(vector_directory, LINEAGE_NAME, data)

    with pytest.raises(TensorFileError, match="sketch"):
        verify_directory(vector_directory)
