"""What `Registry` does about promotion: policies, approvals, and looking first."""

from urllib.parse import quote

from safegene.artifact.promotion.policy import PromotionPolicy
from safegene.artifact.reference import Reference, check_alias, check_part
from safegene_client.fetching import vector_path, version_path
from safegene_client.promotion_answers import (
    Approval,
    ApprovalPage,
    PolicyEntry,
    Verdict,
)
from safegene_client.resolution import as_reference, ask_version
from safegene_client.session import Session, json_body
from safegene_client.versions import all_pages


class Promotion:
    """Verbs of `Registry` about what a version has to show before an alias means it."""

    _session: Session

    def policy(self, namespace: str) -> PolicyEntry:
        """What moving aliases of a namespace's vectors demands.

        Raises:
            NotFoundError: there is no such namespace.
            RegistryError: the registry refused or could not be reached.
        """
        return self._session.ask(PolicyEntry, "GET", _policy_path(namespace))

    def set_policy(
        self, namespace: str, policy: PromotionPolicy, *, expected: int | None = None
    ) -> PolicyEntry:
        """Demand this from now on.

        Args:
            namespace: where.
            policy: of `PromotionPolicy.from_bytes`.
            expected: number of the policy that it was made from, 0 for none; None:
                replace whatever there is.

        Raises:
            PreconditionFailedError: another policy is there by now.
            ForbiddenError: the token is not an owner's, of scope admin.
            RegistryError: the registry refused or could not be reached.
        """
        wanted: dict[str, object] = {"policy": policy.document()}
        if expected is not None:
            wanted["expected"] = expected
        path = _policy_path(namespace)
        return self._session.ask(PolicyEntry, "PUT", path, body=json_body(wanted))

    def check_alias(self, ref: str | Reference, alias: str) -> Verdict:
        """Whether an alias may point at a version; nothing is changed.

        Args:
            ref: the version; a range or another alias is looked up first.
            alias: such as `stable`.

        Raises:
            NotFoundError: there is no such version.
            ForbiddenError: the token may not publish, or the alias is protected.
            RegistryError: the registry refused or could not be reached.
        """
        reference = as_reference(ref)
        name = quote(check_alias(alias), safe="")
        path = f"{vector_path(reference.vector)}/aliases/{name}/check"
        body = json_body({"version": self._version(reference)})
        return self._session.ask(Verdict, "POST", path, body=body)

    def approve(self, ref: str | Reference, alias: str) -> Approval:
        """Want a version to be what an alias points at.

        Args:
            ref: the version; a range or another alias is looked up first.
            alias: there need not be one yet.

        Raises:
            NotFoundError: there is no such version.
            ForbiddenError: the token may not publish, or its account has published
                the version.
            RegistryError: the registry refused or could not be reached.
        """
        body = json_body({"alias": check_alias(alias)})
        path = self._approvals_path(as_reference(ref))
        return self._session.ask(Approval, "POST", path, body=body)

    def withdraw_approval(self, ref: str | Reference, alias: str) -> None:
        """Take one's own approval back; where the alias points stays.

        Raises:
            NotFoundError: there is no such version, or no such approval.
            RegistryError: the registry refused or could not be reached.
        """
        name = quote(check_alias(alias), safe="")
        path = f"{self._approvals_path(as_reference(ref))}/{name}"
        self._session.send("DELETE", path)

    def approvals(self, ref: str | Reference) -> list[Approval]:
        """Who approves a version, and for which alias.

        Raises:
            NotFoundError: there is no such version.
            ForbiddenError: the token may not publish.
            RegistryError: the registry refused or could not be reached.
        """
        path = self._approvals_path(as_reference(ref))
        return all_pages(
            lambda params: self._session.ask(ApprovalPage, "GET", path, params=params)
        )

    def _version(self, reference: Reference) -> str:
        return reference.version or ask_version(self._session, reference).version

    def _approvals_path(self, reference: Reference) -> str:
        version = self._version(reference)
        return f"{version_path(reference.vector, version)}/approvals"


def _policy_path(namespace: str) -> str:
    return f"/v1/namespaces/{check_part(namespace, 'namespace')}/policy"
