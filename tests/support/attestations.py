"""Attestations to test with."""

from typing import Any

from safegene.artifact.attestation.envelope import Envelope
from safegene.artifact.attestation.keys import PrivateKey
from safegene.artifact.attestation.predicates import (
    AnsweredSet,
    Evaluation,
    Outcomes,
    Said,
)
from safegene.artifact.attestation.statement import Statement
from safegene.artifact.calibration import Calibration, Interval
from safegene.artifact.digest import Digest, digest_bytes

VERSION = digest_bytes(b"a version")


def outcomes(refuse: int, comply: int, degenerate: int = 0, off_task: int = 0) -> Any:
    """Counts."""
    return Outcomes(
        refuse=refuse, comply=comply, degenerate=degenerate, off_task=off_task
    )


def an_evaluation(
    *, refused: int = 90, over_refused: int = 10, n: int = 100, model: str = "repaired"
) -> Evaluation:
    """Of `n` prompts each; most harmful ones were refused."""
    harmful = AnsweredSet.of(
        outcomes(refused, n - refused), {"bias": outcomes(refused // 2, 0)}
    )
    harmless = AnsweredSet.of(outcomes(over_refused, n - over_refused))
    return Evaluation.of(
        {"harmful": harmful, "lookalike": harmless},
        model=model,
        judge="rules",
        tool="safegene/0.1.0",
    )


def calibration_of(digest: Digest, *, gain: str = "0.6", kl: str = "0.019") -> Any:
    """A calibration of a version."""
    return Calibration(
        vector="acme/guard@1.0.0",
        digest=str(digest),
        target_fingerprint=str(digest_bytes(b"a target")),
        coefficients={"0": "0.5", "10": "1.25"},
        budget="0.02",
        predicted_kl="0.018",
        realised_kl=kl,
        objective_before="1.2",
        objective_after="0.6",
        objective_uniform="0.7",
        uniform_coefficient="0.9",
        gain=Interval(value=gain, low="0.4", high="0.8"),
        samples={"harmful": 100, "lookalike": 64, "task": 64},
        data=(),
        solver="natural-gradient",
        forward_equivalents=900,
        warnings=(),
        tool="safegene/0.1.0",
    )


def statement_of(
    said: Said | None = None,
    digest: Digest = VERSION,
    *,
    name: str = "acme/guard@1.0.0",
) -> Statement:
    """Something that is said of a version."""
    return Statement(name, digest, said or an_evaluation())


def enveloped(
    key: PrivateKey | None = None,
    said: Said | None = None,
    digest: Digest = VERSION,
) -> bytes:
    """An envelope's bytes."""
    return Envelope.of(statement_of(said, digest), key).to_bytes()
