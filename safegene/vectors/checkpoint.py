"""Reads a model's weights lazily: one tensor at a time, from any number of shards.

Memory is bounded by the largest tensor, never by the model.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from safegene.artifact.architecture import Architecture, architecture_from_config
from safegene.artifact.digest import digest_bytes, digest_file
from safegene.artifact.lineage import INDEX_NAME, WEIGHTS_NAME
from safegene.artifact.manifest import BaseModelRef
from safegene.errors import InvalidDataError, TensorFileError, UsageError

CONFIG_NAME = "config.json"
_HUB_FILES = ("*.json", "*.safetensors", "tokenizer*", "*.jinja")
_SNAPSHOTS = "snapshots"


@dataclass(frozen=True)
class Checkpoint:
    """A safetensors checkpoint in a directory; open one with `Checkpoint.open`."""

    directory: Path
    config: dict[str, Any]
    shards: dict[str, Path]
    """File of every tensor, by tensor name."""
    model_id: str = field(default="")
    commit: str | None = None
    """Hub commit; None for a plain directory."""

    @classmethod
    def open(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        model_id: str | None = None,
    ) -> "Checkpoint":
        """Open a directory or a Hugging Face Hub id.

        Args:
            source: directory, or Hub id such as `org/model` (downloaded if needed).
            revision: branch, tag or commit of a Hub id.
            model_id: what to call a directory's model; its name by default.

        Raises:
            UsageError: neither a directory nor a Hub id that can be had.
            InvalidDataError: `config.json` is missing or not JSON.
            TensorFileError: there are no safetensors weights, or a shard is missing.
        """
        directory, commit = _locate(source, revision)
        found = cls(
            directory=directory,
            config=_read_config(directory),
            shards=_find_shards(directory),
            model_id=model_id or (str(source) if commit else directory.resolve().name),
        )
        return replace(found, commit=commit)

    @cached_property
    def architecture(self) -> Architecture:
        """The model's structure.

        Raises:
            UnsupportedFamilyError: the architecture is unknown.
        """
        return architecture_from_config(self.config)

    @cached_property
    def ref(self) -> BaseModelRef:
        """Id and revision: the Hub commit, else the digest of the weight files."""
        if self.commit:
            return BaseModelRef(id=self.model_id, revision=self.commit)
        listing = "\n".join(
            f"{path.name} {digest_file(path)[0]}" for path in self.weight_files
        )
        revision = str(digest_bytes(listing.encode()))
        return BaseModelRef(id=self.model_id, revision=revision)

    @property
    def weight_files(self) -> tuple[Path, ...]:
        """The shards, in name order."""
        return tuple(sorted(set(self.shards.values())))

    def names(self) -> tuple[str, ...]:
        """Names of all tensors."""
        return tuple(self.shards)

    def read(self, name: str) -> Tensor:
        """Read one tensor in its stored dtype.

        Raises:
            TensorFileError: the checkpoint has no such tensor.
        """
        path = self.shards.get(name)
        if path is None:
            message = f"{self.directory}: the checkpoint has no tensor {name}"
            raise TensorFileError(message)
        with safe_open(path, framework="pt") as shard:
            tensor: Tensor = shard.get_tensor(name)
        return tensor

    def read_shard(self, path: Path) -> Iterator[tuple[str, Tensor]]:
        """All tensors of one shard, one at a time."""
        with safe_open(path, framework="pt") as shard:
            for name in shard.keys():  # noqa: SIM118 - not a dict
                yield name, shard.get_tensor(name)


def _locate(source: str | Path, revision: str | None) -> tuple[Path, str | None]:
    path = Path(source)
    if path.is_dir():
        return path, None
    if isinstance(source, Path) or source.startswith((".", "/")) or "/" not in source:
        message = (
            f"no model at {source}: expected a directory with {CONFIG_NAME} and"
            " safetensors weights, or a Hugging Face Hub id such as org/model"
        )
        raise UsageError(message)
    try:
        place = Path(
            snapshot_download(
                source, revision=revision, allow_patterns=list(_HUB_FILES)
            )
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        message = (
            f"no model at {source}: there is no such directory, and the Hugging Face"
            f" Hub did not give it ({type(error).__name__})"
        )
        raise UsageError(message) from error
    commit = place.name if place.parent.name == _SNAPSHOTS else revision or "main"
    return place, commit


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / CONFIG_NAME
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        message = f"{directory} is not a model: it has no {CONFIG_NAME}"
        raise InvalidDataError(message) from None
    except ValueError as error:
        message = f"{path}: not JSON: {error}"
        raise InvalidDataError(message) from None
    if not isinstance(config, dict):
        message = f"{path}: expected an object, got {type(config).__name__}"
        raise InvalidDataError(message)
    return config


def _find_shards(directory: Path) -> dict[str, Path]:
    single = directory / WEIGHTS_NAME
    files = [single] if single.is_file() else _indexed(directory)
    shards: dict[str, Path] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as shard:
                shards |= dict.fromkeys(shard.keys(), path)
        except (SafetensorError, OSError) as error:
            message = f"{path}: not a whole safetensors file: {error}"
            raise TensorFileError(message) from None
    return shards


def _indexed(directory: Path) -> list[Path]:
    index = directory / INDEX_NAME
    try:
        names = set(json.loads(index.read_bytes())["weight_map"].values())
    except FileNotFoundError:
        message = (
            f"{directory}: expected {WEIGHTS_NAME} or {INDEX_NAME}; convert the weights"
            " to safetensors first (save_pretrained does)"
        )
        raise TensorFileError(message) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{index}: not a safetensors index: {error}"
        raise TensorFileError(message) from None
    if not all(isinstance(name, str) and Path(name).name == name for name in names):
        message = f"{index}: names a shard outside its directory"
        raise TensorFileError(message)
    return [directory / name for name in sorted(names)]
