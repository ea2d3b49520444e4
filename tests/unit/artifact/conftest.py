"""A small manifest and the directory it describes, without torch."""

import struct

import pytest

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.card import write_card
from safegene.artifact.digest import digest_bytes
from safegene.artifact.lineage import sketch_positions, write_sketch
from safegene.artifact.manifest import (
    CARD_NAME,
    CONFIG_NAME,
    FILE_NAMES,
    LINEAGE_NAME,
    MANIFEST_NAME,
    TENSORS_NAME,
    BaseModelRef,
    DataEntry,
    LayerEntry,
    Manifest,
    Recipe,
)
from safegene.artifact.segments import segment_file
from safegene.artifact.tensorwriter import tensor_file_bytes
from safegene.artifact.vectorfile import adapter_config, factor_key

CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 11,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
RANK = 8


@pytest.fixture
def config():
    return dict(CONFIG)


@pytest.fixture
def architecture():
    return architecture_from_config(CONFIG)


@pytest.fixture
def vector_directory(tmp_path, architecture):
    """A whole version that touches `o_proj` and `down_proj` in all layers."""
    return write_version(tmp_path / "vector", architecture)


def write_version(directory, architecture):
    directory.mkdir()
    footprint = tuple(
        module.path
        for module in architecture.modules
        if module.path.endswith(("o_proj", "down_proj"))
    )
    base = BaseModelRef(id="org/base", revision="abc123")
    facts = {
        "namespace": "acme",
        "name": "refusal",
        "version": "1.0.0",
        "license": "Apache-2.0",
        "description": "For tests.",
        "base_model": base,
        "architecture": architecture,
        "footprint": footprint,
        "rank": RANK,
        "recipe": Recipe(
            method="delta",
            rank=4,
            seed=0,
            parameters={"relative_error": "0.01"},
            degraded_model=BaseModelRef(id="org/degraded", revision="def456"),
            data=(DataEntry(name="x", digest=str(digest_bytes(b"x")), rows=3),),
            tool="safegene/0.1.0",
        ),
        "layers": tuple(
            LayerEntry(index=layer, selected=True, score="0.5")
            for layer in range(architecture.layers)
        ),
    }
    (directory / TENSORS_NAME).write_bytes(
        tensor_file_bytes(_factors(architecture, footprint), metadata={"format": "pt"})
    )
    (directory / CONFIG_NAME).write_bytes(
        adapter_config(
            base_id=base.id, revision=base.revision, rank=RANK, footprint=footprint
        )
    )
    count = sum(run.count for run in sketch_positions(architecture))
    (directory / LINEAGE_NAME).write_bytes(
        write_sketch([((at * 37) % 101 - 50) / 64 for at in range(count)])
    )
    (directory / CARD_NAME).write_text(write_card(facts), encoding="utf-8")
    manifest = Manifest(
        **facts, files=tuple(_entry(directory / name) for name in FILE_NAMES)
    )
    (directory / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    return directory


def _factors(architecture, footprint):
    for path in footprint:
        module = architecture.module(path)
        yield (
            factor_key(path, "A"),
            (RANK, module.in_features),
            _values(RANK * module.in_features),
        )
        yield (
            factor_key(path, "B"),
            (module.out_features, RANK),
            _values(RANK * module.out_features),
        )


def _values(count):
    return struct.pack(f"<{count}f", *((at % 7 - 3) / 8 for at in range(count)))


def _entry(path):
    data = path.read_bytes()
    segments = None
    if path.name == TENSORS_NAME:
        segments = [segment.model_dump() for segment in segment_file(path)]
    return {
        "path": path.name,
        "size": len(data),
        "digest": str(digest_bytes(data)),
        "segments": segments,
    }
