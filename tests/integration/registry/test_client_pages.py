"""The client turns every page of a real registry's lists."""

from safegene_client import Registry
from support.access_world import SETTINGS
from support.crowd import ROOM, VECTOR, new_crowd
from support.registry_app import app_registry
from support.scripted_server import Reply, scripted_server

VERSIONS = 260
"""Of one vector: more than its page has, and than any page of its list."""


def test_the_client_sees_more_versions_and_vectors_than_a_page_has(tmp_path):
    with app_registry(tmp_path / "data", **SETTINGS) as registry:
        crowd = new_crowd(registry, tmp_path)
        crowd.publish(range(1, VERSIONS))

        def pass_on(got):
            answer = registry.client.request(got.method, got.path, params=got.query)
            media = {"Content-Type": answer.headers["content-type"]}
            return Reply(answer.status_code, answer.content, media)

        with (
            scripted_server(pass_on) as server,
            Registry(server.url, cache=tmp_path / "cache") as client,
        ):
            described = client.describe(VECTOR)
            found = client.search(namespace=ROOM, limit=1000)
            resolved = client.resolve(f"{VECTOR}@<1.7")

    expected = ["1.0.0", *(f"1.{n}.0" for n in range(1, VERSIONS))]
    assert [entry.version for entry in described.versions] == expected[::-1]
    assert described.version_count == VERSIONS
    assert [server.requests[n].query.get("cursor") is None for n in range(3)] == [
        *(True, False, False)
    ]
    assert len({summary.name for summary in found}) == VERSIONS
    assert resolved.version == "1.6.0"
