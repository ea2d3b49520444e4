"""The two files that PEFT reads: factor names and shapes, and the LoRA configuration.

Both follow from the manifest, so a server can check at publish time, without torch,
that the artifact is servable as it is: one rank everywhere, `lora_alpha` equal to it,
no patterns, plain leaf names. Serving stacks ignore anything richer in silence.
"""

import json
from collections.abc import Iterator
from typing import Any, Literal

from safegene.artifact.canonical import canonical_json
from safegene.artifact.manifest import CONFIG_NAME, TENSORS_NAME, Manifest
from safegene.artifact.tensorfile import TensorHeader
from safegene.errors import ManifestError, ShapeMismatchError, TensorFileError

Factor = Literal["A", "B"]

FACTOR_DTYPES = ("F32", "F16", "BF16")
_PREFIX = "base_model.model."
_SHOWN = 120
"""Characters of wrong names and values that errors show."""


def factor_key(module_path: str, factor: Factor) -> str:
    """PEFT's name of a module's factor in the tensor file."""
    return f"{_PREFIX}{module_path}.lora_{factor}.weight"


def factor_shapes(manifest: Manifest) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Every tensor the file must hold, in file order: name, module path and shape."""
    for path in manifest.footprint:
        module = manifest.architecture.module(path)
        if module is None:  # the manifest's own validation excludes it
            message = f"footprint: the architecture has no module {path}"
            raise ManifestError(message, pointer="/footprint")
        yield factor_key(path, "A"), path, (manifest.rank, module.in_features)
        yield factor_key(path, "B"), path, (module.out_features, manifest.rank)


def validate_tensor_file(manifest: Manifest, header: TensorHeader) -> None:
    """Hold the tensor file against the manifest.

    Raises:
        ShapeMismatchError: a factor has another shape than its module needs.
        TensorFileError: a factor is missing, a tensor has no module, a dtype is not
            one of F32, F16 and BF16, the order is not the footprint's, or the metadata
            has more than one key.
    """
    wanted = list(factor_shapes(manifest))
    for name, module, shape in wanted:
        entry = header.get(name)
        if entry is None:
            _refuse(f"no tensor {name} for the module {module} of the footprint")
        elif entry.shape != shape:
            message = (
                f"{TENSORS_NAME}: {name}: the module {module} needs shape {shape},"
                f" the file has {entry.shape}; make the vector again with `safegene"
                " extract`"
            )
            raise ShapeMismatchError(
                message, module=module, expected=shape, actual=entry.shape
            )
        elif entry.dtype not in FACTOR_DTYPES:
            _refuse(f"{name}: expected one of {FACTOR_DTYPES}, got {entry.dtype}")
    names = [name for name, _, _ in wanted]
    unexpected = sorted({tensor.name for tensor in header.tensors} - set(names))
    if unexpected:
        shown = f"{unexpected[0][:_SHOWN]!r}"
        _refuse(f"tensor {shown} belongs to no module of the footprint")
    if [tensor.name for tensor in header.tensors] != names:
        _refuse("the tensors are not in the order of the footprint")
    if len(header.metadata) > 1:
        _refuse("more than one metadata key; such files are not reproducible")


def adapter_config(
    *,
    base_id: str,
    revision: str,
    rank: int,
    footprint: tuple[str, ...],
    stored_transposed: bool = False,
) -> bytes:
    """The servable PEFT configuration, as canonical JSON.

    Args:
        base_id: id of the base model.
        revision: its revision.
        rank: the one rank of all factors.
        footprint: the modules' paths; their leaf names become `target_modules`.
        stored_transposed: whether the family stores weights [in, out], which PEFT wants
            to be told; the factors are the same in both cases.
    """
    leaves = sorted({path.rpartition(".")[2] for path in footprint})
    config: dict[str, Any] = {
        "alpha_pattern": {},
        "base_model_name_or_path": base_id,
        "bias": "none",
        "fan_in_fan_out": stored_transposed,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": rank,
        "lora_dropout": 0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": rank,
        "rank_pattern": {},
        "revision": revision,
        "target_modules": leaves,
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    }
    return canonical_json(config)


def validate_adapter_config(manifest: Manifest, data: bytes) -> None:
    """Check that a configuration is exactly the one the manifest leads to.

    Raises:
        ManifestError: it differs; the message names the first field.
    """
    expected = adapter_config(
        base_id=manifest.base_model.id,
        revision=manifest.base_model.revision,
        rank=manifest.rank,
        footprint=manifest.footprint,
        stored_transposed=manifest.architecture.stored_transposed,
    )
    if data == expected:
        return
    message = (
        f"{CONFIG_NAME}: not the servable configuration: {_difference(expected, data)};"
        " make the vector again with `safegene extract`"
    )
    raise ManifestError(message, pointer="/files")


def validate_coverage(manifest: Manifest) -> None:
    """Check that a leaf name is touched in every layer that has it, or in none.

    PEFT and serving stacks give an adapter to *every* module of a leaf name, and some
    read missing factors as an error and some as random values. Layers that selection
    left out are therefore stored as zeros.

    Raises:
        ManifestError: a module of a touched leaf name is not in the footprint.
    """
    touched = set(manifest.footprint)
    leaves = {path.rpartition(".")[2] for path in touched}
    for module in manifest.architecture.modules:
        if module.path.rpartition(".")[2] in leaves and module.path not in touched:
            message = (
                f"footprint: {module.path} is missing; a leaf name is touched in every"
                " layer (with zeros where nothing changes) or in none"
            )
            raise ManifestError(message, pointer="/footprint")


def _difference(expected: bytes, data: bytes) -> str:
    wanted = json.loads(expected)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return "it is not JSON"
    if not isinstance(found, dict):
        return "it is not an object"
    for key in sorted({*wanted, *found}):
        if wanted.get(key) != found.get(key) or (key in wanted) != (key in found):
            got = repr(found.get(key))[:_SHOWN]
            name = key if key in wanted else repr(key[:_SHOWN])
            return f"{name}: expected {wanted.get(key)!r}, got {got}"
    return "the bytes are not canonical JSON"


def _refuse(reason: str) -> None:
    message = f"{TENSORS_NAME}: {reason}; make the vector again with `safegene extract`"
    raise TensorFileError(message)
