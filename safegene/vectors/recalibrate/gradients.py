"""Margins of the scored prompts, and how every coefficient moves each of them.

The local picture of the objective is its gradient and its Gauss-Newton curvature, both
sums over prompts of the gradient of that prompt's margin; one backward pass gives the
margins' gradients for a whole batch.

Shapes: S coefficients, N prompts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from safegene.vectors.recalibrate.forward import Runner, TokenRow
from safegene.vectors.recalibrate.objective import Group, Objective
from safegene.vectors.recalibrate.openings import Openings


@dataclass(frozen=True)
class Pulls:
    """Which way every scored prompt pulls the coefficients at a point."""

    margins: Mapping[Group, Tensor]
    """[N] of each group, float32."""
    pulls: Sequence[Tensor]
    """Each group's gradient of weight times loss, a prompt [S, N]. The mean over
    prompts, summed over groups, is the objective's gradient."""
    curvature_SS: Tensor
    """Of the objective, Gauss-Newton."""

    @property
    def gradient(self) -> Tensor:
        """Of the objective, [S]."""
        return torch.stack([pull_SN.mean(dim=1) for pull_SN in self.pulls]).sum(dim=0)


@dataclass(frozen=True)
class ScoredPrompts:
    """Prompts that are scored, by group, and what counts as a refusal."""

    openings: Openings
    prompts: Mapping[Group, Sequence[tuple[int, ...]]]
    """Token ids up to where the answer begins."""

    def rows(self, group: Group) -> list[TokenRow]:
        """What is run for a group: each prompt followed by the spine."""
        return [
            TokenRow((*ids, *self.openings.spine), self.openings.places)
            for ids in self.prompts[group]
        ]

    def margins(self, runner: Runner, point_S: Tensor) -> dict[Group, Tensor]:
        """Margin of every prompt at these coefficients, without gradients."""
        found = {}
        for group in self.prompts:
            rows = self.rows(group)
            margin_N = torch.zeros(len(rows))
            for indices, logits_NKV in runner.run(rows, point_S):
                margin_N[indices] = self.openings.margin(logits_NKV).cpu()
            found[group] = margin_N
        return found

    def margin_gradients(
        self, runner: Runner, group: Group, point_S: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Margins [N] of one group and their gradients [S, N], in float64."""
        rows = self.rows(group)
        margin_N = torch.zeros(len(rows), dtype=torch.float64)
        gradient_SN = torch.zeros((runner.size, len(rows)), dtype=torch.float64)
        for batch in runner.run_live(rows, point_S):
            value_N = self.openings.margin(batch.logits_NKV)
            gradient_SN[:, batch.indices] = runner.per_row_gradients(batch, value_N)
            margin_N[batch.indices] = value_N.detach().double().cpu()
        return margin_N, gradient_SN

    def pulls(self, runner: Runner, objective: Objective, point_S: Tensor) -> Pulls:
        """Margins, gradients and curvature of all prompts, in one pass."""
        margins, found = {}, []
        curvature_SS = torch.zeros((runner.size, runner.size), dtype=torch.float64)
        for group, prompts in self.prompts.items():
            if not prompts:
                margins[group] = torch.zeros(0)
                continue
            margin_N, moves_SN = self.margin_gradients(runner, group, point_S)
            margins[group] = margin_N.float()
            losses = objective.losses(margin_N, group)
            weight = objective.weight(group)
            found.append(weight * moves_SN * losses.slope_N)
            share = weight / len(prompts)
            curvature_SS += share * ((moves_SN * losses.curvature_N) @ moves_SN.T)
        return Pulls(margins, found, curvature_SS)
