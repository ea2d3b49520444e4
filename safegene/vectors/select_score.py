"""Scores layers by what they would gain per unit of KL, and at random as a control.

With `g` the derivative of recalibration's objective by a layer's coefficient at 0 and
`F` the Fisher information of the target's own behavior there, the best single step of
that layer within a KL of ε lowers the objective by `sqrt(2 ε g² / F)`: the *score* is
`g² / F`, the score statistic of the coefficient. It counts as negative where the layer
would have to be turned around to help. All of it comes from one backward pass of every
prompt, which recalibration makes anyway.

Shapes: S layers.
"""

from typing import Any

import torch

from safegene.artifact.compatibility import compare, require
from safegene.vectors.attach import attach
from safegene.vectors.recalibrate.differentiable import require_gradients
from safegene.vectors.recalibrate.forward import Runner, steady
from safegene.vectors.recalibrate.kl import Behavior
from safegene.vectors.recalibrate.objective import Group, Objective
from safegene.vectors.recalibrate.samples import (
    CalibrationData,
    Effort,
    check_data,
    draw_samples,
)
from safegene.vectors.recalibrate.solver import ridged
from safegene.vectors.targets import plain_config
from safegene.vectors.vector import SafetyVector

DEFAULT_OBJECTIVE = Objective()
DEFAULT_EFFORT = Effort()


def score_statistic(
    model: Any,
    tokenizer: Any,
    vector: SafetyVector,
    data: CalibrationData,
    *,
    objective: Objective = DEFAULT_OBJECTIVE,
    effort: Effort = DEFAULT_EFFORT,
    seed: int = 0,
) -> dict[int, float]:
    """Score statistic of every touched layer, on one target.

    Args:
        model: the target, without the vector; left exactly as it was.
        tokenizer: its tokenizer.
        vector: whose layers are scored.
        data: as for recalibration.
        objective: what is to fall.
        effort: how many prompts are read.
        seed: of subsampling and sampled labels.

    Returns:
        Score by layer, in squared units of the objective per nat; negative where
        raising the layer's coefficient raises the objective.

    Raises:
        InvalidDataError: too few prompts of a kind.
        CompatibilityError: the vector does not fit the model.
        UsageError: the target gives no gradients.
    """
    check_data(data)
    require(
        compare(vector.architecture, plain_config(model)), allow_unverified_lineage=True
    )
    with steady(model):
        samples = draw_samples(model, tokenizer, data, effort, seed=seed)
        with attach(model, vector, {}) as attachment:
            runner = Runner(
                model, attachment, vector.layers, batch_size=effort.batch_size
            )
            require_gradients(model, runner, samples.scored.rows(Group.HARMFUL)[0])
            behavior = Behavior(runner, samples.behavior)
            fisher_SS = ridged(behavior.record(seed=seed, draws=effort.fisher_draws))
            zero_S = torch.zeros(runner.size, dtype=torch.float64)
            gradient_S = samples.scored.pulls(runner, objective, zero_S).gradient
    score_S = -gradient_S.sign() * gradient_S**2 / fisher_SS.diagonal()
    return dict(zip(vector.layers, score_S.tolist(), strict=True))


def random_scores(vector: SafetyVector, *, seed: int = 0) -> dict[int, float]:
    """A score of no meaning for every touched layer: what a selection has to beat.

    Args:
        vector: whose layers are ranked.
        seed: the same gives the same ranking on every machine.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(vector.layers), generator=generator).tolist()
    count = len(order)
    return {
        layer: (count - place) / count
        for layer, place in zip(vector.layers, order, strict=True)
    }
