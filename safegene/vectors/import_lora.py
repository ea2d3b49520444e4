"""Makes a vector of a PEFT LoRA adapter that somebody has trained already.

The adapter's scaling is folded in and its factors are brought into canonical form; the
change of every weight, and so the model's output, stays the same.
"""

from pathlib import Path
from typing import NoReturn

from safegene import __version__
from safegene.artifact.digest import digest_file
from safegene.artifact.manifest import (
    CONFIG_NAME,
    SERVABLE_RANKS,
    TENSORS_NAME,
    Recipe,
    checked_line,
)
from safegene.artifact.segments import layer_index
from safegene.errors import (
    CompatibilityError,
    InvalidDataError,
    NonFiniteTensorError,
    RankError,
    ShapeMismatchError,
    UsageError,
)
from safegene.vectors.checkpoint import Checkpoint, locate
from safegene.vectors.factors import LowRankFactors, refactored
from safegene.vectors.lora_adapter import adapter_settings, read_lora_adapter
from safegene.vectors.pair import finite_sketch
from safegene.vectors.vector import SafetyVector

METHOD = "import"


def import_lora(
    adapter: str | Path,
    base: Checkpoint | None = None,
    *,
    revision: str | None = None,
) -> SafetyVector:
    """Take an existing PEFT LoRA adapter as a safety vector.

    The base model stands for both ends of the pair: base with the adapter is the
    aligned model, base without is the degraded one, and targets descend from the base.

    Args:
        adapter: directory, or Hugging Face Hub id such as `org/adapter`.
        base: the model it was trained on; None opens the one that it names.
        revision: branch, tag or commit of a Hub id.

    Raises:
        UsageError: there is no such adapter, it names no base, or it was never trained.
        InvalidDataError: it is more than plain changes of linear weights: DoRA, biases,
            saved modules, embeddings.
        CompatibilityError: it changes a module that the base does not have.
        ShapeMismatchError: its factors do not fit the base's module.
        RankError: its rank is above what can be served.
        NonFiniteTensorError: a factor, or a weight of the base, holds NaN or infinity.
        TransportError: the Hub could not be reached.
    """
    directory, commit = locate(adapter, revision, what="adapter")
    changes = read_lora_adapter(directory, called=str(adapter))
    if base is None:
        base = _open_named(directory, str(adapter))
    _check_fit(str(adapter), changes, base)
    factors = {
        module.path: refactored(changes[module.path])
        for module in base.architecture.modules
        if module.path in changes
    }
    if not any(bool(part.b_OR.any()) for part in factors.values()):
        message = f"nothing to import: {adapter} changes no weight; was it trained?"
        raise UsageError(message)
    called = directory.resolve().name if commit is None else f"{adapter}@{commit}"
    return SafetyVector(
        architecture=base.architecture,
        base_model=base.ref,
        factors=factors,
        recipe=Recipe(
            method=METHOD,
            rank=max(part.rank for part in factors.values()),
            seed=0,
            parameters={
                "adapter": checked_line(called, "the adapter's name"),
                "adapter_config": str(digest_file(directory / CONFIG_NAME)[0]),
                "adapter_model": str(digest_file(directory / TENSORS_NAME)[0]),
            },
            degraded_model=base.ref,
            data=(),
            tool=f"safegene/{__version__}",
        ),
        sketch=tuple(finite_sketch(base)),
    )


def open_named_base(
    adapter: str | Path, *, revision: str | None = None, model_id: str | None = None
) -> Checkpoint:
    """Open the base model that an adapter's configuration names, at its revision.

    Args:
        adapter: directory, or Hugging Face Hub id such as `org/adapter`.
        revision: branch, tag or commit of the adapter on the Hub.
        model_id: what to call a base that is a directory; its name by default.

    Raises:
        UsageError: there is no such adapter or base, or the adapter names none.
        TransportError: the Hub could not be reached.
    """
    directory, _ = locate(adapter, revision, what="adapter")
    return _open_named(directory, str(adapter), model_id)


def _open_named(
    directory: Path, called: str, model_id: str | None = None
) -> Checkpoint:
    settings = adapter_settings(directory, called=called)
    name, revision = (
        settings.get(field) for field in ("base_model_name_or_path", "revision")
    )
    if not isinstance(name, str) or not name:
        message = (
            f"{called}: {CONFIG_NAME} names no base model; give the one it was"
            " trained on (--base)"
        )
        raise UsageError(message)
    # PEFT writes a revision of the Hub down; a directory has none.
    known = isinstance(revision, str) and revision and not Path(name).is_dir()
    return Checkpoint.open(
        name, revision=str(revision) if known else None, model_id=model_id
    )


def _check_fit(
    called: str, changes: dict[str, LowRankFactors], base: Checkpoint
) -> None:
    for path, part in changes.items():
        module = base.architecture.module(path)
        if module is None:
            _refuse_module(called, path, base)
        expected = (module.out_features, module.in_features)
        actual = (int(part.b_OR.shape[0]), int(part.a_RI.shape[1]))
        if actual != expected:
            message = (
                f"{called}: {path}: expected factors of {expected} for"
                f" {base.model_id}, got {actual}; is it the model it was trained on?"
            )
            raise ShapeMismatchError(
                message, module=path, expected=expected, actual=actual
            )
        if part.rank > SERVABLE_RANKS[-1]:
            message = (
                f"{called}: {path}: rank {part.rank} is above {SERVABLE_RANKS[-1]},"
                " the most that is served"
            )
            raise RankError(message)
        if not all(bool(factor.isfinite().all()) for factor in (part.a_RI, part.b_OR)):
            message = f"{called}: the factors of {path} hold NaN or infinity"
            raise NonFiniteTensorError(message, module=path)


def _refuse_module(called: str, path: str, base: Checkpoint) -> NoReturn:
    """Tell modules that no vector holds from modules of another model."""
    if layer_index(path) is not None:
        message = (
            f"{called}: it changes {path}, which {base.model_id} does not have; is"
            " that the model it was trained on?"
        )
        raise CompatibilityError(message)
    message = (
        f"{called}: it changes {path}; a vector holds linear modules of layers only,"
        " no embeddings and no head: train it without, or merge it with PEFT and"
        " extract a vector from the merged model and its base"
    )
    raise InvalidDataError(message)
