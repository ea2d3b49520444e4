"""Reading: resolve and describe what is published."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from safegene.artifact.manifest import BaseModelRef
from safegene.artifact.reference import (
    VectorName,
    best_version,
    canonical_version,
    pinned_version,
)
from safegene_registry import repositories, summary_repository
from safegene_registry.attestations.figures import best_evaluation
from safegene_registry.lifecycle import alias_repository, notice_repository
from safegene_registry.lifecycle.notices import (
    advisory_note,
    concerns,
    deprecated,
    purged,
)
from safegene_registry.models import (
    ArchitectureRow,
    File,
    Head,
    Vector,
    Version,
)
from safegene_registry.pages import (
    decode_time_cursor,
    encode_cursor,
)
from safegene_registry.problems import ProblemError
from safegene_registry.schemas import (
    ArchitectureSummary,
    BestEvaluation,
    FileDetail,
    Latest,
    VectorDetail,
    VectorSummary,
    VersionDetail,
    VersionEntry,
    VersionPage,
    Yanked,
)
from safegene_registry.search_repository import Listed
from safegene_registry.services import Services
from safegene_registry.summary_repository import HeadRow

LATEST = "latest"
"""The alias every vector has."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Which version of a vector is wanted; at most one is set, none means newest."""

    constraint: str | None = None
    alias: str | None = None
    digest: str | None = None


def summaries(
    session: Session, vectors: Sequence[Vector | Listed]
) -> list[VectorSummary]:
    """Vectors as lists show them, in the order given."""
    if not vectors:
        return []
    heads: dict[UUID, list[HeadRow]] = defaultdict(list)
    ids = [vector.id for vector in vectors]
    for head in summary_repository.heads_of(session, ids):
        heads[head.vector_id].append(head)
    return [summary(heads[vector.id]) for vector in vectors]


def summary(heads: Sequence[HeadRow]) -> VectorSummary:
    """One vector, described by the newest of its families' newest versions."""
    standing = [head for head in heads if not head.is_yanked] or heads
    number = best_version([head.version for head in standing], None)
    newest = next(head for head in standing if head.version == number)
    return VectorSummary(
        namespace=newest.namespace,
        name=newest.name,
        description=newest.description,
        license=newest.license,
        base_model=BaseModelRef(
            id=newest.base_model_id, revision=newest.base_model_revision
        ),
        architecture=architecture_summary(newest),
        rank=newest.rank,
        latest=Latest(version=newest.version, digest=newest.digest),
        version_count=sum(head.version_count for head in heads),
        evaluation=evaluation_of(heads),
    )


def evaluation_of(heads: Sequence[HeadRow]) -> BestEvaluation | None:
    """The best evaluation that counts, of the families' newest versions."""
    known = [head for head in heads if head.j_low is not None]
    if not known:
        return None
    head = max(known, key=lambda head: (head.j_low, head.evaluation_digest))
    return best_evaluation(
        head, version=head.version, digest=head.evaluation_digest or "", trusted=True
    )


def architecture_summary(row: ArchitectureRow | HeadRow) -> ArchitectureSummary:
    """A family in short."""
    return ArchitectureSummary(
        model_type=row.model_type,
        layers=row.layers,
        hidden_size=row.hidden_size,
        fingerprint=row.fingerprint,
    )


def describe(services: Services, vector: VectorName, *, limit: int) -> VectorDetail:
    """A vector and the versions that were published last, at most so many."""
    with services.database.reading() as session:
        row = find_vector(session, vector)
        head = summaries(session, [row])[0]
        page = version_page(session, row.id, limit=limit, cursor=None)
        deprecation = notice_repository.find_vector_deprecation(session, row.id)
    return VectorDetail(
        **head.model_dump(),
        deprecated=deprecated(deprecation),
        versions=page.items,
        next_cursor=page.next_cursor,
    )


def list_versions(
    services: Services, vector: VectorName, *, limit: int, cursor: str | None
) -> VersionPage:
    """One page of a vector's versions, those published last first."""
    with services.database.reading() as session:
        row = find_vector(session, vector)
        return version_page(session, row.id, limit=limit, cursor=cursor)


def version_page(
    session: Session, vector_id: UUID, *, limit: int, cursor: str | None
) -> VersionPage:
    """The same for a vector known by its key.

    By time and not by number: what is published meanwhile comes before the first page,
    and a database need not know how versions are ordered.
    """
    found = repositories.recent_versions(
        session,
        vector_id,
        after=None if cursor is None else decode_time_cursor(cursor),
        limit=limit + 1,
    )
    last = found[limit - 1] if len(found) > limit else None
    return VersionPage(
        items=[
            VersionEntry(
                version=row.version,
                digest=row.digest,
                yanked=yanked_since(row.yanked_at, row.yank_reason),
                deprecated=deprecated(row.VersionDeprecation),
                purged=purged(row.Purge),
            )
            for row in found[:limit]
        ],
        next_cursor=encode_cursor(last.published_at.isoformat(), str(last.id))
        if last
        else None,
    )


def resolve(
    services: Services, vector: VectorName, selector: Selector
) -> VersionDetail:
    """The one version that a range, an alias or a digest means."""
    with services.database.reading() as session:
        row = find_vector(session, vector)
        version = (
            repositories.find_version(session, vector, digest=selector.digest)
            if selector.digest is not None
            else best_of(session, row, selector)
        )
        if version is None:
            raise no_match(session, row, vector, selector)
        if is_yanked(version):
            # As is all that was purged.
            refuse_purged(vector, version)
        return version_detail(session, vector, version)


def best_of(session: Session, row: Vector, selector: Selector) -> Version | None:
    """The newest version that the selector allows; a yanked one only if pinned."""
    if selector.alias is not None and selector.alias != LATEST:
        alias = alias_repository.find_alias(session, row.id, selector.alias)
        return None if alias is None or is_yanked(alias.version) else alias.version
    if selector.constraint is None:
        newest = newest_of(repositories.heads_of(session, [row.id]))
        return None if is_yanked(newest) else newest
    versions = repositories.list_versions(session, [row.id])
    best = best_version(versions[row.id], selector.constraint)
    best = best or pinned_version(selector.constraint)
    if best is None:
        return None
    return repositories.versions_of_vectors(session, {row.id: best}).get(row.id)


def newest_of(heads: Sequence[Head]) -> Version:
    """The newest of the families' newest versions; a yanked one if all are."""
    standing = [head for head in heads if not head.is_yanked] or heads
    newest = best_version([head.version.version for head in standing], None)
    return next(h.version for h in standing if h.version.version == newest)


def is_yanked(version: Version) -> bool:
    """Whether a version is only for who names it."""
    return yank_of(version) is not None


def yanked_since(at: datetime | None, reason: str | None) -> Yanked | None:
    """Since when and why a version is yanked, as the interface shows it."""
    return None if at is None or reason is None else Yanked(at=at, reason=reason)


def yank_of(version: Version) -> Yanked | None:
    """The same of a version that was read with its state."""
    state = version.state
    if state is None:
        return None
    return yanked_since(state.yanked_at, state.yank_reason)


def refuse_purged(vector: VectorName, version: Version) -> None:
    """Refuse what nobody can have any more.

    Args:
        vector: whose version it is.
        version: that was looked for by number or digest, or is a pinned one.

    Raises:
        ProblemError: `version-purged`.
    """
    row = version.purge
    if row is not None:
        detail = (
            f"{vector}@{version.version} was purged on {row.purged_at:%Y-%m-%d}:"
            f" {row.reason}. Its bytes are gone for good."
        )
        raise ProblemError(detail, "version-purged")


def no_match(
    session: Session, row: Vector, vector: VectorName, selector: Selector
) -> ProblemError:
    """The problem that nothing is what was asked for."""
    alias = (
        alias_repository.find_alias(session, row.id, selector.alias)
        if selector.alias is not None
        else None
    )
    yanked = None if alias is None else yank_of(alias.version)
    if alias is not None and yanked is not None:
        detail = (
            f"The alias {alias.name} of {vector} points at {alias.version.version},"
            f" which was yanked: {yanked.reason}; it means nothing until it is moved."
        )
        return not_found(detail)
    detail = f"No version of {vector} is {spelled(selector)}."
    if repositories.list_versions(session, [row.id], yanked=True):
        detail += " Versions that were yanked are for those only who name one."
    return not_found(detail)


def spelled(selector: Selector) -> str:
    """The selector for a sentence."""
    if selector == Selector():
        return "to be had"
    if selector.digest is not None:
        return selector.digest
    if selector.alias is not None:
        return f"called {selector.alias!r}"
    return f"in {selector.constraint!r}"


def find_vector(session: Session, vector: VectorName) -> Vector:
    """The vector, or `not-found`."""
    row = repositories.find_vector(session, vector)
    if row is None:
        detail = f"There is no vector {vector}."
        raise not_found(detail)
    return row


def find_version(
    session: Session, vector: VectorName, version: str, *, with_manifest: bool = False
) -> Version:
    """The version in any spelling, or `not-found`, or `version-purged`."""
    canonical = canonical_version(version)
    row = repositories.find_version(
        session, vector, version=canonical, with_manifest=with_manifest
    )
    if row is None:
        raise no_version(vector, canonical)
    refuse_purged(vector, row)
    return row


def no_version(vector: VectorName, version: str) -> ProblemError:
    """The problem."""
    return not_found(f"There is no version {version} of {vector}.")


def find_file(session: Session, version: Version, path: str) -> File:
    """The file of a version, or `not-found`."""
    row = repositories.find_file(session, version.id, path)
    if row is None:
        names = ", ".join(f.path for f in repositories.list_files(session, version.id))
        detail = f"The version has no file {path!r}; it has {names}."
        raise not_found(detail)
    return row


def version_detail(
    session: Session, vector: VectorName, version: Version
) -> VersionDetail:
    """A version as the interface shows it."""
    said = notice_repository.find_deprecations(session, version.id)
    return VersionDetail(
        namespace=vector.namespace,
        name=vector.name,
        version=version.version,
        digest=version.digest,
        size_bytes=version.size_bytes,
        yanked=yank_of(version),
        deprecated=deprecated(said.of_version or said.of_vector),
        advisories=[
            advisory_note(advisory)
            for advisory in notice_repository.standing_advisories(
                session, version.vector_id
            )
            if concerns(advisory, version.version)
        ],
        files=file_details(
            vector, version, repositories.list_files(session, version.id)
        ),
    )


def file_details(
    vector: VectorName, version: Version, files: Iterable[File]
) -> list[FileDetail]:
    """The files of a version as the interface shows them."""
    return [
        FileDetail(
            path=file.path,
            digest=file.digest,
            size_bytes=file.blob.size_bytes,
            url=file_address(vector, version.version, file.path),
        )
        for file in files
    ]


def file_address(vector: VectorName, version: str, path: str) -> str:
    """Where a file of a version is to be had, below the registry's address."""
    return f"/v1/vectors/{vector}/versions/{version}/files/{path}"


def not_found(detail: str) -> ProblemError:
    """The problem."""
    return ProblemError(detail, "not-found")
