"""What is said of versions, and whose word counts.

    versions ─< attestations >─ accounts
    namespaces ─< trusted_evaluators

`attestations` is insert-only, held by triggers in the database. Whether one counts is
not in its row: it is looked up when it is asked for, by who is trusted then.
"""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import (
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.orm import Mapped, mapped_column

from safegene_registry.db import Base, UtcDateTime
from safegene_registry.models.columns import (
    DIGEST,
    PART,
    StoredText,
    created_now,
    digest_check,
    key_text,
    one_of,
)


def _number(comment: str | None = None) -> Mapped[float | None]:
    return mapped_column(Double, comment=comment)


class Attestation(Base):
    """One envelope, as it came, posted by one account. Insert-only.

    The numbers are those of its statement, once more, for queries: null where it has
    none.
    """

    __tablename__ = "attestations"
    __table_args__ = (
        digest_check("digest"),
        one_of("kind", "evaluation", "calibration", "provenance", "yank"),
        UniqueConstraint("version_id", "digest", "account_id"),
        Index(None, "version_id", "posted_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    version_id: Mapped[UUID] = mapped_column(ForeignKey("versions.id"))
    digest: Mapped[str] = mapped_column(DIGEST, comment="of the envelope")
    envelope: Mapped[bytes] = mapped_column(
        LargeBinary, deferred=True, deferred_raiseload=True, comment="its exact bytes"
    )
    kind: Mapped[str] = mapped_column(String(16))
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounts.id"), comment="who says so"
    )
    token_id: Mapped[UUID] = mapped_column(
        ForeignKey("tokens.id"), comment="that it was posted with"
    )
    key_id: Mapped[str | None] = mapped_column(
        DIGEST, comment="whose signature it bears, checked; null: it is unsigned"
    )
    posted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    target_fingerprint: Mapped[str | None] = mapped_column(
        DIGEST, comment="of the model that it was measured on or made for"
    )
    set_name: Mapped[str | None] = mapped_column(
        key_text(64), comment="the harmless prompts of J and over-refusal"
    )
    harmful_samples: Mapped[int | None]
    harmless_samples: Mapped[int | None]
    harm_value: Mapped[float | None] = _number("harmful prompts complied with")
    harm_low: Mapped[float | None] = _number()
    harm_high: Mapped[float | None] = _number()
    j_value: Mapped[float | None] = _number()
    j_low: Mapped[float | None] = _number()
    j_high: Mapped[float | None] = _number()
    over_refusal_value: Mapped[float | None] = _number("harmless prompts refused")
    over_refusal_low: Mapped[float | None] = _number()
    over_refusal_high: Mapped[float | None] = _number()
    gain_value: Mapped[float | None] = _number("of a calibration's objective")
    gain_low: Mapped[float | None] = _number()
    gain_high: Mapped[float | None] = _number()
    kl: Mapped[float | None] = _number("that a calibration cost, nats per token")


class TrustedEvaluator(Base):
    """Whose attestations count in a namespace: an account's, a key's, or both in one.

    With an account alone, whatever it posts counts, signed or not; with a key alone,
    whatever bears its signature, whoever posts it.
    """

    __tablename__ = "trusted_evaluators"
    __table_args__ = (
        CheckConstraint(
            "account_id IS NOT NULL OR key_id IS NOT NULL", name="somebody"
        ),
        CheckConstraint("(public_key IS NULL) = (key_id IS NULL)", name="key"),
    )

    namespace: Mapped[str] = mapped_column(
        PART, ForeignKey("namespaces.name"), primary_key=True
    )
    name: Mapped[str] = mapped_column(
        PART, primary_key=True, comment="what owners call it"
    )
    account_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("accounts.id"), comment="who has to have posted; null: anybody"
    )
    key_id: Mapped[str | None] = mapped_column(
        DIGEST, comment="whose signature it takes; null: none"
    )
    public_key: Mapped[str | None] = mapped_column(StoredText, comment="in PEM")
    token_id: Mapped[UUID] = mapped_column(
        ForeignKey("tokens.id"), comment="who trusts"
    )
    created_at: Mapped[datetime] = created_now()
