"""`fsck`: the rows against the blobs, and the blobs against their digests.

And the envelopes of what is said of versions against their rows (`attested`).

Rows are read first, in one snapshot, and the store after it: what is published
meanwhile is then no missing blob, and what an upload promotes meanwhile is too young to
be an orphan. Whatever is found is looked at once more before it is told, since versions
may have come and leftovers may have gone.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from safegene.artifact.digest import Digest, digest_bytes, digest_chunks
from safegene.artifact.manifest import FileEntry, Manifest
from safegene.errors import ArtifactError, ManifestError
from safegene_registry import publishing_repository, removal_repository
from safegene_registry.care import check_repository
from safegene_registry.care.attested import wrong_with
from safegene_registry.care.check_repository import Dangling, StandingRow, VersionRow
from safegene_registry.care.findings import WRONG_ROW, Finding, Kind, Report
from safegene_registry.events import auditing, event_repository
from safegene_registry.models import Alias
from safegene_registry.services import Services
from safegene_registry.storage import StorageError, StoredObject
from safegene_registry.sweeping import remove_expired, remove_strays
from safegene_registry.verification import (
    BlobGoneError,
    CorruptBlobError,
    check_file,
    read_errors,
)

READ_BYTES = 1 << 20
SHOWN_VERSIONS = 3
MANY = 1_000_000
"""Expired uploads that are listed at most."""


@dataclass(slots=True)
class Need:
    """What versions say of one blob."""

    size: int
    versions: list[str] = field(default_factory=list)
    claims: dict[str, tuple[Manifest, FileEntry]] = field(default_factory=dict)
    """A file that is this blob, one for each thing that is said of what it holds."""


def examine(services: Services, *, share: float = 1.0, seed: int = 0) -> Report:
    """Check the whole registry.

    Args:
        services: the process's parts.
        share: of the blobs that are read and hashed, drawn at random; 1 is all.
        seed: of that draw.

    Raises:
        ProblemError: the database or the store cannot be asked now.
    """
    report = Report()
    needs: dict[str, Need] = {}
    with services.database.reading() as session:
        for row in check_repository.all_versions(session):
            report.versions += 1
            report.findings += read_version(row, needs)
        sizes = check_repository.all_blobs(session)
        unnamed = check_repository.all_unnamed_rows(session)
        report.findings += dangling(check_repository.dangling_rows(session))
        report.findings += dangling(check_repository.astray_aliases(session))
        report.findings += broken_chains(session)
        for attestation in check_repository.all_attestations(session):
            report.attestations += 1
            report.findings += wrong_with(attestation)
        report.findings += astray(check_repository.wrong_standings(session))
    kept = {each.key: each for each in services.store.inventory()}
    blobs = {str(each.digest): each for each in kept.values() if each.digest}
    report.blobs = len(needs)
    report.findings += [
        Finding(Kind.ORPHAN_ROW, name, "the row of a blob that no version has")
        for name in unnamed
        if name not in needs
    ]
    report.findings += wrong_sizes(needs, sizes, blobs)
    report.findings += misplaced(services, kept.values())
    report.findings += orphans(services, sizes, blobs)
    report.findings += stale_uploads(services)
    bad = {finding.name for finding in report.findings}
    whole = [name for name in needs if name in blobs and name not in bad]
    for name in drawn(whole, share, seed):
        report.findings += read_blob(services, report, name, needs[name], blobs[name])
    report.findings = confirmed(services, report.findings)
    return report


def drawn(names: list[str], share: float, seed: int) -> list[str]:
    """Some of the blobs, at least one of any."""
    count = min(len(names), max(1, round(share * len(names))))
    return sorted(random.Random(seed).sample(sorted(names), count))  # noqa: S311


def read_version(row: VersionRow, needs: dict[str, Need]) -> Iterable[Finding]:
    """Note what a version needs; what is wrong with its rows."""
    wrong = None
    if str(digest_bytes(row.manifest)) != row.digest:
        wrong = f"its manifest's bytes are not {row.digest}"
    else:
        manifest = Manifest.from_bytes(row.manifest)
        files = {(entry.path, entry.digest) for entry in manifest.files}
        if manifest.identity != row.name:
            wrong = f"its manifest is that of {manifest.identity}"
        elif files != row.files:
            wrong = "its rows name other files than its manifest"
    if wrong is not None:
        return [Finding(Kind.WRONG_MANIFEST, row.name, wrong, (row.name,))]
    for entry in manifest.files:
        need = needs.setdefault(entry.digest, Need(entry.size))
        need.versions.append(row.name)
        said = f"{entry.path} {entry.segments}"
        need.claims.setdefault(said, (manifest, entry))
    return []


def dangling(rows: Iterable[Dangling]) -> Iterable[Finding]:
    """Rows that refer to nothing."""
    for row in rows:
        kind = (
            Kind.DANGLING_ALIAS
            if row.table == Alias.__tablename__
            else Kind.DANGLING_ROW
        )
        detail = f"it refers to {row.value} of {row.target}, which is not there"
        yield Finding(kind, f"{row.table} {row.key}", detail)


def broken_chains(session: Session) -> Iterable[Finding]:
    """Events that were changed, left out, put in or moved."""
    for namespace in sorted(event_repository.namespaces_with_events(session)):
        for damage in auditing.audit(session, namespace, {})[0]:
            name = f"{namespace} {damage.position}"
            yield Finding(Kind.BROKEN_CHAIN, name, damage.what)


def astray(rows: Iterable[StandingRow]) -> Iterable[Finding]:
    """Vectors that searches rank by what is not their best evaluation."""
    for row in rows:
        vector = f"{row.namespace}/{row.vector}"
        detail = (
            f"ranked by {lower_end(row.kept)}, its best evaluation that counts has"
            f" {lower_end(row.right)}"
        )
        name = f"{vector} {row.fingerprint}"
        yield Finding(Kind.WRONG_STANDING, name, detail)


def lower_end(j_low: float | None) -> str:
    """What a vector is ranked by, for people."""
    return "no J" if j_low is None else f"a J of at least {j_low:.3f}"


def wrong_sizes(
    needs: dict[str, Need], sizes: dict[str, int], blobs: dict[str, StoredObject]
) -> Iterable[Finding]:
    """Blobs that are not there, or not of their size; rows that have another."""
    for name, need in needs.items():
        users = tuple(need.versions[:SHOWN_VERSIONS])
        found = blobs.get(name)
        if found is None:
            detail = f"expected {need.size} bytes in the store, there is nothing"
            yield Finding(Kind.MISSING, name, detail, users, expected_bytes=need.size)
        elif found.size != need.size:
            kind = Kind.TRUNCATED if found.size < need.size else Kind.WRONG_SIZE
            detail = f"expected {need.size} bytes in the store, got {found.size}"
            yield Finding(kind, name, detail, users, found.key, need.size)
        if sizes.get(name, need.size) != need.size:
            detail = f"expected {need.size} bytes in its row, got {sizes[name]}"
            yield Finding(
                Kind.WRONG_SIZE,
                name,
                detail,
                users,
                expected_bytes=need.size,
                remedy=WRONG_ROW,
            )


def misplaced(services: Services, kept: Iterable[StoredObject]) -> Iterable[Finding]:
    """What lies among the blobs where no blob is looked for."""
    before = services.now() - services.settings.upload_ttl
    for each in kept:
        # A link on its way to its name has this one; old ones are strays.
        on_its_way = each.key.endswith(".part") or each.modified >= before
        if each.digest is None and not on_its_way:
            detail = f"{each.size} bytes under a key that is no blob's"
            yield Finding(Kind.MISPLACED, each.key, detail, key=each.key)


def orphans(
    services: Services, sizes: dict[str, int], blobs: dict[str, StoredObject]
) -> Iterable[Finding]:
    """Blobs that no version names and nobody has written of late."""
    before = services.now() - services.settings.blob_grace
    for name, each in blobs.items():
        if name not in sizes and each.modified < before:
            detail = f"{each.size} bytes that no version names"
            yield Finding(Kind.ORPHAN_BLOB, name, detail)


def stale_uploads(services: Services) -> Iterable[Finding]:
    """Uploads whose time is over, and what is staged for no upload."""
    expired = remove_expired(services, limit=MANY, dry_run=True)
    for leftover in expired:
        if leftover.kind == "upload":
            detail = "an upload whose time is over"
            yield Finding(Kind.STALE_UPLOAD, leftover.name, detail)
    for leftover in remove_strays(services, dry_run=True):
        detail = "staged for an upload that is not there"
        yield Finding(Kind.STALE_UPLOAD, leftover.name, detail)


def read_blob(
    services: Services, report: Report, name: str, need: Need, found: StoredObject
) -> Iterable[Finding]:
    """Read a blob and hold it against all that versions say of it."""
    users = tuple(need.versions[:SHOWN_VERSIONS])
    digest = Digest.parse(name)
    for manifest, entry in need.claims.values():
        report.hashed += 1
        report.hashed_bytes += entry.size
        try:
            with read_errors(entry), services.store.open(digest) as blob:
                check_file(manifest, entry, blob)
        except BlobGoneError:
            detail = f"expected {need.size} bytes in the store, there is nothing"
            yield Finding(Kind.MISSING, name, detail, users, expected_bytes=need.size)
            return
        except CorruptBlobError:
            detail = f"its bytes hash to {what_is_there(services, digest)}"
            yield Finding(Kind.FLIPPED, name, detail, users, found.key, need.size)
            return
        except ManifestError as error:
            segments = error.pointer.endswith("/segments")
            kind = Kind.WRONG_SEGMENT if segments else Kind.WRONG_CONTENT
            yield Finding(kind, name, error.detail, (manifest.identity,))
        except ArtifactError as error:
            yield Finding(Kind.WRONG_CONTENT, name, error.detail, (manifest.identity,))
        except StorageError as error:
            yield Finding(Kind.UNREADABLE, name, str(error), users)
            return


def what_is_there(services: Services, digest: Digest) -> str:
    """The digest of what a final key holds, for people."""
    try:
        with services.store.open(digest) as blob:
            return str(digest_chunks(iter(lambda: blob.read(READ_BYTES), b"")))
    except (StorageError, OSError):
        return "something that cannot be read"


def confirmed(services: Services, findings: list[Finding]) -> list[Finding]:
    """The findings that still hold, now that the rest of the registry was looked at."""
    return [finding for finding in findings if still_holds(services, finding)]


def still_holds(services: Services, finding: Finding) -> bool:
    """Whether a finding is more than something that was under way."""
    if finding.kind is Kind.ORPHAN_ROW:
        with services.database.reading() as session:
            return bool(check_repository.unnamed_rows(session, [finding.name]))
    if finding.kind not in (Kind.MISSING, Kind.ORPHAN_BLOB):
        return True
    with services.database.reading() as session:
        known = publishing_repository.known_blobs(session, [finding.name])
        going = removal_repository.find_removals(session, [finding.name])
    there = services.store.find(Digest.parse(finding.name)) is not None
    if finding.kind is Kind.MISSING:
        return bool(known) and not there
    return there and not known and not going
