"""A registry with as many rows of everything as wanted, written straight to its tables.

`fill` adds to every list there is; blobs are there once, since rows share them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safegene_registry import (
    membership,
    publishing,
    repositories,
    trusted_publishing,
)
from safegene_registry import publishing_repository as published
from safegene_registry.access import Role, Scope, Visibility
from safegene_registry.attestations import (
    attestation_repository,
    standing_repository,
)
from safegene_registry.attestations.posting import numbers_of
from safegene_registry.lifecycle import alias_repository, notice_repository
from safegene_registry.models import (
    Account,
    Advisory,
    Approval,
    Attestation,
    PolicyRow,
    Token,
    TrustedEvaluator,
    Version,
)
from safegene_registry.promotion import promotion_repository
from safegene_registry.services import utc_now
from safegene_registry.tokens import WantedToken, create_token, user_account
from sqlalchemy.orm import Session
from support.access_requests import ADVISORY, ISSUER
from support.attestations import an_evaluation, statement_of
from support.registry_app import AppRegistry
from support.versions import llama_config, write_version

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.attestation.envelope import Envelope
from safegene.artifact.manifest import Manifest

ROOM = "crowd"
VECTOR = f"{ROOM}/guard"
OWNER = "tests"


@dataclass
class Crowd:
    """The registry and what its rows are copies of."""

    registry: AppRegistry
    manifest: Manifest
    token: str
    """An operator's, of the account that owns everything."""

    def fill(self, numbers: Iterable[int]) -> None:
        """Add one row to every list for each number."""
        services = self.registry.services
        with services.database.writing() as session:
            owner = user_account(session, OWNER, operator=True, by=OWNER)
            for number in numbers:
                self.add(session, owner, number)

    def publish(self, numbers: Iterable[int]) -> None:
        """Add a version of the vector, and another vector, for each number."""
        with self.registry.services.database.writing() as session:
            owner = user_account(session, OWNER, operator=True, by=OWNER)
            token = self.token_of(session, owner, "publisher")
            for number in numbers:
                self.version(session, token, version=f"1.{number}.0")
                self.version(session, token, name=f"guard-{number}")

    def token_of(self, session: Session, owner: Account, name: str) -> Token:
        """Make a token."""
        wanted = WantedToken(name, Scope.READ, None, None)
        _, token = create_token(session, owner, wanted, now=utc_now(), by=OWNER)
        return token

    def add(self, session: Session, owner: Account, number: int) -> None:
        """Add one row to every list."""
        name = f"n{number:04}"
        self.room(session, owner, f"{ROOM}-{name}")
        user_account(session, name, operator=False, by=OWNER)
        membership.set_member(session, ROOM, name, Role.READER, by=OWNER)
        trusted_publishing.add_publisher(
            self.registry.services,
            session,
            ROOM,
            trusted_publishing.WantedPublisher(
                name, ISSUER, {"repository": f"acme/{name}"}
            ),
            created_by=owner,
            by=OWNER,
        )
        token = self.token_of(session, owner, name)
        version = self.version(session, token, name="guard", version=f"1.{number}.0")
        self.alias(session, version, token, name)
        self.advisory(session, version, token)
        self.promotion(session, token, owner, number)
        newest = self.version(session, token, name=f"guard-{name}", version="1.0.0")
        first = repositories.find_version(
            session, self.manifest.vector, version="1.0.0"
        )
        assert first is not None
        self.attestation(session, [first, newest], token, name)
        # A family of its own, which fits nobody who asks for the first.
        config = llama_config(hidden=64 + 4 * number)
        other = architecture_from_config(config)
        self.version(session, token, name=f"other-{name}", architecture=other)

    def alias(
        self, session: Session, version: Version, token: Token, name: str
    ) -> None:
        """Point an alias of its own and a shared one at a version, and protect it."""
        known = alias_repository.find_alias(session, version.vector_id, "stable")
        for alias, row in ((name, None), ("stable", known)):
            alias_repository.point_alias(
                session, row, version, name=alias, token_id=token.id, at=utc_now()
            )
        everywhere = alias_repository.ALL_VECTORS
        movers = alias_repository.find_members(session, ROOM, [name])
        alias_repository.put_rule(session, ROOM, everywhere, name, movers.values())

    def advisory(self, session: Session, version: Version, token: Token) -> None:
        """Publish an advisory on all versions of the vector."""
        advisory = Advisory(
            vector_id=version.vector_id,
            token_id=token.id,
            published_at=utc_now(),
            details="",
            **{**ADVISORY, "affected": ">=0"},
        )
        notice_repository.add_advisory(session, advisory)

    def attestation(
        self, session: Session, versions: Iterable[Version], token: Token, name: str
    ) -> None:
        """Say something of some versions, and trust who says so."""
        said = an_evaluation(model="first" if name == "n0001" else name)
        envelope = Envelope.of(statement_of(said, self.manifest.digest))
        for version in versions:
            row = Attestation(
                version_id=version.id,
                digest=str(envelope.digest),
                envelope=envelope.to_bytes(),
                kind="evaluation",
                account_id=token.account_id,
                token_id=token.id,
                posted_at=utc_now(),
                **numbers_of(said),
            )
            attestation_repository.add_attestation(session, row)
        evaluator = TrustedEvaluator(
            namespace=ROOM,
            name=name,
            account_id=token.account_id,
            token_id=token.id,
            created_at=utc_now(),
        )
        attestation_repository.put_evaluator(session, evaluator)
        standing_repository.settle_namespace(session, ROOM)

    def promotion(
        self, session: Session, token: Token, owner: Account, number: int
    ) -> None:
        """Set a policy, and approve of the first version."""
        policy = PolicyRow(
            namespace=ROOM,
            number=number,
            document='{"policy":1,"rules":[]}',
            token_id=token.id,
            set_at=utc_now(),
        )
        promotion_repository.add_policy(session, policy)
        vector = self.manifest.vector
        first = repositories.find_version(session, vector, version="1.0.0")
        assert first is not None
        approval = Approval(
            version_id=first.id,
            alias=f"n{number:04}",
            account_id=owner.id,
            token_id=token.id,
            approved_at=utc_now(),
        )
        promotion_repository.add_approval(session, approval)

    def room(self, session: Session, owner: Account, name: str) -> None:
        """Make a namespace."""
        membership.create_namespace(
            session,
            name,
            owner=owner,
            visibility=Visibility.PUBLIC,
            quota_bytes=None,
            by=OWNER,
        )

    def version(self, session: Session, token: Token, **changed: Any) -> Version:
        """Publish a version without sending a byte of it."""
        known = {name: getattr(self.manifest, name) for name in Manifest.model_fields}
        manifest = Manifest.model_validate({**known, **changed})
        version = published.add_version(
            session,
            manifest,
            manifest_bytes=manifest.to_bytes(),
            token_id=token.id,
            published_at=utc_now(),
        )
        publishing.move_head(session, version)
        return version


def said_first(crowd: Crowd) -> str:
    """Digest of what is said first of the first version."""
    said = an_evaluation(model="first")
    return str(Envelope.of(statement_of(said, crowd.manifest.digest)).digest)


def new_crowd(registry: AppRegistry, directory: Path) -> Crowd:
    """Publish one vector properly; `fill` adds the rest.

    Args:
        registry: an empty one, with the settings of `access_world`.
        directory: for the files of that vector.
    """
    token = registry.token_of(OWNER, Scope.ADMIN, operator=True)
    manifest = write_version(directory / "v", vector=VECTOR)
    crowd = Crowd(registry, manifest, token)
    with registry.services.database.writing() as session:
        crowd.room(session, user_account(session, OWNER, operator=True, by=OWNER), ROOM)
    answer = registry.publish(manifest, directory / "v")
    assert answer.status_code == 201, answer.text
    return crowd
