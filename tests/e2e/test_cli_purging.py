"""A version's bytes are removed by one command, which has to be meant."""

import os

import pytest
from support.registry_server import make_token
from support.versions import write_version


@pytest.fixture
def guard(safegene):
    """A vector with two versions; its name."""
    name = f"purging-{os.urandom(4).hex()}/guard"
    for seed, version in enumerate(("1.0.0", "1.1.0")):
        write_version(
            safegene.directory / version, vector=name, version=version, seed=seed
        )
        safegene.must("push", version)
    return name


def test_it_is_gone_and_who_names_it_is_told(safegene, registry_server, guard):
    token = make_token(registry_server.data, scope="admin")
    owner = safegene.having(SAFEGENE_TOKEN=token)

    slip = owner.run("purge", f"{guard}@1.1", "--reason", "court")
    refused = safegene.run("purge", f"{guard}@1.1", "--reason", "court", "--yes")
    before = safegene.must("pull", guard)["identity"]
    done = owner.must("purge", f"{guard}@1.1", "--reason", "court", "--yes")
    pulled = safegene.run("pull", f"{guard}@1.1")
    pushed = safegene.run("push", "1.1.0")

    assert (slip.code, refused.code) == (2, 4)
    assert before == f"{guard}@1.1.0"
    assert done["purged"]["reason"] == "court"
    assert (pulled.code, pushed.code) == (3, 3)
    assert f"{guard}@1.1.0 was purged on" in pulled.err
    assert safegene.must("pull", guard)["identity"] == f"{guard}@1.0.0"
    assert "1.1.0 (purged), 1.0.0" in safegene.run("inspect", guard).out
