"""Why a model has no structure that SafeGene knows, and what can be done instead.

Nothing is ever guessed: a model type without a data file in `families/` is refused. The
reason says whether more could be done than to wait for one: weights that are closed,
layers with experts, a language model inside a larger one. What is known of these stands
in `others/`. Without torch.
"""

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any

from safegene.artifact.family import supported_types
from safegene.artifact.shown import plain, shown
from safegene.errors import UnsupportedFamilyError

UNKNOWN_ARCHITECTURE = "unknown-architecture"
UNSUPPORTED_EXPERTS = "unsupported-experts"
CLOSED_WEIGHTS = "closed-weights"
INVALID_CONFIG = "invalid-config"

_PART = "text_config"
"""Where models of several parts keep the language model's config."""


def unsupported(config: Mapping[str, Any]) -> UnsupportedFamilyError:
    """The error for a config whose model type is none of the known families'.

    Args:
        config: as in `config.json`, or an object that only names a model (`model`).
    """
    closed = _closed(config)
    if closed is not None:
        return closed
    experts = _experts(config)
    if experts is not None:
        return experts
    model_type = config.get("model_type")
    if model_type is None:
        message = (
            "unknown architecture: the config has no model_type; expected the"
            " config.json that transformers writes, with one of"
            f" {', '.join(supported_types())}"
        )
        return UnsupportedFamilyError(message, field="model_type")
    message = (
        f"unknown architecture: model_type {shown(model_type)}"
        f"{_language_part(config)}; supported are {', '.join(supported_types())}"
    )
    return UnsupportedFamilyError(message, field="model_type", actual=plain(model_type))


def _closed(config: Mapping[str, Any]) -> UnsupportedFamilyError | None:
    # A config with weights behind it says which class they are of.
    if "architectures" in config:
        return None
    for key in ("_name_or_path", "model", "model_type"):
        name = config.get(key)
        if not isinstance(name, str) or len(name) > _LONGEST_NAME:
            continue
        owner = _owner(name.rpartition("/")[2].lower())
        if owner is not None:
            message = (
                f"{shown(name)} is served behind an API ({owner}) and its weights are"
                " closed, so nothing can be applied to it; put a guard model or a"
                " system prompt in front of it, or move the task to a model with open"
                f" weights ({', '.join(supported_types())})"
            )
            return UnsupportedFamilyError(
                message, reason=CLOSED_WEIGHTS, field=key, actual=plain(name)
            )
    return None


_LONGEST_NAME = 256


def _owner(name: str) -> str | None:
    """Who serves a model of this name without giving its weights away."""
    for owner, patterns in _facts("closed").items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return str(owner)
    return None


def _experts(config: Mapping[str, Any]) -> UnsupportedFamilyError | None:
    known = _facts("experts")
    for part in _parts(config):
        model_type = part.get("model_type")
        said = next(
            (
                f"{field} {shown(count)}"
                for field in known["counts"]
                if _is_several(count := part.get(field))
            ),
            None,
        )
        off = any(part.get(switch) is False for switch in known["switches"])
        # A list may not hold what cannot be hashed, so it is only searched for text.
        listed = isinstance(model_type, str) and model_type in known["model_types"]
        if listed or (said and not off):
            message = (
                f"unsupported: experts: the layers of model_type {shown(model_type)}"
                f" choose among experts{f' ({said})' if said else ''}, whose weights"
                " safety vectors do not cover; use a dense model"
                f" ({', '.join(supported_types())})"
            )
            return UnsupportedFamilyError(
                message,
                reason=UNSUPPORTED_EXPERTS,
                field="model_type",
                actual=plain(model_type),
            )
    return None


def _is_several(count: object) -> bool:
    return isinstance(count, int) and not isinstance(count, bool) and count > 1


def _parts(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield config
    part = config.get(_PART)
    if isinstance(part, Mapping):
        yield part


def _language_part(config: Mapping[str, Any]) -> str:
    """What to do about a model that holds a language model beside other parts."""
    part = config.get(_PART)
    inner = part.get("model_type") if isinstance(part, Mapping) else None
    if not isinstance(inner, str):
        return ""
    if inner not in supported_types():
        return f", whose language part is {shown(inner)}, is not supported either"
    return (
        f" is more than a language model; its language part is {shown(inner)}, which is"
        " supported as a model of its own: save that part alone and name its directory"
        " (docs/method.md, Models, has the four lines)"
    )


@cache
def _facts(name: str) -> dict[str, Any]:
    place = resources.files("safegene.artifact") / "others" / f"{name}.json"
    facts: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return facts
