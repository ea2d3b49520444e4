"""Policies of `acme` and approvals of `acme/guard` as tests give and read them."""

from typing import Any

from support.aliases import GUARD
from support.registry_app import AppRegistry, bearer

POLICY = "/v1/namespaces/acme/policy"


def policy_of(*rules: Any) -> dict[str, Any]:
    """A policy."""
    return {"policy": 1, "rules": list(rules)}


def set_policy(
    registry: AppRegistry, token: str, *rules: Any, status: int = 200, **expected: Any
) -> Any:
    """Have `acme` demand this; the answer's document."""
    answer = registry.client.put(
        POLICY, json={"policy": policy_of(*rules), **expected}, headers=bearer(token)
    )
    assert answer.status_code == status, answer.text
    return answer.json()


def approve(
    registry: AppRegistry, token: str, version: str, alias: str, *, status: int = 200
) -> Any:
    """Approve a version; the answer's document."""
    answer = registry.client.post(
        f"{GUARD}/versions/{version}/approvals",
        json={"alias": alias},
        headers=bearer(token),
    )
    assert answer.status_code == status, answer.text
    return answer.json()


def withdraw(
    registry: AppRegistry, token: str, version: str, alias: str, *, status: int = 204
) -> None:
    """Take an approval back."""
    answer = registry.client.delete(
        f"{GUARD}/versions/{version}/approvals/{alias}", headers=bearer(token)
    )
    assert answer.status_code == status, answer.text


def check(
    registry: AppRegistry,
    token: str,
    alias: str,
    version: str,
    *,
    status: int = 200,
    **expected: Any,
) -> Any:
    """What would become of a move; the answer's document."""
    answer = registry.client.post(
        f"{GUARD}/aliases/{alias}/check",
        json={"version": version, **expected},
        headers=bearer(token),
    )
    assert answer.status_code == status, answer.text
    return answer.json()
