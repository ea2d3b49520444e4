"""The config of a model on the Hugging Face Hub, by the Hub's own client.

Only the config and the tokenizer's files are fetched. They land in that client's cache,
and its settings hold (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`).
"""

from pathlib import Path

from safegene.errors import TransportError, UsageError
from safegene_client.extras import torch_needed

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


def first_line(error: Exception) -> str:
    """What an error of the Hub's client says, without its advice."""
    return str(error).strip().partition("\n")[0].rstrip(".")
