"""Writes down what recalibration found, and says how far it can be trusted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import safegene
from safegene.artifact.calibration import Calibration, Interval, decimal_text
from safegene.artifact.digest import digest_chunks
from safegene.vectors.recalibrate.objective import Gain
from safegene.vectors.recalibrate.samples import (
    ADVISED_HARMFUL,
    LEAST_HARMFUL,
    CalibrationData,
)
from safegene.vectors.recalibrate.search import Point
from safegene.vectors.vector import SafetyVector

SOLVER = "boxed-natural-gradient-1"
UNPUBLISHED = "unpublished"
"""Stands for the name of a vector that was never saved."""


@dataclass(frozen=True)
class Findings:
    """The measured points and what was paid for them."""

    before: Point
    uniform: Point
    after: Point
    gain: Gain
    budget: float
    forward_equivalents: int


def write_calibration(
    vector: SafetyVector,
    data: CalibrationData,
    findings: Findings,
    *,
    target_fingerprint: str,
) -> Calibration:
    """Put the findings into the calibration's format."""
    after, uniform = findings.after, findings.uniform
    gain = findings.gain
    return Calibration(
        vector=vector.identity or UNPUBLISHED,
        digest=vector.digest or _content_digest(vector),
        target_fingerprint=target_fingerprint,
        coefficients=_by_layer(vector.layers, after),
        budget=_text(findings.budget),
        predicted_kl=_text(after.predicted_kl),
        realised_kl=_text(after.kl),
        objective_before=_text(findings.before.score.total),
        objective_after=_text(after.score.total),
        objective_uniform=_text(uniform.score.total),
        uniform_coefficient=_text(float(uniform.coefficients_S[0])),
        gain=Interval(
            value=_text(gain.value), low=_text(gain.low), high=_text(gain.high)
        ),
        samples={name: len(rows) for name, rows in data.sets().items()},
        data=data.entries(),
        solver=SOLVER,
        forward_equivalents=findings.forward_equivalents,
        warnings=tuple(_warnings(data, findings)),
        tool=f"safegene {safegene.__version__}",
    )


def _warnings(data: CalibrationData, findings: Findings) -> list[str]:
    count = len({row.prompt for row in data.harmful})
    found = []
    if count < ADVISED_HARMFUL:
        found.append(
            f"calibrated on {count} harmful prompts; {ADVISED_HARMFUL - count} more"
            f" are needed for the advised {ADVISED_HARMFUL}"
        )
    if len(data.lookalike) < LEAST_HARMFUL:
        found.append(
            f"calibrated on {len(data.lookalike)} look-alike prompts; at least"
            f" {LEAST_HARMFUL - len(data.lookalike)} more are needed to tell whether"
            " harmless prompts are refused"
        )
    if not findings.after.coefficients_S.any():
        found.append(
            "no coefficient within the budget lowers the objective, so all are 0;"
            " raise the budget or use another vector"
        )
    elif not findings.gain.is_certain:
        found.append(_uncertain(findings.gain, count))
    return found


def _uncertain(gain: Gain, count: int) -> str:
    interval = f"[{gain.low:.3g}, {gain.high:.3g}]"
    sentence = f"the gain's 95 % interval {interval} overlaps no gain"
    if math.isinf(gain.samples_factor):
        return f"{sentence}; no number of samples would change that"
    more = max(1, math.ceil(count * gain.samples_factor) - count)
    return (
        f"{sentence}; about {more} more harmful prompts, and look-alike ones in the"
        " same proportion, are needed"
    )


def _by_layer(layers: Sequence[int], point: Point) -> dict[str, str]:
    values = point.coefficients_S.tolist()
    return {
        str(layer): _text(value) for layer, value in zip(layers, values, strict=True)
    }


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
