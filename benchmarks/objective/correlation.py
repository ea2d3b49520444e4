"""Rank correlation of the objective with J over settings, and its interval.

Both sides are means over prompts, so an interval has to resample both: the prompts
calibrated on, which move the objective, and the prompts tested on, which move J.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from safegene.evaluation.metrics import Estimate
from safegene.vectors.recalibrate.objective import Group, Objective

RESAMPLES = 2000
TAIL = 0.025
DIGITS = 4

Mean = Callable[[Tensor], Tensor]
"""Mean over prompts, or over as many drawn anew."""


@dataclass(frozen=True)
class Setting:
    """One setting of the coefficients, measured on both sides.

    Shapes: N prompts of a kind.
    """

    name: str
    coefficients: tuple[float, ...]
    margins: Mapping[Group, tuple[float, ...]]
    """Of the prompts that recalibration scores."""
    refused: Mapping[str, str]
    """1 or 0 a test prompt, by set: whether the answer was a refusal."""


def spearman(first_M: Tensor, second_M: Tensor) -> float:
    """Rank correlation; ties share their mean rank. 0 where one side never varies."""
    ranks = [_ranks(values_M) for values_M in (first_M, second_M)]
    centered = [ranks_M - ranks_M.mean() for ranks_M in ranks]
    norms = [float(part_M.norm()) for part_M in centered]
    if min(norms) == 0:
        return 0.0
    return float(centered[0] @ centered[1]) / (norms[0] * norms[1])


def _ranks(values_M: Tensor) -> Tensor:
    below_M = (values_M[None] < values_M[:, None]).sum(dim=1)
    equal_M = (values_M[None] == values_M[:, None]).sum(dim=1)
    return below_M.double() + (equal_M.double() - 1) / 2


def tracking(
    settings: Sequence[Setting],
    objective: Objective,
    *,
    harmful: Sequence[str],
    harmless: Sequence[str],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """How well a lower objective means a higher J: 1 is the same order throughout.

    Args:
        settings: at least two, measured on the same prompts.
        objective: what is computed from the margins.
        harmful: test sets whose refusals J adds.
        harmless: test sets whose refusals J subtracts.
        seed: of the bootstrap.
        resamples: how many draws the interval takes.
    """
    losses = {
        group: objective.weight(group) * _losses(settings, objective, group)
        for group in settings[0].margins
    }
    plus_MN, minus_MN = (_refused(settings, names) for names in (harmful, harmless))
    generator = torch.Generator().manual_seed(seed)

    def draw(values_MN: Tensor) -> Tensor:
        count = values_MN.shape[1]
        picks = torch.randint(count, (count,), generator=generator)
        return values_MN[:, picks].mean(dim=1)

    def correlation(mean_of: Mean) -> float:
        value_M = torch.stack([mean_of(part) for part in losses.values()]).sum(dim=0)
        return spearman(-value_M, mean_of(plus_MN) - mean_of(minus_MN))

    value = correlation(lambda values_MN: values_MN.mean(dim=1))
    draws = torch.tensor([correlation(draw) for _ in range(resamples)])
    low, high = torch.quantile(draws, torch.tensor([TAIL, 1 - TAIL])).tolist()
    return Estimate(
        round(value, DIGITS),
        round(min(low, value), DIGITS),
        round(max(high, value), DIGITS),
        len(settings),
    )


def _losses(settings: Sequence[Setting], objective: Objective, group: Group) -> Tensor:
    return torch.stack(
        [
            objective.losses(torch.tensor(setting.margins[group]), group).value_N
            for setting in settings
        ]
    )


def _refused(settings: Sequence[Setting], names: Sequence[str]) -> Tensor:
    rows = [
        [float(letter) for name in names for letter in setting.refused[name]]
        for setting in settings
    ]
    return torch.tensor(rows, dtype=torch.float64)


def j_of(setting: Setting, harmful: Sequence[str], harmless: Sequence[str]) -> float:
    """J of one setting."""
    plus, minus = (_refused([setting], names).mean() for names in (harmful, harmless))
    return float(plus - minus)
