"""Somebody makes a key by command, signs with it, and is trusted by it."""

import os
import stat

import pytest
from support.versions import write_version


@pytest.fixture(scope="module")
def registry_server(each_registry_server):
    """On every kind of backend."""
    return each_registry_server


@pytest.fixture
def guard(safegene):
    """A published version."""
    name = f"keys-{os.urandom(4).hex()}/guard"
    write_version(safegene.directory / "v", vector=name)
    safegene.must("push", "v")
    return f"{name}@1.0.0"


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_key_that_was_made_signs_and_is_trusted(
    safegene, registry_server, guard, encrypted
):
    (safegene.directory / "made.json").write_text('{"builder": "ci", "tool": "us"}')
    owner = safegene.having(SAFEGENE_TOKEN=registry_server.token_of(scope="admin"))
    secret = {"SAFEGENE_KEY_PASSWORD": "open sesame"} if encrypted else {}
    opened, options = safegene.having(**secret), ["--encrypt"] * encrypted

    made = opened.must("keys", "new", "key.pem", *options)
    attest = ("attest", guard, "--provenance", "made.json", "--sign", "key.pem")
    said = opened.must(*attest)
    owner.must("evaluator", "trust", guard.partition("/")[0], "us", "--key", "key.pub")
    (listed,) = safegene.must("attestations", guard)["attestations"]

    assert (made["private_key"], made["public_key"]) == ("key.pem", "key.pub")
    assert said["key_id"] == made["key_id"] == listed["key_id"]
    assert (said["trusted"], listed["trusted"]) == (False, True)
    mode = (safegene.directory / "key.pem").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert safegene.run(*attest).code == (2 if encrypted else 0)


def test_what_cannot_be_made_is_told(safegene):
    first = safegene.must("keys", "new", "key.pem", "--public", "mine.pub")
    again = safegene.run("keys", "new", "key.pem", "--public", "other.pub")
    closed = safegene.run("keys", "new", "other.pem", "--encrypt")

    assert first["public_key"] == "mine.pub"
    assert (again.code, closed.code) == (2, 2)
    assert "key.pem: there is a file already" in again.err
    assert "SAFEGENE_KEY_PASSWORD" in closed.err
    names = {path.name for path in safegene.directory.iterdir()}
    assert {"other.pub", "other.pem"}.isdisjoint(names)
