"""The oracle of every structure: the real class of transformers, on the meta device."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D


def real_model(config):
    """A model of a config's real class, without a byte of weights.

    Args:
        config: as in `config.json`, or of transformers.
    """
    if isinstance(config, dict):
        config = AutoConfig.for_model(**config)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def real_modules(config):
    """Its linear modules, the head apart: path, out, in, bias; in its own order."""
    found = []
    for name, module in real_model(config).named_modules():
        if isinstance(module, torch.nn.Linear | Conv1D) and name != "lm_head":
            shape = tuple(module.weight.shape)
            out_in = shape[::-1] if isinstance(module, Conv1D) else shape
            found.append((name, *out_in, module.bias is not None))
    return found


def derived_modules(architecture):
    """What we derived, in the same form."""
    return [
        (module.path, module.out_features, module.in_features, module.bias)
        for module in architecture.modules
    ]
