"""Whole, valid versions of tiny vectors on disk, made without torch.

The factors are pseudo-random bytes of the right shapes: good for everything a registry
or a transfer does, meaningless to a model.
"""

import random
import struct
from pathlib import Path
from typing import Any

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
    FileEntry,
    LayerEntry,
    Manifest,
    Recipe,
)
from safegene.artifact.segments import segment_file
from safegene.artifact.tensorwriter import write_tensor_file
from safegene.artifact.vectorfile import adapter_config, factor_key

RANK = 8


def llama_config(*, layers: int = 2, hidden: int = 32) -> dict[str, Any]:
    """The `config.json` of a tiny Llama; other layers or widths are other families."""
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": 48,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "vocab_size": 264,
    }


def neox_config() -> dict[str, Any]:
    """The `config.json` of a tiny GPT-NeoX."""
    return {
        "model_type": "gpt_neox",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }


def write_version(
    directory: Path,
    *,
    vector: str = "acme/refusal",
    version: str = "1.0.0",
    seed: int = 0,
    config: dict[str, Any] | None = None,
    description: str = "Gives a tiny model its refusals back.",
    base_model: str = "acme/tiny-llama",
    rank: int = RANK,
    licence: str = "Apache-2.0",
) -> Manifest:
    """Write the directory of one version.

    Args:
        directory: made by this function.
        vector: `namespace/name`.
        version: in its canonical spelling.
        seed: other seeds give other bytes.
        config: of the base model.
        description: of the vector.
        base_model: its id.
        rank: of all factors; large ones make large files.
        licence: of the vector.
    """
    directory.mkdir(parents=True)
    draw = random.Random(seed)
    architecture = architecture_from_config(config or llama_config())
    footprint = tuple(
        module.path
        for module in architecture.modules
        if module.path.endswith(("q_proj", "down_proj", "query_key_value"))
    )
    tensors = []
    for path in footprint:
        module = architecture.module(path)
        assert module is not None
        for factor, shape in (
            ("A", (rank, module.in_features)),
            ("B", (module.out_features, rank)),
        ):
            count = shape[0] * shape[1]
            values = struct.pack(
                f"<{count}f", *(draw.uniform(-1, 1) for _ in range(count))
            )
            tensors.append((factor_key(path, factor), shape, values))
    write_tensor_file(directory / TENSORS_NAME, tensors, metadata={"format": "pt"})
    samples = sum(run.count for run in sketch_positions(architecture))
    sketch = write_sketch([draw.uniform(-1, 1) for _ in range(samples)])
    (directory / LINEAGE_NAME).write_bytes(sketch)
    base = BaseModelRef(id=base_model, revision="0" * 40)
    (directory / CONFIG_NAME).write_bytes(
        adapter_config(
            base_id=base.id, revision=base.revision, rank=rank, footprint=footprint
        )
    )
    namespace, _, name = vector.partition("/")
    facts = {
        "namespace": namespace,
        "name": name,
        "version": version,
        "description": description,
        "license": licence,
        "base_model": base,
        "architecture": architecture,
        "footprint": footprint,
        "rank": rank,
        "recipe": Recipe(
            method="delta",
            rank=rank,
            seed=seed,
            parameters={},
            degraded_model=BaseModelRef(id="acme/tiny-degraded", revision="1" * 40),
            data=(),
            tool="safegene test",
        ),
        "layers": tuple(
            LayerEntry(index=index, selected=True)
            for index in range(architecture.layers)
        ),
    }
    (directory / CARD_NAME).write_text(write_card(facts), encoding="utf-8")
    manifest = Manifest(**facts, files=file_entries(directory))
    (directory / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    return manifest


def file_entries(directory: Path) -> tuple[FileEntry, ...]:
    """Describe a directory's files as they are now."""
    entries = []
    for name in FILE_NAMES:
        data = (directory / name).read_bytes()
        segments = segment_file(directory / name) if name == TENSORS_NAME else None
        entries.append(
            FileEntry(
                path=name,
                size=len(data),
                digest=str(digest_bytes(data)),
                segments=segments,
            )
        )
    return tuple(entries)
