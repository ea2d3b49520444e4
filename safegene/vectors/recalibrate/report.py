"""Writes down what recalibration found."""

from dataclasses import dataclass

import safegene
from safegene.artifact.calibration import (
    Calibration,
    Granularity,
    Interval,
    ObjectiveEntry,
    decimal_text,
)
from safegene.artifact.digest import digest_chunks
from safegene.vectors.recalibrate.diagnosis import diagnose
from safegene.vectors.recalibrate.objective import Gain, Objective
from safegene.vectors.recalibrate.samples import CalibrationData
from safegene.vectors.recalibrate.solvers import Found
from safegene.vectors.vector import SafetyVector

UNPUBLISHED = "unpublished"
"""Stands for the name of a vector that was never saved."""


@dataclass(frozen=True)
class Findings:
    """The measured points and what was paid for them."""

    found: Found
    units: tuple[int, ...] | tuple[str, ...]
    """Layer or module of each coefficient."""
    granularity: Granularity
    objective: Objective
    gain: Gain
    budget: float
    solver: str
    forward_equivalents: int


def write_calibration(
    vector: SafetyVector,
    data: CalibrationData,
    findings: Findings,
    *,
    target_fingerprint: str,
) -> Calibration:
    """Put the findings into the calibration's format."""
    before, after = findings.found.before, findings.found.after
    uniform = findings.found.uniform
    gain = findings.gain
    values = after.coefficients_S.tolist()
    return Calibration(
        format=2,
        vector=vector.identity or UNPUBLISHED,
        digest=vector.digest or _content_digest(vector),
        target_fingerprint=target_fingerprint,
        granularity=findings.granularity,
        coefficients={
            str(unit): _text(value)
            for unit, value in zip(findings.units, values, strict=True)
        },
        budget=_text(findings.budget),
        predicted_kl=None if after.predicted_kl is None else _text(after.predicted_kl),
        realised_kl=_text(after.kl),
        objective=_objective(findings.objective),
        objective_before=_text(before.score.total),
        objective_after=_text(after.score.total),
        objective_uniform=uniform and _text(uniform.score.total),
        uniform_coefficient=uniform and _text(float(uniform.coefficients_S[0])),
        gain=Interval(
            value=_text(gain.value), low=_text(gain.low), high=_text(gain.high)
        ),
        samples={name: len(rows) for name, rows in data.sets().items()},
        data=data.entries(),
        solver=findings.solver,
        forward_equivalents=findings.forward_equivalents,
        warnings=tuple(
            diagnose(data, findings.gain, applied=bool(after.coefficients_S.any()))
        ),
        tool=f"safegene {safegene.__version__}",
    )


def _objective(objective: Objective) -> ObjectiveEntry:
    return ObjectiveEntry(
        **{
            name: _text(getattr(objective, name))
            for name in ObjectiveEntry.model_fields
        }
    )


def _text(value: float) -> str:
    # Adding zero turns -0.0 into 0.0, which has one spelling only.
    return decimal_text(value + 0.0)


def _content_digest(vector: SafetyVector) -> str:
    """Digest of an unpublished vector's factors, so that two are told apart."""
    chunks = (
        tensor.detach().float().cpu().contiguous().numpy().tobytes()
        for factors in vector.factors.values()
        for tensor in (factors.a_RI, factors.b_OR)
    )
    return str(digest_chunks(chunks))
