"""A registry to be backed up, and all that a restored one has to have of it."""

import dataclasses
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from safegene_registry.access import Scope
from safegene_registry.care import table_repository
from safegene_registry.services import Services
from support.attestations import an_evaluation, enveloped
from support.backends import Parts
from support.opened import opened
from support.registry_app import AppRegistry, bearer
from support.versions import write_version

from safegene.artifact.attestation.envelope import ENVELOPE_MEDIA_TYPE
from safegene.artifact.attestation.keys import PrivateKey
from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import Manifest

KEY = PrivateKey.generate()

RULE = {
    "alias": "stable",
    "evaluations": [{"harm": {"upper_end_at_most": "0.1"}}],
    "approvals": 1,
}


@dataclasses.dataclass
class Ways:
    """A registry to be backed up, and where it is restored."""

    registry: AppRegistry
    target: Parts
    place: Path

    def opened(self) -> AbstractContextManager[Services]:
        """The parts of the registry that is restored into."""
        return opened(self.place / "restored", self.target)


def publish_one(
    ways: Ways, version: str, *, seed: int, vector: str = "acme/refusal"
) -> Manifest:
    """Publish a version to the registry that is backed up."""
    place = ways.place / f"{vector.replace('/', '-')}-{version}"
    manifest = write_version(place, vector=vector, version=version, seed=seed)
    answer = ways.registry.publish(manifest, place)
    assert answer.status_code == 201, answer.text
    return manifest


def fill(ways: Ways) -> None:
    """Two versions, one of them yanked, the other attested; a private room."""
    registry = ways.registry
    first = publish_one(ways, "1.0.0", seed=1)
    publish_one(ways, "1.1.0", seed=2)
    publish_one(ways, "1.0.0", seed=3, vector="hidden/refusal")
    sent = [
        registry.client.put(
            "/v1/vectors/acme/refusal/versions/1.1.0/yank",
            json={"reason": "Ä mistake"},
            headers=registry.auth,
        ),
        registry.client.put(
            "/v1/namespaces/acme/evaluators/lab",
            json={"account": "tests", "public_key": KEY.public.pem},
            headers=bearer(registry.token_of("tests", Scope.ADMIN)),
        ),
        registry.client.patch(
            "/v1/namespaces/hidden",
            json={"visibility": "private"},
            headers=bearer(registry.token_of("tests", Scope.ADMIN)),
        ),
        registry.client.put(
            "/v1/namespaces/acme/policy",
            json={"policy": {"policy": 1, "rules": [RULE]}},
            headers=bearer(registry.token_of("tests", Scope.ADMIN)),
        ),
        registry.client.post(
            "/v1/vectors/acme/refusal/versions/1.0.0/approvals",
            json={"alias": "stable"},
            headers=bearer(registry.token_of("second", Scope.ADMIN, operator=True)),
        ),
    ]
    assert [answer.status_code for answer in sent] == [200] * len(sent), sent
    for key in (None, KEY):
        said = registry.client.post(
            "/v1/vectors/acme/refusal/versions/1.0.0/attestations",
            content=enveloped(key, an_evaluation(), first.digest),
            headers={**registry.auth, "Content-Type": ENVELOPE_MEDIA_TYPE},
        )
        assert said.status_code == 201, said.text


def shown(registry: AppRegistry) -> dict[str, Any]:
    """What the registry tells a member, with the digests of all bytes that it sends."""
    found: dict[str, Any] = {}
    for vector in ("acme/refusal", "hidden/refusal"):
        url = f"/v1/vectors/{vector}"
        found[url] = registry.client.get(url, headers=registry.auth).json()
        policy = f"/v1/namespaces/{vector.partition('/')[0]}/policy"
        found[policy] = registry.client.get(policy, headers=registry.auth).json()
        for version in found[url]["versions"]:
            at = f"{url}/versions/{version['version']}"
            detail = registry.client.get(at, headers=registry.auth).json()
            found[at] = detail
            found[at] |= attestations_of(registry, at)
            given = f"{at}/approvals"
            found[given] = registry.client.get(given, headers=registry.auth).json()
            for file in detail["files"]:
                answer = registry.client.get(file["url"], headers=registry.auth)
                assert str(digest_bytes(answer.content)) == file["digest"]
    return found


def attestations_of(registry: AppRegistry, version: str) -> dict[str, Any]:
    """What is said of a version, whose word counts, and the envelopes."""
    found: dict[str, Any] = {}
    url = f"{version}/attestations"
    for said in registry.client.get(url, headers=registry.auth).json()["items"]:
        answer = registry.client.get(f"{url}/{said['digest']}", headers=registry.auth)
        assert str(digest_bytes(answer.content)) == said["digest"]
        found[said["digest"]] = said, answer.content
    return found


def rows(services: Services) -> dict[str, list[dict[str, Any]]]:
    """Everything in the tables that a backup keeps, by table."""
    with services.database.reading() as session:
        return {
            table.name: list(table_repository.rows_of(session, table))
            for table in table_repository.kept_tables()
        }
