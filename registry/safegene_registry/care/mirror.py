"""`mirror`: another registry's versions become this one's, byte for byte.

Each version goes the way of any other: an upload, its blobs, the checks, one
transaction. So what is killed leaves nothing but an open upload, which the next run
goes on with; and a version that is there with the same digest is done. Versions come in
the order of their publication, so that lists are the same.
"""

import dataclasses
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from safegene.artifact.digest import Digest
from safegene.artifact.manifest import Manifest
from safegene.artifact.reference import VectorName
from safegene.errors import ArtifactError, InvalidReferenceError
from safegene_registry import membership
from safegene_registry.access import (
    MIRROR_ACCOUNT,
    Principal,
    Scope,
    Visibility,
)
from safegene_registry.access_repository import find_namespace
from safegene_registry.care import mirror_repository
from safegene_registry.care.mirror_repository import Known
from safegene_registry.care.mirrored_attestations import (
    missing_attestations,
    take_attestation,
)
from safegene_registry.care.mirrored_notices import Notices
from safegene_registry.care.remote import RemoteVersion
from safegene_registry.care.upstream import (
    NothingThereError,
    Upstream,
    UpstreamError,
    read_manifest,
)
from safegene_registry.log import get_logger
from safegene_registry.problems import ProblemError
from safegene_registry.publishing import complete_upload
from safegene_registry.repositories import find_vector
from safegene_registry.services import Services
from safegene_registry.tokens import WantedToken, create_token, user_account
from safegene_registry.uploads import find_upload, missing_files, open_upload

log = get_logger("safegene_registry.care.mirror")

ACCOUNT = MIRROR_ACCOUNT
LIFETIME = timedelta(days=30)
"""Of the token that versions are published with, whose secret nobody has."""

SPARE = timedelta(days=7)
REFUSED = (ArtifactError, InvalidReferenceError, ValidationError, NothingThereError)
"""What is wrong with one thing, and nothing with others."""

WILD = frozenset("*?[")


@dataclass(slots=True)
class Mirrored:
    """What a run has done."""

    vectors: int = 0
    present: int = 0
    """Versions that were there already."""
    published: list[str] = field(default_factory=list)
    fetched_bytes: int = 0
    notices: list[str] = field(default_factory=list)
    """What is said of versions, and was taken over: yanks, aliases, attestations …"""
    refused: list[str] = field(default_factory=list)
    """What could not be taken over, and why, a sentence each."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self)


def mirror(
    services: Services,
    upstream: Upstream,
    patterns: Collection[str] = (),
    *,
    tell: Callable[[str], None] = lambda _: None,
) -> Mirrored:
    """Take over what another registry has and this one has not.

    Args:
        services: the process's parts.
        upstream: the other registry.
        patterns: only vectors whose name one of these matches, as file names are
            matched; none: all.
        tell: hears what happens, a line each.

    Raises:
        UpstreamError: the other registry cannot be asked.
        ProblemError: this one's database or store cannot be used now.
    """
    return Run(services, upstream, tell).take_all(patterns)


def chosen(upstream: Upstream, patterns: Collection[str]) -> Iterable[VectorName]:
    """The vectors to mirror; one that is named is asked for, listed or not."""
    named = {each for each in patterns if not WILD & set(each)}
    yield from (VectorName.parse(each) for each in sorted(named))
    if patterns and not set(patterns) - named:
        return
    for vector in upstream.vectors():
        if matches(vector, patterns) and str(vector) not in named:
            yield vector


def matches(vector: VectorName, patterns: Collection[str]) -> bool:
    """Whether a vector is one of those to mirror."""
    return not patterns or any(fnmatchcase(str(vector), each) for each in patterns)


class Run:
    """One run of the mirror.

    Args:
        services: the process's parts.
        upstream: the other registry.
        tell: hears what happens.
    """

    def __init__(
        self, services: Services, upstream: Upstream, tell: Callable[[str], None]
    ) -> None:
        self.services = services
        self.upstream = upstream
        self.tell = tell
        self.done = Mirrored()
        self._principal: Principal | None = None

    def take_all(self, patterns: Collection[str]) -> Mirrored:
        """Take over all that matches."""
        for vector in chosen(self.upstream, patterns):
            self.take_vector(vector)
        return self.done

    def take_vector(
        self, vector: VectorName, attested: Container[str] | None = None
    ) -> None:
        """Take over the versions of a vector that are not here, and what is said.

        Args:
            vector: which one.
            attested: the versions that something new was said of, beside those that are
                not here yet; None: any.
        """
        self.done.vectors += 1
        # Its token has to work for long, however long this run goes on.
        self._principal = None
        with self.services.database.reading() as session:
            known = mirror_repository.known_versions(session, vector)
        notices = Notices(self.services, lambda: self.principal, vector)
        versions = self.upstream.versions(vector)
        for version in versions:
            with self.going_on(version.name):
                here = known.get(version.version)
                if here is None:
                    self.take_version(version)
                elif here.digest == version.digest:
                    self.done.present += 1
                else:
                    message = f"it is here as {here.digest}, there as {version.digest}"
                    self.refuse(version.name, message)
                    continue
                if here is None or here.is_whole:
                    self.take_notices(notices, version, here)
                    if here is None or attested is None or version.version in attested:
                        self.take_attestations(version)
        with self.services.database.reading() as session:
            if find_vector(session, vector) is None:
                return
        with self.going_on(str(vector)):
            self.note(notices.take_aliases(self.upstream.aliases(vector)))
            said = self.upstream.deprecation(vector)
            self.note(notices.take_deprecation(None, said))
            self.note(notices.take_advisories(self.upstream.advisories(vector)))

    def take_attestations(self, version: RemoteVersion) -> None:
        """Take over what is said of a version that is here."""
        services, upstream = self.services, self.upstream
        for attestation in missing_attestations(services, upstream, version):
            name = f"{version.name} {attestation.digest}"
            with self.going_on(name):
                taken = (services, self.principal, upstream, version, attestation)
                if take_attestation(*taken):
                    self.note([f"attested {name}"])

    def take_one(self, version: RemoteVersion) -> None:
        """Take over one version, and what is said of it.

        Raises:
            UpstreamError: the other registry cannot be asked, or has another version of
                this number than this one.
            ArtifactError: what it gives is not what it promised.
            ProblemError: this registry does not take it, or not now.
        """
        vector = version.vector
        with self.services.database.reading() as session:
            known = mirror_repository.known_versions(session, vector)
        here = known.get(version.version)
        if here is None:
            self.take_version(version)
        elif here.digest != version.digest:
            message = f"it is here as {here.digest}, there as {version.digest}"
            raise UpstreamError(message)
        notices = Notices(self.services, lambda: self.principal, vector)
        self.take_notices(notices, version, here)

    def take_notices(
        self, notices: Notices, version: RemoteVersion, here: Known | None
    ) -> None:
        """Take over that a version is yanked or deprecated, or not any more."""
        if (here and here.yank_reason) != version.yank_reason:
            self.note(notices.take_yank(version))
        said = version.deprecated
        self.note(notices.take_deprecation(version.version, said))

    @contextmanager
    def going_on(self, name: str) -> Iterator[None]:
        """Go on without what is refused."""
        try:
            yield
        except REFUSED as error:
            self.refuse(name, str(error))
        except ProblemError as error:
            if "Retry-After" in error.headers:
                raise
            self.refuse(name, str(error))

    def note(self, sentences: Iterable[str]) -> None:
        """Do what is told of, and tell it."""
        for sentence in sentences:
            self.done.notices.append(sentence)
            self.tell(sentence)

    def refuse(self, name: str, reason: str) -> None:
        """Write down what was not taken over."""
        self.done.refused.append(f"{name}: {reason}")
        self.tell(f"refused {name}: {reason}")

    def take_version(self, version: RemoteVersion) -> None:
        """Fetch a version and publish it."""
        data = self.upstream.manifest(version)
        manifest = read_manifest(version, data)
        self.ensure_namespace(version.vector.namespace)
        upload_id = self.begin(data, version.digest)
        upload = find_upload(self.services, self.principal, upload_id)
        missing = missing_files(self.services, self.principal, upload, manifest)
        for entry in missing:
            self.tell(f"fetching {version.name} {entry.path}")
            self.fetch(version, manifest, upload_id, entry.path)
        self.tell(f"publishing {version.name}")
        complete_upload(self.services, self.principal, upload_id)
        self.done.published.append(version.name)
        self.tell(f"published {version.name}")

    def begin(self, manifest: bytes, digest: str) -> UUID:
        """An upload of this version: the one that was interrupted, or a new one."""
        with self.services.database.reading() as session:
            known = mirror_repository.find_open_upload(
                session, self.principal.account_id, digest, self.services.now()
            )
        if known is not None:
            return known
        return open_upload(self.services, self.principal, manifest).id

    def fetch(
        self, version: RemoteVersion, manifest: Manifest, upload_id: UUID, path: str
    ) -> None:
        """Receive one file into the upload; it is hashed while it comes."""
        entry = manifest.file(path)
        digest = Digest.parse(entry.digest)
        writer = self.services.store.receive(upload_id, digest, entry.size)
        try:
            for piece in self.upstream.file(version, entry):
                writer.write(piece)
                self.done.fetched_bytes += len(piece)
            writer.finish()
        finally:
            writer.abort()

    def ensure_namespace(self, name: str) -> None:
        """Make a namespace as it is there: a private one must not be public here."""
        with self.services.database.reading() as session:
            if find_namespace(session, name) is not None:
                return
        visibility = Visibility(self.upstream.visibility(name))
        with self.services.database.writing() as session:
            if find_namespace(session, name) is not None:
                return
            membership.create_namespace(
                session,
                name,
                owner=user_account(session, ACCOUNT, operator=True, by=ACCOUNT),
                visibility=visibility,
                quota_bytes=self.services.settings.namespace_quota_bytes,
                by=ACCOUNT,
            )

    @property
    def principal(self) -> Principal:
        """Who publishes: an operator's account, made when there is something to do."""
        if self._principal is None:
            self._principal = principal_of(self.services, self.upstream.url)
        return self._principal


def principal_of(services: Services, url: str) -> Principal:
    """The mirror's account, with a token that nobody can use but this program."""
    now, name = services.now(), f"mirror of {url}"[:128]
    with services.database.writing() as session:
        account = user_account(session, ACCOUNT, operator=True, by=ACCOUNT)
        token_id = mirror_repository.usable_token(
            session, account.id, name, now + SPARE
        )
        if token_id is None:
            wanted = WantedToken(name, Scope.ADMIN, None, LIFETIME)
            _, token = create_token(session, account, wanted, now=now, by=ACCOUNT)
            token_id = token.id
    return Principal(
        token_id, account.id, account.name, name, Scope.ADMIN, is_operator=True
    )
