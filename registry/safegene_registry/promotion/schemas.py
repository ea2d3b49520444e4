"""What the interface takes and gives about promotion; as `schemas`, a contract."""

from datetime import datetime

from pydantic import Field

from safegene.artifact.promotion.policy import PromotionPolicy
from safegene_registry.schemas import Demand, Schema


class PolicyDetail(Schema):
    """What moving aliases of a namespace's vectors demands."""

    number: int
    """Of the namespace's policies, from 1; 0: there never was one."""
    digest: str | None
    """Of its canonical JSON; null: there never was one."""
    policy: PromotionPolicy
    set_at: datetime | None
    by: str | None
    """The account; null for those who are not members of the namespace."""


class PolicyPage(Schema):
    """A page of the policies that a namespace has had, the last one first."""

    items: list[PolicyDetail]
    next_cursor: str | None
    """Give it as `cursor` to get the next page; null on the last."""


class PolicyChange(Schema):
    """What moving aliases is to demand from now on."""

    policy: PromotionPolicy
    expected: int | None = Field(default=None, ge=0, le=2**31 - 1)
    """Number of the policy that this one was made from; 0: there is none yet. Leave it
    out to replace whatever there is."""


class Verdict(Schema):
    """Whether an alias may point at a version, and what each demand comes to."""

    alias: str
    version: str
    digest: str
    allowed: bool
    policy: int
    """Number of the policy that counts; 0: there is none."""
    demands: list[Demand]
    """Of the rule about the alias; none: the policy has no rule about it."""


class ApprovalRequest(Schema):
    """Want a version to be what an alias points at."""

    alias: str = Field(min_length=1, max_length=64)


class ApprovalDetail(Schema):
    """That an account wants a version to be what an alias points at."""

    alias: str
    account: str
    approved_at: datetime
    counts: bool
    """Whether the account may still approve; who published the version or moves the
    alias is left out as well."""


class ApprovalPage(Schema):
    """Approvals of a version, by alias and account."""

    items: list[ApprovalDetail]
    next_cursor: str | None
    """Give it as `cursor` to get the next page; null on the last."""
