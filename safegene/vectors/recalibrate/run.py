"""Recalibration from end to end.

Reads the target's behavior, measures it without the vector, lets a solver look for the
best coefficients within the budget, and writes down what was measured.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.calibration import Calibration, Granularity
from safegene.artifact.compatibility import compare, require
from safegene.errors import UsageError
from safegene.vectors.attach import attach
from safegene.vectors.recalibrate.adam import AdamSettings
from safegene.vectors.recalibrate.differentiable import require_gradients
from safegene.vectors.recalibrate.evolution import GradientFreeSettings
from safegene.vectors.recalibrate.forward import Runner, steady
from safegene.vectors.recalibrate.objective import Group, Objective, bootstrap_gain
from safegene.vectors.recalibrate.report import Findings, write_calibration
from safegene.vectors.recalibrate.samples import (
    CalibrationData,
    Effort,
    check_data,
    draw_samples,
)
from safegene.vectors.recalibrate.search import SearchSettings
from safegene.vectors.recalibrate.solvers import Plan, Progress, Solver, solve
from safegene.vectors.recalibrate.spread import named_intervals, newton_intervals
from safegene.vectors.recalibrate.target import Target, Watch
from safegene.vectors.targets import plain_config
from safegene.vectors.vector import SafetyVector

Spread = Callable[[Mapping[int | str, tuple[float, float]]], None]
"""Told the 95 % interval of every coefficient, by layer or module."""

DEFAULT_OBJECTIVE = Objective()
DEFAULT_EFFORT = Effort()
DEFAULT_SEARCH = SearchSettings()
DEFAULT_ADAM = AdamSettings()
DEFAULT_GRADIENT_FREE = GradientFreeSettings()


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
    granularity: Granularity = "layer",
    solver: Solver | str = Solver.TRUST_REGION,
    objective: Objective = DEFAULT_OBJECTIVE,
    effort: Effort = DEFAULT_EFFORT,
    search: SearchSettings = DEFAULT_SEARCH,
    adam: AdamSettings = DEFAULT_ADAM,
    gradient_free: GradientFreeSettings = DEFAULT_GRADIENT_FREE,
    watch: Watch | None = None,
    spread: Spread | None = None,
) -> Calibration:
    """Find one coefficient per layer, or per module, for one target.

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
        seed: of subsampling, sampled labels, minibatches and the bootstrap.
        progress: called with "reference", "before", "uniform" or "steps", and how much
            of that stage is done.
        allow_negative: let coefficients fall to -1; a negated layer removes safety.
        granularity: "layer", or "module" for a coefficient of every module's own,
            which takes more prompts to find.
        solver: "trust-region"; "gradient-free" for targets that give no gradients, as
            quantised ones often do not; or "adam" to compare with. All keep the budget;
            the first two are never worse than the best uniform coefficient.
        objective: what is lowered.
        effort: how much data each pass reads.
        search: how hard the trust-region solver looks.
        adam: how Adam goes.
        gradient_free: how long the gradient-free solver tries.
        watch: called with every point that was measured, in order.
        spread: called at the end with a 95 % interval of every coefficient, by layer
            or module: how far other prompts of the same kind would move it, by one
            Newton step a resample. Takes one more gradient pass, which is not counted
            in the calibration; only for "trust-region".

    Returns:
        The coefficients with what they cost and gained, all of it measured.

    Raises:
        InvalidDataError: too few prompts of a kind.
        UsageError: the budget is not a positive number, there is no such solver or
            granularity, or the solver needs gradients that the target does not give.
        CompatibilityError: the vector does not fit the model.
        ShapeMismatchError: a module has another shape.
        NonFiniteTensorError: the target's own logits hold NaN.
    """
    _check_budget(budget)
    check_data(data)
    plan = Plan(
        solver=Solver.parse(solver),
        budget=budget,
        allow_negative=allow_negative,
        seed=seed,
        search=search,
        adam=adam,
        gradient_free=gradient_free,
    )
    units = _units(vector, granularity)
    config = plain_config(model)
    require(compare(vector.architecture, config), allow_unverified_lineage=True)
    report = progress or _silent
    with steady(model):
        samples = draw_samples(model, tokenizer, data, effort, seed=seed)
        with attach(model, vector, {}) as attachment:
            runner = Runner(model, attachment, units, batch_size=effort.batch_size)
            if plan.solver.needs_gradients:
                require_gradients(model, runner, samples.scored.rows(Group.HARMFUL)[0])
            target = Target(runner, samples, objective, watch=watch)
            target.record(
                seed=seed,
                draws=effort.fisher_draws if plan.solver.needs_fisher else 0,
                progress=lambda done, total: report("reference", done, total),
            )
            found = solve(target, len(units), plan, report)
            work = runner.work + samples.generated
            if spread is not None and plan.solver.needs_fisher:
                point_S, box = found.after.coefficients_S, plan.box(len(units))
                near = target.local_sample(point_S)
                ends = newton_intervals(near, point_S, box, seed=seed)
                spread(named_intervals(units, ends))
    margins = found.before.score.margins, found.after.score.margins
    findings = Findings(
        found=found,
        units=units,
        granularity=granularity,
        objective=objective,
        gain=bootstrap_gain(objective, *margins, seed=seed),
        budget=budget,
        solver=plan.solver.recorded,
        forward_equivalents=work,
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


def _units(vector: SafetyVector, granularity: str) -> tuple[int, ...] | tuple[str, ...]:
    """What gets a coefficient of its own."""
    if granularity == "layer":
        return vector.layers
    if granularity == "module":
        return vector.modules
    detail = f"granularity: expected layer or module, got {granularity!r}"
    raise UsageError(detail)


def _silent(stage: str, done: int, total: int) -> None:
    """The progress nobody asked for."""
