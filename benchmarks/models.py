"""Random models and vectors of a realistic size; values do not change speed."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from safegene.artifact.lineage import sketch_from_checkpoint_dir
from safegene.artifact.manifest import Recipe
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.peft_format import save_vector
from safegene.vectors.vector import SafetyVector

MIDDLE = {
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
    "tie_word_embeddings": True,
}
"""About 220 million parameters."""


def random_model(sizes: dict[str, int | bool], dtype: torch.dtype) -> LlamaForCausalLM:
    """A Llama with random weights, the same in every process."""
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**sizes)).to(dtype).eval()


def save_random_checkpoint(
    directory: Path,
    sizes: dict[str, int | bool],
    dtype: torch.dtype,
    *,
    shard_size: str = "200MB",
) -> Checkpoint:
    """Write a random model as a sharded checkpoint and open it."""
    random_model(sizes, dtype).save_pretrained(directory, max_shard_size=shard_size)
    return Checkpoint.open(directory)


def random_vector(checkpoint: Checkpoint, *, rank: int = 16) -> SafetyVector:
    """A small random vector for every linear module of a checkpoint."""
    generator = torch.Generator().manual_seed(1)
    factors = {
        module.path: LowRankFactors(
            0.01 * torch.randn(rank, module.in_features, generator=generator),
            0.01 * torch.randn(module.out_features, rank, generator=generator),
        )
        for module in checkpoint.architecture.modules
    }
    architecture = checkpoint.architecture
    return SafetyVector(
        architecture=architecture,
        base_model=checkpoint.ref,
        factors=factors,
        recipe=Recipe(
            method="delta",
            rank=rank,
            seed=1,
            parameters={},
            degraded_model=checkpoint.ref,
            data=(),
            tool="benchmarks",
        ),
        sketch=tuple(sketch_from_checkpoint_dir(checkpoint.directory, architecture)),
    )


def publishable(vector: SafetyVector, directory: Path) -> Path:
    """Write a vector as a directory that PEFT loads too."""
    save_vector(vector, directory, namespace="bench", name="random", version="1.0.0")
    return directory
