"""Tiny random models, a tiny tokenizer, model pairs and checkpoint directories.

Built in code, never downloaded. Shapes are mostly not square, so that a transposed
product cannot go unnoticed.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    Glm4Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    Phi3Config,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.lineage import read_sketch, sketch_positions
from safegene.artifact.manifest import BaseModelRef, Recipe
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.vector import SafetyVector

FAMILIES = ("llama", "qwen2", "gpt_neox")
ALL_FAMILIES = (
    *(*FAMILIES, "mistral", "qwen3", "gemma2", "gemma3_text", "phi3", "gpt2"),
    *("olmo2", "glm4", "smollm3"),
)

SHARD_SIZE = "30KB"
"""Cuts a tiny model into a handful of shards."""

_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 264,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.1,
}
_GEMMA = {
    "num_key_value_heads": 2,
    "head_dim": 12,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"],
}
_CONFIGS: Mapping[str, tuple[type[PretrainedConfig], dict[str, Any]]] = {
    "llama": (LlamaConfig, {"num_key_value_heads": 2, "head_dim": 12}),
    "mistral": (MistralConfig, {"num_key_value_heads": 2}),
    "qwen2": (Qwen2Config, {"num_key_value_heads": 2}),
    "qwen3": (Qwen3Config, {"num_key_value_heads": 2, "head_dim": 16}),
    "gpt_neox": (GPTNeoXConfig, {}),
    "gemma2": (Gemma2Config, _GEMMA),
    "gemma3_text": (Gemma3TextConfig, _GEMMA),
    "phi3": (Phi3Config, {"num_key_value_heads": 2}),
    "gpt2": (GPT2Config, {"n_inner": 48}),
    "olmo2": (Olmo2Config, {"num_key_value_heads": 2}),
    "glm4": (Glm4Config, {"num_key_value_heads": 2, "head_dim": 16}),
    "smollm3": (
        SmolLM3Config,
        {
            "num_key_value_heads": 2,
            "no_rope_layers": [1, 0],
            "use_sliding_window": True,
            "sliding_window": 8,
        },
    ),
}


def tiny_config(family: str = "llama", **changes: Any) -> PretrainedConfig:
    """The config of a tiny model; `changes` are fields of the family's config."""
    kind, own = _CONFIGS[family]
    return kind(**(_SIZES | own | changes))


def tiny_model(
    family: str = "llama",
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **changes: Any,
) -> Any:
    """A random model in evaluation mode, the same for the same arguments."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny_config(family, **changes))
    return model.to(dtype).eval()


def tiny_tokenizer(*, chat: bool = True) -> PreTrainedTokenizerFast:
    """A tokenizer of single bytes with a chat template; it can say anything."""
    special = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([*special, *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=special[0],
        bos_token=special[1],
        eos_token=special[2],
    )
    if chat:
        tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def linear_paths(model: Any) -> tuple[str, ...]:
    """Paths of every linear module, embeddings and head apart, in model order."""
    config = model.config.to_dict()
    return tuple(module.path for module in architecture_from_config(config).modules)


def changed(
    model: Any,
    *,
    scale: float = 0.05,
    rank: int | None = None,
    seed: int = 1,
    paths: Iterable[str] | None = None,
) -> Any:
    """A copy with random changes of its linear weights: a descendant of the model.

    Args:
        model: stays as it is.
        scale: size of the change, relative to the weight's norm.
        rank: of the change; full without one.
        seed: of the change.
        paths: modules to change; all linear ones without.
    """
    generator = torch.Generator().manual_seed(seed)
    descendant = copy.deepcopy(model)
    for path in linear_paths(model) if paths is None else paths:
        weight = descendant.get_submodule(path).weight
        rows, columns = weight.shape
        change = torch.randn(rows, rank or columns, generator=generator)
        if rank is not None:
            change = change @ torch.randn(rank, columns, generator=generator)
        change *= scale * weight.detach().float().norm() / change.norm()
        with torch.no_grad():
            weight.copy_((weight.float() + change).to(weight.dtype))
    return descendant


def save_checkpoint(
    model: Any, directory: Path, *, tokenizer: Any = None, sharded: bool = False
) -> Path:
    """Write a model the way transformers does, with its tokenizer if given."""
    limit = {"max_shard_size": SHARD_SIZE} if sharded else {}
    model.save_pretrained(directory, **limit)
    if tokenizer is not None:
        tokenizer.save_pretrained(directory)
    return directory


@dataclass(frozen=True)
class ModelPair:
    """An aligned and a degraded model, in memory and on disk."""

    aligned: Any
    degraded: Any
    aligned_dir: Path
    degraded_dir: Path


def save_pair(
    directory: Path,
    family: str = "llama",
    *,
    rank: int | None = 2,
    sharded: bool = False,
    **changes: Any,
) -> ModelPair:
    """A random aligned model and a degraded one that differs by a known rank."""
    aligned = tiny_model(family, **changes)
    degraded = changed(aligned, rank=rank)
    tokenizer = tiny_tokenizer()
    folders = []
    for name, model in (("aligned", aligned), ("degraded", degraded)):
        folder = directory / name
        save_checkpoint(model, folder, tokenizer=tokenizer, sharded=sharded)
        folders.append(folder)
    return ModelPair(aligned, degraded, *folders)


def random_vector(
    model: Any,
    *,
    rank: int = 2,
    scale: float = 0.1,
    seed: int = 3,
    leaf_names: Iterable[str] | None = None,
) -> SafetyVector:
    """A random vector that fits a model and has its true lineage sketch.

    Args:
        model: whose structure and weights are taken.
        rank: of every module's factors.
        scale: size of the entries of A and B.
        seed: of the factors.
        leaf_names: last path parts of the touched modules; all without.
    """
    generator = torch.Generator().manual_seed(seed)
    architecture = architecture_from_config(model.config.to_dict())
    wanted = None if leaf_names is None else set(leaf_names)
    factors = {
        module.path: LowRankFactors(
            scale * torch.randn(rank, module.in_features, generator=generator),
            scale * torch.randn(module.out_features, rank, generator=generator),
        )
        for module in architecture.modules
        if wanted is None or module.path.rpartition(".")[2] in wanted
    }

    def read(name: str, offset: int, count: int) -> list[float]:
        weight = model.get_parameter(name).detach().float().flatten()
        return weight[offset : offset + count].tolist()

    return SafetyVector(
        architecture=architecture,
        base_model=BaseModelRef(id="tests/tiny", revision="0" * 40),
        factors=factors,
        recipe=Recipe(
            method="delta",
            rank=rank,
            seed=seed,
            parameters={},
            degraded_model=BaseModelRef(id="tests/tiny-degraded", revision="1" * 40),
            data=(),
            tool="tests",
        ),
        sketch=tuple(read_sketch(sketch_positions(architecture), read)),
    )


def random_ids(model: Any, *, batch: int = 3, tokens: int = 7, seed: int = 5) -> Any:
    """Random token ids [batch, tokens]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(
        3, model.config.vocab_size, (batch, tokens), generator=generator
    )


def logits_of(model: Any, ids: Any) -> torch.Tensor:
    """Logits of a plain forward pass."""
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


def weight_bytes(model: Any) -> dict[str, bytes]:
    """Exact bytes of every weight, to compare before and after."""
    return {
        name: weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
        for name, weight in model.state_dict().items()
    }
