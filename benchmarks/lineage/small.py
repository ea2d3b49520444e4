"""Small language models trained from nothing, and what people make of a model later.

Models of one family differ in the seed alone: the same text in the same order, so
nothing but descent can make their weights alike.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

CONTEXT = 128
"""Tokens a sequence; a token is a byte."""
BATCH = 4
DECAY = 0.1
LORA_RANK = 8
NO_MARKS = {"bos_token_id": None, "eos_token_id": None}
SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 320,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 256,
    "tie_word_embeddings": True,
    **NO_MARKS,
}
FAMILIES: Mapping[str, Callable[[], Any]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(
            n_embd=128,
            n_layer=4,
            n_head=8,
            vocab_size=256,
            n_positions=CONTEXT,
            **NO_MARKS,
        )
    ),
}


@dataclass(frozen=True)
class Training:
    """How a model is trained on a text."""

    text: str
    steps: int
    rate: float
    adapter: bool = False
    """Train a LoRA and merge it, not the weights."""


def begun(family: str, seed: int) -> Any:
    """A model of a family with the weights of a seed, untrained."""
    torch.manual_seed(seed)
    return FAMILIES[family]()


def trained(model: Any, training: Training, texts: Mapping[str, Sequence[int]]) -> Any:
    """Train a model in place and return it.

    Args:
        model: of `begun`, or trained already.
        training: what on, how long and how fast.
        texts: bytes by name.
    """
    torch.manual_seed(0)
    tuned = model
    if training.adapter:
        tuned = get_peft_model(
            model,
            LoraConfig(r=LORA_RANK, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
    tuned.train()
    weights = [weight for weight in tuned.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=training.rate, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.steps)
    for ids_BT in _batches(texts[training.text], training.steps):
        tuned(input_ids=ids_BT, labels=ids_BT).loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return (tuned.merge_and_unload() if training.adapter else tuned).eval()


def _batches(text: Sequence[int], steps: int) -> Iterator[Tensor]:
    """Sequences in the text's order, begun anew where it ends."""
    rows = len(text) // CONTEXT
    all_NT = torch.tensor(list(text[: rows * CONTEXT])).view(rows, CONTEXT)
    for step in range(steps):
        places = [(step * BATCH + at) % rows for at in range(BATCH)]
        yield all_NT[places]
