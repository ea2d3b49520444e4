"""Files that lie: each is received as announced and refused at completion."""

import json
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safegene_registry.s3.keys import final_key
from safegene_registry.verification import (
    CHUNK_BYTES,
    EXPONENTS,
    CorruptBlobError,
    HashingReader,
    check_file,
    has_non_finite,
)
from support.lying import Pieces, changed, rewritten
from support.stores import content, remove_behind, write_behind
from support.versions import write_version

from safegene.artifact.canonical import canonical_json
from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import (
    CARD_NAME,
    CONFIG_NAME,
    LINEAGE_NAME,
    TENSORS_NAME,
    Manifest,
)
from safegene.artifact.tensorfile import read_header
from safegene.artifact.tensorwriter import tensor_file_bytes


def refusal(registry, manifest: Manifest, directory: Path) -> dict:
    """Publish what must be refused; the problem."""
    response = registry.publish(manifest, directory)
    assert response.status_code == 422, response.text
    problem = response.json()
    assert problem["type"].endswith("/problems/manifest-invalid")
    assert registry.client.get("/v1/vectors").json()["items"] == []
    return problem


def put_value(path: Path, tensor: str, data: bytes) -> bytes:
    """The file's bytes with the last value of a tensor replaced."""
    content = bytearray(path.read_bytes())
    end = read_header(path).get(tensor).end
    content[end - len(data) : end] = data
    return bytes(content)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", [TENSORS_NAME, LINEAGE_NAME])
def test_a_value_that_is_not_finite_is_refused(registry, tmp_path, name, value):
    manifest = write_version(tmp_path / "v")
    path = tmp_path / "v" / name
    tensor = read_header(path).tensors[-1].name
    data = put_value(path, tensor, struct.pack("<f", value))

    problem = refusal(
        registry, rewritten(manifest, tmp_path / "v", name, data), path.parent
    )

    assert "NaN or infinity" in problem["detail"]
    assert tensor in problem["detail"]


def test_a_tensor_of_another_shape_is_refused(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    other = write_version(tmp_path / "other", rank=16)
    data = (tmp_path / "other" / TENSORS_NAME).read_bytes()

    problem = refusal(
        registry,
        rewritten(manifest, tmp_path / "v", TENSORS_NAME, data),
        tmp_path / "v",
    )

    assert "q_proj" in problem["detail"]
    assert "(8, 32)" in problem["detail"]
    assert f"({other.rank}, 32)" in problem["detail"]


EXTRA = "base_model.model.model.layers.1.mlp.up_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda parts: parts[1:], "no tensor", id="one missing"),
        pytest.param(lambda parts: parts[:-2], "no tensor", id="a module missing"),
        pytest.param(
            lambda parts: [*parts, (EXTRA, (8, 32), bytes(4 * 8 * 32))],
            f"tensor '{EXTRA[:40]}",
            id="one of a module outside the footprint",
        ),
        pytest.param(
            lambda parts: [parts[1], parts[0], *parts[2:]], "order", id="order"
        ),
    ],
)
def test_tensors_other_than_the_footprints_are_refused(
    registry, tmp_path, change, said
):
    """None missing, none unexpected; nothing of it is ever visible."""
    manifest = write_version(tmp_path / "v")
    path = tmp_path / "v" / TENSORS_NAME
    data = path.read_bytes()
    parts = [
        (tensor.name, tensor.shape, data[tensor.start : tensor.end])
        for tensor in read_header(path).tensors
    ]
    changed_file = tensor_file_bytes(change(parts), metadata={"format": "pt"})
    lying = rewritten(manifest, tmp_path / "v", TENSORS_NAME, changed_file)

    problem = refusal(registry, lying, tmp_path / "v")

    assert said in problem["detail"]
    assert problem["errors"][0]["pointer"].startswith("/files/2")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(struct.pack("<Q", 1 << 62) + b"{}", id="header of 2^62 bytes"),
        pytest.param(b"\x02\0\0\0\0\0\0\0[]", id="no object"),
    ],
)
def test_a_lineage_file_that_is_no_tensor_file_is_refused(registry, tmp_path, data):
    manifest = write_version(tmp_path / "v")
    size = manifest.file(LINEAGE_NAME).size
    lying = rewritten(
        manifest, tmp_path / "v", LINEAGE_NAME, data + bytes(size - len(data))
    )

    problem = refusal(registry, lying, tmp_path / "v")

    assert "safetensors file" in problem["detail"]


def test_segments_that_do_not_match_the_layers_are_refused(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    entry = manifest.file(TENSORS_NAME)
    swapped = (
        entry.segments[0],
        entry.segments[1].model_copy(update={"layers": (1,)}),
        entry.segments[2].model_copy(update={"layers": (0,)}),
    )
    files = tuple(
        f.model_copy(update={"segments": swapped}) if f.path == TENSORS_NAME else f
        for f in manifest.files
    )

    problem = refusal(registry, changed(manifest, files=files), tmp_path / "v")

    assert problem["errors"][0]["pointer"] == "/files/2/segments"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"lora_alpha": 99}, id="scaling"),
        pytest.param({"rank_pattern": {"q_proj": 4}}, id="pattern"),
        pytest.param({"use_dora": True}, id="dora"),
        pytest.param({"base_model_name_or_path": "evil/model"}, id="base model"),
    ],
)
def test_a_config_outside_the_servable_profile_is_refused(registry, tmp_path, change):
    manifest = write_version(tmp_path / "v")
    config = json.loads((tmp_path / "v" / CONFIG_NAME).read_bytes())
    lying = rewritten(
        manifest, tmp_path / "v", CONFIG_NAME, canonical_json({**config, **change})
    )

    problem = refusal(registry, lying, tmp_path / "v")

    assert next(iter(change)) in problem["detail"]


def test_a_refused_version_can_be_published_once_corrected(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    card = (tmp_path / "v" / CARD_NAME).read_bytes()
    lying = rewritten(manifest, tmp_path / "v", CARD_NAME, b"\xff")
    refusal(registry, lying, tmp_path / "v")
    (tmp_path / "v" / CARD_NAME).write_bytes(card)

    assert registry.publish(manifest, tmp_path / "v").status_code == 201


@pytest.mark.parametrize("damage", ["changed", "lost"])
def test_a_damaged_shared_blob_is_asked_for_again_and_heals(registry, tmp_path, damage):
    registry.publish(write_version(tmp_path / "v"), tmp_path / "v")
    store = registry.services.store
    good = (tmp_path / "v" / TENSORS_NAME).read_bytes()
    digest = digest_bytes(good)
    manifest = write_version(tmp_path / "next", version="1.1.0")
    upload = registry.send(manifest, tmp_path / "next")
    if damage == "lost":
        remove_behind(store, final_key(digest))
    else:
        write_behind(store, final_key(digest), good[:-1] + bytes([good[-1] ^ 1]))

    refused = registry.complete(upload)
    tensors = manifest.file(TENSORS_NAME)
    registry.put_blob(upload, tensors.digest, good)
    healed = registry.complete(upload)

    assert refused.status_code == 409
    assert refused.json()["type"].endswith("/problems/blob-missing")
    assert tensors.digest in refused.json()["errors"][0]["detail"]
    assert healed.status_code == 201
    assert content(store, digest) == good


@pytest.mark.parametrize("name", [TENSORS_NAME, CARD_NAME])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[:5], id="cut in the header"),
        pytest.param(lambda data: data[:-1], id="cut at the end"),
        pytest.param(lambda data: data + b"!", id="longer"),
        pytest.param(lambda data: data + bytes(9_000_000), id="much longer"),
        pytest.param(lambda data: b"\xff" + data[1:], id="changed at the start"),
        pytest.param(lambda data: data[:-4] + b"\0\0\xc0\x7f", id="not a number"),
    ],
)
def test_wrong_bytes_are_told_as_such_whatever_they_hold(tmp_path, name, damage):
    manifest = write_version(tmp_path / "v")
    data = (tmp_path / "v" / name).read_bytes()
    entry = manifest.file(name)

    check_file(manifest, entry, Pieces(data))
    with pytest.raises(CorruptBlobError, match=entry.digest):
        check_file(manifest, entry, Pieces(damage(data)))


@given(st.binary(max_size=5000), st.lists(st.integers(0, 3000), max_size=5))
def test_digests_do_not_depend_on_how_a_file_is_read(data, sizes):
    source = HashingReader(Pieces(data))
    source.mark()

    read = [(source.read(size), source.mark()) for size in sizes]
    whole = source.finish(len(data))

    assert [digest for _, digest in read] == [digest_bytes(part) for part, _ in read]
    assert data.startswith(b"".join(part for part, _ in read))
    assert whole == (digest_bytes(data), len(data))


FORMATS = {"F64": "d", "F32": "f", "F16": "e"}


@given(data=st.data(), dtype=st.sampled_from(sorted(FORMATS)))
def test_non_finite_values_are_found_wherever_they_are(data, dtype):
    width = EXPONENTS[dtype][0] * 8
    values = data.draw(st.lists(st.floats(width=width), max_size=40))

    found = has_non_finite(
        struct.pack(f"<{len(values)}{FORMATS[dtype]}", *values), dtype
    )

    assert found == (not all(map(math.isfinite, values)))


@given(st.lists(st.floats(width=32), max_size=40))
def test_non_finite_bfloat16_values_are_found(values):
    words = [struct.unpack("<I", struct.pack("<f", v))[0] >> 16 for v in values]
    expected = any((word & 0x7F80) == 0x7F80 for word in words)

    assert has_non_finite(struct.pack(f"<{len(words)}H", *words), "BF16") == expected


def test_the_last_value_of_a_long_tensor_is_looked_at():
    data = bytes(CHUNK_BYTES - 4) + struct.pack("<f", math.nan)

    assert has_non_finite(data, "F32")
    assert not has_non_finite(bytes(CHUNK_BYTES), "F32")
