"""Which published vectors fit a model, judged from its config alone.

"Fits" is an index look-up by fingerprint; "others" walks the families, never the
versions, and says of each what stands in the way.
"""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from safegene.artifact.architecture import Architecture
from safegene.artifact.compatibility import Target, Verdict, compare, read_target
from safegene.artifact.nearest import nearest_first
from safegene.artifact.reference import best_version, canonical_constraint, check_part
from safegene_registry import repositories
from safegene_registry.access import Reader
from safegene_registry.models import Head, Version
from safegene_registry.schemas import (
    ArchitectureSummary,
    CompatibilityAnswer,
    CompatibilityQuestion,
    Match,
)
from safegene_registry.services import Services

MAX_OTHERS = 10
"""Vectors named that do not fit; more would only repeat the reasons."""

PAGE = 100
"""Heads read at a time while a range rules some of them out."""


def answer(
    services: Services, reader: Reader, question: CompatibilityQuestion
) -> CompatibilityAnswer:
    """Which vectors fit the model, and what comes nearest of the rest.

    Args:
        services: the process's parts.
        reader: whose eyes they are seen with.
        question: the model.

    Raises:
        InvalidReferenceError: the range or the namespace is malformed.
    """
    if question.constraint is not None:
        canonical_constraint(question.constraint)
    if question.namespace is not None:
        check_part(question.namespace, "namespace")
    known = read_target(question.config)
    target = known.architecture
    if target is None:
        return CompatibilityAnswer(
            architecture=None, reasons=list(known.reasons), fits=[], others=[]
        )
    with services.database.reading() as session:
        return CompatibilityAnswer(
            architecture=ArchitectureSummary(
                model_type=target.model_type,
                layers=target.layers,
                hidden_size=target.hidden_size,
                fingerprint=str(target.fingerprint),
            ),
            reasons=[],
            fits=fitting(session, reader, target, known, question),
            others=nearest(session, reader, target, known, question),
        )


def fitting(
    session: Session,
    reader: Reader,
    target: Architecture,
    known: Target,
    question: CompatibilityQuestion,
) -> list[Match]:
    """Vectors of the same family, most recently published first."""
    fingerprint = str(target.fingerprint)
    verdict = compare(target, known)
    matches: list[Match] = []
    after = None
    while len(matches) < question.limit:
        heads = repositories.family_heads(
            session,
            reader,
            fingerprint,
            namespace=question.namespace,
            after=after,
            limit=PAGE if question.constraint else question.limit,
        )
        if not heads:
            break
        after = (heads[-1].published_at, heads[-1].vector_id)
        versions = best_matches(session, heads, question.constraint)
        matches.extend(match(found, verdict) for found in versions)
    return matches[: question.limit]


def best_matches(
    session: Session, heads: Sequence[Head], constraint: str | None
) -> list[Version]:
    """The newest version that the range allows of each head's vector and family.

    Vectors without any are left out.

    Args:
        session: of the transaction.
        heads: of one family.
        constraint: the range; None: any.
    """
    if constraint is None or not heads:
        return [head.version for head in heads]
    known = repositories.list_versions(
        session,
        [head.vector_id for head in heads],
        fingerprint=heads[0].fingerprint,
    )
    wanted = {}
    for vector_id, versions in known.items():
        best = best_version(versions, constraint)
        if best is not None:
            wanted[vector_id] = best
    found = {
        head.vector_id: head.version
        for head in heads
        if wanted.get(head.vector_id) == head.version.version
    }
    others = {key: best for key, best in wanted.items() if key not in found}
    if others:
        found |= repositories.versions_of_vectors(session, others)
    return [found[head.vector_id] for head in heads if head.vector_id in found]


def nearest(
    session: Session,
    reader: Reader,
    target: Architecture,
    known: Target,
    question: CompatibilityQuestion,
) -> list[Match]:
    """Vectors of the families most like the target's, with what stands in the way."""
    families = repositories.nearest_architectures(
        session,
        reader,
        fingerprint=str(target.fingerprint),
        model_type=target.model_type,
        hidden_size=target.hidden_size,
        layers=target.layers,
        namespace=question.namespace,
        limit=MAX_OTHERS,
    )
    structures = [
        Architecture.model_validate_json(family.document) for family in families
    ]
    matches: list[Match] = []
    # The database orders by numbers alone, and leaves ties.
    for architecture in nearest_first(target, structures):
        heads = repositories.family_heads(
            session,
            reader,
            str(architecture.fingerprint),
            namespace=question.namespace,
            after=None,
            limit=MAX_OTHERS - len(matches),
        )
        matches.extend(unfit(session, heads, architecture, known, question))
        if len(matches) >= MAX_OTHERS:
            break
    return matches


def unfit(
    session: Session,
    heads: Sequence[Head],
    architecture: Architecture,
    known: Target,
    question: CompatibilityQuestion,
) -> list[Match]:
    """The vectors of one other family, judged once for all."""
    verdict = compare(architecture, known)
    versions = best_matches(session, heads, question.constraint)
    return [match(version, verdict) for version in versions]


def match(version: Version, verdict: Verdict) -> Match:
    """A version with its verdict, as the interface shows it."""
    return Match(
        namespace=version.vector.namespace,
        name=version.vector.name,
        version=version.version,
        digest=version.digest,
        base_model=repositories.base_model(version),
        level=verdict.level,
        reasons=list(verdict.reasons),
        notes=list(verdict.notes),
    )
