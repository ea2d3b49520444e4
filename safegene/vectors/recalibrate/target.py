"""The search's problem on a real model: KL, objective and their derivatives.

Shapes: S coefficients.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from safegene.vectors.recalibrate.adam import SampledSlope
from safegene.vectors.recalibrate.forward import Runner
from safegene.vectors.recalibrate.gradients import Pulls, ScoredPrompts
from safegene.vectors.recalibrate.kl import Behavior
from safegene.vectors.recalibrate.objective import Group, Objective
from safegene.vectors.recalibrate.samples import Samples
from safegene.vectors.recalibrate.search import Score, Slope
from safegene.vectors.recalibrate.solver import ridged
from safegene.vectors.recalibrate.spread import LocalSample


@dataclass(frozen=True)
class Measured:
    """One point that a solver measured, in the order it did: its way, for plots."""

    coefficients: tuple[float, ...]
    """By layer or by module, in the vector's order."""
    kl: float
    """Real, in nats per token."""
    objective: float
    j: float
    """Of the answers' openings: the share of harmful prompts whose likelier opening is
    a refusal, less that of look-alike ones; the prompts calibrated on."""
    forward_equivalents: int
    """All work until here."""


Watch = Callable[[Measured], None]
"""Called with every point whose objective was measured, within the budget."""


class Target:
    """The search's problem, on a real model."""

    def __init__(
        self,
        runner: Runner,
        samples: Samples,
        objective: Objective,
        *,
        watch: Watch | None = None,
    ) -> None:
        self._runner = runner
        self._samples = samples
        self._objective = objective
        self._behavior = Behavior(runner, samples.behavior)
        self._watch = watch
        self._kls: dict[tuple[float, ...], float] = {}
        self.fisher = torch.zeros(0)
        """F at coefficients 0, [S, S], ridge added; empty until `record`."""
        self._ahead: tuple[tuple[float, ...], Pulls] | None = None

    def record(
        self, *, seed: int, draws: int, progress: Callable[[int, int], None]
    ) -> None:
        """Remember the target's own behavior; first of all calls.

        Args:
            seed: of the labels that F is sampled with.
            draws: labels a token; 0 leaves F out and needs no gradients.
            progress: called with rows done and all rows.
        """
        fisher_SS = self._behavior.record(seed=seed, draws=draws, progress=progress)
        self.fisher = ridged(fisher_SS)

    def kl(self, point_S: Tensor) -> float:
        """The real KL."""
        found = self._behavior.kl(point_S)
        self._kls[tuple(point_S.tolist())] = found
        return found

    def score(self, point_S: Tensor, *, ahead: bool = False) -> Score:
        """The real objective, on all scored prompts and on those held back.

        Args:
            point_S: the coefficients.
            ahead: `slope` will likely be asked for here next; what both need is run
                once.
        """
        fit = (
            self._pulls_ahead(point_S).margins
            if ahead
            else self._samples.fit.margins(self._runner, point_S)
        )
        held_back = self._samples.check.margins(self._runner, point_S)
        margins = {
            group: torch.cat([margin_N, held_back[group]])
            for group, margin_N in fit.items()
        }
        total = self._objective.value(margins)
        if self._watch is not None:
            place = tuple(point_S.tolist())
            kl = self._kls.get(place, 0.0)
            work = self._runner.work + self._samples.generated
            j = self._share(margins, Group.HARMFUL) - self._share(
                margins, Group.LOOKALIKE
            )
            self._watch(Measured(place, kl, total, j, work))
        return Score(
            total=total, check=self._objective.value(held_back), margins=margins
        )

    def _share(self, margins: Mapping[Group, Tensor], group: Group) -> float:
        above_N = margins[group] > self._objective.threshold
        return float(above_N.float().mean()) if len(above_N) else 0.0

    def _pulls_ahead(self, point_S: Tensor) -> Pulls:
        pulls = self._samples.fit.pulls(self._runner, self._objective, point_S)
        self._ahead = tuple(point_S.tolist()), pulls
        return pulls

    def slope(self, point_S: Tensor) -> Slope:
        """Derivatives of the objective over the prompts for fitting, and of the KL."""
        place, pulls = self._ahead or ((), None)
        if pulls is None or place != tuple(point_S.tolist()):
            pulls = self._samples.fit.pulls(self._runner, self._objective, point_S)
        # Exactly 0 without the vector, and not worth a pass to see it.
        kl_gradient_S = (
            self._behavior.gradient(point_S)
            if point_S.any()
            else torch.zeros_like(point_S)
        )
        return Slope(pulls.gradient, pulls.curvature_SS, kl_gradient_S)

    def local_sample(self, point_S: Tensor) -> LocalSample:
        """What every scored prompt says at a point, for intervals; needs F."""
        pulls = self._samples.scored.pulls(self._runner, self._objective, point_S)
        kl_gradient_S = (
            self._behavior.gradient(point_S)
            if point_S.any()
            else torch.zeros(len(point_S), dtype=torch.float64)
        )
        return LocalSample(pulls, kl_gradient_S, self.fisher)

    def sampled_slope(
        self, point_S: Tensor, *, size: int, generator: torch.Generator
    ) -> SampledSlope:
        """The same on a random few of each kind of prompt, all scored ones in the pot.

        Args:
            point_S: the coefficients.
            size: most prompts of each kind, and rows for the KL.
            generator: of what is drawn.
        """
        scored = self._samples.scored
        batch = ScoredPrompts(
            scored.openings,
            {
                group: [prompts[at] for at in _draw(len(prompts), size, generator)]
                for group, prompts in scored.prompts.items()
            },
        )
        pulls = batch.pulls(self._runner, self._objective, point_S)
        rows = _draw(len(self._samples.behavior), size, generator)
        kl, kl_gradient_S = self._behavior.kl_and_gradient(point_S, rows)
        return SampledSlope(pulls.gradient, kl, kl_gradient_S)


def _draw(count: int, size: int, generator: torch.Generator) -> Sequence[int]:
    """At most `size` of the first `count` numbers, none twice."""
    order: list[int] = torch.randperm(count, generator=generator)[:size].tolist()
    return order
