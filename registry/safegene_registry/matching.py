"""Which published vectors fit a model, judged from its config and perhaps a sketch.

"Fits" walks the index of one family; "others" walks the families, never the versions,
and says of each what stands in the way. How often the database is asked does not depend
on what is published.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from safegene.artifact.architecture import Architecture
from safegene.artifact.compatibility import (
    Level,
    Reason,
    Target,
    Verdict,
    compare,
    read_target,
)
from safegene.artifact.lineage import compare_sketches
from safegene.artifact.manifest import BaseModelRef
from safegene.artifact.nearest import nearest_first
from safegene.artifact.reference import best_version, canonical_constraint, check_part
from safegene.artifact.unsupported import UNKNOWN_ARCHITECTURE
from safegene_registry import matching_repository
from safegene_registry.access import Reader
from safegene_registry.attestations.shown import NOTHING, Shown, find_shown
from safegene_registry.compatibility_schemas import (
    CompatibilityAnswer,
    CompatibilityQuestion,
    FamilyQuestion,
    FitFilters,
    FitQuestion,
    Match,
)
from safegene_registry.matching_repository import FitFilter, Found
from safegene_registry.pages import decode_place, encode_place, time_key
from safegene_registry.schemas import ArchitectureSummary
from safegene_registry.search_repository import Family
from safegene_registry.services import Services
from safegene_registry.sketches import check_sketch, read_sketches, sketch_digests
from safegene_registry.walk_repository import START, Place

Judged = tuple[Found, Verdict]

MAX_OTHERS = 10
"""Vectors named that do not fit; more would only repeat the reasons."""

UNKNOWN = Target(
    architecture=None,
    reasons=(
        Reason(
            code=UNKNOWN_ARCHITECTURE,
            detail=(
                "nothing here was made for a family of this fingerprint; ask with the"
                " model's config.json for what comes nearest"
            ),
            module="fingerprint",
        ),
    ),
    notes=(),
)
"""A family that nobody has published anything for, as far as the asker may know."""

PAGE = 100
"""Heads read at a time while a range rules some of them out."""

PAGES = 5
"""Times that is done for one answer; the next page goes on from there."""


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
        ProblemError: `invalid-request`: the cursor, or the number of sketched values.
    """
    known = read_target(question.config)
    return answer_about(services, reader, known, question, question.sketch)


def answer_about(
    services: Services,
    reader: Reader,
    known: Target,
    question: FitQuestion,
    sketch: Sequence[float] | None = None,
) -> CompatibilityAnswer:
    """The same of a model whose config was read.

    Raises:
        InvalidReferenceError, ProblemError: as `answer`.
    """
    check_question(question)
    place = decode_place(question.cursor, 2, time_key)
    target = known.architecture
    if target is None:
        return unknown_answer(known)
    if sketch is not None:
        check_sketch(target, sketch)
    with services.database.reading() as session:
        found, rest = fitting(session, reader, target, question, place)
        digests = sketch_digests(session, found) if sketch is not None else {}
        others: list[Judged] = []
        if place == START:
            others = nearest(
                services,
                session,
                reader,
                target=target,
                known=known,
                question=question,
            )
        shown = shown_of(session, [*found, *(row for row, _ in others)])
    matches = [match(row, compare(target, known), shown) for row in found]
    if sketch is not None:
        sketches = read_sketches(services, target, digests.values())
        verdicts = {
            digest: compare(target, known, compare_sketches(base, sketch))
            for digest, base in sketches.items()
        }
        matches = [
            match(row, verdicts[digests[row.version_id]], shown) for row in found
        ]
    return CompatibilityAnswer(
        architecture=summary_of(target),
        reasons=[],
        fits=[each for each in matches if each.level is not Level.INCOMPATIBLE],
        others=[
            *(each for each in matches if each.level is Level.INCOMPATIBLE),
            *(match(row, verdict, shown) for row, verdict in others),
        ],
        next_cursor=None if rest is None else encode_place(rest, 2),
    )


def answer_family(
    services: Services, reader: Reader, question: FamilyQuestion
) -> CompatibilityAnswer:
    """Which vectors fit the models of a family, known by its fingerprint.

    A family of which the asker sees no vector is not known.

    Raises:
        InvalidReferenceError, ProblemError: as `answer`.
    """
    fingerprint = question.fingerprint
    with services.database.reading() as session:
        known = find_structures(services, session, [fingerprint])
        is_seen = matching_repository.sees_family(session, reader, fingerprint)
    if not known:
        return unknown_answer(UNKNOWN)
    target = Target(architecture=known[fingerprint], reasons=(), notes=())
    found = answer_about(services, reader, target, question)
    return found if is_seen or found.fits else unknown_answer(UNKNOWN)


def check_question(question: FitFilters) -> None:
    """Refuse a range or a namespace that cannot be.

    Raises:
        InvalidReferenceError: it is malformed.
    """
    constraint = getattr(question, "constraint", None)
    if constraint is not None:
        canonical_constraint(constraint)
    if question.namespace is not None:
        check_part(question.namespace, "namespace")


def unknown_answer(known: Target) -> CompatibilityAnswer:
    """The answer about a model whose structure is not known."""
    return CompatibilityAnswer(
        architecture=None, reasons=list(known.reasons), fits=[], others=[]
    )


def filter_of(question: FitFilters) -> FitFilter:
    """What the statements are told of the question."""
    return FitFilter(
        namespace=question.namespace,
        base_model=question.base_model,
        license=question.license,
        max_rank=question.max_rank,
    )


# What fits


def fitting(
    session: Session,
    reader: Reader,
    target: Architecture,
    question: FitQuestion,
    place: Place,
) -> tuple[Sequence[Found], Place | None]:
    """Vectors of the same family, most recently published first.

    Returns:
        At most as many as wanted, and where to go on; None: that is all.
    """
    limit, constraint = question.limit, question.constraint
    wanted = filter_of(question)
    fingerprint = str(target.fingerprint)
    if constraint is None:
        return matching_repository.family_heads(
            session, reader, fingerprint, wanted, place=place, limit=limit
        )
    matches: list[Found] = []
    rest: Place | None = place
    for _ in range(PAGES):
        heads, rest = matching_repository.family_heads(
            session, reader, fingerprint, wanted, place=rest or START, limit=PAGE
        )
        matches.extend(in_range(session, heads, constraint))
        if rest is None or len(matches) >= limit:
            break
    if len(matches) > limit:
        return matches[:limit], Place(matches[limit - 1].key)
    return matches, rest


def in_range(
    session: Session, heads: Sequence[Found], constraint: str | None
) -> list[Found]:
    """The newest version that the range allows of each head's vector and family.

    Vectors without any are left out.

    Args:
        session: of the transaction.
        heads: the newest versions.
        constraint: the range; None: any.
    """
    if constraint is None or not heads:
        return list(heads)
    versions = matching_repository.versions_of(session, heads)
    best = [
        (head, best_version(versions[head.vector_id, head.fingerprint], constraint))
        for head in heads
    ]
    older = [(head, v) for head, v in best if v is not None and v != head.version]
    found = matching_repository.at_versions(session, older) if older else {}
    return [
        found.get((head.vector_id, version), head)
        for head, version in best
        if version is not None
    ]


# What does not fit


def nearest(
    services: Services,
    session: Session,
    reader: Reader,
    *,
    target: Architecture,
    known: Target,
    question: FitQuestion,
) -> list[Judged]:
    """Vectors of the families most like the target's, with what stands in the way."""
    family = Family(
        fingerprint=str(target.fingerprint),
        model_type=target.model_type,
        hidden_size=target.hidden_size,
        layers=target.layers,
    )
    families = matching_repository.nearest_families(
        session, reader, family, namespace=question.namespace, limit=MAX_OTHERS
    )
    structures = find_structures(services, session, [f.fingerprint for f in families])
    # The database orders by numbers alone, and leaves ties.
    ordered = nearest_first(target, structures.values())
    heads = matching_repository.first_heads(
        session,
        reader,
        [str(other.fingerprint) for other in ordered],
        filter_of(question),
        limit=MAX_OTHERS,
    )
    found = in_range(session, heads, question.constraint)[:MAX_OTHERS]
    verdicts = {
        fingerprint: compare(structures[fingerprint], known)
        for fingerprint in {row.fingerprint for row in found}
    }
    return [(row, verdicts[row.fingerprint]) for row in found]


def find_structures(
    services: Services, session: Session, fingerprints: Iterable[str]
) -> dict[str, Architecture]:
    """The whole structures of families that something was published for."""

    def read(missing: list[str]) -> Mapping[str, Architecture]:
        documents = matching_repository.documents(session, missing)
        return {
            fingerprint: Architecture.model_validate_json(document)
            for fingerprint, document in documents.items()
        }

    return services.structures.get(fingerprints, read)


# Answers


def summary_of(family: Architecture) -> ArchitectureSummary:
    """A family in short."""
    return ArchitectureSummary(
        model_type=family.model_type,
        layers=family.layers,
        hidden_size=family.hidden_size,
        fingerprint=str(family.fingerprint),
    )


def shown_of(session: Session, found: Iterable[Found]) -> Mapping[UUID, Shown]:
    """The best that was said of each version, in one statement."""
    return find_shown(session, {row.version_id: row.version for row in found})


def match(found: Found, verdict: Verdict, shown: Mapping[UUID, Shown]) -> Match:
    """A version with its verdict and what is said of it, as the interface shows it."""
    said = shown.get(found.version_id, NOTHING)
    return Match(
        namespace=found.namespace,
        name=found.name,
        version=found.version,
        digest=found.digest,
        base_model=BaseModelRef(
            id=found.base_model_id, revision=found.base_model_revision
        ),
        level=verdict.level,
        reasons=list(verdict.reasons),
        notes=list(verdict.notes),
        lineage=verdict.lineage,
        size_bytes=found.size_bytes,
        evaluation=said.evaluation,
        calibration=said.calibration,
    )
