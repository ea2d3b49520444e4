"""A model on the Hugging Face Hub, by the Hub's own client.

The config and the tokenizer's files are fetched, and of the weights the few kilobytes
that lineage is read from. Files land in that client's cache, and its settings hold
(`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import httpx

from safegene.artifact.architecture import Architecture
from safegene.artifact.lineage import INDEX_NAME, WEIGHTS_NAME
from safegene.errors import TransportError, UsageError
from safegene_client.extras import torch_needed
from safegene_client.targets import (
    UNREADABLE,
    TargetModel,
    describe_model,
    stored_sketch,
)

SMALL_FILES = [
    *("config.json", "tokenizer_config.json", "tokenizer.json", "chat_template.jinja"),
]


def fetch_config(model_id: str, revision: str | None = None) -> Path:
    """The directory of a model's small files.

    Args:
        model_id: such as `org/model`.
        revision: branch, tag or commit.

    Raises:
        UsageError: there is no such model for you, or the Hub's client is not
            installed.
        TransportError: the Hub could not be asked.
    """
    with torch_needed():
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            HFValidationError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    at = f" at revision {revision}" if revision else ""
    missing = (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError)
    try:
        place = snapshot_download(
            model_id, revision=revision, allow_patterns=SMALL_FILES
        )
    except missing as error:
        message = (
            f"no model at {model_id}{at}: there is no such file or directory, and the"
            f" Hugging Face Hub has none for you ({first_line(error)}); check the"
            " spelling, or set HF_TOKEN if it is closed"
        )
        raise UsageError(message) from None
    # The Hub's client raises whatever the network, its cache or its settings raise.
    except (OSError, ValueError) as error:
        message = (
            f"no model at {model_id}{at}: there is no such file or directory, and the"
            f" Hugging Face Hub could not be asked ({first_line(error)}); give a"
            " directory or a config.json"
        )
        raise TransportError(message) from None
    return Path(place)


def describe_hub_model(model_id: str, revision: str | None = None) -> TargetModel:
    """What is known of a model on the Hub; its weights stay there.

    Args:
        model_id: such as `org/model`.
        revision: branch, tag or commit.

    Raises:
        UsageError: there is no such model for you, or the Hub's client is not
            installed.
        TransportError: the Hub could not be asked.
        InvalidDataError: its `config.json` cannot be read.
    """
    place = fetch_config(model_id, revision)
    known = describe_model(place)
    # A snapshot's folder is called as its commit: weights and config are of one.
    files = HubFiles(model_id, place.name)

    def read_sketch(architecture: Architecture) -> Sequence[float] | None:
        return stored_sketch(files, architecture) if files.has_weights() else None

    return replace(known, read_sketch=read_sketch, unchecked=UNREADABLE)


class HubFiles:
    """The files of a model on the Hub; of each only what is read is fetched.

    Args:
        model_id: such as `org/model`.
        commit: of it.
    """

    def __init__(self, model_id: str, commit: str) -> None:
        self._model_id = model_id
        self._commit = commit

    def __str__(self) -> str:
        return self._model_id

    def has(self, name: str) -> bool:
        """Whether there is a file of this name.

        Raises:
            TransportError: the Hub could not be asked.
        """
        return name in self._sizes

    def has_weights(self) -> bool:
        """Whether there are safetensors weights.

        Raises:
            TransportError: the Hub could not be asked.
        """
        return self.has(WEIGHTS_NAME) or self.has(INDEX_NAME)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A file whose reads are requests for ranges.

        Raises:
            TransportError: the Hub could not be asked.
        """
        from huggingface_hub import HfFileSystem

        with (
            self._asking(),
            HfFileSystem().open(
                f"{self._model_id}@{self._commit}/{name}",
                size=self._sizes[name],
                # Nothing is read ahead: what is wanted next lies far away.
                cache_type="none",
            ) as stream,
        ):
            yield stream

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """The bytes of every file by its name."""
        from huggingface_hub import HfApi

        with self._asking():
            found = HfApi().model_info(
                self._model_id, revision=self._commit, files_metadata=True
            )
        return {file.rfilename: file.size or 0 for file in found.siblings or ()}

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, OSError, ValueError) as error:
            message = (
                f"{self._model_id}: the weights could not be compared: the Hugging Face"
                f" Hub could not be asked ({first_line(error)}); try again, or give a"
                " directory"
            )
            raise TransportError(message) from None


def first_line(error: Exception) -> str:
    """What an error of the Hub's client says, without its advice."""
    return str(error).strip().partition("\n")[0].rstrip(".")
