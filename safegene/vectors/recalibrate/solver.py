"""The small optimization inside one recalibration step; pure numerics, no model.

Two convex problems over the S coefficients, S being at most a few dozen: a quadratic
in a box, and the same under a quadratic budget. Both are solved to rounding error in
float64, in well under a millisecond to a few tens of them.

Shapes: S coefficients.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_ITERATIONS = 200
ARMIJO = 1e-4
"""Share of the promised decrease a trial point must deliver."""
TOLERANCE = 1e-10
BISECTIONS = 60
RIDGE_SHARE = 1e-2
"""Ridge on a sampled Fisher matrix, as a share of its mean diagonal entry."""
RIDGE_FLOOR = 1e-12


@dataclass(frozen=True)
class Box:
    """Lowest and highest value of each coefficient."""

    low_S: Tensor
    high_S: Tensor

    def clip(self, point_S: Tensor) -> Tensor:
        """The nearest point inside."""
        return torch.minimum(torch.maximum(point_S, self.low_S), self.high_S)

    def around(self, center_S: Tensor, radius: float) -> "Box":
        """The part of the box within `radius` of the center, in every coordinate."""
        return Box(
            torch.maximum(self.low_S, center_S - radius),
            torch.minimum(self.high_S, center_S + radius),
        )


@dataclass(frozen=True)
class Model:
    """What is believed of objective and KL around the current coefficients, `d` away.

    The objective changes by `g·d + ½ dᵀHd`, the KL by `k·d + ½ dᵀFd`.
    """

    center_S: Tensor
    gradient_S: Tensor
    curvature_SS: Tensor
    """H: positive semidefinite; damping included."""
    center_kl: float
    kl_gradient_S: Tensor
    metric_SS: Tensor
    """F: positive definite."""

    def decrease(self, point_S: Tensor) -> float:
        """How much the objective is predicted to fall at `point_S`."""
        move_S = point_S - self.center_S
        return -float(self.gradient_S @ move_S) - half_form(self.curvature_SS, move_S)

    def kl(self, point_S: Tensor) -> float:
        """The KL predicted at `point_S`, in nats per token."""
        move_S = point_S - self.center_S
        slope = float(self.kl_gradient_S @ move_S)
        return self.center_kl + slope + half_form(self.metric_SS, move_S)


def half_form(matrix_SS: Tensor, vector_S: Tensor) -> float:
    """`½ vᵀMv`; with F and coefficients, the KL expected near coefficients 0."""
    return float(vector_S @ matrix_SS @ vector_S) / 2


def ridged(fisher_SS: Tensor) -> Tensor:
    """A symmetric, positive definite version of a sampled Fisher matrix."""
    matrix_SS = fisher_SS.double()
    matrix_SS = (matrix_SS + matrix_SS.T) / 2
    ridge = RIDGE_SHARE * float(matrix_SS.diagonal().mean()) + RIDGE_FLOOR
    return matrix_SS + ridge * torch.eye(len(matrix_SS), dtype=torch.float64)


def minimize_in_box(
    hessian_SS: Tensor, linear_S: Tensor, box: Box, start_S: Tensor
) -> Tensor:
    """Minimize `½ xᵀQx + c·x` over a box, `Q` positive definite.

    Projected Newton: coordinates that a bound holds back are fixed, the others take a
    full Newton step, cut back along the projection until the value falls.

    Args:
        hessian_SS: Q.
        linear_S: c.
        box: where x may be.
        start_S: a guess; a near one saves iterations.

    Returns:
        The minimizer.

    Source:
        Bertsekas 1982, Projected Newton methods for optimization problems with simple
        constraints.
    """
    x_S = box.clip(start_S)
    scale = float(linear_S.abs().max()) + float(hessian_SS.abs().max()) + 1e-300
    for _ in range(MAX_ITERATIONS):
        gradient_S = hessian_SS @ x_S + linear_S
        held_S = ((x_S <= box.low_S) & (gradient_S > 0)) | (
            (x_S >= box.high_S) & (gradient_S < 0)
        )
        free_S = ~held_S
        if not free_S.any() or float(gradient_S[free_S].abs().max()) < (
            TOLERANCE * scale
        ):
            break
        move_S = torch.zeros_like(x_S)
        move_S[free_S] = -torch.linalg.solve(
            hessian_SS[free_S][:, free_S], gradient_S[free_S]
        )
        next_S = _backtrack(hessian_SS, gradient_S, box, x_S, move_S)
        if next_S is None:
            # A Newton step may leave the box at once; plain descent never fails.
            step = 1.0 / float(torch.linalg.matrix_norm(hessian_SS, ord=2))
            next_S = box.clip(x_S - step * gradient_S)
        if torch.equal(next_S, x_S):
            break
        x_S = next_S
    return x_S


def _backtrack(
    hessian_SS: Tensor, gradient_S: Tensor, box: Box, x_S: Tensor, move_S: Tensor
) -> Tensor | None:
    share = 1.0
    while share > 1e-4:  # noqa: PLR2004 - a smaller share is not worth its steps
        next_S = box.clip(x_S + share * move_S)
        change_S = next_S - x_S
        slope = float(gradient_S @ change_S)
        value = slope + float(change_S @ hessian_SS @ change_S) / 2
        if slope < 0 and value <= ARMIJO * slope:
            return next_S
        share /= 2
    return None


def best_point(
    model: Model, box: Box, *, kl_limit: float, kl_price: float = 0.0
) -> Tensor:
    """Minimize the model of the objective in a box, at a KL of at most `kl_limit`.

    The budget enters through its multiplier, found by bisection: every value of it
    leaves a quadratic in the box, and the KL of its minimizer falls as it grows.

    Args:
        model: objective and KL around the center.
        box: where the coefficients may be.
        kl_limit: the most KL by the model; raised to the center's own where that is
            higher, so that staying is always allowed. The center is in the box.
        kl_price: fall of the objective that a nat of KL has to buy, even where the
            limit would allow it for less.

    Returns:
        The coefficients, KL by the model within the limit to rounding.
    """
    limit = max(kl_limit, model.center_kl)

    def minimizer(multiplier: float, start_S: Tensor) -> Tensor:
        hessian_SS = model.curvature_SS + multiplier * model.metric_SS
        slope_S = model.gradient_S + multiplier * model.kl_gradient_S
        linear_S = slope_S - hessian_SS @ model.center_S
        return minimize_in_box(hessian_SS, linear_S, box, start_S)

    # A curvature of low rank alone is no positive definite matrix: never quite zero.
    least = max(kl_price, RIDGE_FLOOR + 1e-9 * _ratio(model))
    best_S = minimizer(least, model.center_S)
    if model.kl(best_S) <= limit:
        return best_S
    low, high = least, max(1.0, 10 * least, _ratio(model))
    best_S = minimizer(high, model.center_S)
    while model.kl(best_S) > limit and high < 1e18:  # noqa: PLR2004 - near overflow
        low, high = high, high * 10
        best_S = minimizer(high, best_S)
    for _ in range(BISECTIONS):
        middle = (low * high) ** 0.5
        trial_S = minimizer(middle, best_S)
        if model.kl(trial_S) <= limit:
            high, best_S = middle, trial_S
        else:
            low = middle
        if high / low < 1 + 1e-9:
            break
    return best_S


def _ratio(model: Model) -> float:
    """How large the objective's model is beside the KL's, to start multipliers from."""
    top = float(model.curvature_SS.abs().max()) + float(model.gradient_S.abs().max())
    return top / float(model.metric_SS.diagonal().max())
