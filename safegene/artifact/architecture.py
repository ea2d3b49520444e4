"""A model's structure, read from its `config.json` alone.

The structure of a base model is what a safety vector must match: every linear module's
path, shape and bias. Vocabulary, RoPE, dtype and context length are not structure,
since fine-tuned models change them. Facts about families are data files, which `family`
reads; the tests hold them against the real classes of transformers.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from safegene.artifact.canonical import canonical_json
from safegene.artifact.configsizes import (
    MAX_LAYERS,
    MAX_WIDTH,
    Sizes,
    module_widths,
    read_sizes,
    read_switches,
)
from safegene.artifact.digest import Digest, digest_bytes
from safegene.artifact.family import Family, known_families, supported_types
from safegene.artifact.unsupported import unsupported
from safegene.errors import ManifestError

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
        family = known_families().get(self.model_type)
        return family is not None and family.transposed

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
            missing or has a senseless value; `.reason` tells which. It never guesses.
    """
    model_type = config.get("model_type")
    known = known_families()
    if not isinstance(model_type, str) or model_type not in known:
        raise unsupported(config)
    family = known[model_type]
    sizes = read_sizes(family, config)
    switches = read_switches(family, config)
    return Architecture(
        model_type=family.model_type,
        hidden_size=sizes["hidden"],
        layers=sizes["layers"],
        heads=sizes["heads"],
        kv_heads=sizes["kv_heads"],
        head_size=sizes["head_size"],
        modules=tuple(_modules(family, sizes, switches)),
    )


def check_architecture(architecture: Architecture) -> None:
    """Check that a structure somebody wrote down is one that its family's models have.

    A server that publishes it cannot see the model; but every module follows from five
    numbers, the width of the MLP and which biases there are.

    Raises:
        ManifestError: it is not, or the family is unknown; `.pointer` says where.
    """
    family = known_families().get(architecture.model_type)
    if family is None:
        _refuse_structure(
            "/model_type",
            f"expected one of {', '.join(supported_types())}, got"
            f" {architecture.model_type[:_SHOWN]!r}",
        )
    widths = module_widths(_sizes_of(architecture, family))
    leaves = family.modules
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
        rule = leaves[place]
        expected = ModuleShape.model_construct(
            path=f"{family.layer_prefix.format(layer=layer)}.{rule.path}",
            out_features=widths[rule.out],
            in_features=widths[rule.into],
            # A bias that the config decides is the same wherever that field counts.
            bias=rule.bias
            if isinstance(rule.bias, bool)
            else biases.setdefault(rule.bias, module.bias),
        )
        if module != expected:
            _refuse_structure(
                f"/modules/{at}",
                f"expected {_spelled(expected)}, as in every {family.model_type} of"
                f" these sizes, got {_spelled(module)}",
            )


def _sizes_of(architecture: Architecture, family: Family) -> Sizes:
    """The sizes that a structure's modules follow from."""
    known: Sizes = {
        "hidden": architecture.hidden_size,
        "layers": architecture.layers,
        "heads": architecture.heads,
        "kv_heads": architecture.kv_heads,
        "head_size": architecture.head_size,
        "ffn": 1,
    }
    for rule, module in zip(family.modules, architecture.modules, strict=False):
        if rule.out in ("ffn", "gate_up"):
            known["ffn"] = module.out_features // (1 + (rule.out == "gate_up"))
    # Where the config has no such field, the number follows from others.
    implied: Sizes = {"kv_heads": known["heads"]}
    implied["head_size"] = known["hidden"] // known["heads"]
    for name, value in implied.items():
        if family.sizes[name].field is None and known[name] != value:
            _refuse_structure(f"/{name}", f"expected {value}, got {known[name]}")
    if known["heads"] % known["kv_heads"]:
        expected = f"a divisor of {known['heads']}, the number of heads"
        _refuse_structure("/kv_heads", f"expected {expected}, got {known['kv_heads']}")
    return known


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


def _modules(
    family: Family, sizes: Sizes, switches: Mapping[str, bool]
) -> Iterator[ModuleShape]:
    widths = module_widths(sizes)
    for layer in range(sizes["layers"]):
        prefix = family.layer_prefix.format(layer=layer)
        for rule in family.modules:
            yield ModuleShape(
                path=f"{prefix}.{rule.path}",
                out_features=widths[rule.out],
                in_features=widths[rule.into],
                bias=rule.bias if isinstance(rule.bias, bool) else switches[rule.bias],
            )
