"""Manifests that lie: refused when they come, before a byte of a file is sent."""

import json

import pytest
from safegene_registry.manifests import (
    MAX_SMALL_BYTES,
    check_manifest,
    max_header_bytes,
    read_manifest,
    size_limits,
)
from safegene_registry.models import Upload
from safegene_registry.problems import plain
from sqlalchemy import func, select
from support.versions import llama_config, neox_config, write_version

from safegene.artifact.canonical import canonical_json
from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import (
    CARD_NAME,
    CONFIG_NAME,
    FILE_NAMES,
    LINEAGE_NAME,
    TENSORS_NAME,
)
from safegene.artifact.tensorfile import read_header
from safegene.errors import ManifestError


def refusal(document) -> ManifestError:
    """Read what must be refused; the error."""
    data = document if isinstance(document, bytes) else canonical_json(document)
    with pytest.raises(ManifestError) as caught:
        read_manifest(data)
    return caught.value


@pytest.fixture
def manifest(tmp_path):
    return write_version(tmp_path / "v")


@pytest.fixture
def document(manifest):
    """The manifest's JSON, to be spoiled."""
    return json.loads(manifest.to_bytes())


def test_a_structure_that_no_model_has_is_refused(document):
    document["architecture"]["modules"][0]["out_features"] = 999

    error = refusal(document)

    assert error.pointer == "/architecture/modules/0"
    assert "expected 'model.layers.0.self_attn.q_proj', 48 x 32" in error.detail
    assert "got 'model.layers.0.self_attn.q_proj', 999 x 32" in error.detail


def test_an_unknown_family_is_refused(document):
    document["architecture"]["model_type"] = "evil"

    error = refusal(document)

    assert error.pointer == "/architecture/model_type"
    assert "llama" in error.detail


def test_a_footprint_with_holes_is_refused(document):
    document["footprint"].pop()

    error = refusal(document)

    assert "down_proj" in error.detail
    assert error.pointer == "/footprint"


@pytest.mark.parametrize("name", FILE_NAMES)
@pytest.mark.parametrize("path", ["../evil.py", "pytorch_model.bin", "safegene.json"])
def test_a_file_that_is_none_of_a_version_is_refused(document, name, path):
    at = FILE_NAMES.index(name)
    document["files"][at]["path"] = path

    error = refusal(document)

    assert error.pointer == f"/files/{at}/path"


@pytest.mark.parametrize("change", ["missing", "twice", "one more", "other order"])
def test_other_files_than_a_version_has_are_refused(document, change):
    files = document["files"]
    document["files"] = {
        "missing": files[:-1],
        "twice": [files[0], *files],
        "one more": [*files, files[0]],
        "other order": files[::-1],
    }[change]

    error = refusal(document)

    assert ", ".join(FILE_NAMES) in error.detail


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param(TENSORS_NAME, 1 << 40, id="a terabyte of factors"),
        pytest.param(TENSORS_NAME, 100, id="a hundred bytes of factors"),
        pytest.param(LINEAGE_NAME, MAX_SMALL_BYTES + 1, id="large sketch"),
        pytest.param(LINEAGE_NAME, 0, id="empty sketch"),
        pytest.param(CONFIG_NAME, MAX_SMALL_BYTES + 1, id="large config"),
        pytest.param(CARD_NAME, MAX_SMALL_BYTES + 1, id="large card"),
    ],
)
def test_a_file_of_a_size_it_cannot_have_is_refused(document, name, size):
    at = FILE_NAMES.index(name)
    entry = document["files"][at]
    entry["size"] = size
    if entry["segments"]:
        entry["segments"] = [{**entry["segments"][0], "size": size}]

    error = refusal(document)

    assert error.pointer == f"/files/{at}/size"
    assert f"got {size}" in error.detail
    assert name in error.detail


@pytest.mark.parametrize("config", [llama_config(), neox_config()])
@pytest.mark.parametrize("rank", [1, 64])
def test_honest_files_are_well_within_their_limits(tmp_path, config, rank):
    manifest = write_version(tmp_path / "w", config=config, rank=rank)

    check_manifest(manifest)

    least, most = size_limits(manifest, manifest.file(TENSORS_NAME))
    assert least < manifest.file(TENSORS_NAME).size < most
    header = read_header(tmp_path / "w" / TENSORS_NAME)
    assert 2 * header.data_start < max_header_bytes(manifest)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data.replace(b"acme", b"\\ud800", 1), id="half"),
        pytest.param(lambda data: data.replace(b"acme", b"\\u0000", 1), id="NUL"),
        pytest.param(lambda data: data[:-1] + b',"\\ud800":1}', id="half a key"),
        pytest.param(lambda data: data[:-1] + b',"\\u0000":1}', id="NUL key"),
        pytest.param(lambda data: data[:-1] + b',"x":' + b"[" * 9000, id="deep"),
        pytest.param(lambda data: data.replace(b":1,", b":1e400,", 1), id="infinity"),
        pytest.param(lambda data: data.replace(b":1,", b":" + b"9" * 5000 + b",", 1)),
        pytest.param(lambda data: b"\xff\xfe" + data, id="BOM"),
        pytest.param(lambda data: data.decode().encode("utf-16"), id="utf-16"),
        pytest.param(lambda data: b"", id="empty"),
    ],
)
def test_hostile_bytes_are_refused_whatever_they_are(manifest, spoil):
    error = refusal(spoil(manifest.to_bytes()))

    assert plain(error.detail).isprintable()


def test_what_is_refused_is_a_problem_at_once(registry, document):
    document["files"][2]["\x00" * 2000] = document["rank"] = -1

    answer = registry.open_upload(canonical_json(document))

    problem = answer.json()
    assert answer.status_code == 422
    assert problem["type"].endswith("/problems/manifest-invalid")
    assert problem["errors"][0]["pointer"].startswith("/files/2/")
    assert len(answer.text) < 5000
    with registry.services.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Upload)) == 0


def test_a_description_that_a_database_cannot_hold_is_no_trouble(
    registry, manifest, document, tmp_path
):
    document["description"] = "a\x00b\u2028\U0001f600"
    data = canonical_json(document)
    registry.send(manifest, tmp_path / "v")
    changed = type(manifest).from_bytes(data)

    published = registry.publish(changed, tmp_path / "v")

    assert published.status_code == 201, published.text
    assert published.json()["digest"] == str(digest_bytes(data))
    assert registry.client.get("/v1/vectors").status_code == 200
