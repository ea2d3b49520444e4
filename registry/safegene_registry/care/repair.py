"""Doing what a report's plan says, as far as nothing can be lost by it.

Bytes are moved aside and never deleted; rows are dropped or corrected only where the
manifests, which have digests, or other rows say what is right.
"""

from safegene_registry import lock_repository, membership
from safegene_registry.attestations import standing_repository
from safegene_registry.care import check_repository
from safegene_registry.care.findings import Finding, Kind, Report
from safegene_registry.log import get_logger
from safegene_registry.services import Services

log = get_logger("safegene_registry.care.repair")


def repair(services: Services, report: Report) -> None:
    """Do what can be done safely, and note it in the report.

    Raises:
        ProblemError: the database or the store cannot do it now; what is noted is done.
    """
    for finding in report.findings:
        done = mend(services, finding)
        if done is None:
            continue
        report.done.append(done)
        if finding.kind is Kind.MISPLACED or finding.key is None:
            report.mended.append(finding)
        log.warning("repaired", kind=str(finding.kind), name=finding.name, done=done)


def mend(services: Services, finding: Finding) -> str | None:
    """Do something about one finding; what was done, None: nothing."""
    if finding.kind is Kind.ORPHAN_ROW:
        return drop_row(services, finding.name)
    if finding.kind is Kind.WRONG_STANDING:
        return rank_again(services, finding.name)
    if finding.key is not None:
        kept = services.store.set_aside(finding.key)
        return None if kept is None else f"{finding.name} was moved to {kept}"
    if finding.kind is Kind.WRONG_SIZE and finding.expected_bytes is not None:
        with services.database.writing() as session:
            check_repository.set_size(session, finding.name, finding.expected_bytes)
        return f"the row of {finding.name} says {finding.expected_bytes} bytes now"
    return None


def drop_row(services: Services, name: str) -> str | None:
    """Forget a blob that no file names; publications that need it are kept out."""
    with services.database.writing() as session:
        lock_repository.lock_blobs_alone(session, [name])
        if not check_repository.unnamed_rows(session, [name]):
            return None
        check_repository.drop_rows(session, [name])
    return f"the row of {name} was dropped"


def rank_again(services: Services, name: str) -> str:
    """Find the best evaluations of a vector's namespace anew, once nobody decides."""
    namespace = name.partition("/")[0]
    with services.database.writing() as session:
        membership.find_namespace(session, namespace, lock=True)
        standing_repository.settle_namespace(session, namespace)
    return f"{name} is ranked by its best evaluation that counts"
