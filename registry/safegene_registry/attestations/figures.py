"""Figures of attestations as the interface shows them, from columns of their rows."""

from typing import Any

from safegene_registry.models import Attestation
from safegene_registry.schemas import (
    BestCalibration,
    BestEvaluation,
    CalibrationFigures,
    EvaluationFigures,
    Range,
)

EVALUATION = (
    *(Attestation.set_name, Attestation.harmful_samples, Attestation.harmless_samples),
    *(Attestation.harm_value, Attestation.harm_low, Attestation.harm_high),
    *(Attestation.j_value, Attestation.j_low, Attestation.j_high),
    *(Attestation.over_refusal_value, Attestation.over_refusal_low),
    Attestation.over_refusal_high,
)
"""What `evaluation_figures` looks at."""


CALIBRATION = (
    *(Attestation.gain_value, Attestation.gain_low, Attestation.gain_high),
    Attestation.kl,
)
"""What `calibration_figures` looks at."""


def evaluation_figures(row: Any) -> EvaluationFigures | None:
    """The numbers of an evaluation; None: it is none."""
    if row.set_name is None:
        return None
    return EvaluationFigures.model_validate(evaluation_numbers(row))


def best_evaluation(
    row: Any, *, version: str, digest: str, trusted: bool
) -> BestEvaluation:
    """The same of one that was chosen among a version's."""
    told = {"version": version, "digest": digest, "trusted": trusted}
    return BestEvaluation.model_validate({**evaluation_numbers(row), **told})


def evaluation_numbers(row: Any) -> dict[str, Any]:
    """What of its row an evaluation is shown by."""
    return {
        "against": row.set_name,
        "harmful_samples": row.harmful_samples,
        "harmless_samples": row.harmless_samples,
        "harm": range_of(row, "harm"),
        "j": range_of(row, "j"),
        "over_refusal": range_of(row, "over_refusal"),
    }


def calibration_figures(row: Any) -> CalibrationFigures | None:
    """The numbers of a calibration; None: it is none."""
    if row.kl is None:
        return None
    return CalibrationFigures(gain=range_of(row, "gain"), kl=row.kl)


def best_calibration(row: Any, *, digest: str, trusted: bool) -> BestCalibration:
    """The same of one that was chosen among a version's."""
    told = {"gain": range_of(row, "gain"), "kl": row.kl}
    return BestCalibration.model_validate(
        {**told, "digest": digest, "trusted": trusted}
    )


def range_of(row: Any, name: str) -> Range:
    """A figure with the ends of its interval."""
    ends = ("value", "low", "high")
    return Range.model_validate({end: getattr(row, f"{name}_{end}") for end in ends})
