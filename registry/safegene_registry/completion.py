"""Completions that take long go on in the background, whoever waits for them.

`complete` answers at once that the version is being verified; whoever asks, of any
replica, learns from the database what has become of it. A process that dies leaves a
claim that runs out, and one that is stopped gives its claims back: the next who asks
has it begun anew. Verifying twice at once would be waste but no harm.
"""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import structlog

from safegene.errors import SafeGeneError
from safegene_registry import completion_repository, publishing_repository
from safegene_registry.access import Principal
from safegene_registry.background import BusyError
from safegene_registry.log import get_logger
from safegene_registry.problems import ProblemError, problem_from_error
from safegene_registry.publishing import complete_upload
from safegene_registry.removal_repository import database_time
from safegene_registry.schemas import VersionDetail
from safegene_registry.sending import no_upload
from safegene_registry.services import Services
from safegene_registry.uploads import PUBLISHED, find_upload, size_of

log = get_logger("safegene_registry.completion")

LEASE = timedelta(seconds=60)
"""How long a claim holds that is not renewed."""

RENEW_SECONDS = 15.0
BUSY_SECONDS = 10
"""What a publisher is told to wait when too many versions are being verified."""


def complete(
    services: Services, principal: Principal, upload_id: UUID
) -> tuple[VersionDetail, bool] | None:
    """Complete an upload, now if it is small.

    Returns:
        As `complete_upload`; None when it goes on in the background.

    Raises:
        ProblemError: as `complete_upload`; `storage-unavailable` when too much is going
            on in the background already.
        ArtifactError: as `complete_upload`.
    """
    upload = find_upload(services, principal, upload_id)
    small = size_of(upload) <= services.settings.background_bytes
    if small or upload.state == PUBLISHED:
        return complete_upload(services, principal, upload_id)
    claim = take_claim(services, upload_id)
    if claim is None:
        return None
    try:
        services.background.start(
            claim, lambda: run(services, principal, upload_id, claim)
        )
    except BusyError as error:
        give_up(services, [claim])
        detail = "Too many versions are being verified at the moment."
        headers = {"Retry-After": str(BUSY_SECONDS)}
        raise ProblemError(detail, "storage-unavailable", headers=headers) from error
    log.info("completion_begun", upload_id=str(upload_id))
    return None


def take_claim(services: Services, upload_id: UUID) -> UUID | None:
    """The right to say how a completion ends; None when somebody has it."""
    with services.database.writing() as session:
        if publishing_repository.find_upload(session, upload_id, lock=True) is None:
            raise no_upload(upload_id)
        now = database_time(session)
        known = completion_repository.find_completion(session, upload_id)
        if known is not None and known.problem is None and known.busy_until > now:
            return None
        claim = uuid4()
        completion_repository.begin_completion(session, upload_id, claim, now + LEASE)
    return claim


def give_up(services: Services, claims: Collection[UUID]) -> None:
    """Let others begin these completions anew."""
    with services.database.writing() as session:
        completion_repository.end_completions(session, claims)


def run(services: Services, principal: Principal, upload_id: UUID, claim: UUID) -> None:
    """Complete an upload and write down how that ended."""
    with structlog.contextvars.bound_contextvars(upload_id=str(upload_id)):
        problem: ProblemError | None
        try:
            with renewed(services, claim):
                complete_upload(services, principal, upload_id)
        except ProblemError as error:
            problem = error
        except SafeGeneError as error:
            problem = problem_from_error(error)
        except Exception:
            # The edge of this thread: log and convert.
            log.exception("completion_failed")
            detail = "The registry failed; the log has the reason."
            problem = ProblemError(detail, "internal-error")
        else:
            problem = None
        try:
            tell_end(services, claim, problem)
        except ProblemError:
            # The process is stopping, or the database is away: the claim runs out, and
            # the next who asks has it begun anew.
            log.exception("completion_not_told")


def tell_end(services: Services, claim: UUID, problem: ProblemError | None) -> None:
    """Write down how a completion ended; None: well.

    Raises:
        ProblemError: the database cannot take it.
    """
    if problem is None:
        give_up(services, [claim])
        return
    log.info("completion_refused", slug=problem.kind.slug)
    with services.database.writing() as session:
        completion_repository.fail_completion(session, claim, problem.document())


@contextmanager
def renewed(services: Services, claim: UUID) -> Iterator[None]:
    """Keep a claim for as long as the block runs."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_SECONDS):
            try:
                with services.database.writing() as session:
                    until = database_time(session) + LEASE
                    completion_repository.renew_completion(session, claim, until)
            except ProblemError:
                # There is time for three more tries.
                log.exception("claim_not_renewed")

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        # It may hold a connection, which must not outlive the database's pool.
        thread.join()
