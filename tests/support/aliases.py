"""Aliases of `acme/guard` as tests move, protect and read them over REST."""

from pathlib import Path
from typing import Any

from safegene_registry import membership
from safegene_registry.access import Role, Scope
from safegene_registry.tokens import user_account
from support.registry_app import AppRegistry, bearer
from support.versions import write_version

GUARD = "/v1/vectors/acme/guard"
RULES = "/v1/namespaces/acme/protected-aliases"


def publish_guard(registry: AppRegistry, place: Path, *versions: str) -> None:
    """Publish versions of `acme/guard`.

    Args:
        registry: to publish to.
        place: where their directories are made.
        versions: as they are spelled.
    """
    for version in versions:
        seed = len(list(place.iterdir()))
        manifest = write_version(
            place / version, vector="acme/guard", version=version, seed=seed
        )
        answer = registry.publish(manifest, place / version)
        assert answer.status_code == 201, answer.text


def make_member(
    registry: AppRegistry,
    name: str,
    role: Role = Role.PUBLISHER,
    scope: Scope = Scope.PUBLISH,
) -> str:
    """Make a member of `acme`, and a token of theirs."""
    with registry.services.database.writing() as session:
        user_account(session, name, operator=False, by="tests")
        membership.set_member(session, "acme", name, role, by="tests")
    return registry.token_of(name, scope)


def move(
    registry: AppRegistry,
    alias: str,
    version: str,
    *,
    token: str | None = None,
    status: int = 200,
    **expected: Any,
) -> Any:
    """Point an alias at a version; the answer's document."""
    answer = registry.client.put(
        f"{GUARD}/aliases/{alias}",
        json={"version": version, **expected},
        headers=bearer(token or registry.token),
    )
    assert answer.status_code == status, answer.text
    return answer.json()


def remove(
    registry: AppRegistry,
    alias: str,
    *,
    token: str | None = None,
    status: int = 204,
    **params: Any,
) -> Any:
    """Remove an alias; the answer."""
    answer = registry.client.delete(
        f"{GUARD}/aliases/{alias}",
        params=params,
        headers=bearer(token or registry.token),
    )
    assert answer.status_code == status, answer.text
    return answer


def yank(registry: AppRegistry, version: str, *, back: bool = False) -> Any:
    """Yank a version, or take that back; the answer's document."""
    answer = registry.client.request(
        "DELETE" if back else "PUT",
        f"{GUARD}/versions/{version}/yank",
        json={"reason": "refuses code"},
        headers=bearer(registry.token),
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def meant(registry: AppRegistry, alias: str, *, token: bool = False) -> Any:
    """What an alias means, without a token (one statement) or with one."""
    headers = bearer(registry.token) if token else {}
    answer = registry.client.get(
        f"{GUARD}/resolve", params={"alias": alias}, headers=headers
    )
    return answer.json()["version"] if answer.status_code == 200 else answer.json()


def moves(registry: AppRegistry, alias: str, **params: Any) -> Any:
    """A page of an alias's history."""
    answer = registry.client.get(
        f"{GUARD}/aliases/{alias}/history", params=params, headers=registry.auth
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def steps(found: Any) -> list[tuple[str | None, str | None]]:
    """Where each move of a page led from and to."""
    return [(one["from_version"], one["to_version"]) for one in found["items"]]


def slug(problem: Any) -> str:
    """The last part of a problem's type."""
    return problem["type"].rpartition("/")[2]


def protect(
    registry: AppRegistry,
    token: str,
    alias: str,
    movers: list[str],
    *,
    status: int = 200,
    **params: Any,
) -> Any:
    """Say who may move an alias; the answer's document."""
    answer = registry.client.put(
        f"{RULES}/{alias}",
        params=params,
        json={"movers": movers},
        headers=bearer(token),
    )
    assert answer.status_code == status, answer.text
    return answer.json()
