"""What the interface takes and gives about attestations; as `schemas`, a contract."""

from datetime import datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from safegene_registry.access_schemas import AccountName
from safegene_registry.schemas import CalibrationFigures, EvaluationFigures, Schema

KindName = Literal["evaluation", "calibration", "provenance", "yank"]


class AttestationEntry(Schema):
    """Something that somebody says of a version."""

    digest: str
    """Of the envelope, which is to be had under it."""
    kind: KindName
    account: str
    """Whose token posted it."""
    posted_at: datetime
    signed: bool
    key_id: str | None
    """Digest of the public key, in PEM, whose signature was checked."""
    trusted: bool
    """Whether the namespace trusts this account or key; all others only claim."""
    target_fingerprint: str | None
    evaluation: EvaluationFigures | None
    """Of evaluations."""
    calibration: CalibrationFigures | None
    """Of calibrations."""


class AttestationPage(Schema):
    """Attestations of a version, the last one first."""

    items: list[AttestationEntry]
    next_cursor: str | None


class EvaluatorRequest(Schema):
    """Whose attestations count: an account's, a key's, or both in one."""

    account: AccountName | None = None
    """Who has to have posted; null: anybody may have."""
    public_key: str | None = Field(default=None, min_length=1, max_length=1024)
    """PEM of a key on EC P-256 whose signature it takes; null: none."""

    @model_validator(mode="after")
    def _check_somebody(self) -> Self:
        if self.account is None and self.public_key is None:
            message = "name an account, or send a public key"
            raise ValueError(message)
        return self


class EvaluatorDetail(Schema):
    """Somebody whose attestations count in a namespace."""

    name: str
    account: str | None
    key_id: str | None
    public_key: str | None
    created_at: datetime


class EvaluatorPage(Schema):
    """Whose attestations count, by name."""

    items: list[EvaluatorDetail]
    next_cursor: str | None
