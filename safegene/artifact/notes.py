"""What is worth knowing of a model and does not stand in a vector's way.

Vocabulary, RoPE, context length, dtype and the like are not structure: fine-tuned
models change them. They are notes of a verdict, for people, and never decide anything.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from safegene.artifact.family import known_families
from safegene.artifact.shown import plain

_NOTED = (
    "vocab_size",
    "max_position_embeddings",
    "tie_word_embeddings",
    "rope_parameters",
    "rope_theta",
    "rope_scaling",
    "sliding_window",
    "torch_dtype",
    "dtype",
)
"""Fields that are noted as they are."""


def config_notes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Notes on a model, each one short printable line.

    Args:
        config: the model's parsed `config.json`.
    """
    return tuple(_notes(config))


def _notes(config: Mapping[str, Any]) -> Iterator[str]:
    for key in _NOTED:
        value = config.get(key)
        if value is not None:
            yield f"{key}: {plain(value)}"
    quantization = config.get("quantization_config")
    if quantization is not None:
        yield (
            f"quantized ({_method(quantization)}): vectors can be attached to it, not"
            " merged into it"
        )
    if config.get("auto_map"):
        yield (
            "auto_map: the model brings code of its own; its modules are taken to be"
            f" those of {plain(config.get('model_type'))} in transformers"
        )
    yield from _other_class(config)


def _method(quantization: Any) -> str:
    """How a model is quantized, as far as its config says."""
    if not isinstance(quantization, Mapping):
        return plain(quantization)
    method = plain(quantization.get("quant_method", "by an unnamed method"))
    # bitsandbytes says it in two switches, most others in a number.
    bits = quantization.get("bits") or next(
        (n for n in (4, 8) if quantization.get(f"load_in_{n}bit") is True), None
    )
    return method if bits is None else f"{method}, {plain(bits)} bits"


def _other_class(config: Mapping[str, Any]) -> Iterator[str]:
    """The class a model was saved from, when it is not the language model."""
    model_type, classes = config.get("model_type"), config.get("architectures")
    family = known_families().get(model_type) if isinstance(model_type, str) else None
    if family is None or not isinstance(classes, list) or not classes:
        return
    if family.causal_lm not in classes:
        yield (
            f"architectures: {plain(classes[0])}, not {family.causal_lm}: what it has"
            " beside the layers of a language model was not compared"
        )
