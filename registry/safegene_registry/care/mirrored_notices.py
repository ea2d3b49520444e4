"""What changes about versions, taken over by a mirror: yanks, aliases, warnings.

The mirror takes back only what it has done itself. What somebody here has decided, such
as a yank, or where an alias points, stands against what the other registry says.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from uuid import UUID

from safegene.artifact.reference import VectorName
from safegene_registry import catalog
from safegene_registry.access import Principal, Standing
from safegene_registry.care import mirror_repository
from safegene_registry.care.remote import (
    ADVISORY,
    Remark,
    RemoteAdvisory,
    RemoteAlias,
    RemoteVersion,
)
from safegene_registry.guards import Access
from safegene_registry.lifecycle import (
    advisories,
    aliases,
    deprecation,
    notice_repository,
    yanking,
)
from safegene_registry.lifecycle.schemas import (
    AdvisoryRequest,
    AliasChange,
    DeprecationRequest,
)
from safegene_registry.models import Advisory
from safegene_registry.problems import ProblemError
from safegene_registry.services import Services

DECIDED_HERE = ("promotion-refused", "version-purged")
"""Why an alias stays where it is, however often it is tried."""


class Notices:
    """Takes over what is said of the versions of one vector.

    Each method yields what it has done, a sentence each.

    Args:
        services: the process's parts.
        principal: gives the mirror's account, once there is something to do.
        vector: whose versions.
    """

    def __init__(
        self, services: Services, principal: Callable[[], Principal], vector: VectorName
    ) -> None:
        self.services = services
        self.principal = principal
        self.vector = vector

    def at(self, moment: datetime) -> Services:
        """The process's parts at the moment when something was done there."""
        return dataclasses.replace(self.services, now=lambda: moment)

    def is_own(self, account_id: UUID | None) -> bool:
        """Whether the mirror has done something itself."""
        return account_id == self.principal().account_id

    def take_yank(self, version: RemoteVersion) -> Iterator[str]:
        """Yank a version as and when it was done there, or take that back."""
        principal, name = self.principal(), (self.vector, version.version)
        if version.yanked_at is not None and version.yank_reason is not None:
            services = self.at(version.yanked_at)
            yanking.yank(services, principal, *name, version.yank_reason)
            yield f"yanked {version.name}"
            return
        with self.services.database.reading() as session:
            by = mirror_repository.yanked_by(session, *name)
        if by == principal.account:
            yanking.unyank(self.services, principal, *name)
            yield f"unyanked {version.name}"

    def take_aliases(self, there: Iterable[RemoteAlias]) -> Iterator[str]:
        """Have aliases point where they point there."""
        with self.services.database.reading() as session:
            here = mirror_repository.aliases_of(session, self.vector)
        wanted = {each.name: each for each in there}
        for name, alias in wanted.items():
            version, by = here.get(name, (None, None))
            # Of a yanked version it means nothing, there or here.
            moves = version != alias.version and not alias.is_yanked
            if moves and (version is None or self.is_own(by)):
                services, change = (
                    self.at(alias.moved_at),
                    AliasChange(version=alias.version),
                )
                try:
                    aliases.move(services, self.access(), self.vector, name, change)
                except ProblemError as problem:
                    # Its owners' policy, or their purge, is their business: no error.
                    if problem.kind.slug not in DECIDED_HERE:
                        raise
                    yield f"left {self.vector}:{name} as it is: {problem.detail}"
                else:
                    yield f"moved {self.vector}:{name} to {alias.version}"
        for name, (_, by) in here.items():
            if name not in wanted and self.is_own(by):
                aliases.remove(self.services, self.access(), self.vector, name, None)
                yield f"removed {self.vector}:{name}"

    def access(self) -> Access:
        """As of an operator."""
        return Access(Standing(self.principal(), self.vector.namespace))

    def take_deprecation(
        self, version: str | None, there: Remark | None
    ) -> Iterator[str]:
        """Say what is said there of a version; None: of the whole vector."""
        with self.services.database.reading() as session:
            row = deprecation.current(session, self.vector, version)[0]
            here, owner = None, None
            if row is not None:
                here = (row.message, row.successor)
                owner = mirror_repository.account_of(session, row.token_id)
        about = str(self.vector) if version is None else f"{self.vector}@{version}"
        if there is not None and here != (there.message, there.successor):
            if here is None or self.is_own(owner):
                wanted = DeprecationRequest(
                    message=there.message, successor=there.successor
                )
                deprecation.deprecate(
                    self.at(there.at), self.principal(), self.vector, version, wanted
                )
                yield f"deprecated {about}"
        elif there is None and here is not None and self.is_own(owner):
            deprecation.undeprecate(
                self.services, self.principal(), self.vector, version
            )
            yield f"undeprecated {about}"

    def take_advisories(self, there: Iterable[RemoteAdvisory]) -> Iterator[str]:
        """Publish and withdraw advisories as they are there."""
        for advisory in there:
            here = self.standing(advisory)
            stands = advisory.withdrawal is None
            if stands and here is None:
                services = self.at(advisory.published_at)
                wanted = AdvisoryRequest.model_validate(advisory.content)
                advisories.publish(services, self.principal(), self.vector, wanted)
                yield f"published an advisory about {self.vector}"
            elif not stands and here is not None and self.owns(here):
                advisories.withdraw(
                    self.services,
                    self.principal(),
                    self.vector,
                    here.number,
                    advisory.withdrawal or "",
                )
                yield f"withdrew an advisory about {self.vector}"

    def standing(self, advisory: RemoteAdvisory) -> Advisory | None:
        """The same advisory here, if it stands."""
        with self.services.database.reading() as session:
            row = catalog.find_vector(session, self.vector)
            for known in notice_repository.standing_advisories(session, row.id):
                if all(getattr(known, n) == advisory.content[n] for n in ADVISORY):
                    return known
        return None

    def owns(self, advisory: Advisory) -> bool:
        """Whether the mirror has published an advisory."""
        with self.services.database.reading() as session:
            owner = mirror_repository.account_of(session, advisory.token_id)
        return self.is_own(owner)
