"""What a registry answers about attestations, as frozen models like `answers`."""

from safegene_client.answers import Answer, CalibrationFigures, EvaluationFigures
from safegene_client.lifecycle_answers import Page


class AttestationEntry(Answer):
    """Something that somebody says of a version, as the registry lists it."""

    digest: str
    """Of the envelope."""
    kind: str
    account: str
    """Whose token posted it."""
    posted_at: str
    signed: bool
    key_id: str | None = None
    trusted: bool
    """Whether the namespace trusts this account or key; all others only claim."""
    evaluation: EvaluationFigures | None = None
    calibration: CalibrationFigures | None = None


class Evaluator(Answer):
    """Somebody whose attestations count in a namespace."""

    name: str
    account: str | None = None
    key_id: str | None = None
    public_key: str | None = None
    created_at: str


AttestationPage = Page[AttestationEntry]
EvaluatorPage = Page[Evaluator]
