"""Who there is and what they may do.

    accounts ─< tokens            what an account shows to be let in
       └──< members >── namespaces   what it may do there
               └─< trusted_publishers   how a CI job becomes that member

*May this request do this here?* is answered from three facts: the account's role in the
namespace (`members`), the token's scope, and the one namespace that the token may be
restricted to. The token only narrows: whatever its scope, it never lets anyone do more
than the account's role allows. An account with `is_admin` is the exception: it may do
everything everywhere, through a token of scope `admin`.
"""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    UniqueConstraint,
    Uuid,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from safegene_registry.db import Base, UtcDateTime
from safegene_registry.models.columns import (
    DIGEST,
    DOCUMENT,
    PART,
    StoredText,
    created_now,
    digest_check,
    key_text,
    one_of,
)


class Account(Base):
    """Somebody who may act here: a user, or a CI job of a trusted publisher.

    Roles belong to accounts, not to tokens, so that replacing a token changes nothing
    and removing a member ends all of their tokens' rights in the namespace at once.
    Accounts have no password: a token or a JWT of a trusted issuer is the only way in.
    """

    __tablename__ = "accounts"
    __table_args__ = (one_of("kind", "user", "ci"), UniqueConstraint("name"))

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(
        key_text(128), comment="what operators and owners call it"
    )
    kind: Mapped[str] = mapped_column(
        String(8), comment="user, or ci: made for a trusted publisher"
    )
    is_admin: Mapped[bool] = mapped_column(
        server_default=false(), comment="an operator of the whole registry"
    )
    created_at: Mapped[datetime] = created_now()


class Namespace(Base):
    """A room for vectors, with members.

    A private one, with all that is in it, does not exist for those who are not members.
    """

    __tablename__ = "namespaces"
    __table_args__ = (
        one_of("visibility", "public", "private"),
        CheckConstraint("quota_bytes >= 0", name="quota_bytes"),
    )

    name: Mapped[str] = mapped_column(PART, primary_key=True)
    visibility: Mapped[str] = mapped_column(
        String(8), server_default="public", comment="who may read: all, members"
    )
    quota_bytes: Mapped[int | None] = mapped_column(
        BigInteger, comment="most that its versions may add up to; null: no limit"
    )
    created_at: Mapped[datetime] = created_now()


class Member(Base):
    """What an account may do in a namespace; each role includes those before it.

    `reader` reads what is private, `publisher` publishes, `owner` also decides about
    members, visibility and trusted publishers.
    """

    __tablename__ = "members"
    __table_args__ = (one_of("role", "reader", "publisher", "owner"),)

    namespace: Mapped[str] = mapped_column(
        PART, ForeignKey("namespaces.name"), primary_key=True
    )
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounts.id"), primary_key=True, index=True
    )
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = created_now()


class Token(Base):
    """A secret that lets its account in; only its digest is kept.

    Rows stay for ever, since versions name the token that published them: a token that
    must not work any more is revoked. It works while `revoked_at` is null and
    `expires_at` is null or still to come. Those minted for CI jobs are short-lived rows
    of the same kind.
    """

    __tablename__ = "tokens"
    __table_args__ = (
        digest_check("digest"),
        one_of("scope", "read", "publish", "admin"),
        UniqueConstraint("digest"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounts.id"), index=True, comment="whom it lets in"
    )
    name: Mapped[str] = mapped_column(
        StoredText(128), comment="what its holder calls it; need not be unique"
    )
    digest: Mapped[str] = mapped_column(DIGEST, comment="sha256 of the secret")
    scope: Mapped[str] = mapped_column(
        String(16), comment="most that it may be used for: read < publish < admin"
    )
    namespace: Mapped[str | None] = mapped_column(
        PART,
        ForeignKey("namespaces.name"),
        comment="the only namespace it opens; null: all that its account may enter",
    )
    created_at: Mapped[datetime] = created_now()
    expires_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="null: never"
    )
    revoked_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="null: not revoked"
    )
    last_used_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="roughly: need not be written at every use"
    )


class TrustedPublisher(Base):
    """Which CI jobs may act as a member, without a secret of their own.

    A JWT of `issuer` for `audience` whose claims include all of `claims` is exchanged
    for a short-lived token of the account, restricted to the namespace. The account is
    of kind `ci`, and its role is the one of its membership, so that removing the member
    removes the trust as well.
    """

    __tablename__ = "trusted_publishers"
    __table_args__ = (
        ForeignKeyConstraint(
            ["namespace", "account_id"],
            ["members.namespace", "members.account_id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("namespace", "account_id"),
        # Serves the exchange, which knows these two.
        Index(None, "issuer", "audience"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    namespace: Mapped[str] = mapped_column(PART)
    account_id: Mapped[UUID] = mapped_column(Uuid)
    issuer: Mapped[str] = mapped_column(
        key_text(255), comment="`iss`; must be one that the settings allow"
    )
    audience: Mapped[str] = mapped_column(key_text(255), comment="`aud`")
    claims: Mapped[dict[str, Any]] = mapped_column(
        DOCUMENT, comment="claims that the JWT must have, with these very values"
    )
    created_by: Mapped[UUID] = mapped_column(
        ForeignKey("accounts.id"), comment="who decided to trust it"
    )
    created_at: Mapped[datetime] = created_now()
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
