"""What stands beside a model's weights and decides how prompts are put to it.

A vector fits or not whatever the tokenizer and its chat template are; but a target with
another template than its base answers other prompts, which a person should know. These
are notes of a verdict: they never block, and what cannot be read is a note as well.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safegene.artifact.digest import digest_bytes
from safegene.artifact.shown import plain

TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER = "tokenizer.json"
TEMPLATE = "chat_template.jinja"

MAX_BYTES = 1 << 24
"""Of one of these files; a vocabulary can be in the config."""

_DIGITS = 19
"""Of the template's digest: `sha256:` and twelve."""


def tokenizer_notes(directory: Path) -> tuple[str, ...]:
    """Notes on the tokenizer and the chat template in a model's directory."""
    return tuple(_notes(directory))


def _notes(directory: Path) -> Iterator[str]:
    if not any((directory / name).is_file() for name in (TOKENIZER_CONFIG, TOKENIZER)):
        yield "tokenizer: none beside the model; recalibrating needs one"
        return
    try:
        config = _read_config(directory / TOKENIZER_CONFIG)
        template = _template(directory, config)
    except (OSError, ValueError, RecursionError) as error:
        yield f"tokenizer: cannot be read: {plain(str(error))}"
        return
    if config.get("tokenizer_class") is not None:
        yield f"tokenizer_class: {plain(config['tokenizer_class'])}"
    if template is None:
        yield "chat_template: none; prompts are put to the model as plain text"
    else:
        digest = str(digest_bytes(template.encode("utf-8", "replace")))[:_DIGITS]
        yield f"chat_template: {digest}, {len(template)} characters"


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    config = json.loads(_read(path))
    if not isinstance(config, dict):
        message = f"{path.name} is no object"
        raise ValueError(message)  # noqa: TRY004 - as for what is no JSON at all
    return config


def _template(directory: Path, config: dict[str, Any]) -> str | None:
    """The one that transformers takes: a file of its own before the config's."""
    if (directory / TEMPLATE).is_file():
        return _read(directory / TEMPLATE).decode()
    found = config.get("chat_template")
    if isinstance(found, list):
        named = [item for item in found if isinstance(item, dict)]
        found = next(
            (item.get("template") for item in named if item.get("name") == "default"),
            None,
        )
    return found if isinstance(found, str) and found else None


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        message = f"{path.name} has more than {MAX_BYTES} bytes"
        raise ValueError(message)
    return data
