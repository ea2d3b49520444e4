"""What recalibration lowers: the share of prompts that open the wrong way, smoothed.

The loss of one prompt is a function of its margin, the log-odds that the answer opens
as a refusal (`openings`). With `p` the probability of opening the *right* way at
temperature `sharpness`, the loss is `(1 - p^focus) / focus`:

* `focus` → 0 is the logistic loss `-log p = softplus(∓margin)`: every hopeless prompt
  pulls with full weight, and the mean is ruled by prompts that will never flip;
* `focus` = 1 is `1 - p`: the sum over both sets is one minus J as sampled answers
  would show it, but hopeless prompts do not pull at all;
* in between, prompts near the boundary count most and far ones still show the way.

The objective is discriminative by construction: refusing everything gains nothing,
since harmful and look-alike prompts weigh the same. Pure functions of margins.

Shapes: N prompts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn import functional

from safegene.errors import UsageError

RESAMPLES = 2000
TAIL = 0.025
"""Share of resamples outside the interval on either side."""


class Group(StrEnum):
    """Kinds of prompts that are scored, and whether they are to be refused."""

    HARMFUL = "harmful"
    LOOKALIKE = "lookalike"
    ORDINARY = "ordinary"

    @property
    def direction(self) -> float:
        """+1 where refusing is right, -1 where it is wrong."""
        return 1.0 if self is Group.HARMFUL else -1.0


@dataclass(frozen=True)
class Losses:
    """Loss of each prompt of one group, with its derivatives by the margin."""

    value_N: Tensor
    slope_N: Tensor
    curvature_N: Tensor
    """Never negative: the concave part of the second derivative is left out."""


@dataclass(frozen=True)
class Objective:
    """The figure that recalibration lowers, as three numbers and two weights.

    Raises:
        UsageError: a weight is negative or not finite.
    """

    threshold: float = 0.0
    """Margin, in nats, from which an opening counts as a refusal; 0 is even odds."""
    sharpness: float = 1.0
    """Nats of margin that turn the odds by e; smaller is nearer to greedy answers."""
    focus: float = 0.5
    """0 … 1: how little prompts far on the wrong side count."""
    lookalike_weight: float = 1.0
    """Weight of look-alike prompts beside harmful ones (1)."""
    ordinary_weight: float = 0.25
    """Weight of ordinary prompts beside harmful ones (1)."""

    def __post_init__(self) -> None:
        for name in ("lookalike_weight", "ordinary_weight"):
            weight = getattr(self, name)
            if not 0 <= weight < math.inf:
                detail = (
                    f"{name}: expected a finite number of at least 0, got {weight};"
                    " 1 counts as much as the harmful prompts"
                )
                raise UsageError(detail)

    def weight(self, group: Group) -> float:
        """Weight of a group's mean loss."""
        weights = {
            Group.LOOKALIKE: self.lookalike_weight,
            Group.ORDINARY: self.ordinary_weight,
        }
        return weights.get(group, 1.0)

    def losses(self, margin_N: Tensor, group: Group) -> Losses:
        """Loss of every prompt of a group, and its derivatives by the margin."""
        sign = group.direction / self.sharpness
        odds_N = sign * (margin_N.double() - self.threshold)
        log_right_N = functional.logsigmoid(odds_N)
        right_N, wrong_N = odds_N.sigmoid(), (-odds_N).sigmoid()
        damped_N = torch.exp(self.focus * log_right_N)
        value_N = (
            -torch.expm1(self.focus * log_right_N) / self.focus
            if self.focus > 0
            else -log_right_N
        )
        return Losses(
            value_N=value_N,
            slope_N=-sign * damped_N * wrong_N,
            curvature_N=sign**2 * damped_N * right_N * wrong_N,
        )

    def value(self, margins: Mapping[Group, Tensor]) -> float:
        """The objective: weighted sum of the groups' mean losses."""
        return sum(
            self.weight(group) * float(self.losses(margin_N, group).value_N.mean())
            for group, margin_N in margins.items()
            if len(margin_N)
        )


@dataclass(frozen=True)
class Gain:
    """How much the objective fell, with its paired 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    samples_factor: float
    """How many times as many prompts would put the interval beyond no gain, were
    gain and spread to stay; infinite where nothing was gained."""
    scored: Mapping[Group, int] = field(default_factory=dict)
    """Prompts it was measured on."""

    @property
    def is_certain(self) -> bool:
        """Whether the whole interval is a gain."""
        return self.low > 0


def bootstrap_gain(
    objective: Objective,
    before: Mapping[Group, Tensor],
    after: Mapping[Group, Tensor],
    *,
    seed: int,
) -> Gain:
    """Estimate the fall of the objective, pairing each prompt with itself.

    The groups are independent samples and are resampled each on their own.
    """
    generator = torch.Generator().manual_seed(seed)
    value, variance = 0.0, 0.0
    draws_R = torch.zeros(RESAMPLES, dtype=torch.float64)
    for group, before_N in before.items():
        if not len(before_N):
            continue
        fall_N = objective.weight(group) * (
            objective.losses(before_N, group).value_N
            - objective.losses(after[group], group).value_N
        )
        count = len(fall_N)
        picks = torch.randint(count, (RESAMPLES, count), generator=generator)
        draws_R += fall_N[picks].mean(dim=1)
        value += float(fall_N.mean())
        variance += float(fall_N.var(unbiased=False)) / count
    low, high = torch.quantile(
        draws_R, torch.tensor([TAIL, 1 - TAIL], dtype=torch.float64)
    ).tolist()
    normal = 1.96
    factor = normal**2 * variance / value**2 if value > 0 else math.inf
    scored = {group: len(before_N) for group, before_N in before.items()}
    return Gain(value, min(low, value), max(high, value), factor, scored)
