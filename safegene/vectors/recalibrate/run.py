"""Recalibration from end to end.

Reads the target's behavior, measures it without the vector, finds the best uniform
coefficient within the budget, walks on from there, and writes down what was measured.
Shapes: S coefficients.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.calibration import Calibration
from safegene.artifact.compatibility import compare, require
from safegene.errors import UsageError
from safegene.vectors.attach import attach
from safegene.vectors.recalibrate.forward import Runner, steady
from safegene.vectors.recalibrate.kl import Behavior
from safegene.vectors.recalibrate.objective import Group, Objective, bootstrap_gain
from safegene.vectors.recalibrate.report import Findings, write_calibration
from safegene.vectors.recalibrate.samples import (
    CalibrationData,
    Effort,
    Samples,
    check_data,
    draw_samples,
)
from safegene.vectors.recalibrate.search import (
    Point,
    Score,
    SearchSettings,
    Slope,
    best_uniform,
    improve,
)
from safegene.vectors.recalibrate.solver import Box, ridged
from safegene.vectors.targets import plain_config
from safegene.vectors.vector import SafetyVector

HIGHEST = 2.0
LOWEST_NEGATIVE = -1.0
"""The lowest coefficient where negative ones are allowed."""

DEFAULT_OBJECTIVE = Objective()
DEFAULT_EFFORT = Effort()
DEFAULT_SEARCH = SearchSettings()

Progress = Callable[[str, int, int], None]
"""Called with the stage, what is done of it and what there is to do."""


class Target:
    """The search's problem, on a real model."""

    def __init__(self, runner: Runner, samples: Samples, objective: Objective) -> None:
        self._runner = runner
        self._samples = samples
        self._objective = objective
        self._behavior = Behavior(runner, samples.behavior)
        self.fisher = torch.zeros(0)
        """F at coefficients 0, [S, S], ridge added; empty until `record`."""

    def record(
        self, *, seed: int, draws: int, progress: Callable[[int, int], None]
    ) -> None:
        """Remember the target's own behavior; first of all calls."""
        fisher_SS = self._behavior.record(seed=seed, draws=draws, progress=progress)
        self.fisher = ridged(fisher_SS)

    def kl(self, point_S: Tensor) -> float:
        """The real KL."""
        return self._behavior.kl(point_S)

    def score(self, point_S: Tensor) -> Score:
        """The real objective, on all scored prompts and on those held back."""
        margins = self._samples.scored.margins(self._runner, point_S)
        held_back: Mapping[Group, Tensor] = {
            group: margins[group][list(places)]
            for group, places in self._samples.check.items()
        }
        return Score(
            total=self._objective.value(margins),
            check=self._objective.value(held_back),
            margins=margins,
        )

    def slope(self, point_S: Tensor) -> Slope:
        """Derivatives of the objective over the prompts for fitting, and of the KL."""
        gradient_S, curvature_SS = self._samples.fit.derivatives(
            self._runner, self._objective, point_S
        )
        # Exactly 0 without the vector, and not worth a pass to see it.
        kl_gradient_S = (
            self._behavior.gradient(point_S)
            if point_S.any()
            else torch.zeros_like(gradient_S)
        )
        return Slope(gradient_S, curvature_SS, kl_gradient_S)


def recalibrate_coefficients(
    model: Any,
    tokenizer: Any,
    vector: SafetyVector,
    data: CalibrationData,
    *,
    budget: float = 0.02,
    seed: int = 0,
    progress: Progress | None = None,
    allow_negative: bool = False,
    objective: Objective = DEFAULT_OBJECTIVE,
    effort: Effort = DEFAULT_EFFORT,
    search: SearchSettings = DEFAULT_SEARCH,
) -> Calibration:
    """Find one coefficient per layer for one target.

    Lowers the discrimination objective as far as a KL of `budget` to the target's own
    behavior allows, starting from the best coefficient that is the same in all layers
    and never ending worse than it. Needs no weight gradients; the model is left exactly
    as it was, on errors too. The same inputs and seed give the same coefficients.

    Args:
        model: the target, a transformers or PEFT causal language model of any float
            dtype on any device; nothing of the vector applied yet.
        tokenizer: its tokenizer.
        vector: what is to be applied.
        data: prompts to learn from.
        budget: the most KL, in nats per token.
        seed: of subsampling, sampled labels and the bootstrap.
        progress: called with "reference", "before", "uniform" or "steps", and how much
            of that stage is done.
        allow_negative: let coefficients fall to -1; a negated layer removes safety.
        objective: what is lowered.
        effort: how much data each pass reads.
        search: how hard to look.

    Returns:
        The coefficients with what they cost and gained, all of it measured.

    Raises:
        InvalidDataError: too few prompts of a kind.
        UsageError: the budget is not a positive number.
        CompatibilityError: the vector does not fit the model.
        ShapeMismatchError: a module has another shape.
        NonFiniteTensorError: the target's own logits hold NaN.
    """
    _check_budget(budget)
    check_data(data)
    config = plain_config(model)
    require(compare(vector.architecture, config), allow_unverified_lineage=True)
    report = progress or _silent
    with steady(model):
        samples = draw_samples(model, tokenizer, data, effort, seed=seed)
        with attach(model, vector, {}) as attachment:
            size = effort.batch_size
            runner = Runner(model, attachment, vector.layers, batch_size=size)
            target = Target(runner, samples, objective)
            reference = _stage(report, "reference")
            target.record(seed=seed, draws=effort.fisher_draws, progress=reference)
            before, uniform, after = _search(
                target,
                vector.layers,
                budget=budget,
                lowest=LOWEST_NEGATIVE if allow_negative else 0.0,
                settings=search,
                report=report,
            )
    margins = before.score.margins, after.score.margins
    findings = Findings(
        before=before,
        uniform=uniform,
        after=after,
        gain=bootstrap_gain(objective, *margins, seed=seed),
        budget=budget,
        forward_equivalents=runner.work + samples.generated,
    )
    fingerprint = architecture_from_config(config).fingerprint
    return write_calibration(
        vector, data, findings, target_fingerprint=str(fingerprint)
    )


def _check_budget(budget: float) -> None:
    if not 0 < budget < math.inf:
        detail = (
            f"budget: expected a positive number of nats per token, got {budget};"
            " 0.02 is a good start"
        )
        raise UsageError(detail)


def _search(
    target: Target,
    layers: Sequence[int],
    *,
    budget: float,
    lowest: float,
    settings: SearchSettings,
    report: Progress,
) -> tuple[Point, Point, Point]:
    """Measure without the vector, at the best uniform coefficient, and at the end."""
    zero_S = torch.zeros(len(layers), dtype=torch.float64)
    report("before", 0, 1)
    before = Point(zero_S, 0.0, target.score(zero_S), 0.0)
    report("before", 1, 1)
    uniform = best_uniform(
        target,
        before,
        budget=budget,
        highest=HIGHEST,
        settings=settings,
        report=_stage(report, "uniform"),
    )
    box = Box(torch.full_like(zero_S, lowest), torch.full_like(zero_S, HIGHEST))
    after = improve(
        target,
        uniform,
        budget=budget,
        box=box,
        settings=settings,
        report=_stage(report, "steps"),
    )
    return before, uniform, after


def _stage(report: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: report(name, done, total)


def _silent(stage: str, done: int, total: int) -> None:
    """The progress nobody asked for."""
