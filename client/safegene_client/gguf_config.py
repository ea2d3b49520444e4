"""The `config.json` that a GGUF file stands for, as far as its structure goes.

llama.cpp's files name a model's sizes in their metadata, and the names of its tensors
tell which modules have biases. Only the beginning of the file is read, and never more
than `MAX_HEADER_BYTES` of it. Without torch.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from safegene.artifact.family import SizeName, known_families
from safegene.errors import InvalidDataError

MAGIC = b"GGUF"
VERSIONS = (2, 3)

MAX_HEADER_BYTES = 1 << 28
"""Metadata and tensor names; large vocabularies take some megabytes."""

MAX_ENTRIES = 1 << 16
"""Of metadata, and tensors; real files have some hundred of either."""

MAX_KEY_BYTES = 1 << 16

MODEL_TYPES = {
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "glm4": "glm4",
    "gpt2": "gpt2",
    "gptneox": "gpt_neox",
    "llama": "llama",
    "olmo2": "olmo2",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "smollm3": "smollm3",
}
"""What transformers calls the architectures of llama.cpp."""

SIZES: Mapping[SizeName, str] = {
    "hidden": "embedding_length",
    "ffn": "feed_forward_length",
    "layers": "block_count",
    "heads": "attention.head_count",
    "kv_heads": "attention.head_count_kv",
    "head_size": "attention.key_length",
}

BIASES = {
    "attention_bias": ("attn_q.bias", "attn_qkv.bias", "attn_output.bias"),
    "mlp_bias": ("ffn_up.bias", "ffn_down.bias"),
}
"""Tensors of a layer that a switch of the config stands for."""

NUMBERS = dict(enumerate(("B", "b", "H", "h", "I", "i", "f", "?")))
NUMBERS |= {10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9

NOTE = (
    "the structure was read from a GGUF file, whose metadata says less than a"
    " config.json; weights in it are not compared"
)
MISTRAL_NOTE = (
    "GGUF files call Mistral models llama as well, and this one's name does not tell:"
    " ask with its config.json to be sure"
)


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def read_gguf_config(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The config of the model in a GGUF file, and what there is to note of it.

    Raises:
        InvalidDataError: it is cut off, or no GGUF file of a known version.
    """
    try:
        with path.open("rb") as stream:
            facts, tensors = _Reader(stream).read()
    except _BrokenError as error:
        message = f"{path}: expected a GGUF file: {error}; download it anew"
        raise InvalidDataError(message) from None
    return _config_of(facts, tensors)


def _config_of(
    facts: Mapping[str, Any], tensors: frozenset[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    architecture = facts.get("general.architecture")
    notes = [NOTE]
    if not isinstance(architecture, str):
        return {}, tuple(notes)
    model_type = MODEL_TYPES.get(architecture, architecture)
    if model_type == "llama":
        names = (facts.get("general.name"), facts.get("general.basename"))
        if any("mistral" in str(name).lower() for name in names):
            model_type = "mistral"
        else:
            notes.append(MISTRAL_NOTE)
    experts = facts.get(f"{architecture}.expert_count")
    if experts:
        # Files of such models have the name of the dense ones.
        odd = {"model_type": f"{model_type} with experts", "num_experts": experts}
        return odd, tuple(notes)
    config: dict[str, Any] = {"model_type": model_type}
    family = known_families().get(model_type)
    if family is None:
        return config, tuple(notes)
    for name, key in SIZES.items():
        field = family.sizes[name].field
        value = facts.get(f"{architecture}.{key}")
        if field is not None and value is not None:
            config[field] = value
    for switch in family.switches:
        config[switch] = any(f"blk.0.{name}" in tensors for name in BIASES[switch])
    return config, tuple(notes)


class _BrokenError(Exception):
    """It is not what it should be."""


class _Reader:
    """Reads metadata and the names of tensors, front to back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = MAX_HEADER_BYTES

    def read(self) -> tuple[dict[str, Any], frozenset[str]]:
        if self._take(len(MAGIC)) != MAGIC:
            message = "it begins otherwise"
            raise _BrokenError(message)
        version = self._number("I")
        if version not in VERSIONS:
            message = f"version {version} cannot be read, {VERSIONS} can"
            raise _BrokenError(message)
        tensors, entries = self._number("Q"), self._number("Q")
        if max(tensors, entries) > MAX_ENTRIES:
            message = f"{tensors} tensors and {entries} entries are too many"
            raise _BrokenError(message)
        facts = {}
        for _ in range(entries):
            key = self._text()
            facts[key] = self._value(self._number("I"))
        return facts, frozenset(self._tensor() for _ in range(tensors))

    def _tensor(self) -> str:
        name = self._text()
        dimensions = self._number("I")
        # Each of them, then the type and the offset.
        self._skip(8 * dimensions + 4 + 8)
        return name

    def _value(self, kind: int) -> Any:
        if kind in NUMBERS:
            return self._number(NUMBERS[kind])
        if kind == TEXT:
            return self._text()
        if kind != ARRAY:
            message = f"it has values of an unknown type, {kind}"
            raise _BrokenError(message)
        inner, count = self._number("I"), self._number("Q")
        if inner in NUMBERS:
            self._skip(struct.calcsize(f"<{NUMBERS[inner]}") * count)
        elif inner == TEXT:
            for _ in range(count):
                self._skip(self._number("Q"))
        else:
            message = f"it has lists of an unknown type, {inner}"
            raise _BrokenError(message)
        # No size that counts is a list, but where layers differ.
        return [count]

    def _text(self) -> str:
        size = self._number("Q")
        if size > MAX_KEY_BYTES:
            self._skip(size)
            return ""
        return self._take(size).decode("utf-8", errors="replace")

    def _number(self, code: str) -> Any:
        (value,) = struct.unpack(f"<{code}", self._take(struct.calcsize(f"<{code}")))
        return value

    def _skip(self, size: int) -> None:
        self._spend(size)
        self._stream.seek(size, 1)

    def _take(self, size: int) -> bytes:
        self._spend(size)
        data = self._stream.read(size)
        if len(data) < size:
            message = "it is cut off"
            raise _BrokenError(message)
        return data

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            message = f"its header is larger than {MAX_HEADER_BYTES} bytes"
            raise _BrokenError(message)
