"""What is known of a model that a caller names, and whether a vector fits it.

A model is given as a directory, as a parsed config, or loaded (transformers, PEFT). Its
lineage is read from the weights where there are any, never from the whole of them.
Importing this module loads no torch.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from safegene.artifact.architecture import Architecture
from safegene.artifact.compatibility import (
    ONLY_CONFIG,
    Level,
    Target,
    Verdict,
    compare,
    read_target,
)
from safegene.artifact.lineage import (
    INDEX_NAME,
    WEIGHTS_NAME,
    CheckpointReader,
    LocalFiles,
    WeightFiles,
    compare_sketches,
    read_sketch,
    sketch_positions,
)
from safegene.errors import InvalidDataError, UsageError
from safegene_client.gguf_config import is_gguf, read_gguf_config
from safegene_client.tokenizer_notes import tokenizer_notes

CONFIG_NAME = "config.json"
ADAPTER_CONFIG_NAME = "adapter_config.json"

MAX_CONFIG_BYTES = 1 << 22
"""Real ones have some kilobytes; weights named by mistake have more."""

SketchReader = Callable[[Architecture], Sequence[float] | None]
"""Reads a model's lineage sketch; None where its weights cannot be compared."""

UNREADABLE = (
    "the weights were not compared: they are quantised, or named otherwise than the"
    " base model's"
)

IN_GGUF = (
    "the weights were not compared: they are in a GGUF file; name a directory with the"
    " safetensors weights it was made from"
)


@dataclass(frozen=True)
class TargetModel:
    """A model's structure and a way to its weights."""

    config: Mapping[str, Any]
    """As in `config.json`."""
    read_sketch: SketchReader
    unchecked: str = ONLY_CONFIG
    """Why the lineage is not known where there is no sketch, for people."""
    notes: tuple[str, ...] = ()
    """What is known beside the config, for people."""

    @cached_property
    def known(self) -> Target:
        """What the config tells; read once for any number of vectors."""
        known = read_target(self.config)
        return replace(known, notes=(*known.notes, *self.notes))

    @cached_property
    def _sketches(self) -> dict[str, Sequence[float] | None]:
        return {}

    def sketch(self, architecture: Architecture) -> Sequence[float] | None:
        """The model's sketch at a family's places; read once for a family.

        Raises:
            TensorFileError: the model's weight files are damaged.
        """
        family = str(architecture.fingerprint)
        if family not in self._sketches:
            self._sketches[family] = self.read_sketch(architecture)
        return self._sketches[family]

    def verdict(
        self, architecture: Architecture, sketch: Sequence[float] | None
    ) -> Verdict:
        """Judge whether a vector fits; never raises on bad news.

        Args:
            architecture: of the vector's base model.
            sketch: the vector's lineage sketch; None judges the structure alone.

        Raises:
            TensorFileError: the model's weight files are damaged.
        """
        verdict = compare(architecture, self.known, unchecked=self.unchecked)
        if verdict.level is Level.INCOMPATIBLE or sketch is None:
            return verdict
        own = self.sketch(architecture)
        if own is None:
            return verdict
        return compare(architecture, self.known, compare_sketches(sketch, own))


def describe_model(model: Any) -> TargetModel:
    """Take a directory, a config or a loaded model for what it is.

    Args:
        model: path of a directory with `config.json` (or of such a file, or of a GGUF
            file), a parsed config, a loaded transformers or PEFT model, or what this
            function or `hub.describe_hub_model` returned before.

    Raises:
        UsageError: it is none of these.
        InvalidDataError: its `config.json` cannot be read.
    """
    if isinstance(model, TargetModel):
        return model
    if isinstance(model, str | Path):
        return _from_path(Path(model).expanduser())
    if isinstance(model, Mapping):
        return TargetModel(dict(model), _no_weights)
    if is_loaded(model):
        return TargetModel(
            model.config.to_dict(),
            lambda family: _loaded_sketch(model, family),
            UNREADABLE,
        )
    message = (
        "expected a model's directory, its parsed config.json or a loaded model, got"
        f" {type(model).__name__}"
    )
    raise UsageError(message)


def is_loaded(model: Any) -> bool:
    """Whether it is a loaded transformers or PEFT model."""
    return hasattr(model, "named_modules") and hasattr(
        getattr(model, "config", None), "to_dict"
    )


def _from_path(path: Path) -> TargetModel:
    if path.is_file():
        if is_gguf(path):
            config, notes = read_gguf_config(path)
            return TargetModel(config, _no_weights, IN_GGUF, notes)
        return TargetModel(_read_config(path), _no_weights)
    if (path / CONFIG_NAME).is_file():
        config = _read_config(path / CONFIG_NAME)
        notes = tokenizer_notes(path)
        if not any((path / name).is_file() for name in (WEIGHTS_NAME, INDEX_NAME)):
            return TargetModel(config, _no_weights, notes=notes)
        return TargetModel(
            config,
            partial(stored_sketch, LocalFiles(path)),
            UNREADABLE,
            notes=notes,
        )
    if (path / ADAPTER_CONFIG_NAME).is_file():
        message = (
            f"{path} is a PEFT adapter, not a model: name the directory of the model it"
            " was made for"
        )
        raise UsageError(message)
    message = (
        f"no model at {path}: expected a directory with {CONFIG_NAME}, as"
        " save_pretrained writes it"
    )
    raise UsageError(message)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_CONFIG_BYTES + 1)
        config = json.loads(data) if len(data) <= MAX_CONFIG_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        message = f"{path}: expected a model's config as JSON: {error}"
        raise InvalidDataError(message) from None
    if len(data) > MAX_CONFIG_BYTES:
        message = (
            f"{path}: expected a model's config, which has a few kilobytes, got more"
            f" than {MAX_CONFIG_BYTES} bytes; name the directory or its {CONFIG_NAME}"
        )
        raise InvalidDataError(message)
    if not isinstance(config, dict):
        message = f"{path}: expected an object, got {type(config).__name__}"
        raise InvalidDataError(message)
    return config


def _no_weights(_: Architecture) -> None:
    """Only a config is known."""


def stored_sketch(
    files: WeightFiles, architecture: Architecture
) -> Sequence[float] | None:
    """The sketch of stored weights; None for quantised or otherwise named ones.

    Raises:
        TensorFileError: the files are damaged.
    """
    reader = CheckpointReader(files)
    positions = sketch_positions(architecture)
    if not all(reader.can_read(f"{run.module}.weight") for run in positions):
        return None
    return read_sketch(positions, reader.read)


def _loaded_sketch(model: Any, architecture: Architecture) -> Sequence[float] | None:
    """The sketch of a loaded model; None for quantised or absent weights."""
    from safegene.vectors.targets import base_layer, linear_shape, plain_path

    modules = {plain_path(name): module for name, module in model.named_modules()}
    weights: dict[str, Any] = {}
    for run in sketch_positions(architecture):
        module, shape = modules.get(run.module), architecture.module(run.module)
        if module is None or shape is None:
            return None
        weight = getattr(base_layer(module), "weight", None)
        if weight is None or weight.is_meta or not weight.is_floating_point():
            return None
        if linear_shape(module) != (shape.out_features, shape.in_features):
            return None
        weights[f"{run.module}.weight"] = weight

    def read(name: str, offset: int, count: int) -> list[float]:
        flat = weights[name].detach().flatten()[offset : offset + count]
        values: list[float] = flat.float().cpu().tolist()
        return values

    return read_sketch(sketch_positions(architecture), read)
