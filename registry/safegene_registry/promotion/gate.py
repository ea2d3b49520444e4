"""The gate that an alias passes when it is moved; nobody is above it.

Owners and operators neither: who wants less changes the policy, which is an event. The
move and the check that changes nothing judge by the same function.
"""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from safegene.artifact.promotion.judgement import (
    Approved,
    Ends,
    Evidence,
    Finding,
    Measured,
    Signed,
    judge,
)
from safegene.artifact.promotion.policy import Rule
from safegene.artifact.reference import VectorName
from safegene_registry.access import Principal
from safegene_registry.models import Attestation, Version
from safegene_registry.problems import ProblemError
from safegene_registry.promotion import policies, promotion_repository
from safegene_registry.promotion.schemas import Verdict
from safegene_registry.schemas import Demand, DemandPart

MAX_SAID = 1000
"""Attestations that are looked at; those that count come first."""

MAX_SPELLED = 3
"""Parts that a refusal spells out in its sentence; its body has all."""


def check(
    session: Session,
    vector: VectorName,
    alias: str,
    version: Version,
    mover: Principal,
) -> Verdict:
    """What the policy says of an alias that is to point at a version.

    Two statements where it has no rule about the alias, whatever else there is.

    Args:
        session: of the transaction; one that will move the alias has called
            `promotion_repository.hold_decisions`.
        vector: whose alias it is.
        alias: its name.
        version: that it is to point at.
        mover: who wants that.
    """
    number, policy = policies.current(session, vector.namespace)
    rule = policy.rule_for(vector.name, alias)
    findings: Sequence[Finding] = ()
    if rule is not None and rule.demands:
        evidence = evidence_of(session, rule, vector, version, mover)
        findings = judge(rule, evidence)
    return Verdict(
        alias=alias,
        version=version.version,
        digest=version.digest,
        allowed=all(finding.is_met for finding in findings),
        policy=number,
        demands=[demand_of(finding) for finding in findings],
    )


def evidence_of(
    session: Session,
    rule: Rule,
    vector: VectorName,
    version: Version,
    mover: Principal,
) -> Evidence:
    """What is known of a version; only what the rule asks for is looked up."""
    approvals = []
    if rule.approvals:
        approvals = [
            Approved(account, may_approve)
            for _, account, may_approve in promotion_repository.list_approvals(
                session, version, vector.namespace, alias=rule.alias
            )
        ]
    evaluations: list[Measured] = []
    signatures: list[Signed] = []
    if rule.evaluations or rule.signatures:
        said = promotion_repository.said_of(
            session, version.id, vector.namespace, limit=MAX_SAID
        )
        evaluations = [
            measured(row, is_trusted=trusted, key_is_trusted=key_trusted)
            for row, trusted, key_trusted in said
            if row.kind == "evaluation"
        ]
        signatures = [
            Signed(row.key_id, key_trusted)
            for row, _, key_trusted in said
            if row.key_id is not None
        ]
    return Evidence(
        mover=mover.account,
        publisher=promotion_repository.publisher_of(session, version),
        evaluations=evaluations,
        signatures=signatures,
        approvals=approvals,
    )


def measured(row: Attestation, *, is_trusted: bool, key_is_trusted: bool) -> Measured:
    """An evaluation as it is judged; the columns of its kind are never null."""
    return Measured(
        digest=row.digest,
        against=row.set_name or "",
        harmful_samples=row.harmful_samples or 0,
        harmless_samples=row.harmless_samples or 0,
        harm=ends(row, "harm"),
        over_refusal=ends(row, "over_refusal"),
        J=ends(row, "j"),
        is_trusted=is_trusted,
        key_is_trusted=key_is_trusted,
    )


def ends(row: Attestation, name: str) -> Ends:
    """A figure of an evaluation."""
    return Ends(*(getattr(row, f"{name}_{end}") for end in ("value", "low", "high")))


def refuse_unmet(vector: VectorName, verdict: Verdict) -> None:
    """Refuse if a demand is not met.

    Raises:
        ProblemError: `promotion-refused`; its body lists every demand.
    """
    if verdict.allowed:
        return
    missed = [
        f"{demand.demand}: {part.measure} {part.wanted}, {found_in_words(part)}"
        for demand in verdict.demands
        for part in demand.parts
        if not part.met
    ]
    more = len(missed) - MAX_SPELLED
    rest = f" and {more} more" if more > 0 else ""
    detail = (
        f"Policy {verdict.policy} of {vector.namespace} does not let {verdict.alias} of"
        f" {vector} point at {verdict.version}: {'; '.join(missed[:MAX_SPELLED])}"
        f"{rest}. Nothing was changed."
    )
    members = {
        "policy": verdict.policy,
        "demands": [demand.model_dump(mode="json") for demand in verdict.demands],
    }
    raise ProblemError(detail, "promotion-refused", members=members)


def found_in_words(part: DemandPart) -> str:
    """What was found, and by how much that is off."""
    if part.found is None:
        return "found none that counts"
    return f"found {part.found}, off by {part.missed_by}"


def demand_of(finding: Finding) -> Demand:
    """A finding as the interface shows it."""
    return Demand(
        demand=finding.demand,
        kind=finding.kind,
        met=finding.is_met,
        parts=[
            DemandPart(
                measure=part.measure,
                met=part.is_met,
                wanted=part.wanted,
                found=part.found,
                missed_by=part.missed_by,
            )
            for part in finding.parts
        ],
        evidence=finding.evidence,
        advice=finding.advice,
    )
