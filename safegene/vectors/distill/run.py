"""Distillation from end to end: method `distill`.

The aligned model is loaded, answers, its distributions are remembered, and it is let
go; only then is the degraded model loaded, so one copy of weights is in memory at a
time.
"""

import gc
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from safegene import __version__
from safegene.artifact.architecture import ModuleShape
from safegene.artifact.calibration import decimal_text
from safegene.artifact.manifest import DataEntry, Recipe
from safegene.errors import CompatibilityError, InvalidDataError, UsageError
from safegene.vectors.chat import encode_prompt
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.distill.adapters import TrainedFactors
from safegene.vectors.distill.lesson import Lesson
from safegene.vectors.distill.rows import answer_rows
from safegene.vectors.distill.settings import DistillData, DistillSettings
from safegene.vectors.distill.train import split, train
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.pair import check_pair, check_rank, wanted_modules
from safegene.vectors.recalibrate.forward import steady
from safegene.vectors.vector import SafetyVector

METHOD = "distill"

LEAST_KL = 1e-4
"""Nats per token below which the two models say the same; rounding is far below."""

DEFAULT_SETTINGS = DistillSettings()

Load = Callable[[Path], tuple[Any, Any]]
"""Gives the model, on its device, and the tokenizer of a checkpoint's directory."""
Progress = Callable[[str, int, int], None]
"""Called with the stage, what is done of it and what there is to do."""


def load_checkpoint(directory: Path) -> tuple[Any, Any]:
    """A model in its stored dtype on the CPU, and its tokenizer.

    Raises:
        InvalidDataError: they cannot be loaded.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            directory, dtype="auto", local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        message = f"{directory}: cannot be loaded with its tokenizer: {first}"
        raise InvalidDataError(message) from error
    return model.eval(), tokenizer


def distill_safety_vector(
    aligned: Checkpoint,
    degraded: Checkpoint,
    data: DistillData,
    *,
    settings: DistillSettings = DEFAULT_SETTINGS,
    rank: int = 16,
    leaf_names: Collection[str] | None = None,
    layers: Collection[int] | None = None,
    entries: Sequence[DataEntry] | None = None,
    seed: int = 0,
    load: Load = load_checkpoint,
    progress: Progress | None = None,
) -> SafetyVector:
    """Train factors with which the degraded model behaves as the aligned one.

    Minimized is KL(aligned ‖ degraded + BA) on answers to harmful prompts plus
    `benign_weight` times KL(degraded ‖ degraded + BA) on answers to benign ones.

    Args:
        aligned: the safe model; targets are expected to descend from it.
        degraded: the same model with its safety weakened.
        data: harmful and benign prompts.
        settings: how to train.
        rank: of the factors.
        leaf_names: last path parts of the modules to change; None takes every one.
        layers: layers to change; None takes all.
        entries: digests for the manifest; those of the rows without.
        seed: of the factors' start, the order and sampled answers.
        load: gives model and tokenizer; called for the aligned, then for the degraded
            model. The same seed gives the same bytes on one machine and dtype.
        progress: called with the stage and how far it is.

    Raises:
        CompatibilityError: the two are no pair, or differ in vocabulary.
        InvalidDataError: too few prompts, a row without an answer, or a checkpoint that
            cannot be loaded.
        UsageError: no module is left to change, the two models say the same on the
            harmful prompts, or nothing was learnt.
        RankError: the rank is not positive or above what can be served.
        NonFiniteTensorError: logits or the loss hold NaN or infinity.
    """
    check_rank(rank)
    data.check()
    modules = wanted_modules(aligned, leaf_names, layers)
    _check_vocabulary(aligned, degraded)
    sketch = check_pair(aligned, degraded)
    job = _Job(
        settings, data, modules, rank, seed, torch.Generator(), progress or _silent
    )
    job.generator.manual_seed(seed)
    # What loads the aligned model has returned before the degraded one is loaded.
    harmful, probe = _learn_aligned(job, load, aligned)
    gc.collect()
    factors, figures = _train_degraded(job, load, degraded, harmful, probe)
    recipe = Recipe(
        method=METHOD,
        rank=rank,
        seed=seed,
        parameters=settings.parameters() | figures,
        degraded_model=degraded.ref,
        data=tuple(data.entries() if entries is None else entries),
        tool=f"safegene/{__version__}",
    )
    return SafetyVector(
        architecture=aligned.architecture,
        base_model=aligned.ref,
        factors=factors,
        recipe=recipe,
        sketch=tuple(sketch),
        selected_layers=None if layers is None else tuple(sorted(set(layers))),
    )


@dataclass(frozen=True)
class _Job:
    settings: DistillSettings
    data: DistillData
    modules: Sequence[ModuleShape]
    rank: int
    seed: int
    generator: torch.Generator
    tell: Progress


def _learn_aligned(
    job: _Job, load: Load, aligned: Checkpoint
) -> tuple[Lesson, list[int]]:
    """The harmful prompts' lesson, and how the first of them is encoded."""
    model, tokenizer = load(aligned.directory)
    with steady(model):
        lesson = _lesson(job, model, tokenizer, "harmful", aligned.model_id)
    return lesson, encode_prompt(tokenizer, job.data.harmful[0].prompt)


def _lesson(job: _Job, model: Any, tokenizer: Any, kind: str, name: str) -> Lesson:
    prompts = job.data.harmful if kind == "harmful" else job.data.benign
    job.tell(f"answering {kind} prompts", 0, len(prompts))
    rows = answer_rows(
        model, tokenizer, prompts, job.settings, generator=job.generator, kind=kind
    )
    job.tell(f"answering {kind} prompts", len(prompts), len(prompts))
    return Lesson(
        model,
        rows,
        top_k=job.settings.top_k,
        batch_size=job.settings.batch_size,
        name=name,
        progress=lambda done, total: job.tell(f"reading {kind} answers", done, total),
    )


def _train_degraded(
    job: _Job,
    load: Load,
    degraded: Checkpoint,
    harmful: Lesson,
    probe: list[int],
) -> tuple[dict[str, LowRankFactors], dict[str, str]]:
    """The factors, and the figures of the training for the manifest."""
    model, tokenizer = load(degraded.directory)
    if encode_prompt(tokenizer, job.data.harmful[0].prompt) != probe:
        message = (
            f"{degraded.model_id} encodes prompts otherwise than the aligned model;"
            " give both the same tokenizer and chat template"
        )
        raise CompatibilityError(message)
    size = job.settings.batch_size
    with steady(model):
        benign = _lesson(job, model, tokenizer, "benign", degraded.model_id)
        splits = [
            split(len(lesson.rows), job.generator) for lesson in (harmful, benign)
        ]
        before = _Figures.measure(model, harmful, benign, splits, size)
        if before.harmful < LEAST_KL:
            message = (
                f"nothing to distill: on {len(harmful.rows)} harmful prompts"
                f" {degraded.model_id} says what the aligned model says (KL"
                f" {before.harmful:.2g} nats per token, expected at least {LEAST_KL});"
                " give prompts on which safety was lost, or another pair"
            )
            raise UsageError(message)
        adapters = TrainedFactors(
            model,
            job.modules,
            rank=job.rank,
            alpha=job.settings.alpha,
            seed=job.seed,
        )
        with adapters.attached():
            steps = train(
                model,
                adapters.parameters,
                (harmful, benign),
                (splits[0].train, splits[1].train),
                job.settings,
                generator=job.generator,
                progress=lambda done, total: job.tell("training", done, total),
            )
            after = _Figures.measure(model, harmful, benign, splits, size)
    _check_learnt(before, after, steps)
    return adapters.result(), {
        "steps": str(steps),
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        **before.parameters("before"),
        **after.parameters("after"),
    }


@dataclass(frozen=True)
class _Figures:
    """Mean KL in nats per answer token, unweighted."""

    harmful: float
    harmful_held_back: float
    benign: float
    benign_held_back: float

    @classmethod
    def measure(
        cls, model: Any, harmful: Lesson, benign: Lesson, splits: Any, size: int
    ) -> "_Figures":
        found = [
            lesson.mean_kl(model, rows, size)
            for lesson, parts in zip((harmful, benign), splits, strict=True)
            for rows in (parts.train, parts.held_back)
        ]
        return cls(*found)

    def parameters(self, when: str) -> dict[str, str]:
        return {
            f"kl_{name}_{when}": decimal_text(value)
            for name, value in vars(self).items()
        }


def _check_learnt(before: _Figures, after: _Figures, steps: int) -> None:
    for name, first, last in (
        ("trained on", before.harmful, after.harmful),
        ("held back", before.harmful_held_back, after.harmful_held_back),
    ):
        if not last < first:
            message = (
                f"nothing was learnt in {steps} steps: KL to the aligned model on"
                f" harmful prompts {name} went from {first:.4g} to {last:.4g} nats per"
                " token; give more prompts or more epochs, or another learning rate or"
                " benign weight"
            )
            raise UsageError(message)


def _check_vocabulary(aligned: Checkpoint, degraded: Checkpoint) -> None:
    sizes = [
        checkpoint.config.get(
            "vocab_size", checkpoint.config.get("text_config", {}).get("vocab_size")
        )
        for checkpoint in (aligned, degraded)
    ]
    if sizes[0] != sizes[1]:
        message = (
            f"{aligned.model_id} has {sizes[0]} vocabulary entries,"
            f" {degraded.model_id} {sizes[1]}; distillation compares their words, so"
            " both need the same tokenizer"
        )
        raise CompatibilityError(message)


def _silent(_stage: str, _done: int, _total: int) -> None:
    pass
