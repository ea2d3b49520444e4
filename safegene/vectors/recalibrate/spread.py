"""How far the coefficients would move on other prompts of the same kind.

A bootstrap without solving again: for each resample of the scored prompts, one Newton
step in the box from the end point, by the solver's own model of objective and KL. The
price of KL is held, not the budget; what the solver left undone at the end point is not
made up for. An approximation, and no more than that: it says which coefficients the
prompts decide and which they leave open.

Shapes: S coefficients, N prompts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from safegene.vectors.recalibrate.gradients import Pulls
from safegene.vectors.recalibrate.solver import Box, minimize_in_box

RESAMPLES = 200
TAIL = 0.025
DAMPING = 0.1
"""Of the solver at its start, in units of the curvature's mean."""


@dataclass(frozen=True)
class LocalSample:
    """What every scored prompt says about the objective at one point."""

    objective: Pulls
    kl_gradient_S: Tensor
    metric_SS: Tensor
    """F, positive definite."""


def newton_intervals(
    sample: LocalSample,
    point_S: Tensor,
    box: Box,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Tensor:
    """Percentile intervals of the coefficients, 95 %.

    Args:
        sample: at the point.
        point_S: where the solver ended, in the box.
        box: where coefficients may be.
        seed: of the resampling; each kind of prompts is resampled on its own.
        resamples: how many.

    Returns:
        Lowest and highest value, [2, S], the point always between them.

    Source:
        Davidson and MacKinnon 1999, Bootstrap testing in nonlinear models: a few
        Newton steps a resample instead of a full estimation.
    """
    gradient_S = sample.objective.gradient
    inside_S = (point_S > box.low_S) & (point_S < box.high_S)
    price = _kl_price(gradient_S[inside_S], sample.kl_gradient_S[inside_S])
    slope_S = gradient_S + price * sample.kl_gradient_S
    # Bounds that hold a coefficient back keep doing so; elsewhere the end counts as
    # the bottom, so that the prompts themselves would leave it where it is.
    rest_S = torch.zeros_like(slope_S)
    rest_S = torch.where(point_S <= box.low_S, slope_S.clamp(min=0), rest_S)
    rest_S = torch.where(point_S >= box.high_S, slope_S.clamp(max=0), rest_S)
    damping_SS = (price + _damping(sample)) * sample.metric_SS
    hessian_SS = sample.objective.curvature_SS + damping_SS
    generator = torch.Generator().manual_seed(seed)
    ends_RS = torch.stack(
        [
            minimize_in_box(
                hessian_SS,
                _resampled(sample, generator)
                - gradient_S
                + rest_S
                - hessian_SS @ point_S,
                box,
                point_S,
            )
            for _ in range(resamples)
        ]
    )
    tails = torch.tensor([TAIL, 1 - TAIL], dtype=torch.float64)
    low_S, high_S = torch.quantile(ends_RS, tails, dim=0)
    return torch.stack([torch.minimum(low_S, point_S), torch.maximum(high_S, point_S)])


def named_intervals(
    units: Sequence[int | str], ends_2S: Tensor
) -> Mapping[int | str, tuple[float, float]]:
    """Lowest and highest value by layer or module."""
    low, high = ends_2S.tolist()
    found: dict[int | str, tuple[float, float]] = {}
    for at, unit in enumerate(units):
        found[unit] = (round(low[at], 4), round(high[at], 4))
    return found


def _kl_price(gradient_S: Tensor, kl_gradient_S: Tensor) -> float:
    """What a nat of KL costs at the end point, by least squares; never negative."""
    square = float(kl_gradient_S @ kl_gradient_S)
    if square == 0:
        return 0.0
    return max(0.0, -float(gradient_S @ kl_gradient_S) / square)


def _damping(sample: LocalSample) -> float:
    curved = float(sample.objective.curvature_SS.diagonal().mean())
    # Never quite zero: a curvature of low rank alone is not positive definite.
    return (DAMPING * curved + 1e-9) / float(sample.metric_SS.diagonal().mean())


def _resampled(sample: LocalSample, generator: torch.Generator) -> Tensor:
    total_S = torch.zeros_like(sample.kl_gradient_S)
    for pull_SN in sample.objective.pulls:
        count = pull_SN.shape[1]
        picks = torch.randint(count, (count,), generator=generator)
        total_S += pull_SN[:, picks].mean(dim=1)
    return total_S
