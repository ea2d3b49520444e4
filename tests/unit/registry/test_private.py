"""Private namespaces: what is in them stays in them, the bytes of a blob included."""

import pytest
from safegene_registry import membership
from safegene_registry.access import Role, Scope, Visibility
from safegene_registry.tokens import user_account
from support.registry_app import MANIFEST_MEDIA_TYPE, bearer
from support.versions import llama_config, write_version

from safegene.artifact.manifest import TENSORS_NAME

VERSION = "/v1/vectors/vault/guard/versions/1.0.0"


@pytest.fixture
def vault(registry, tmp_path):
    """A registry with a private version of the account `tests`; its manifest."""
    with registry.services.database.writing() as session:
        membership.create_namespace(
            session,
            "vault",
            owner=user_account(session, "tests", operator=False, by="tests"),
            visibility=Visibility.PRIVATE,
            quota_bytes=None,
            by="tests",
        )
    manifest = write_version(tmp_path / "vault", vector="vault/guard")
    assert registry.publish(manifest, tmp_path / "vault").status_code == 201
    return manifest


def announce(registry, secret, manifest):
    headers = {**bearer(secret), "Content-Type": MANIFEST_MEDIA_TYPE}
    return registry.client.post(
        "/v1/uploads", content=manifest.to_bytes(), headers=headers
    )


def states(upload):
    return {blob["digest"]: blob["state"] for blob in upload.json()["blobs"]}


def give_role(registry, account, role, namespace="vault"):
    with registry.services.database.writing() as session:
        user_account(session, account, operator=False, by="tests")
        membership.set_member(session, namespace, account, role, by="tests")


def test_a_private_blob_is_not_had_for_its_digest(registry, vault, tmp_path):
    """A version of the stranger's own that names it: the bytes must be sent."""
    stranger = registry.token_of("stranger")
    same = write_version(tmp_path / "same", vector="thief/guard")
    assert same.file(TENSORS_NAME) == vault.file(TENSORS_NAME)

    upload = announce(registry, stranger, same)
    refused = registry.client.post(
        f"/v1/uploads/{upload.json()['id']}/complete", headers=bearer(stranger)
    )

    assert set(states(upload).values()) == {"missing"}
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("/blob-missing")
    assert registry.client.get("/v1/vectors/thief/guard").status_code == 404


def test_who_has_the_bytes_publishes_them_beside_the_private_ones(
    registry, vault, tmp_path
):
    registry.token = registry.token_of("stranger")
    same = write_version(tmp_path / "same", vector="thief/guard")

    assert registry.publish(same, tmp_path / "same").status_code == 201

    url = "/v1/vectors/thief/guard/versions/1.0.0/files/" + TENSORS_NAME
    sent = (tmp_path / "same" / TENSORS_NAME).read_bytes()
    assert registry.client.get(url).content == sent
    assert registry.client.get(VERSION).status_code == 404


@pytest.mark.parametrize(
    ("role", "state"), [(Role.READER, "present"), (None, "missing")]
)
def test_members_need_not_send_what_they_may_read(
    registry, vault, tmp_path, role, state
):
    secret = registry.token_of("ann")
    if role is not None:
        give_role(registry, "ann", role)
    own = write_version(tmp_path / "own", vector="ann/guard")

    upload = announce(registry, secret, own)

    assert states(upload)[own.file(TENSORS_NAME).digest] == state


def test_a_token_for_elsewhere_does_not_share_private_blobs(registry, vault, tmp_path):
    """The account may read them, the token may not."""
    own = write_version(tmp_path / "own", vector="ann/guard", seed=5)
    secret = registry.token_of("ann")
    give_role(registry, "ann", Role.READER)
    registry.token = secret
    registry.publish(own, tmp_path / "own")
    narrow = registry.token_of("ann", Scope.PUBLISH, namespace="ann")
    second = write_version(tmp_path / "two", vector="ann/guard", version="2.0.0")

    upload = announce(registry, narrow, second)

    assert states(upload)[second.file(TENSORS_NAME).digest] == "missing"


def test_a_member_who_is_removed_while_sending_does_not_publish(
    registry, vault, tmp_path
):
    give_role(registry, "ann", Role.PUBLISHER)
    registry.token = registry.token_of("ann")
    manifest = write_version(
        tmp_path / "two", vector="vault/guard", version="2.0.0", seed=2
    )
    upload = registry.send(manifest, tmp_path / "two")
    with registry.services.database.writing() as session:
        membership.remove_member(session, "vault", "ann", by="tests")

    refused = registry.complete(upload)

    assert refused.status_code == 404
    assert refused.json()["detail"].startswith("There is no upload")


def test_an_upload_goes_on_with_another_token_of_the_account(registry, tmp_path):
    """As when a CI job is run again."""
    manifest = write_version(tmp_path / "v")
    upload = registry.send(manifest, tmp_path / "v")

    registry.token = registry.token_of("tests")

    assert registry.complete(upload).status_code == 201


@pytest.mark.parametrize("what", ["manifest", "files/README.md"])
def test_caches_on_the_way_keep_no_private_bytes(registry, vault, tmp_path, what):
    url = f"{VERSION}/{what}"
    private = registry.client.get(url, headers=registry.auth)
    with registry.services.database.writing() as session:
        membership.set_visibility(session, "vault", Visibility.PUBLIC, by="tests")

    public = registry.client.get(url, headers=registry.auth)

    assert private.headers["cache-control"].startswith("private, max-age=")
    assert public.headers["cache-control"].startswith("public, max-age=")
    assert registry.client.get(url).status_code == 200


def test_a_private_family_is_not_told_by_what_does_not_fit(registry, tmp_path):
    """`others` names the nearest families; a private one must not count among them."""
    question = {"config": llama_config(layers=3)}
    registry.publish(
        write_version(tmp_path / "open", vector="open/guard"), tmp_path / "open"
    )
    give_role(registry, "tests", Role.OWNER, "open")
    before = registry.client.post("/v1/compatibility", json=question).json()["others"]

    with registry.services.database.writing() as session:
        membership.set_visibility(session, "open", Visibility.PRIVATE, by="tests")
    stranger = registry.client.post("/v1/compatibility", json=question)
    member = registry.client.post(
        "/v1/compatibility", json=question, headers=registry.auth
    )

    assert [match["namespace"] for match in before] == ["open"]
    assert stranger.json()["others"] == []
    assert member.json()["others"] == before
