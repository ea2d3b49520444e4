"""What is known of each model family: data files, read and checked.

A family is described by `families/<model_type>.json`: which fields of a `config.json`
hold its sizes, and every linear module of a layer with its shape and bias. A new file
there is a new family; docs/compatibility.md says how to add one, and the tests hold
every file against the real class of transformers. Without torch.
"""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SizeName = Literal["hidden", "ffn", "layers", "heads", "kv_heads", "head_size"]
"""What a config says, or what follows from it."""

WidthName = Literal["hidden", "ffn", "q", "kv", "qkv", "gate_up"]
"""Widths of modules: `q` is heads times head size, `kv` the same of the key-value
heads, `qkv` is q and twice kv in one module, `gate_up` twice the MLP's width."""

Formula = Literal["heads", "hidden/heads", "4*hidden"]
"""Sizes that follow from others."""

FOLDER = "families"


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SizeRule(_Fact):
    """Where one size comes from."""

    field: str | None = None
    """The config's field; without one, `absent` always holds."""
    other_name: str | None = None
    """Another name that the real class takes for the same field."""
    absent: int | Formula | None = None
    """What the real class takes when the field is missing; None: it is an error."""
    null: Formula | None = None
    """What it takes when the field is null; None: that is an error."""


class ModuleRule(_Fact):
    """One linear module of a layer."""

    path: str
    """Below the layer, such as `self_attn.q_proj`."""
    out: WidthName
    into: WidthName
    bias: bool | str
    """Fixed, or the name of the switch that decides."""


class Family(_Fact):
    """All models of one `model_type`."""

    model_type: str = Field(pattern=r"^[a-z0-9_]+$")
    causal_lm: str
    """The real class in transformers."""
    layer_prefix: str
    """Path of a layer, with `{layer}` for its number."""
    transposed: bool = False
    """Weights are stored [in, out], as GPT-2's Conv1D does."""
    must_be_false: tuple[str, ...] = ()
    """Fields that would add modules when true."""
    sizes: dict[SizeName, SizeRule]
    switches: dict[str, bool] = {}
    """Boolean fields that biases depend on, with what holds when one is missing."""
    modules: tuple[ModuleRule, ...] = Field(min_length=1)
    """In the order of the real class."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        missing = set(SizeName.__args__) - set(self.sizes)  # type: ignore[attr-defined]
        _require(not missing, f"sizes: {', '.join(sorted(missing))} missing")
        for name, rule in self.sizes.items():
            _require(
                rule.field is not None or rule.absent is not None,
                f"sizes: {name}: neither a field nor what to take without one",
            )
        _require("{layer}" in self.layer_prefix, "layer_prefix: no {layer}")
        asked = {rule.bias for rule in self.modules if isinstance(rule.bias, str)}
        odd = asked ^ set(self.switches)
        _require(not odd, f"switches: {', '.join(sorted(odd))}: not both used and set")
        path, times = Counter(rule.path for rule in self.modules).most_common(1)[0]
        _require(times == 1, f"modules: {path} is there twice")
        return self


def known_families() -> Mapping[str, Family]:
    """Every family that has a data file, by model type, in alphabetical order."""
    return _read_all()


def supported_types() -> tuple[str, ...]:
    """The model types of all known families, in alphabetical order."""
    return tuple(_read_all())


def read_family(text: str) -> Family:
    """A family from its data file's text.

    Raises:
        ValidationError: pydantic's; it names the entry that is wrong.
    """
    return Family.model_validate_json(text)


@cache
def _read_all() -> Mapping[str, Family]:
    place = resources.files("safegene.artifact") / FOLDER
    found = {}
    for file in place.iterdir():
        stem, dot, suffix = file.name.partition(".")
        if (dot, suffix) != (".", "json"):
            continue
        family = read_family(file.read_text(encoding="utf-8"))
        _require(family.model_type == stem, f"{file.name} is of {family.model_type}")
        found[stem] = family
    return MappingProxyType(dict(sorted(found.items())))


def _require(holds: bool, message: str) -> None:  # noqa: FBT001 - an assertion
    if not holds:
        raise ValueError(message)
