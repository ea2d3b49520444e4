"""What `Registry` does with published versions: yanks, purges, deprecations, aliases.

The part of it that owners and publishers use; pulling needs nothing of this.
"""

from collections.abc import Iterable
from urllib.parse import quote

from safegene.artifact.reference import (
    Reference,
    VectorName,
    check_alias,
    check_part,
)
from safegene_client.advisories import Advisories
from safegene_client.answers import Deprecation, YankedVersion
from safegene_client.attesting import Attesting
from safegene_client.fetching import vector_path, version_path
from safegene_client.lifecycle_answers import (
    AliasEntry,
    AliasMove,
    AliasMovePage,
    AliasPage,
    AliasRule,
    PurgedVersion,
)
from safegene_client.resolution import (
    as_reference,
    as_vector,
    ask_version,
    one_version,
    set_yank,
)
from safegene_client.session import Session, json_body
from safegene_client.versions import all_pages

ANYTHING = "*"
"""What an alias is expected to point at where that does not matter."""


class Lifecycle(Advisories, Attesting):
    """Verbs of `Registry` about what happens to versions later."""

    _session: Session

    def yank(self, ref: str | Reference, reason: str) -> YankedVersion:
        """Hide a version from resolution; who names it gets it still, and the reason.

        Args:
            ref: names one version, as `acme/guard@1.2.0` or by digest.
            reason: for everybody who asks for the version nevertheless.

        Raises:
            UsageError: the reference may mean several versions.
            NotFoundError: there is no such version.
            AuthenticationError: no good token.
            RegistryError: the registry refused or could not be reached.
        """
        return set_yank(self._session, as_reference(ref), reason)

    def unyank(self, ref: str | Reference) -> YankedVersion:
        """Let a version be resolved again.

        Raises:
            UsageError, NotFoundError, AuthenticationError, RegistryError: as for
                `yank`.
        """
        return set_yank(self._session, as_reference(ref), None)

    def purge(self, ref: str | Reference, reason: str) -> PurgedVersion:
        """Remove a version's bytes for good, by law or after an accident.

        Nothing takes it back, and its number is never used again. What others have
        pulled stays with them.

        Args:
            ref: names one version, by number or digest.
            reason: for everybody who asks for it.

        Raises:
            UsageError: the reference may mean several versions.
            NotFoundError: there is no such version.
            GoneError: it was purged before.
            ForbiddenError: the token is not an owner's, of scope admin.
            TransportError: it is purged, and its bytes could not be removed now.
            RegistryError: the registry refused or could not be reached.
        """
        reference = as_reference(ref)
        one_version(self._session, reference)
        found = ask_version(self._session, reference)
        path = f"{version_path(reference.vector, found.version)}/purge"
        body = json_body({"reason": reason, "digest": found.digest})
        return self._session.ask(PurgedVersion, "POST", path, body=body)

    def deprecate(
        self, ref: str | Reference, message: str, *, successor: str | None = None
    ) -> Deprecation:
        """Say that a version or a whole vector should not be used; it works as before.

        Args:
            ref: names one version, or a vector.
            message: for everybody who asks for it.
            successor: a reference to what should be used in its place.

        Raises:
            UsageError: the reference may mean several versions.
            NotFoundError: there is no such version or vector.
            RegistryError: the registry refused or could not be reached.
        """
        body = json_body({"message": message, "successor": successor})
        path = self._deprecation_path(as_reference(ref))
        return self._session.ask(Deprecation, "PUT", path, body=body)

    def undeprecate(self, ref: str | Reference) -> None:
        """Take that back; what is not deprecated stays as it is.

        Raises:
            UsageError, NotFoundError, RegistryError: as for `deprecate`.
        """
        self._session.send("DELETE", self._deprecation_path(as_reference(ref)))

    def _deprecation_path(self, reference: Reference) -> str:
        if reference == Reference(reference.vector):
            return f"{vector_path(reference.vector)}/deprecation"
        return f"{one_version(self._session, reference)}/deprecation"

    def set_alias(
        self, ref: str | Reference, alias: str, *, expected: str | None = ANYTHING
    ) -> AliasEntry:
        """Have an alias point at a version.

        Args:
            ref: the version; a range or another alias is looked up first.
            alias: such as `stable`.
            expected: the version it has to point at now, None if there has to be none
                yet, `"*"` if that does not matter.

        Raises:
            InvalidReferenceError: no alias can be called so.
            NotFoundError: there is no such version.
            PreconditionFailedError: it points elsewhere than expected.
            ForbiddenError: the token may not publish, or the alias is protected.
            PromotionRefusedError: the namespace's policy demands more of the version.
            RegistryError: the version was yanked, the registry refused for another
                reason, or it could not be reached.
        """
        reference = as_reference(ref)
        path = _alias_path(reference.vector, alias)
        version = reference.version
        if version is None:
            version = ask_version(self._session, reference).version
        wanted: dict[str, str | None] = {"version": version}
        if expected != ANYTHING:
            wanted["expected"] = expected
        return self._session.ask(AliasEntry, "PUT", path, body=json_body(wanted))

    def remove_alias(
        self, vector: str | VectorName, alias: str, *, expected: str = ANYTHING
    ) -> None:
        """Forget an alias; its history stays.

        Raises:
            NotFoundError: there is none.
            PreconditionFailedError: it points elsewhere than at the expected version.
            ForbiddenError: the token may not publish, or the alias is protected.
            RegistryError: the registry refused or could not be reached.
        """
        path = _alias_path(as_vector(vector), alias)
        params = {} if expected == ANYTHING else {"expected": expected}
        self._session.send("DELETE", path, params=params)

    def aliases(self, vector: str | VectorName) -> list[AliasEntry]:
        """The aliases of a vector by name, without `latest`, which every one has.

        Raises:
            NotFoundError: there is no such vector.
            RegistryError: the registry refused or could not be reached.
        """
        path = f"{vector_path(as_vector(vector))}/aliases"
        return all_pages(
            lambda params: self._session.ask(AliasPage, "GET", path, params=params)
        )

    def alias_history(self, vector: str | VectorName, alias: str) -> list[AliasMove]:
        """What an alias pointed at, the last move first; it may have been removed.

        Raises:
            NotFoundError: there never was one of this name.
            RegistryError: the registry refused or could not be reached.
        """
        path = f"{_alias_path(as_vector(vector), alias)}/history"
        return all_pages(
            lambda params: self._session.ask(AliasMovePage, "GET", path, params=params)
        )

    def protect_alias(
        self, where: str, alias: str, movers: Iterable[str] = ()
    ) -> AliasRule:
        """Let only owners move an alias, and the members named here.

        Args:
            where: a vector, or a namespace for all of its vectors that have no rule of
                their own.
            alias: its name; there need not be one yet.
            movers: accounts.

        Raises:
            RejectedError: somebody is no member.
            ForbiddenError: the token is not an owner's, of scope admin.
            RegistryError: the registry refused or could not be reached.
        """
        path, params = _rule_address(where, alias)
        body = json_body({"movers": list(movers)})
        return self._session.ask(AliasRule, "PUT", path, params=params, body=body)

    def unprotect_alias(self, where: str, alias: str) -> None:
        """Let everybody who publishes move an alias again.

        Raises:
            NotFoundError: it is not protected there.
            ForbiddenError: the token is not an owner's, of scope admin.
            RegistryError: the registry refused or could not be reached.
        """
        path, params = _rule_address(where, alias)
        self._session.send("DELETE", path, params=params)


def _alias_path(vector: VectorName, alias: str) -> str:
    return f"{vector_path(vector)}/aliases/{quote(check_alias(alias), safe='')}"


def _rule_address(where: str, alias: str) -> tuple[str, dict[str, str]]:
    namespace, slash, name = where.partition("/")
    params = {"vector": check_part(name, "name")} if slash else {}
    return (
        f"/v1/namespaces/{check_part(namespace, 'namespace')}/protected-aliases/"
        f"{check_alias(alias)}",
        params,
    )
