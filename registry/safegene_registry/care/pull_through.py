"""Versions that are not here, fetched from another registry when somebody asks.

For reads that name one version, by number or digest: what they mean never changes. Each
is taken over as a mirror does it, so it is verified like any other, and nothing of it
is visible before. Only what everybody may read there is fetched, since no token is
sent; only namespaces that the operator lists are asked for; and none that is somebody's
here, so that nobody there hears what private ones hold, and nobody here gets versions
put beside their own.
"""

import threading
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from pydantic import ValidationError

from safegene.artifact.digest import Digest
from safegene.artifact.reference import VectorName
from safegene.errors import ArtifactError, InvalidReferenceError
from safegene_registry import access_repository, repositories, token_repository
from safegene_registry.access import Role, Visibility
from safegene_registry.care import mirror_repository
from safegene_registry.care.mirror import ACCOUNT, Run
from safegene_registry.care.remote import RemoteVersion
from safegene_registry.care.upstream import (
    NothingThereError,
    SilentError,
    Upstream,
    UpstreamError,
)
from safegene_registry.log import get_logger
from safegene_registry.problems import ProblemError
from safegene_registry.services import Services
from safegene_registry.uploads import cancel_upload

log = get_logger("safegene_registry.care.pull_through")

ATTEMPTS = 2
"""Somebody waits: who asks again goes on where this one stopped."""

WORKERS = 4
QUEUE = 64
"""Versions that may be fetched or wait for it at once."""

MISS_SECONDS = 10.0
"""How long it is believed that the other registry does not have a version."""

MAX_MISSES = 1000
RETRY_SECONDS = 5

REFUSED = (UpstreamError, ArtifactError, InvalidReferenceError, ValidationError)
"""What the other registry gives is not to be had here."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One version of a vector."""

    vector: VectorName
    version: str | None
    """By number, else by digest."""
    digest: Digest | None = None

    def __str__(self) -> str:
        """As a reference."""
        return f"{self.vector}@{self.version or self.digest}"


class PullThrough:
    """Fetches what is asked for, once for all who ask at one time.

    Args:
        services: the process's parts.
        url: of the other registry.
        namespaces: those that may be asked for.
        seconds: how long somebody waits, and a silence there may last.
    """

    def __init__(
        self,
        services: Services,
        url: str,
        namespaces: Collection[str],
        seconds: float,
    ) -> None:
        self.services = services
        self.namespaces = frozenset(namespaces)
        self.seconds = seconds
        self._upstream = Upstream(url, None, attempts=ATTEMPTS, seconds=seconds)
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="pull-through")
        self._lock = threading.Lock()
        self._running: dict[Wanted, Future[None]] = {}
        self._misses: dict[Wanted, float] = {}
        self._is_ending = False

    def close(self) -> None:
        """Stop fetching; what has come so far is gone on with another time."""
        self._is_ending = True
        self._threads.shutdown(cancel_futures=True)
        self._upstream.close()

    def lacks(self, wanted: Wanted) -> bool:
        """Whether a version is not here, and may be asked for there."""
        if wanted.vector.namespace not in self.namespaces:
            return False
        missed_at = self._misses.get(wanted)
        if missed_at is not None and time.monotonic() - missed_at < MISS_SECONDS:
            return False
        with self.services.database.reading() as session:
            namespace = access_repository.find_namespace(
                session, wanted.vector.namespace
            )
            if namespace is None:
                return True
            account = token_repository.find_account(session, ACCOUNT)
            member = account and access_repository.find_member(
                session, namespace.name, account.id
            )
            if not member or member.role != Role.OWNER:
                return False
            if namespace.visibility != Visibility.PUBLIC:
                return False
            found = repositories.find_version(
                session,
                wanted.vector,
                version=wanted.version,
                digest=None if wanted.digest is None else str(wanted.digest),
            )
            return found is None

    def begin(self, wanted: Wanted) -> Future[None]:
        """Fetch a version, unless somebody has it fetched already.

        Returns:
            What ends once it is here, or is not there; or with a `ProblemError`.

        Raises:
            ProblemError: `upstream-unavailable`: too many are fetched now.
        """
        with self._lock:
            running = self._running.get(wanted)
            if running is not None:
                return running
            if len(self._running) >= QUEUE or self._is_ending:
                raise unavailable(wanted, "too much is being fetched at the moment")
            begun = self._threads.submit(self._bring, wanted)
            self._running[wanted] = begun
        begun.add_done_callback(partial(self._end, wanted))
        return begun

    def _end(self, wanted: Wanted, _done: Future[None]) -> None:
        with self._lock:
            self._running.pop(wanted, None)

    def _bring(self, wanted: Wanted) -> None:
        run = Run(self.services, self._upstream, self._tell)
        found: RemoteVersion | None = None
        try:
            found = self._ask(wanted)
            run.take_one(found)
        except NothingThereError as error:
            if found is None:
                self._miss(wanted)
                return
            self._drop(run, found)
            raise invalid(wanted, str(error)) from error
        except SilentError as error:
            raise unavailable(wanted, str(error)) from error
        except REFUSED as error:
            self._drop(run, found)
            raise invalid(wanted, str(error)) from error
        except ProblemError as error:
            if "Retry-After" in error.headers:
                raise
            self._drop(run, found)
            raise invalid(wanted, str(error)) from error
        self._take_words(run, found)
        log.info(
            "pulled_through",
            version=found.name,
            digest=found.digest,
            refused=run.done.refused,
        )

    def _take_words(self, run: Run, found: RemoteVersion) -> None:
        """Take over what is said of a version that is here now, if that can be had."""
        try:
            run.take_attestations(found)
        except (UpstreamError, ProblemError) as error:
            log.warning("attestations_missing", version=found.name, reason=str(error))

    def _ask(self, wanted: Wanted) -> RemoteVersion:
        found = self._upstream.find(wanted.vector, wanted.version, wanted.digest)
        if wanted.digest is not None and found.digest != str(wanted.digest):
            message = f"expected {wanted.digest}, got {found.digest}"
            raise UpstreamError(message)
        if wanted.version is not None and found.version != wanted.version:
            message = f"expected version {wanted.version}, got {found.version}"
            raise UpstreamError(message)
        return found

    def _tell(self, sentence: str) -> None:
        if self._is_ending:
            message = f"this registry is stopping; {sentence} later"
            raise SilentError(message)

    def _miss(self, wanted: Wanted) -> None:
        with self._lock:
            if len(self._misses) >= MAX_MISSES:
                self._misses.clear()
            self._misses[wanted] = time.monotonic()

    def _drop(self, run: Run, found: RemoteVersion | None) -> None:
        """Leave nothing of a version that will never be whole."""
        if found is None:
            return
        principal, now = run.principal, self.services.now()
        with self.services.database.reading() as session:
            begun = mirror_repository.find_open_upload(
                session, principal.account_id, found.digest, now
            )
        if begun is not None:
            cancel_upload(self.services, principal, begun)


def unavailable(wanted: Wanted, why: str) -> ProblemError:
    """The problem that the other registry does not give it now."""
    log.warning("upstream_unavailable", wanted=str(wanted), reason=why)
    detail = f"{wanted} is not here, and the upstream registry does not give it now."
    headers = {"Retry-After": str(RETRY_SECONDS)}
    return ProblemError(detail, "upstream-unavailable", headers=headers)


def invalid(wanted: Wanted, why: str) -> ProblemError:
    """The problem that what the other registry gives is not to be had here."""
    log.error("upstream_invalid", wanted=str(wanted), reason=why)
    detail = (
        f"{wanted} is not here, and what the upstream registry gives in its place was"
        f" refused: {why}"
    )
    return ProblemError(detail[:1000], "upstream-invalid")
