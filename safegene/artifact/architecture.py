"""A model's structure, read from its `config.json` alone.

The structure of a base model is what a safety vector must match: every linear module's
path, shape and bias. Vocabulary, RoPE, dtype and context length are not structure,
since fine-tuned models change them. Facts about families are data files in `families/`;
the tests hold them against the real classes of transformers.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib import resources
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from safegene.artifact.canonical import canonical_json
from safegene.artifact.digest import Digest, digest_bytes
from safegene.errors import ManifestError, UnsupportedFamilyError

SUPPORTED = (
    *("gemma2", "gemma3_text", "glm4", "gpt2", "gpt_neox", "llama", "mistral"),
    *("olmo2", "phi3", "qwen2", "qwen3"),
)
"""Normalised model types with a data file in `families/`."""

MAX_LAYERS = 1024
MAX_WIDTH = 1 << 24

_SHOWN = 40
_SHOWN_PATH = 80
"""Characters of a wrong name that its error shows."""


class ModuleShape(BaseModel):
    """One linear module of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str
    """Dotted path in the real class, such as `model.layers.0.mlp.up_proj`."""
    out_features: int = Field(ge=1, le=MAX_WIDTH)
    in_features: int = Field(ge=1, le=MAX_WIDTH)
    bias: bool


class Architecture(BaseModel):
    """Structure of a whole base model, without embeddings and head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_type: str
    hidden_size: int = Field(ge=1, le=MAX_WIDTH)
    layers: int = Field(ge=1, le=MAX_LAYERS)
    heads: int = Field(ge=1, le=MAX_WIDTH)
    kv_heads: int = Field(ge=1, le=MAX_WIDTH)
    head_size: int = Field(ge=1, le=MAX_WIDTH)
    modules: tuple[ModuleShape, ...]
    """In model order: layer by layer, as the real class lists them."""

    @cached_property
    def fingerprint(self) -> Digest:
        """Digest of the canonical form; equal for all models of one family."""
        return digest_bytes(canonical_json(self.model_dump(mode="json")))

    @property
    def stored_transposed(self) -> bool:
        """Whether weights are stored [in, out], as GPT-2's Conv1D does.

        A fact of the family, not of one model, so it is not part of the fingerprint.
        """
        known = self.model_type in SUPPORTED
        return known and bool(_family_facts(self.model_type).get("transposed", False))

    def module(self, path: str) -> ModuleShape | None:
        """The module at `path`, None when the model has none there."""
        return self._by_path.get(path)

    @cached_property
    def _by_path(self) -> dict[str, ModuleShape]:
        return {module.path: module for module in self.modules}


def architecture_from_config(config: Mapping[str, Any]) -> Architecture:
    """Derive the structure from a parsed `config.json`.

    Args:
        config: the object as transformers writes it.

    Raises:
        UnsupportedFamilyError: the model type is unknown, or a field it needs is
            missing or has a senseless value. It never guesses.
    """
    family = _family(config)
    sizes = _Sizes(config, family)
    values = sizes.resolve()
    modules = tuple(_modules(family, values, sizes))
    return Architecture(
        model_type=family["model_type"],
        hidden_size=values["hidden"],
        layers=values["layers"],
        heads=values["heads"],
        kv_heads=values["kv_heads"],
        head_size=values["head_size"],
        modules=modules,
    )


def check_architecture(architecture: Architecture) -> None:
    """Check that a structure somebody wrote down is one that its family's models have.

    A server that publishes it cannot see the model; but every module follows from five
    numbers, the width of the MLP and which biases there are.

    Raises:
        ManifestError: it is not, or the family is unknown; `.pointer` says where.
    """
    if architecture.model_type not in SUPPORTED:
        _refuse_structure(
            "/model_type",
            f"expected one of {', '.join(SUPPORTED)}, got"
            f" {architecture.model_type[:_SHOWN]!r}",
        )
    family = _family_facts(architecture.model_type)
    values = _values_of(architecture, family)
    leaves = family["modules"]
    count = len(leaves) * architecture.layers
    if len(architecture.modules) != count:
        _refuse_structure(
            "/modules",
            f"expected {count} modules, {len(leaves)} in each of"
            f" {architecture.layers} layers, got {len(architecture.modules)}",
        )
    biases: dict[str, bool] = {}
    for at, module in enumerate(architecture.modules):
        layer, place = divmod(at, len(leaves))
        leaf, out_name, in_name, rule = leaves[place]
        expected = ModuleShape.model_construct(
            path=f"{family['layer_prefix'].format(layer=layer)}.{leaf}",
            out_features=values[out_name],
            in_features=values[in_name],
            # A bias that the config decides is the same wherever that field counts.
            bias=rule
            if isinstance(rule, bool)
            else biases.setdefault(rule.partition("=")[0], module.bias),
        )
        if module != expected:
            _refuse_structure(
                f"/modules/{at}",
                f"expected {_spelled(expected)}, as in every {family['model_type']} of"
                f" these sizes, got {_spelled(module)}",
            )


def _values_of(
    architecture: Architecture, family: Mapping[str, Any]
) -> Mapping[str, int]:
    """The sizes that a structure's modules follow from."""
    known = {
        "hidden": architecture.hidden_size,
        "heads": architecture.heads,
        "kv_heads": architecture.kv_heads,
        "head_size": architecture.head_size,
        "ffn": 1,
    }
    for (_, out_name, *_), module in zip(
        family["modules"], architecture.modules, strict=False
    ):
        if out_name in ("ffn", "gate_up"):
            known["ffn"] = module.out_features // (1 + (out_name == "gate_up"))
    # Where the config has no such field, the number follows from others.
    implied = {"kv_heads": known["heads"]}
    implied["head_size"] = known["hidden"] // known["heads"]
    for name, value in implied.items():
        if name not in family["fields"] and known[name] != value:
            _refuse_structure(f"/{name}", f"expected {value}, got {known[name]}")
    return {**known, **_derived(known)}


def _derived(values: Mapping[str, int]) -> dict[str, int]:
    """Widths of modules that are made of several parts."""
    query = values["heads"] * values["head_size"]
    keys = values["kv_heads"] * values["head_size"]
    return {
        "q": query,
        "kv": keys,
        "qkv": query + 2 * keys,
        "gate_up": 2 * values["ffn"],
    }


def _spelled(module: ModuleShape) -> str:
    bias = "with" if module.bias else "without"
    shape = f"{module.out_features} x {module.in_features}"
    return f"{module.path[:_SHOWN_PATH]!r}, {shape}, {bias} bias"


def _refuse_structure(pointer: str, reason: str) -> NoReturn:
    message = (
        f"architecture: {pointer[1:]}: {reason}; make the vector again with `safegene"
        " extract`"
    )
    raise ManifestError(message, pointer=f"/architecture{pointer}")


def _family(config: Mapping[str, Any]) -> dict[str, Any]:
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in SUPPORTED:
        message = (
            f"unknown architecture: model_type {model_type!r}"
            f"{_language_part(config)}; supported are {', '.join(SUPPORTED)}"
        )
        raise UnsupportedFamilyError(
            message, model_type=str(model_type), supported=SUPPORTED
        )
    return _family_facts(model_type)


def _language_part(config: Mapping[str, Any]) -> str:
    """What to do about a model that holds a language model beside other parts."""
    part = config.get("text_config")
    inner = part.get("model_type") if isinstance(part, Mapping) else None
    if not isinstance(inner, str):
        return ""
    if inner not in SUPPORTED:
        return f", whose language part is {inner!r}, is not supported either"
    return (
        f" is more than a language model; its language part is {inner!r}, which is"
        " supported as a model of its own: save that part alone and name its directory"
        " (docs/method.md, Models, has the four lines)"
    )


@cache
def _family_facts(model_type: str) -> dict[str, Any]:
    place = resources.files("safegene.artifact") / "families" / f"{model_type}.json"
    facts: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return facts


class _Sizes:
    """Numbers and switches of one config, each read once and checked."""

    def __init__(self, config: Mapping[str, Any], family: Mapping[str, Any]) -> None:
        self._config = config
        self._family = family

    def resolve(self) -> dict[str, int]:
        names = self._family["fields"]
        for field in self._family.get("must_be_false", ()):
            if self._config.get(field):
                self._refuse(field, "false", self._config[field])
        hidden = self._integer(names["hidden"])
        values = {
            "hidden": hidden,
            "ffn": self._integer(names["ffn"], default=self._default_ffn(hidden)),
            "layers": self._integer(names["layers"], limit=MAX_LAYERS),
            "heads": self._integer(names["heads"]),
        }
        heads = values["heads"]
        values["kv_heads"] = self._integer(
            names.get("kv_heads"), default=self._default_kv_heads(heads)
        )
        default_size = self._family.get("head_size_default")
        own_size = self._config.get(names.get("head_size", ""))
        if own_size is None and default_size is None and values["hidden"] < heads:
            self._refuse(
                names["hidden"], f"at least {heads} for as many heads", values["hidden"]
            )
        values["head_size"] = self._integer(
            names.get("head_size"), default=default_size or values["hidden"] // heads
        )
        values.update(_derived(values))
        if values["qkv"] > MAX_WIDTH:
            self._refuse("heads times head size", f"1 to {MAX_WIDTH}", values["qkv"])
        if values["gate_up"] > MAX_WIDTH:
            self._refuse(names["ffn"], f"1 to {MAX_WIDTH // 2}", values["ffn"])
        return values

    def _default_ffn(self, hidden: int) -> int | None:
        times = self._family.get("ffn_default")
        return None if times is None else int(times) * hidden

    def _default_kv_heads(self, heads: int) -> int:
        # The real classes take a null for "as many as heads", but a missing key for a
        # number of their own.
        absent = self._family["fields"].get("kv_heads") not in self._config
        return int(self._family.get("kv_heads_default", heads)) if absent else heads

    def switch(self, rule: bool | str) -> bool:  # noqa: FBT001 - data, not a flag
        """A bias rule: fixed, or the name of a config field with its default."""
        if isinstance(rule, bool):
            return rule
        field, _, default = rule.partition("=")
        value = self._config.get(field, default == "true")
        if not isinstance(value, bool):
            self._refuse(field, "true or false", value)
        return value

    def _integer(
        self, field: str | None, *, default: int | None = None, limit: int = MAX_WIDTH
    ) -> int:
        value = self._config.get(field) if field else None
        if value is None and default is not None:
            value = default
        if isinstance(value, bool) or not isinstance(value, int):
            self._refuse(str(field), "a positive integer", value)
        if not 1 <= value <= limit:
            self._refuse(str(field), f"1 to {limit}", value)
        return value

    def _refuse(self, field: str, expected: str, actual: object) -> NoReturn:
        message = (
            f"config.json of model_type {self._family['model_type']!r}: {field}:"
            f" expected {expected}, got {'nothing' if actual is None else repr(actual)}"
        )
        raise UnsupportedFamilyError(message, field=field)


def _modules(
    family: Mapping[str, Any], values: Mapping[str, int], sizes: _Sizes
) -> Iterator[ModuleShape]:
    for layer in range(values["layers"]):
        prefix = family["layer_prefix"].format(layer=layer)
        for leaf, out_name, in_name, bias in family["modules"]:
            yield ModuleShape(
                path=f"{prefix}.{leaf}",
                out_features=values[out_name],
                in_features=values[in_name],
                bias=sizes.switch(bias),
            )
