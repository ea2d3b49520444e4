"""How to ask for every route there is, once for each.

`access_world` puts the requests. Each makes what it needs anew, so that no request
depends on what another has changed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from safegene_registry.models import Token
from support.registry_app import MANIFEST_MEDIA_TYPE
from support.versions import llama_config

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.attestation.envelope import ENVELOPE_MEDIA_TYPE

if TYPE_CHECKING:
    from support.access_world import Asker, World

PUBLIC, PRIVATE, ELSEWHERE = "open", "vault", "elsewhere"
ABSENT = "nowhere"
ISSUER = "https://issuer.test"
HOOK = f"https://{'x' * 64}.test/"
"""No name can be so long: it is not even looked up, and nothing is sent."""


@dataclass(frozen=True)
class Wanted:
    """What a request needs beside its route."""

    path: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


Maker = Callable[["World", "Asker", str, Token], Wanted]

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
WEBHOOKS = NAMESPACE + "/webhooks"
RULES = NAMESPACE + "/protected-aliases"
VERSION = VECTOR + "/versions/{version}"
ATTESTATIONS = VERSION + "/attestations"
EVALUATORS = NAMESPACE + "/evaluators"
APPROVALS = VERSION + "/approvals"
POLICY = NAMESPACE + "/policy"


def fixed(*, path: dict[str, Any] | None = None, **body: Any) -> Maker:
    """A request that is always the same."""
    return lambda *_: Wanted(path or {}, body)


def of_upload(**body: Any) -> Maker:
    """A request about an upload that a token of the asker's account has opened."""

    def make(world: "World", _asker: "Asker", namespace: str, token: Token) -> Wanted:
        manifest = world.manifest(namespace)
        path = {
            "upload_id": world.upload(manifest, token),
            "digest": manifest.files[0].digest,
        }
        return Wanted(path, body)

    return make


def of_webhook(**body: Any) -> Maker:
    """A request about a webhook of the namespace."""
    return lambda world, _asker, namespace, _token: Wanted(
        {"webhook_id": world.webhook(namespace)}, body
    )


def announce(world: "World", _asker: "Asker", namespace: str, _token: Token) -> Wanted:
    """Open an upload."""
    content = world.manifest(namespace).to_bytes()
    media = {"Content-Type": MANIFEST_MEDIA_TYPE}
    return Wanted(body={"content": content}, headers=media)


def attest(world: "World", _asker: "Asker", namespace: str, _token: Token) -> Wanted:
    """Say something new of a version."""
    media = {"Content-Type": ENVELOPE_MEDIA_TYPE}
    return Wanted(FILE, {"content": world.envelope(namespace)}, media)


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
    f"POST {ALIASES}/{{alias}}/check": fixed(path=ALIASED, json={"version": "1.0.0"}),
    f"GET {APPROVALS}": fixed(path=FILE),
    f"POST {APPROVALS}": fixed(path=FILE, json={"alias": "gold"}),
    f"DELETE {APPROVALS}/{{alias}}": lambda world, asker, namespace, _token: Wanted(
        {**FILE, "alias": world.approval(namespace, asker)}
    ),
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
    f"GET {ATTESTATIONS}": fixed(path=FILE),
    f"POST {ATTESTATIONS}": attest,
    f"GET {ATTESTATIONS}/{{digest}}": lambda world, _asker, namespace, _token: Wanted(
        {**FILE, "digest": world.attestations.get(namespace, FAMILY)}
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
    f"GET {EVALUATORS}": fixed(),
    f"PUT {EVALUATORS}/{{evaluator}}": fixed(
        path={"evaluator": "lab"}, json={"account": "reader"}
    ),
    f"DELETE {EVALUATORS}/{{evaluator}}": lambda world, _asker, where, _token: Wanted(
        {"evaluator": world.evaluator(where)}
    ),
    f"GET {POLICY}": fixed(),
    f"PUT {POLICY}": fixed(json={"policy": {"policy": 1, "rules": []}}),
    f"GET {POLICY}/history": fixed(),
    f"GET {NAMESPACE}/events": fixed(),
    f"GET {NAMESPACE}/events/stream": fixed(params={"after": 0, "seconds": 0}),
    f"GET {WEBHOOKS}": fixed(),
    f"POST {WEBHOOKS}": lambda world, _asker, namespace, _token: Wanted(
        body={"json": {"url": world.spare_url(namespace)}}
    ),
    f"DELETE {WEBHOOKS}/{{webhook_id}}": of_webhook(),
    f"GET {WEBHOOKS}/{{webhook_id}}/dead-letters": of_webhook(),
    f"POST {WEBHOOKS}/{{webhook_id}}/replay": of_webhook(json={}),
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
