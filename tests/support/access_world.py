"""A registry with one public and one private namespace, and everybody who may ask.

`ask` puts one request of every route there is, as whoever is wanted. Each makes what it
needs anew, so that no request depends on what another has changed.
"""

from collections.abc import Callable
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
from safegene_registry.auth import issue_token
from safegene_registry.lifecycle import alias_repository, notice_repository
from safegene_registry.models import Account, Advisory, Member, Token, Upload
from safegene_registry.services import utc_now
from safegene_registry.tokens import user_account
from sqlalchemy import select
from support.registry_app import MANIFEST_MEDIA_TYPE, AppRegistry, bearer
from support.versions import llama_config, write_version

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.manifest import Manifest
from safegene.artifact.reference import VectorName

PUBLIC, PRIVATE, ELSEWHERE = "open", "vault", "elsewhere"
ABSENT = "nowhere"
ISSUER = "https://issuer.test"
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


@dataclass(frozen=True)
class Wanted:
    """What a request needs beside its route."""

    path: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


Maker = Callable[[World, Asker, str, Token], Wanted]

FILE = {"name": "guard", "version": "1.0.0", "path": "README.md"}
SPARE = {"name": "spare", "version": "1.0.0"}
"""A version that may be hidden without any other route giving another answer."""

ALIASED = {**FILE, "alias": "stable"}
DOOMED = {"name": "doomed", "version": "1.0.0"}
ADVISORY = {"severity": "low", "affected": "<1", "summary": "refuses code"}
NUMBERED = {**FILE, "number": 1}
FAMILY = str(architecture_from_config(llama_config()).fingerprint)
UPLOADS = "/v1/uploads/{upload_id}"
NAMESPACE = "/v1/namespaces/{namespace}"
VECTOR = "/v1/vectors/{namespace}/{name}"
ALIASES = VECTOR + "/aliases"
ADVISORIES = VECTOR + "/advisories"
RULES = NAMESPACE + "/protected-aliases"
VERSION = VECTOR + "/versions/{version}"


def fixed(*, path: dict[str, Any] | None = None, **body: Any) -> Maker:
    """A request that is always the same."""
    return lambda *_: Wanted(path or {}, body)


def of_upload(**body: Any) -> Maker:
    """A request about an upload that a token of the asker's account has opened."""

    def make(world: World, _asker: Asker, namespace: str, token: Token) -> Wanted:
        manifest = world.manifest(namespace)
        path = {
            "upload_id": world.upload(manifest, token),
            "digest": manifest.files[0].digest,
        }
        return Wanted(path, body)

    return make


def announce(world: World, _asker: Asker, namespace: str, _token: Token) -> Wanted:
    """Open an upload."""
    content = world.manifest(namespace).to_bytes()
    media = {"Content-Type": MANIFEST_MEDIA_TYPE}
    return Wanted(body={"content": content}, headers=media)


REQUESTS: dict[str, Maker] = {
    "GET /healthz": fixed(),
    "GET /readyz": fixed(),
    "GET /metrics": fixed(),
    "GET /problems/{slug}": fixed(path={"slug": "forbidden"}),
    "GET /v1/vectors": fixed(),
    f"GET {VECTOR}": fixed(path=FILE),
    f"GET {VECTOR}/resolve": fixed(path=FILE),
    f"GET {VECTOR}/versions": fixed(path=FILE),
    f"GET {VERSION}": fixed(path=FILE),
    f"GET {VERSION}/manifest": fixed(path=FILE),
    f"GET {VERSION}/files/{{path}}": fixed(path=FILE),
    f"HEAD {VERSION}/files/{{path}}": fixed(path=FILE),
    f"PUT {VERSION}/yank": fixed(path=SPARE, json={"reason": "refuses everything"}),
    f"DELETE {VERSION}/yank": fixed(path=SPARE),
    f"GET {ALIASES}": fixed(path=FILE),
    f"GET {ALIASES}/{{alias}}": fixed(path=ALIASED),
    f"GET {ALIASES}/{{alias}}/history": fixed(path=ALIASED),
    f"PUT {ALIASES}/{{alias}}": fixed(path=ALIASED, json={"version": "1.0.0"}),
    f"DELETE {ALIASES}/{{alias}}": lambda world, _asker, namespace, _token: Wanted(
        {**FILE, "alias": world.alias(namespace)}
    ),
    f"PUT {VECTOR}/deprecation": fixed(path=SPARE, json={"message": "use guard"}),
    f"DELETE {VECTOR}/deprecation": fixed(path=SPARE),
    f"PUT {VERSION}/deprecation": fixed(
        path=SPARE, json={"message": "too old", "successor": "acme/guard@~=2.0"}
    ),
    f"DELETE {VERSION}/deprecation": fixed(path=SPARE),
    f"GET {ADVISORIES}": fixed(path=FILE),
    f"POST {ADVISORIES}": fixed(path=FILE, json=ADVISORY),
    f"GET {ADVISORIES}/{{number}}": fixed(path=NUMBERED),
    f"PUT {ADVISORIES}/{{number}}/withdrawal": fixed(
        path=NUMBERED, json={"reason": "it was something else"}
    ),
    f"POST {VERSION}/purge": lambda world, _asker, namespace, _token: Wanted(
        DOOMED, {"json": {"reason": "court", "digest": world.doomed(namespace)}}
    ),
    "POST /v1/compatibility": fixed(json={"config": llama_config()}),
    "POST /v1/compatibility/fleet": fixed(
        json={"configs": [llama_config()], "limit": 10}
    ),
    "GET /v1/compatibility": fixed(params={"fingerprint": FAMILY}),
    "GET /v1/architectures": fixed(),
    "POST /v1/uploads": announce,
    f"GET {UPLOADS}": of_upload(),
    f"DELETE {UPLOADS}": of_upload(),
    f"PUT {UPLOADS}/blobs/{{digest}}": of_upload(content=b"?"),
    f"POST {UPLOADS}/blobs/{{digest}}/parts": of_upload(json={"parts": []}),
    f"POST {UPLOADS}/complete": of_upload(),
    "GET /v1/namespaces": fixed(),
    "POST /v1/namespaces": lambda world, *_: Wanted(
        body={"json": {"name": world.fresh("new")}}
    ),
    f"GET {NAMESPACE}": fixed(),
    f"PATCH {NAMESPACE}": lambda _world, _asker, namespace, _token: Wanted(
        body={"json": {"visibility": "private" if namespace == PRIVATE else "public"}}
    ),
    f"PUT {NAMESPACE}/quota": fixed(json={"quota_bytes": None}),
    f"GET {NAMESPACE}/members": fixed(),
    f"PUT {NAMESPACE}/members/{{account}}": lambda world, _asker, namespace, _token: (
        Wanted({"account": world.member(namespace)}, {"json": {"role": "publisher"}})
    ),
    f"DELETE {NAMESPACE}/members/{{account}}": lambda world, _asker, where, _token: (
        Wanted({"account": world.member(where)})
    ),
    f"GET {RULES}": fixed(),
    f"PUT {RULES}/{{alias}}": fixed(path={"alias": "gold"}, json={"movers": []}),
    f"DELETE {RULES}/{{alias}}": lambda world, _asker, namespace, _token: Wanted(
        {"alias": world.rule(namespace)}
    ),
    f"GET {NAMESPACE}/events": fixed(),
    f"GET {NAMESPACE}/events/stream": fixed(params={"after": 0, "seconds": 0}),
    f"GET {NAMESPACE}/publishers": fixed(),
    f"POST {NAMESPACE}/publishers": lambda world, *_: Wanted(
        body={
            "json": {
                "name": world.fresh("job"),
                "issuer": ISSUER,
                "claims": {"repository": "acme/vectors"},
            }
        }
    ),
    f"DELETE {NAMESPACE}/publishers/{{publisher}}": lambda world, _asker, where, _: (
        Wanted({"publisher": world.publisher(where)})
    ),
    "POST /v1/oidc/token": lambda _world, _asker, namespace, _token: Wanted(
        body={"json": {"namespace": namespace, "jwt": "x"}}
    ),
    "GET /v1/whoami": fixed(),
    "GET /v1/tokens": fixed(),
    "POST /v1/tokens": lambda _world, asker, *_: Wanted(
        body={"json": {"name": "more", "namespace": asker.namespace}}
    ),
    "DELETE /v1/tokens/current": fixed(),
    "DELETE /v1/tokens/{token_id}": lambda world, asker, *_: Wanted(
        {"token_id": world.another_token(asker)}
    ),
    "GET /v1/accounts": fixed(),
    "GET /v1/accounts/{account}/tokens": fixed(path={"account": "owner"}),
    "POST /v1/accounts/{account}/tokens": fixed(
        path={"account": "owner"}, json={"name": "more"}
    ),
    "DELETE /v1/accounts/{account}/tokens": lambda world, *_: Wanted(
        {"account": world.member(ABSENT)}
    ),
    "DELETE /v1/accounts/{account}/tokens/{token_id}": lambda world, asker, *_: Wanted(
        {"account": asker.account or "tests", "token_id": world.another_token(asker)}
    ),
}
"""How to ask for every route."""


LISTS = (
    *("GET /v1/vectors", "GET /v1/namespaces", "GET /v1/compatibility"),
    *("POST /v1/compatibility", "POST /v1/compatibility/fleet"),
)
"""Routes that show what is in every namespace the asker may read."""


def about_namespace(route: str) -> bool:
    """Whether a route's answer depends on a namespace."""
    return "{namespace}" in route or "/v1/uploads" in route or "/v1/oidc" in route


def heading() -> list[str]:
    """The first lines of the table."""
    titles = [asker.title for asker in ASKERS]
    return ["route | namespace | " + " | ".join(titles), "-|-" + "|-" * len(titles)]


def rows_of(world: World, route: str) -> list[str]:
    """Who gets which status from a route where, and sees what in lists."""
    rows = []
    for namespace in (PUBLIC, PRIVATE, ABSENT) if about_namespace(route) else ("",):
        answers = [world.ask(route, asker, namespace) for asker in ASKERS]
        cells = [str(answer.status_code) for answer in answers]
        rows.append(f"{route} | {namespace} | " + " | ".join(cells))
    for namespace in (PUBLIC, PRIVATE) if route in LISTS else ():
        answers = [world.ask(route, asker, namespace).text for asker in ASKERS]
        cells = ["shown" if f'"{namespace}"' in text else "-" for text in answers]
        rows.append(f"{route} | {namespace} | " + " | ".join(cells))
    return rows


def table_of(world: World) -> str:
    """The text of the committed table."""
    rows = [row for route in REQUESTS for row in rows_of(world, route)]
    return "\n".join([*heading(), *rows]) + "\n"
