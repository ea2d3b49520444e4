"""What the interface takes and gives about the life cycle; as `schemas`, a contract."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from safegene_registry.access_schemas import AccountName
from safegene_registry.schemas import (
    AdvisoryNote,
    Purged,
    Schema,
    Severity,
    VersionDetail,
    Yanked,
)

VersionText = Annotated[str, Field(min_length=1, max_length=128)]


class YankedVersion(VersionDetail):
    """A version after it was yanked, or after that was taken back."""

    aliases: list[str]
    """Those that point at it; while it is yanked they mean nothing."""


class DeprecationRequest(Schema):
    """Say that a version or a whole vector should not be used any more."""

    message: str = Field(min_length=1, max_length=500, pattern=r"\S")
    """Shown to everybody who asks for it."""
    successor: str | None = Field(default=None, min_length=1, max_length=256)
    """A reference to what should be used in its place, as `acme/guard@~=2.0`."""


class PurgeRequest(Schema):
    """Remove a version's bytes for good."""

    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")
    """Shown to everybody who asks for the version."""
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    """Of the version, so that no slip takes another one."""


class PurgedVersion(Schema):
    """A version after its bytes were removed."""

    namespace: str
    name: str
    version: str
    digest: str
    purged: Purged
    kept: list[str]
    """Digests of blobs that other versions name as well, which stay."""


class AdvisoryRequest(Schema):
    """What is wrong with some versions of a vector."""

    severity: Severity
    affected: str = Field(min_length=1, max_length=256)
    """The range of versions that have it, as `>=1.0,<1.2.1`."""
    summary: str = Field(min_length=1, max_length=200, pattern=r"\S")
    """One line, shown to everybody who asks for such a version."""
    details: str = Field(default="", max_length=10_000)
    fixed_in: VersionText | None = None
    """The first version without it; null: there is none yet."""


class Withdrawn(Schema):
    """Why and since when an advisory does not stand any more."""

    at: datetime
    reason: str


class WithdrawalRequest(Schema):
    """Say that an advisory does not stand."""

    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


class AdvisoryDetail(AdvisoryNote):
    """What is known to be wrong with some versions of a vector."""

    details: str
    published_at: datetime
    withdrawn: Withdrawn | None


class AdvisoryPage(Schema):
    """A page of a vector's advisories, the last one first."""

    items: list[AdvisoryDetail]
    """Fewer than asked for where only those are wanted that concern a version."""
    next_cursor: str | None
    """Give it as `cursor` to get the next page; null on the last."""


class AliasDetail(Schema):
    """An alias and the version that it points at."""

    alias: str
    version: str
    digest: str
    yanked: Yanked | None
    """While the version is yanked, the alias means nothing."""
    protected: bool
    """Whether only owners and those whom they name may move it."""
    moved_at: datetime


class AliasPage(Schema):
    """A page of a vector's aliases by name, without `latest`, which every one has."""

    items: list[AliasDetail]
    next_cursor: str | None
    """Give it as `cursor` to get the next page; null on the last."""


class AliasChange(Schema):
    """Where an alias is to point."""

    version: VersionText
    """In any spelling."""
    expected: VersionText | None = None
    """Move it only if it points there now; null: only if there is none. Leave it out to
    move it whatever it points at."""

    @property
    def is_conditional(self) -> bool:
        """Whether anything is expected."""
        return "expected" in self.model_fields_set


class AliasMoveDetail(Schema):
    """One move of an alias, or its making or removal."""

    number: int
    """Of the moves of this alias, from 1."""
    from_version: str | None
    """Null: there was no such alias."""
    to_version: str | None
    """Null: it was removed."""
    at: datetime
    by: str | None
    """The account; null for those who are not members of the namespace."""


class AliasMovePage(Schema):
    """A page of an alias's moves, the last one first."""

    items: list[AliasMoveDetail]
    next_cursor: str | None
    """Give it as `cursor` to get the next page; null on the last."""


class AliasRule(Schema):
    """Who may move a protected alias, beside the owners of the namespace."""

    alias: str
    vector: str | None
    """The only vector that it is about; null: all that have no rule of their own."""
    movers: list[str]
    """Accounts."""


class AliasRulePage(Schema):
    """A page of a namespace's protected aliases, by alias and vector."""

    items: list[AliasRule]
    next_cursor: str | None
    """Give it as `cursor` to get the next page; null on the last."""


class AliasRuleChange(Schema):
    """Who may move an alias from now on."""

    movers: list[AccountName] = Field(default=[], max_length=50)
    """Members of the namespace; owners always may."""
