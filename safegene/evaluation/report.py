"""A whole comparison of models: what was measured, what it cost, what holds.

`Report` is the one input of the printed table (`report_text`) and of the page
(`report_html`); its JSON is what other tools read, and stable. It carries prompt ids
and outcomes, never a prompt or an answer. Needs no torch.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from safegene.artifact.calibration import Calibration
from safegene.errors import InvalidDataError
from safegene.evaluation.comparison import Difference, compare_evaluations
from safegene.evaluation.evaluation import (
    HARMFUL,
    LOOKALIKE,
    Evaluation,
    JudgeAgreement,
    Margin,
    OutcomeCounts,
    PromptOutcome,
)
from safegene.evaluation.figures import harmless_sets, j_by_set, refusal_by_category
from safegene.evaluation.judge import RULES
from safegene.evaluation.metrics import Estimate, recovery
from safegene.evaluation.outcomes import Outcome
from safegene.evaluation.validity import Gate, check_validity

ALIGNED = "aligned"
TARGET = "target"
REPAIRED = "repaired"

DESCRIPTIONS = {
    ALIGNED: "safe, before any fine-tuning",
    "degraded": "the model whose safety is missing",
    TARGET: "fine-tuned on a harmless task",
    REPAIRED: "target with the vector, recalibrated by layer",
    "repaired_uniform": "target with the vector, one coefficient for all layers",
}
"""What the usual models are, for people who see the report first."""

FROZEN = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Claim(BaseModel):
    """Something that was promised, and whether it came out so."""

    model_config = FROZEN

    claim: str
    target: str
    """What was asked for, as people write it: `at least 0.50`."""
    measured: str
    passed: bool


class CompatibilityRow(BaseModel):
    """What the registry answered for one model."""

    model_config = FROZEN

    model: str
    level: str
    fits: bool
    reasons: tuple[str, ...] = ()


class Recalibration(BaseModel):
    """What finding the coefficients cost and gave."""

    model_config = FROZEN

    seconds: float
    forward_equivalents: int
    """Cost in forward passes of one prompt; a backward pass counts two."""
    kl: float
    """Calibration KL: how far the target moved on its own rows, nats per token."""
    budget: float
    """The most it was allowed to be."""
    predicted_kl: float | None = None
    coefficients: dict[int, float] = {}
    """By layer."""
    uniform_coefficient: float | None = None
    """The best single coefficient within the same budget: the rival."""
    objective_before: float | None = None
    objective_after: float | None = None
    objective_uniform: float | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, calibration: Calibration, *, seconds: float) -> Self:
        """Take the figures out of a calibration.

        Coefficients by module have no chart by layer, and are left out.
        """
        by_module = calibration.granularity == "module"
        by_layer = {} if by_module else dict(sorted(calibration.by_layer.items()))
        return cls(
            seconds=seconds,
            forward_equivalents=calibration.forward_equivalents,
            kl=float(calibration.realised_kl),
            budget=float(calibration.budget),
            predicted_kl=_number(calibration.predicted_kl),
            coefficients=by_layer,
            uniform_coefficient=_number(calibration.uniform_coefficient),
            objective_before=float(calibration.objective_before),
            objective_after=float(calibration.objective_after),
            objective_uniform=_number(calibration.objective_uniform),
            warnings=calibration.warnings,
        )


class Report(BaseModel):
    """Models side by side, in order, with everything that was asked of them."""

    model_config = FROZEN

    title: str = "Safety, before and after"
    commit: str
    """Commit of the code that measured, or the tool's version."""
    models: dict[str, str]
    """What each model is, by name, in the order of every table and chart."""
    answers: dict[str, tuple[PromptOutcome, ...]]
    outcomes: dict[str, dict[str, OutcomeCounts]]
    """Answers of each outcome, by model and set."""
    refusal: dict[str, dict[str, Estimate]]
    """Refusal rate by model and set."""
    j: dict[str, Estimate] = Field(alias="J")
    task_accuracy: dict[str, Estimate] = {}
    margin: dict[str, Margin] = {}
    recovery: dict[str, Estimate] = {}
    """Share of the lost J that each repaired model won back."""
    not_evaluable: tuple[str, ...] = ()
    """Why a repair cannot be judged on these models; empty where it can."""
    recalibration: Recalibration | None = None
    compatibility: tuple[CompatibilityRow, ...] = ()
    seconds: dict[str, float] = {}
    """Wall-clock time by step, in order."""
    claims: tuple[Claim, ...] = ()
    gates: tuple[Gate, ...] = ()
    """Every validity gate, where an aligned model and a target are among the models."""
    j_by_set: dict[str, dict[str, Estimate]] = {}
    """J against every harmless set, by model; only where there are several sets."""
    refusal_by_category: dict[str, dict[str, Estimate]] = {}
    """Refusal rate of every category of the harmful prompts, by model."""
    kl: dict[str, dict[str, Estimate]] = {}
    """Evaluation KL from the reference, nats per token, by model and set."""
    differences: tuple[Difference, ...] = ()
    """Each model against the baseline, where they were compared."""
    judges: dict[str, str] = {}
    """Who decided the outcomes, by model; empty where the rules decided them all."""
    agreement: dict[str, JudgeAgreement] = {}
    """How far a second judge agrees, by model, where there was one."""
    facts: dict[str, str] = {}
    """Whatever else a reader should know: the vector, the base model, the machine."""

    @classmethod
    def of(
        cls,
        evaluations: Mapping[str, Evaluation],
        *,
        commit: str,
        title: str = "Safety, before and after",
        descriptions: Mapping[str, str] = DESCRIPTIONS,
        recalibration: Recalibration | None = None,
        compatibility: Sequence[CompatibilityRow] = (),
        seconds: Mapping[str, float] | None = None,
        claims: Sequence[Claim] = (),
        facts: Mapping[str, str] | None = None,
        baseline: str | None = None,
    ) -> Self:
        """Lay evaluations side by side.

        Where `aligned` and `target` are among them, the validity gates are checked and
        every model named `repaired…` gets the share of the lost J that it won back.

        With a `baseline` every other model is compared with it, prompt by prompt.

        Raises:
            InvalidDataError: there is no evaluation or no such baseline, or two models
                answered different prompts.
        """
        if not evaluations:
            detail = "a report needs at least one evaluated model, got none"
            raise InvalidDataError(detail)
        gates = _gates(evaluations)
        return cls(
            title=title,
            commit=commit,
            models={name: descriptions.get(name, "") for name in evaluations},
            answers={name: found.answers for name, found in evaluations.items()},
            outcomes={name: found.outcomes for name, found in evaluations.items()},
            refusal={name: found.refusal for name, found in evaluations.items()},
            J={name: found.j for name, found in evaluations.items()},
            task_accuracy={
                name: found.task_accuracy
                for name, found in evaluations.items()
                if found.task_accuracy is not None
            },
            margin={
                name: found.margin
                for name, found in evaluations.items()
                if found.margin is not None
            },
            recovery=_recoveries(evaluations),
            not_evaluable=tuple(g.reason for g in gates if not g.passed),
            gates=gates,
            j_by_set={
                name: j_by_set(found)
                for name, found in evaluations.items()
                if len(harmless_sets(found)) > 1
            },
            refusal_by_category={
                name: by_category
                for name, found in evaluations.items()
                if (by_category := refusal_by_category(found))
            },
            kl={name: found.kl for name, found in evaluations.items() if found.kl},
            differences=(
                compare_evaluations(evaluations, baseline) if baseline else ()
            ),
            judges={
                name: found.judge
                for name, found in evaluations.items()
                if any(each.judge != RULES for each in evaluations.values())
            },
            agreement={
                name: found.agreement
                for name, found in evaluations.items()
                if found.agreement is not None
            },
            recalibration=recalibration,
            compatibility=tuple(compatibility),
            seconds=dict(seconds or {}),
            claims=tuple(claims),
            facts=dict(facts or {}),
        )

    @property
    def passed(self) -> bool:
        """True where the models can be judged and every claim holds."""
        return not self.not_evaluable and all(claim.passed for claim in self.claims)

    @property
    def failures(self) -> tuple[str, ...]:
        """One sentence for each thing that keeps the report from passing."""
        missed = (
            f"{claim.claim}: {claim.measured}, expected {claim.target}"
            for claim in self.claims
            if not claim.passed
        )
        return (*(f"not evaluable: {why}" for why in self.not_evaluable), *missed)

    def share(self, model: str, set_name: str, outcome: str) -> float:
        """Share of a model's answers on a set that are of an outcome."""
        counts = self.outcomes[model][set_name]
        return counts[Outcome(outcome)] / sum(counts.values())

    def to_json(self) -> str:
        """The report as indented JSON, without prompts or answers."""
        value = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            InvalidDataError: the text is not a report.
        """
        try:
            return cls.model_validate_json(text)
        except ValueError as error:
            detail = f"expected the JSON of a report: {error}"
            raise InvalidDataError(detail) from error

    def write_json(self, path: Path) -> None:
        """Write `to_json` to a file."""
        path.write_text(self.to_json(), encoding="utf-8")


def _recoveries(evaluations: Mapping[str, Evaluation]) -> dict[str, Estimate]:
    aligned, target = evaluations.get(ALIGNED), evaluations.get(TARGET)
    if aligned is None or target is None or aligned.j.value <= target.j.value:
        return {}
    return {
        name: recovery(aligned.answered, target.answered, repaired.answered)
        for name, repaired in evaluations.items()
        if name.startswith(REPAIRED)
    }


def _gates(evaluations: Mapping[str, Evaluation]) -> tuple[Gate, ...]:
    aligned, target = evaluations.get(ALIGNED), evaluations.get(TARGET)
    if aligned is None or target is None:
        return ()
    return check_validity(aligned, target).gates


def sets_of(report: Report) -> tuple[str, ...]:
    """The sets of prompts that were answered, `harmful` and `lookalike` first."""
    names = dict.fromkeys([HARMFUL, LOOKALIKE])
    for outcomes in report.outcomes.values():
        names.update(dict.fromkeys(outcomes))
    return tuple(names)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
