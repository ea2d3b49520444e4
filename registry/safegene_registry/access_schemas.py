"""What the interface takes and gives about access; as `schemas`, a contract."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import Field

from safegene.artifact.reference import PART_PATTERN
from safegene_registry.access import Role, Scope, Visibility
from safegene_registry.schemas import Schema

ACCOUNT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._@+-]*$"
LABEL_PATTERN = r"^[ -~]*[!-~][ -~]*$"
"""Printable ASCII, not only spaces."""

AccountName = Annotated[str, Field(max_length=128, pattern=ACCOUNT_PATTERN)]
Label = Annotated[str, Field(max_length=128, pattern=LABEL_PATTERN)]
PartName = Annotated[str, Field(max_length=64, pattern=rf"^{PART_PATTERN}$")]
Bytes = Annotated[int, Field(ge=0, le=2**62)]
ClaimName = Annotated[str, Field(max_length=255, pattern=LABEL_PATTERN)]
ClaimText = Annotated[str, Field(min_length=1, max_length=1024, pattern=LABEL_PATTERN)]
ClaimNumber = Annotated[int, Field(ge=-(2**53), le=2**53, strict=True)]
ClaimFlag = Annotated[bool, Field(strict=True)]


class TokenRequest(Schema):
    """A token to be made."""

    name: Label
    """What to call it, for people; need not be unique."""
    scope: Scope = Scope.PUBLISH
    """Most that it may be used for."""
    namespace: PartName | None = None
    """The only namespace that it opens; null: all that the account may enter."""
    lifetime_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """Days until it expires; null: until it is revoked."""

    @property
    def lifetime(self) -> timedelta | None:
        """How long it lives."""
        if self.lifetime_days is None:
            return None
        return timedelta(days=self.lifetime_days)


class AccountTokenRequest(TokenRequest):
    """A token to be made for an account, and the account with it if there is none."""

    operator: bool = False
    """Make the account an operator's: it may do everything."""


class TokenDetail(Schema):
    """A token, without its secret."""

    id: UUID
    account: str
    name: str
    scope: Scope
    namespace: str | None
    """The only namespace that it opens."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """Known to about a minute."""


class NewToken(TokenDetail):
    """A token that was made just now."""

    token: str
    """The secret, which nobody can read again."""


class TokenPage(Schema):
    """A page of tokens, by id."""

    items: list[TokenDetail]
    next_cursor: str | None


class AccountDetail(Schema):
    """Somebody who may act here."""

    name: str
    kind: str
    """`user`, or `ci`: a trusted publisher's."""
    operator: bool
    created_at: datetime


class AccountPage(Schema):
    """A page of accounts, by name."""

    items: list[AccountDetail]
    next_cursor: str | None


class NamespaceRole(Schema):
    """What an account may do in a namespace."""

    namespace: str
    role: Role


class Caller(Schema):
    """Who asks, and what they may do."""

    account: str
    operator: bool
    token: TokenDetail
    roles: list[NamespaceRole]
    """As far as the token reaches, and the first thousand."""


class NamespaceRequest(Schema):
    """A namespace to be made."""

    name: PartName
    visibility: Visibility = Visibility.PUBLIC
    """Who may read it: everybody, or its members."""


class VisibilityChange(Schema):
    """Who may read a namespace from now on."""

    visibility: Visibility


class QuotaChange(Schema):
    """How much a namespace may hold from now on."""

    quota_bytes: Bytes | None
    """Most that its versions may add up to; null: no limit."""


class NamespaceSummary(Schema):
    """A namespace."""

    name: str
    visibility: Visibility
    created_at: datetime


class NamespaceDetail(NamespaceSummary):
    """A namespace, and how full it is."""

    quota_bytes: int | None
    """Most that its versions may add up to; null: no limit."""
    used_bytes: int
    """What they add up to."""
    reserved_bytes: int
    """What is kept for uploads that are under way."""


class NamespacePage(Schema):
    """A page of namespaces, by name."""

    items: list[NamespaceSummary]
    next_cursor: str | None


class RoleChange(Schema):
    """What a member may do."""

    role: Role


class MemberDetail(Schema):
    """A member of a namespace."""

    account: str
    kind: str
    """`user`, or `ci`: a trusted publisher's."""
    role: Role


class MemberPage(Schema):
    """A page of members, by account."""

    items: list[MemberDetail]
    next_cursor: str | None


class PublisherRequest(Schema):
    """CI jobs to trust."""

    name: PartName
    """What to call them; unique within the namespace."""
    issuer: Annotated[str, Field(min_length=1, max_length=255)]
    """`iss` of their JWTs; one that the registry's settings name."""
    audience: Annotated[str, Field(max_length=255, pattern=LABEL_PATTERN)] | None = None
    """`aud` of their JWTs; null: the one of the registry's settings."""
    claims: Annotated[
        dict[ClaimName, ClaimFlag | ClaimNumber | ClaimText],
        Field(min_length=1, max_length=16),
    ]
    """Claims that their JWTs must have, with these very values."""
    role: Role = Role.PUBLISHER
    """`publisher` or `reader`."""


class PublisherDetail(Schema):
    """CI jobs that are trusted."""

    name: str
    account: str
    issuer: str
    audience: str
    claims: dict[str, bool | int | str]
    role: Role
    created_at: datetime
    last_used_at: datetime | None


class PublisherPage(Schema):
    """A page of trusted publishers, by name."""

    items: list[PublisherDetail]
    next_cursor: str | None


class ExchangeRequest(Schema):
    """A JWT to be exchanged for a token."""

    namespace: PartName
    """Where the job wants to publish."""
    jwt: Annotated[str, Field(min_length=1, max_length=16 * 1024)]
    """What the issuer says of the job."""


class ExchangedToken(Schema):
    """A short-lived token."""

    token: str
    """The secret."""
    account: str
    namespace: str
    """The only namespace that it opens."""
    scope: Scope
    expires_at: datetime
