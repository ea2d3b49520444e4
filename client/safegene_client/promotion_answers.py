"""What a registry answers about promotion, as frozen models like `answers`."""

from typing import Any

from safegene_client.answers import Answer
from safegene_client.lifecycle_answers import Page


class DemandPart(Answer):
    """One thing that a demand of a promotion policy asks for."""

    measure: str
    met: bool
    wanted: str
    found: str | None = None
    """None: there is nothing that counts."""
    missed_by: str | None = None


class Demand(Answer):
    """One demand of a promotion policy, and what it comes to."""

    demand: str
    kind: str
    met: bool
    parts: tuple[DemandPart, ...]
    evidence: str | None = None
    """Digest of the evaluation that comes nearest to it."""
    advice: str | None = None
    """What to do; None: it is met."""


class Verdict(Answer):
    """Whether an alias may point at a version, and what each demand comes to."""

    alias: str
    version: str
    digest: str
    allowed: bool
    policy: int
    """Number of the policy that counts; 0: there is none."""
    demands: tuple[Demand, ...]


class PolicyEntry(Answer):
    """What moving aliases of a namespace's vectors demands."""

    number: int
    """0: there never was one."""
    digest: str | None = None
    policy: dict[str, Any]
    set_at: str | None = None
    by: str | None = None


class Approval(Answer):
    """That an account wants a version to be what an alias points at."""

    alias: str
    account: str
    approved_at: str
    counts: bool


ApprovalPage = Page[Approval]
