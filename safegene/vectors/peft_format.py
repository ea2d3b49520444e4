"""Writes and reads a vector as the directory that PEFT and serving stacks load.

The bytes are deterministic: canonical JSON, tensors in model order by layer number, one
metadata key. What is published is the servable profile: one rank for every module, the
scaling folded into B, zeros for the layers that selection left out.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor

from safegene.artifact.architecture import Architecture
from safegene.artifact.bundle import verify_directory
from safegene.artifact.calibration import Coefficients, decimal_text
from safegene.artifact.card import write_card
from safegene.artifact.digest import digest_file
from safegene.artifact.lineage import load_sketch, write_sketch
from safegene.artifact.manifest import (
    CARD_NAME,
    CONFIG_NAME,
    FILE_NAMES,
    LINEAGE_NAME,
    MANIFEST_NAME,
    SERVABLE_RANKS,
    TENSORS_NAME,
    FileEntry,
    LayerEntry,
    Manifest,
)
from safegene.artifact.reference import VectorName, canonical_version
from safegene.artifact.segments import segment_file
from safegene.artifact.tensorwriter import write_tensor_file
from safegene.artifact.vectorfile import adapter_config, factor_key
from safegene.errors import (
    ManifestError,
    NonFiniteTensorError,
    RankError,
    UsageError,
)
from safegene.files import fresh_directory
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.vector import SafetyVector

DEFAULT_LICENSE = "Apache-2.0"


def save_vector(
    vector: SafetyVector,
    directory: str | Path,
    *,
    namespace: str,
    name: str,
    version: str,
    license: str = DEFAULT_LICENSE,  # noqa: A002 - the manifest's word
    description: str = "",
) -> Manifest:
    """Write a vector as a version, ready to publish.

    Args:
        vector: from `extract_safety_vector`, maybe with a selection.
        directory: must not exist yet or be empty; it appears whole or not at all.
        namespace: first part of the vector's name.
        name: second part.
        version: PEP 440, in any spelling.
        license: SPDX expression.
        description: one or two sentences for people.

    Raises:
        InvalidReferenceError: the name or version is not well formed.
        UsageError: the directory holds files.
        ManifestError: the license or another fact breaks the format.
        TensorFileError: the vector has no lineage sketch, or one of another length.
        NonFiniteTensorError: a factor or a layer's score is NaN or infinite.
    """
    VectorName(namespace, name)
    version = canonical_version(version)
    with fresh_directory(Path(directory)) as work:
        footprint = _write_adapter(vector, work)
        (work / LINEAGE_NAME).write_bytes(write_sketch(vector.sketch))
        facts = {
            "namespace": namespace,
            "name": name,
            "version": version,
            "license": license,
            "description": description,
            "base_model": vector.base_model,
            "architecture": vector.architecture,
            "footprint": footprint,
            "rank": servable_rank(vector.rank),
            "recipe": vector.recipe,
            "layers": _layer_entries(vector),
        }
        (work / CARD_NAME).write_text(write_card(facts), encoding="utf-8")
        files = tuple(_file_entry(work / path) for path in FILE_NAMES)
        manifest = _checked(facts | {"files": files})
        (work / MANIFEST_NAME).write_bytes(manifest.to_bytes())
        # Whatever is written must load: find out now, not at the reader's.
        verify_directory(work, full=False)
    return manifest


def load_vector(directory: str | Path, *, verify: bool = True) -> SafetyVector:
    """Read a version's directory.

    Args:
        directory: as written by `save_vector` or `pull`.
        verify: hash every byte first; the header is checked in any case.

    Raises:
        ArtifactError: something about the files is wrong; see `verify_directory`.
        NonFiniteTensorError: a factor holds NaN or infinity.
    """
    directory = Path(directory)
    manifest = verify_directory(directory, full=verify)
    tensors = load_file(directory / TENSORS_NAME)
    factors: dict[str, LowRankFactors] = {}
    for path in manifest.footprint:
        parts = [tensors[factor_key(path, "A")], tensors[factor_key(path, "B")]]
        _check_finite(path, *parts)
        factors[path] = LowRankFactors(*(part.to(torch.float32) for part in parts))
    selected = tuple(entry.index for entry in manifest.layers if entry.selected)
    whole = len(selected) == len(manifest.layers)
    return SafetyVector(
        architecture=manifest.architecture,
        base_model=manifest.base_model,
        factors=factors,
        recipe=manifest.recipe,
        sketch=tuple(load_sketch(directory / LINEAGE_NAME, manifest.architecture)),
        layer_scores={
            entry.index: float(entry.score)
            for entry in manifest.layers
            if entry.score is not None
        },
        selected_layers=None if whole else selected,
        identity=manifest.identity,
        digest=str(manifest.digest),
    )


def export_adapter(
    vector: SafetyVector,
    directory: str | Path,
    *,
    coefficients: Coefficients | None = None,
    allow_negative: bool = False,
) -> None:
    """Write a plain PEFT adapter with the coefficients folded in.

    Args:
        vector: the vector.
        directory: must not exist yet or be empty; it appears whole or not at all.
        coefficients: by layer or by module, missing ones count 0; None means 1
            everywhere.
        allow_negative: take coefficients below 0, which remove safety.

    Raises:
        UsageError: the directory holds files, a coefficient is senseless or negative,
            or nothing is left that changes a model.
        NonFiniteTensorError: a factor holds NaN or infinity.
    """
    scaled = vector.scaled(coefficients, allow_negative=allow_negative)
    if scaled.changes_nothing:
        message = (
            "nothing to export: the update is zero in every layer, so the adapter would"
            " leave the model as it is; recalibrate with a larger budget, or give other"
            " coefficients"
        )
        raise UsageError(message)
    with fresh_directory(Path(directory)) as work:
        _write_adapter(scaled, work)


def servable_rank(rank: int) -> int:
    """The smallest rank that serving stacks take and that holds `rank` directions.

    Raises:
        RankError: it is above the largest.
    """
    for candidate in SERVABLE_RANKS:
        if candidate >= rank:
            return candidate
    message = f"rank {rank} is above {SERVABLE_RANKS[-1]}, the most that is served"
    raise RankError(message)


def _checked(facts: Mapping[str, Any]) -> Manifest:
    try:
        return Manifest.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        pointer = "".join(f"/{part}" for part in first["loc"])
        message = f"manifest: {pointer}: {first['msg']}"
        raise ManifestError(message, pointer=pointer) from None


def _write_adapter(vector: SafetyVector, work: Path) -> tuple[str, ...]:
    """Write the two files PEFT reads; return the footprint they cover."""
    rank = servable_rank(vector.rank)
    footprint = _covering_footprint(vector)
    tensors: dict[str, Tensor] = {}
    for path in footprint:
        factors = _padded(vector, path, rank)
        _check_finite(path, factors.a_RI, factors.b_OR)
        tensors[factor_key(path, "A")] = _stored(factors.a_RI)
        tensors[factor_key(path, "B")] = _stored(factors.b_OR)
    _save_in_order(tensors, work / TENSORS_NAME)
    config = adapter_config(
        base_id=vector.base_model.id,
        revision=vector.base_model.revision,
        rank=rank,
        footprint=footprint,
        stored_transposed=vector.architecture.stored_transposed,
    )
    (work / CONFIG_NAME).write_bytes(config)
    return footprint


def _stored(factor: Tensor) -> Tensor:
    return factor.detach().to(device="cpu", dtype=torch.float32).contiguous()


def _covering_footprint(vector: SafetyVector) -> tuple[str, ...]:
    """Every module that shares a leaf name with a touched one, in model order."""
    leaves = {path.rpartition(".")[2] for path in vector.factors}
    return tuple(
        module.path
        for module in vector.architecture.modules
        if module.path.rpartition(".")[2] in leaves
    )


def _padded(vector: SafetyVector, path: str, rank: int) -> LowRankFactors:
    factors = vector.factors.get(path)
    if factors is not None:
        return factors.padded(rank)
    module = _module(vector.architecture, path)
    return LowRankFactors(torch.zeros(rank, module[1]), torch.zeros(module[0], rank))


def _module(architecture: Architecture, path: str) -> tuple[int, int]:
    module = architecture.module(path)
    if module is None:  # footprints are taken from the architecture itself
        message = f"the architecture has no module {path}"
        raise UsageError(message)
    return module.out_features, module.in_features


def _save_in_order(tensors: Mapping[str, Tensor], path: Path) -> None:
    write_tensor_file(
        path,
        (
            (name, tuple(tensor.shape), tensor.numpy().tobytes())
            for name, tensor in tensors.items()
        ),
        metadata={"format": "pt"},
    )


def _layer_entries(vector: SafetyVector) -> tuple[LayerEntry, ...]:
    layers = sorted({vector.layer_of(path) for path in _covering_footprint(vector)})
    return tuple(
        LayerEntry(
            index=layer,
            selected=layer in vector.layers,
            score=_score_text(vector, layer),
        )
        for layer in layers
    )


def _score_text(vector: SafetyVector, layer: int) -> str | None:
    score = vector.layer_scores.get(layer)
    if score is None:
        return None
    if not math.isfinite(score):
        message = (
            f"layer {layer}: expected a finite score, got {score}; score the layers"
            " again, or save the vector without scores"
        )
        raise NonFiniteTensorError(message, module=f"layer {layer}")
    return decimal_text(score)


def _file_entry(path: Path) -> FileEntry:
    digest, size = digest_file(path)
    segments = segment_file(path) if path.name == TENSORS_NAME else None
    return FileEntry.model_validate(
        {"path": path.name, "size": size, "digest": str(digest), "segments": segments}
    )


def _check_finite(path: str, *tensors: Tensor) -> None:
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        message = f"{path}: its factors hold NaN or infinity"
        raise NonFiniteTensorError(message, module=path)
