"""Models that compute what another one computes, with their weights in other places.

A vector made for the one breaks the other, so the sketch has to call them strangers.
Heads move with their key-value groups, neurons with their rows and columns; the output
of the model stays the same.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Order = Callable[[int], Tensor]
"""Another order of `n` things."""


def _turned(count: int) -> Tensor:
    """Every one moves on by one, so none keeps its place."""
    return torch.arange(count).roll(1)


def _shuffled(count: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))


def _blocks(order: Tensor, size: int) -> Tensor:
    """The order of the values whose blocks of `size` are in `order`."""
    return (order[:, None] * size + torch.arange(size)).flatten()


@torch.no_grad()
def permute_heads(model: Any) -> Any:
    """Move every key-value group of heads on by one, in place."""
    config = model.config
    if config.model_type == "gpt2":
        order = _blocks(_turned(config.n_head), config.n_embd // config.n_head)
        thirds = torch.cat([order + part * config.n_embd for part in range(3)])
        for block in model.transformer.h:
            _columns(block.attn.c_attn, thirds)
            _reorder(block.attn.c_proj.weight, order, 0)
        return model
    groups = config.num_key_value_heads
    size = model.model.layers[0].self_attn.head_dim
    shared = config.num_attention_heads // groups
    for layer in model.model.layers:
        attention = layer.self_attn
        values = _blocks(_turned(groups), size)
        queries = _blocks(_turned(groups), size * shared)
        _rows(attention.q_proj, queries)
        _rows(attention.k_proj, values)
        _rows(attention.v_proj, values)
        _reorder(attention.o_proj.weight, queries, 1)
    return model


@torch.no_grad()
def permute_neurons(model: Any) -> Any:
    """Shuffle the neurons of every feed-forward layer, in place."""
    if model.config.model_type == "gpt2":
        for block in model.transformer.h:
            order = _shuffled(block.mlp.c_fc.nf)
            _columns(block.mlp.c_fc, order)
            _reorder(block.mlp.c_proj.weight, order, 0)
        return model
    for layer in model.model.layers:
        order = _shuffled(layer.mlp.up_proj.out_features)
        _rows(layer.mlp.gate_proj, order)
        _rows(layer.mlp.up_proj, order)
        _reorder(layer.mlp.down_proj.weight, order, 1)
    return model


PERMUTED: Mapping[str, Callable[[Any], Any]] = {
    "heads moved": permute_heads,
    "neurons moved": permute_neurons,
    "heads and neurons moved": lambda model: permute_neurons(permute_heads(model)),
}


def _rows(linear: Any, order: Tensor) -> None:
    _reorder(linear.weight, order, 0)
    if linear.bias is not None:
        _reorder(linear.bias, order, 0)


def _columns(conv: Any, order: Tensor) -> None:
    _reorder(conv.weight, order, 1)
    _reorder(conv.bias, order, 0)


def _reorder(weight: Tensor, order: Tensor, dim: int) -> None:
    weight.copy_(weight.index_select(dim, order))
