"""Reads a model's weights lazily: one tensor at a time, from any number of shards.

Memory is bounded by the largest tensor, never by the model.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError, safe_open
from torch import Tensor

from safegene.artifact.architecture import Architecture, architecture_from_config
from safegene.artifact.digest import digest_bytes, digest_file
from safegene.artifact.lineage import INDEX_NAME, WEIGHTS_NAME, stored_name
from safegene.artifact.manifest import CONFIG_NAME as ADAPTER_CONFIG_NAME
from safegene.artifact.manifest import BaseModelRef, checked_line
from safegene.errors import (
    InvalidDataError,
    TensorFileError,
    TransportError,
    UnsupportedFamilyError,
    UsageError,
)

CONFIG_NAME = "config.json"
_HUB_FILES = ("*.json", "*.safetensors", "tokenizer*", "*.jinja", "*.txt")
# Other formats and second copies of the weights, which some repositories hold as well.
_NOT_HUB_FILES = ("*/*", "consolidated*")
_SNAPSHOTS = "snapshots"


@dataclass(frozen=True)
class Checkpoint:
    """A safetensors checkpoint in a directory; open one with `Checkpoint.open`."""

    directory: Path
    config: dict[str, Any]
    shards: dict[str, Path]
    """File of every tensor, by tensor name."""
    model_id: str
    """What the model is called in manifests and messages."""
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
            UsageError: neither a directory nor a Hub id that exists and is open to us,
                a revision of a directory, or a `model_id` that no manifest can hold.
            TransportError: the Hub could not be reached.
            InvalidDataError: `config.json` is missing or not JSON.
            TensorFileError: there are no safetensors weights, or a shard is missing.
        """
        if model_id is not None:
            checked_line(model_id, "the base model's name")
        directory, commit = locate(source, revision)
        return cls(
            directory=directory,
            config=_read_config(directory),
            shards=_find_shards(directory),
            model_id=model_id or _default_id(source, directory),
            commit=commit,
        )

    @cached_property
    def architecture(self) -> Architecture:
        """The model's structure.

        Raises:
            UnsupportedFamilyError: the architecture is unknown.
        """
        return architecture_from_config(self.config)

    @cached_property
    def ref(self) -> BaseModelRef:
        """Id and revision: the Hub commit, else the digest of the weight files.

        Raises:
            UsageError: no manifest can hold the id.
        """
        name = checked_line(self.model_id, "the model's name")
        if self.commit:
            return BaseModelRef(id=name, revision=self.commit)
        listing = "\n".join(
            f"{path.name} {digest_file(path)[0]}" for path in self.weight_files
        )
        revision = str(digest_bytes(listing.encode()))
        return BaseModelRef(id=name, revision=revision)

    @property
    def weight_files(self) -> tuple[Path, ...]:
        """The shards, in name order."""
        return tuple(sorted(set(self.shards.values())))

    def names(self) -> tuple[str, ...]:
        """Names of all tensors."""
        return tuple(self.shards)

    def stored_name(self, name: str) -> str | None:
        """The name a tensor is stored under; None when the checkpoint has none.

        Args:
            name: as in the loaded language model; a checkpoint of the bare model has
                its tensors without the first part, such as `transformer.`.
        """
        return stored_name(name, self.shards)

    def is_transposed(self, name: str) -> bool:
        """Whether a tensor is a linear weight stored [in, out], as Conv1D's are."""
        return name in self._transposed

    @cached_property
    def _transposed(self) -> frozenset[str]:
        try:
            architecture = self.architecture
        except UnsupportedFamilyError:
            return frozenset()
        if not architecture.stored_transposed:
            return frozenset()
        return frozenset(f"{module.path}.weight" for module in architecture.modules)

    def read(self, name: str) -> Tensor:
        """Read one tensor in its stored dtype; linear weights as [out, in], always.

        Args:
            name: as in the loaded language model; see `stored_name`.

        Raises:
            TensorFileError: the checkpoint has no such tensor, or cannot be read.
        """
        stored = self.stored_name(name)
        if stored is None:
            message = f"{self.directory}: the checkpoint has no tensor {name}"
            raise TensorFileError(message)
        path = self.shards[stored]
        try:
            with safe_open(path, framework="pt") as shard:
                tensor: Tensor = shard.get_tensor(stored)
        except (SafetensorError, OSError) as error:
            message = f"{path}: cannot read {stored}: {error}"
            raise TensorFileError(message) from None
        return tensor.T if self.is_transposed(name) else tensor


def locate(
    source: str | Path, revision: str | None = None, *, what: str = "model"
) -> tuple[Path, str | None]:
    """The directory of a model or an adapter, downloaded from the Hub if needed.

    Args:
        source: directory, or Hub id such as `org/model`.
        revision: branch, tag or commit of a Hub id.
        what: to call it in errors.

    Returns:
        The directory, and the commit where it came from the Hub.

    Raises:
        UsageError: neither a directory nor a Hub id that exists and is open to us, or a
            revision of a directory.
        TransportError: the Hub could not be reached.
    """
    path = Path(source)
    if path.is_dir():
        if revision is not None:
            message = (
                f"{source} is a directory, which has no revision {revision}; give a"
                " revision for Hugging Face Hub ids only"
            )
            raise UsageError(message)
        return path, None
    if isinstance(source, Path) or source.startswith((".", "/")) or "/" not in source:
        message = (
            f"no {what} at {source}: expected a directory with its configuration and"
            f" safetensors weights, or a Hugging Face Hub id such as org/{what}"
        )
        raise UsageError(message)
    place = _download(source, revision, what)
    return place, place.name if place.parent.name == _SNAPSHOTS else None


def _download(source: str, revision: str | None, what: str) -> Path:
    try:
        return Path(
            snapshot_download(
                source,
                revision=revision,
                allow_patterns=list(_HUB_FILES),
                ignore_patterns=list(_NOT_HUB_FILES),
            )
        )
    except (
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    ) as error:
        at = f" at revision {revision}" if revision else ""
        message = (
            f"no {what} at {source}{at}: there is no such directory, and the Hugging"
            f" Face Hub has none for you ({_first_line(error)})"
        )
        raise UsageError(message) from error
    # The Hub's client passes on errors of whatever libraries it is built on.
    except Exception as error:
        message = (
            f"no {what} at {source}: there is no such directory, and the Hugging Face"
            f" Hub could not be asked ({_first_line(error)}); try again or give a"
            " directory"
        )
        raise TransportError(message) from error


def _default_id(source: str | Path, directory: Path) -> str:
    return directory.resolve().name if directory == Path(source) else str(source)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / CONFIG_NAME
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        message = f"{directory} is not a model: it has no {CONFIG_NAME}"
        if (directory / ADAPTER_CONFIG_NAME).is_file():
            message = (
                f"{directory} is a PEFT adapter, not a model: name the directory of the"
                " model it was made for, and give it as the task adapter beside"
                " (--adapter; in Python task_adapter=…)"
            )
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
