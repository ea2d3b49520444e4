"""A registry with one public and one private namespace, and everybody who may ask.

`ask` puts one request of a route (`access_requests`), as whoever is wanted.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from safegene_registry import (
    access_repository,
    membership,
    repositories,
    trusted_publishing,
)
from safegene_registry.access import Role, Scope, Visibility
from safegene_registry.attestations import attestation_repository
from safegene_registry.auth import issue_token
from safegene_registry.lifecycle import alias_repository, notice_repository
from safegene_registry.models import (
    Account,
    Advisory,
    Approval,
    Member,
    Token,
    TrustedEvaluator,
    Upload,
    Webhook,
)
from safegene_registry.promotion import promotion_repository
from safegene_registry.services import utc_now
from safegene_registry.tokens import user_account
from safegene_registry.webhooks.sending import new_secret
from sqlalchemy import delete, select
from support.access_requests import (
    ABSENT,
    ADVISORY,
    DOOMED,
    ELSEWHERE,
    FILE,
    HOOK,
    ISSUER,
    PRIVATE,
    PUBLIC,
    REQUESTS,
    SPARE,
)
from support.attestations import an_evaluation, enveloped
from support.registry_app import AppRegistry, bearer
from support.versions import write_version

from safegene.artifact.attestation.envelope import ENVELOPE_MEDIA_TYPE
from safegene.artifact.manifest import Manifest
from safegene.artifact.reference import VectorName

SETTINGS: dict[str, Any] = {
    "oidc_issuers": (ISSUER,),
    "exchange_limit_per_minute": None,
    "metrics_token": "of-nobodys-account",
}


@dataclass(frozen=True)
class Asker:
    """Somebody who may ask: an account with a kind of token, or nobody."""

    title: str
    account: str | None = None
    scope: Scope = Scope.ADMIN
    namespace: str | None = None
    is_operator: bool = False
    ended: str | None = None
    """`expired` or `revoked`."""


ASKERS = (
    Asker("anonymous"),
    Asker("stranger", "stranger"),
    Asker("reader", "reader"),
    Asker("publisher", "publisher"),
    Asker("owner", "owner"),
    Asker("operator", "operator", is_operator=True),
    Asker("expired", "owner", ended="expired"),
    Asker("revoked", "owner", ended="revoked"),
    Asker("owner, to read", "owner", Scope.READ),
    Asker("owner, to publish", "owner", Scope.PUBLISH),
    Asker("owner, elsewhere", "owner", namespace=ELSEWHERE),
    Asker("operator, to publish", "operator", Scope.PUBLISH, is_operator=True),
)
"""Columns of the table."""


@dataclass
class World:
    """The registry and what lies in it."""

    registry: AppRegistry
    directory: Path
    manifests: dict[str, Manifest] = field(default_factory=dict)
    attestations: dict[str, str] = field(default_factory=dict)
    numbers: Any = field(default_factory=count)

    def build(self) -> None:
        """Publish into both namespaces, and give everybody their roles."""
        for namespace, visibility in (
            (PUBLIC, Visibility.PUBLIC),
            (PRIVATE, Visibility.PRIVATE),
            (ELSEWHERE, Visibility.PUBLIC),
        ):
            with self.registry.services.database.writing() as session:
                membership.create_namespace(
                    session,
                    namespace,
                    owner=user_account(session, "tests", operator=False, by="tests"),
                    visibility=visibility,
                    quota_bytes=None,
                    by="tests",
                )
                for role in Role:
                    user_account(session, role, operator=False, by="tests")
                    membership.set_member(session, namespace, role, role, by="tests")
            for name in (DOOMED["name"], SPARE["name"], FILE["name"]):
                place = self.directory / namespace / name
                manifest = write_version(place, vector=f"{namespace}/{name}")
                published = self.registry.publish(manifest, place)
                assert published.status_code == 201, published.text
                self.manifests[namespace] = manifest
            self.alias(namespace, "stable")
            self.advisory(namespace)
            self.attest(namespace)

    def fresh(self, word: str) -> str:
        """A name that was not used yet."""
        return f"{word}-{next(self.numbers)}"

    def account(self, session: Any, name: str | None, *, operator: bool) -> Account:
        """The account of this name; without one, somebody's."""
        return user_account(session, name or "tests", operator=operator, by="tests")

    def token(self, asker: Asker) -> tuple[str, Token]:
        """A new token of the asker's kind."""
        with self.registry.services.database.writing() as session:
            now = utc_now()
            account = self.account(session, asker.account, operator=asker.is_operator)
            secret, token = issue_token(
                session,
                account,
                name=asker.title,
                scope=asker.scope,
                namespace=asker.namespace,
                created_at=now,
                expires_at=now - timedelta(1) if asker.ended == "expired" else None,
            )
            token.revoked_at = now if asker.ended == "revoked" else None
            session.flush()
        return secret, token

    def upload(self, manifest: Manifest, token: Token) -> UUID:
        """An open upload of a version that nothing was sent of yet."""
        now = utc_now()
        upload = Upload(
            id=uuid4(),
            token_id=token.id,
            namespace=manifest.namespace,
            digest=str(manifest.digest),
            manifest=manifest.to_bytes(),
            state="open",
            created_at=now,
            expires_at=now + timedelta(hours=1),
        )
        with self.registry.services.database.writing() as session:
            session.add(upload)
        return upload.id

    def manifest(self, namespace: str) -> Manifest:
        """Of a version that is not published."""
        known = self.manifests.get(namespace) or self.manifests[PUBLIC]
        changed = {
            **known.model_dump(),
            "namespace": namespace,
            "version": f"2.{next(self.numbers)}.0",
        }
        return Manifest.model_validate(changed)

    def member(self, namespace: str) -> str:
        """An account that is a member, if there is such a namespace."""
        name = self.fresh("member")
        with self.registry.services.database.writing() as session:
            account = user_account(session, name, operator=False, by="tests")
            if namespace in self.manifests:
                access_repository.add_member(
                    session,
                    Member(
                        namespace=namespace, account_id=account.id, role=Role.READER
                    ),
                )
        return name

    def alias(self, namespace: str, name: str | None = None) -> str:
        """An alias, if there is such a namespace."""
        name = name or self.fresh("alias")
        if namespace in self.manifests:
            vector = VectorName(namespace, FILE["name"])
            with self.registry.services.database.writing() as session:
                version = repositories.find_version(session, vector, version="1.0.0")
                token = session.scalars(select(Token).limit(1)).one()
                assert version is not None
                alias_repository.point_alias(
                    session,
                    None,
                    version,
                    name=name,
                    token_id=token.id,
                    at=utc_now(),
                )
        return name

    def approval(self, namespace: str, asker: Asker) -> str:
        """An approval by the asker's account, if there is such a namespace."""
        alias = self.fresh("alias")
        if namespace in self.manifests:
            vector = VectorName(namespace, FILE["name"])
            with self.registry.services.database.writing() as session:
                version = repositories.find_version(session, vector, version="1.0.0")
                account = self.account(session, asker.account, operator=False)
                token = session.scalars(select(Token).limit(1)).one()
                assert version is not None
                approval = Approval(
                    version_id=version.id,
                    alias=alias,
                    account_id=account.id,
                    token_id=token.id,
                    approved_at=utc_now(),
                )
                promotion_repository.add_approval(session, approval)
        return alias

    def doomed(self, namespace: str) -> str:
        """Digest of a version that nothing else is asked about, purged or not."""
        with self.registry.services.database.reading() as session:
            vector = VectorName(namespace, DOOMED["name"])
            version = repositories.find_version(session, vector, version="1.0.0")
        return "sha256:" + "0" * 64 if version is None else version.digest

    def advisory(self, namespace: str) -> None:
        """An advisory, about no version that there is."""
        with self.registry.services.database.writing() as session:
            vector = VectorName(namespace, FILE["name"])
            row = repositories.find_vector(session, vector)
            token = session.scalars(select(Token).limit(1)).one()
            assert row is not None
            advisory = Advisory(
                vector_id=row.id,
                token_id=token.id,
                published_at=utc_now(),
                details="",
                **ADVISORY,
            )
            notice_repository.add_advisory(session, advisory)

    def envelope(self, namespace: str) -> bytes:
        """Something new that is said of a version, if there is such a namespace."""
        known = self.manifests.get(namespace) or self.manifests[PUBLIC]
        said = an_evaluation(model=self.fresh("model"))
        return enveloped(None, said, known.digest)

    def attest(self, namespace: str) -> None:
        """Say something of a version."""
        data = self.envelope(namespace)
        media = {"Content-Type": ENVELOPE_MEDIA_TYPE}
        url = f"/v1/vectors/{namespace}/{FILE['name']}/versions/1.0.0/attestations"
        headers = {**self.registry.auth, **media}
        answer = self.registry.client.post(url, content=data, headers=headers)
        assert answer.status_code == 201, answer.text
        self.attestations[namespace] = answer.json()["digest"]

    def evaluator(self, namespace: str) -> str:
        """A trusted evaluator, if there is such a namespace."""
        name = self.fresh("lab")
        if namespace in self.manifests:
            with self.registry.services.database.writing() as session:
                token = session.scalars(select(Token).limit(1)).one()
                evaluator = TrustedEvaluator(
                    namespace=namespace,
                    name=name,
                    account_id=token.account_id,
                    token_id=token.id,
                    created_at=utc_now(),
                )
                attestation_repository.put_evaluator(session, evaluator)
        return name

    def rule(self, namespace: str) -> str:
        """A protected alias, if there is such a namespace."""
        name = self.fresh("alias")
        if namespace in self.manifests:
            with self.registry.services.database.writing() as session:
                alias_repository.put_rule(
                    session, namespace, alias_repository.ALL_VECTORS, name, []
                )
        return name

    def publisher(self, namespace: str) -> str:
        """A trusted publisher, if there is such a namespace."""
        name = self.fresh("ci")
        if namespace in self.manifests:
            with self.registry.services.database.writing() as session:
                trusted_publishing.add_publisher(
                    self.registry.services,
                    session,
                    namespace,
                    trusted_publishing.WantedPublisher(
                        name, ISSUER, {"repository": "acme/vectors"}
                    ),
                    created_by=self.account(session, None, operator=False),
                    by="tests",
                )
        return name

    def webhook(self, namespace: str) -> UUID:
        """The only webhook of a namespace; if there is no such namespace, of none."""
        webhook = Webhook(
            id=uuid4(), namespace=namespace, url=HOOK, secret=new_secret(), position=0
        )
        if namespace in self.manifests:
            with self.registry.services.database.writing() as session:
                self.forget_webhooks(session, namespace)
                session.add(webhook)
        return webhook.id

    def spare_url(self, namespace: str) -> str:
        """An address that there is room for in a namespace."""
        with self.registry.services.database.writing() as session:
            self.forget_webhooks(session, namespace)
        return HOOK

    def forget_webhooks(self, session: Any, namespace: str) -> None:
        """Remove every webhook of a namespace."""
        session.execute(delete(Webhook).where(Webhook.namespace == namespace))

    def another_token(self, asker: Asker) -> UUID:
        """Another token of the asker's account."""
        with self.registry.services.database.writing() as session:
            name = asker.account or "tests"
            account = session.scalars(select(Account).where(Account.name == name)).one()
            _, token = issue_token(
                session,
                account,
                name="another",
                scope=Scope.READ,
                namespace=asker.namespace,
                created_at=utc_now(),
            )
        return token.id

    def ask(self, route: str, asker: Asker, namespace: str) -> Any:
        """Put one request.

        Args:
            route: method and path, as the application declares them.
            asker: who puts it.
            namespace: which, where the route is about one.

        Returns:
            The response: 422 to a blob or its parts and 409 to a completion are of
            those who may, since the bytes are wrong, and no part is asked for.
        """
        secret, token = self.token(asker)
        if namespace == ABSENT:
            # Some requests make the namespace.
            namespace = self.fresh(ABSENT)
        request = REQUESTS[route](self, asker, namespace, token)
        method, _, path = route.partition(" ")
        for name, value in {"namespace": namespace, **request.path}.items():
            path = path.replace("{" + name + "}", str(value))
        headers = bearer(secret) if asker.account else {}
        return self.registry.client.request(
            method, path, headers={**headers, **request.headers}, **request.body
        )
