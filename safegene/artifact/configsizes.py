"""Reads the sizes of a model from its config, as its family's data file says.

Each field is read once and checked; what is wrong is refused by its name, and what is
missing is taken from nowhere unless the real class has a default for it. Without torch.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

from safegene.artifact.family import Family, Formula, SizeName, SizeRule, WidthName
from safegene.artifact.shown import shown
from safegene.artifact.unsupported import INVALID_CONFIG
from safegene.errors import UnsupportedFamilyError

MAX_LAYERS = 1024
MAX_WIDTH = 1 << 24

_ABSENT = object()

Sizes = dict[SizeName, int]


def read_sizes(family: Family, config: Mapping[str, Any]) -> Sizes:
    """The numbers that a model's structure follows from.

    Args:
        family: of the model.
        config: its parsed `config.json`.

    Raises:
        UnsupportedFamilyError: a field is missing or has a senseless value; `.context`
            has its `field` with `expected` and `actual`.
    """
    return _Reader(family, config).read()


def read_switches(family: Family, config: Mapping[str, Any]) -> dict[str, bool]:
    """The boolean fields that decide which modules have a bias.

    Raises:
        UnsupportedFamilyError: as of `read_sizes`.
    """
    reader = _Reader(family, config)
    return {
        name: reader.boolean(name, absent=absent)
        for name, absent in family.switches.items()
    }


def module_widths(sizes: Mapping[SizeName, int]) -> dict[WidthName, int]:
    """Widths that modules of a layer can have, the fused ones included."""
    query = sizes["heads"] * sizes["head_size"]
    keys = sizes["kv_heads"] * sizes["head_size"]
    return {
        "hidden": sizes["hidden"],
        "ffn": sizes["ffn"],
        "q": query,
        "kv": keys,
        "qkv": query + 2 * keys,
        "gate_up": 2 * sizes["ffn"],
    }


class _Reader:
    """One config and how its family is read."""

    def __init__(self, family: Family, config: Mapping[str, Any]) -> None:
        self._family = family
        self._config = config

    def read(self) -> Sizes:
        for field in self._family.must_be_false:
            if self._config.get(field):
                self._refuse(field, "false", self._config[field])
        sizes: Sizes = {}
        # What follows from others comes after them.
        for name in ("hidden", "layers", "heads", "kv_heads", "head_size", "ffn"):
            sizes[name] = self._size(name, sizes)
        heads = self._field("heads")
        if sizes["heads"] % sizes["kv_heads"]:
            expected = f"a divisor of {heads}, which is {sizes['heads']}"
            self._refuse(self._field("kv_heads"), expected, sizes["kv_heads"])
        widths = module_widths(sizes)
        if widths["qkv"] > MAX_WIDTH:
            given = f"{sizes['heads']} heads of size {sizes['head_size']}"
            expected = f"attention of at most {MAX_WIDTH} features"
            self._refuse(heads, expected, given)
        if widths["gate_up"] > MAX_WIDTH:
            self._refuse(self._field("ffn"), f"1 to {MAX_WIDTH // 2}", sizes["ffn"])
        return sizes

    def boolean(self, field: str, *, absent: bool) -> bool:
        value = self._config.get(field, absent)
        if not isinstance(value, bool):
            self._refuse(field, "true or false", value)
        return value

    def _size(self, name: SizeName, known: Sizes) -> int:
        rule = self._family.sizes[name]
        field = self._field(name)
        value = self._value(rule)
        if value is _ABSENT or (value is None and rule.null is not None):
            default = rule.absent if value is _ABSENT else rule.null
            if default is None:
                self._refuse(field, "a positive integer", value)
            value = self._default(default, known)
        limit = MAX_LAYERS if name == "layers" else MAX_WIDTH
        if isinstance(value, bool) or not isinstance(value, int):
            self._refuse(field, "a positive integer", value)
        if not 1 <= value <= limit:
            self._refuse(field, f"1 to {limit}", value)
        return value

    def _value(self, rule: SizeRule) -> Any:
        """What the config has under any of a field's names."""
        if rule.field is None:
            return _ABSENT
        value = self._config.get(rule.field, _ABSENT)
        if rule.other_name is None:
            return value
        other = self._config.get(rule.other_name, _ABSENT)
        if value is _ABSENT:
            return other
        if other is not _ABSENT and other != value:
            expected = f"the same as {rule.field}, which is {shown(value)}"
            self._refuse(rule.other_name, expected, other)
        return value

    def _default(self, default: int | Formula, known: Sizes) -> int:
        if isinstance(default, int):
            return default
        if default == "heads":
            return known["heads"]
        if default == "4*hidden":
            return 4 * known["hidden"]
        size, rest = divmod(known["hidden"], known["heads"])
        if rest:
            expected = (
                f"a multiple of {self._field('heads')}, which is {known['heads']}"
            )
            self._refuse(self._field("hidden"), expected, known["hidden"])
        return size

    def _field(self, name: SizeName) -> str:
        return self._family.sizes[name].field or name

    def _refuse(self, field: str, expected: str, actual: object) -> NoReturn:
        given = "nothing" if actual is _ABSENT else _spelled(actual)
        message = (
            f"config.json of model_type {self._family.model_type!r}: {field}:"
            f" expected {expected}, got {given}"
        )
        raise UnsupportedFamilyError(
            message, reason=INVALID_CONFIG, field=field, expected=expected, actual=given
        )


def _spelled(value: object) -> str:
    """As in the file that people look it up in, which is JSON."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return shown(value)
