"""Versions to publish, of 200 MB and of kilobytes; values do not change speed."""

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.lineage import sketch_positions
from safegene.artifact.manifest import BaseModelRef, Manifest, Recipe
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.peft_format import save_vector
from safegene.vectors.vector import SafetyVector

NAMESPACE, NAME = "bench", "random"
RANK = 16
LARGE = {
    "model_type": "llama",
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 32,
    "num_attention_heads": 40,
    "num_key_value_heads": 40,
    "vocab_size": 32000,
}
"""Layers of a Llama 2 13B, 32 of them: 200 MB of factors at rank 16."""
SMALL = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 256,
}


def random_version_of(sizes: Mapping[str, Any]) -> SafetyVector:
    """A vector for every linear module of a model of these sizes."""
    architecture = architecture_from_config(sizes)
    generator = torch.Generator().manual_seed(0)
    base = BaseModelRef(id="bench/random", revision="0" * 40)
    draw = random.Random(0)  # noqa: S311 - not a secret
    return SafetyVector(
        architecture=architecture,
        base_model=base,
        factors={
            module.path: LowRankFactors(
                torch.randn(RANK, module.in_features, generator=generator),
                torch.randn(module.out_features, RANK, generator=generator),
            )
            for module in architecture.modules
        },
        recipe=Recipe(
            method="delta",
            rank=RANK,
            seed=0,
            parameters={},
            degraded_model=base,
            data=(),
            tool="benchmarks",
        ),
        sketch=tuple(
            draw.uniform(-1, 1)
            for run in sketch_positions(architecture)
            for _ in range(run.count)
        ),
    )


class Versions:
    """Writes version after version, none with the tensor file of another.

    Args:
        place: directory to write below.
        sizes: of the base model.
    """

    def __init__(self, place: Path, sizes: Mapping[str, Any]) -> None:
        self.place = place
        self.vector = random_version_of(sizes)
        self.count = 0

    def write(self) -> tuple[Path, Manifest]:
        """The next version's directory."""
        self.count += 1
        # One number makes other bytes, and so another blob.
        path, factors = next(iter(self.vector.factors.items()))
        first = factors.a_RI.clone()
        first[0, 0] = self.count
        changed = {path: LowRankFactors(first, factors.b_OR)}
        version = f"1.{self.count}"
        directory = self.place / version
        manifest = save_vector(
            replace(self.vector, factors={**self.vector.factors, **changed}),
            directory,
            namespace=NAMESPACE,
            name=NAME,
            version=version,
        )
        return directory, manifest
