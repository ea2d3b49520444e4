"""Redirects to an object store: what goes along, what stays, and what they end in."""

import os

import pytest
from safegene_client.session import MOST_REDIRECTS, Body
from safegene_client.transfer import Blob, fetch_blob
from support.scripted_server import Reply, file_reply

from safegene.artifact.digest import digest_bytes
from safegene.errors import (
    DigestMismatchError,
    RegistryError,
    RejectedError,
    TransportError,
)

DATA = os.urandom(50_000)
TOKEN = "sgt_secret"
NO_WAIT = {"Retry-After": "0"}


def redirect(url, status=307):
    return Reply(status, headers={"Location": url})


@pytest.fixture
def store(serve):
    return serve(lambda got: file_reply(got, DATA))


@pytest.fixture
def registry(serve, store):
    return serve(lambda got: redirect(f"{store.url}/blob?X-Signature=s3cret"))


@pytest.fixture
def session(session_with, registry):
    return session_with(registry.url, TOKEN)


def blob():
    return Blob("/file", "the blob", digest_bytes(DATA), len(DATA))


def test_a_download_follows_and_proves_what_comes(session, registry, store, tmp_path):
    fetch_blob(session, blob(), tmp_path / "part")

    assert (tmp_path / "part").read_bytes() == DATA
    assert len(registry.requests) == len(store.requests) == 1
    assert TOKEN in registry.requests[0].headers["authorization"]
    assert "authorization" not in store.requests[0].headers
    assert store.requests[0].query == {"X-Signature": "s3cret"}


def test_a_resumed_download_asks_the_store_for_the_rest(
    session, registry, store, tmp_path
):
    (tmp_path / "part").write_bytes(DATA[:20_000])

    fetch_blob(session, blob(), tmp_path / "part")

    assert (tmp_path / "part").read_bytes() == DATA
    assert "if-range" in registry.requests[0].headers
    assert "if-range" not in store.requests[0].headers
    assert store.requests[0].headers["range"] == "bytes=20000-49999"


def test_a_cut_download_asks_the_registry_for_a_new_address(
    session, registry, store, tmp_path
):
    cuts = iter([10_000, None])
    store.respond = lambda got: file_reply(got, DATA, cut_after=next(cuts))

    fetch_blob(session, blob(), tmp_path / "part")

    assert (tmp_path / "part").read_bytes() == DATA
    assert len(registry.requests) == 2
    assert [got.headers.get("range") for got in store.requests] == [
        None,
        "bytes=10000-49999",
    ]


def test_wrong_bytes_of_a_store_are_refused(session, store, tmp_path):
    store.respond = lambda got: file_reply(got, DATA[::-1])

    with pytest.raises(DigestMismatchError):
        fetch_blob(session, blob(), tmp_path / "part")

    assert not (tmp_path / "part").exists()


def test_an_address_that_expired_is_asked_for_anew(session, registry, store, tmp_path):
    answers = iter([Reply(403, b"<Code>AccessDenied</Code>"), None])
    store.respond = lambda got: next(answers) or file_reply(got, DATA)

    fetch_blob(session, blob(), tmp_path / "part")

    assert len(registry.requests) == 2


def test_a_store_that_refuses_for_ever_is_named_without_secrets(session, store):
    store.respond = lambda _: Reply(403, b"<Code>AccessDenied</Code>")

    with pytest.raises(TransportError) as caught:
        session.send("GET", "/file")

    assert f"the object store at {store.url}" in caught.value.detail
    assert "403 (AccessDenied)" in caught.value.detail
    assert "s3cret" not in caught.value.detail
    assert len(store.requests) == 4


def test_a_store_that_got_other_bytes_says_what_to_do(session, store):
    store.respond = lambda _: Reply(400, b"<Code>BadDigest</Code>")

    with pytest.raises(RejectedError) as caught:
        session.send("GET", "/file")

    assert "400 (BadDigest)" in caught.value.detail
    assert "publish again" in caught.value.detail
    assert "operator" not in caught.value.detail


def test_a_store_that_is_gone_is_named_without_secrets(session_with, serve):
    registry = serve(lambda _: redirect("http://127.0.0.1:9/blob?X-Signature=s3cret"))
    session = session_with(registry.url)

    with pytest.raises(TransportError) as caught:
        session.send("GET", "/file", attempts=1)

    assert "object store at http://127.0.0.1:9," in caught.value.detail
    assert registry.url in caught.value.detail
    assert "s3cret" not in caught.value.detail


def test_redirects_end(session, registry):
    registry.respond = lambda got: redirect(f"{registry.url}/again")

    with pytest.raises(RegistryError, match="without end"):
        session.send("GET", "/file")

    assert len(registry.requests) == MOST_REDIRECTS + 1


def test_a_redirect_within_the_registry_keeps_the_token(session, registry):
    registry.respond = lambda got: redirect("/there") if got.path == "/" else Reply()

    session.send("GET", "/", params={"a": "b"})

    first, second = registry.requests
    assert (first.query, second.query, second.path) == ({"a": "b"}, {}, "/there")
    assert TOKEN in second.headers["authorization"]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://x/", "//[bad"])
def test_a_redirect_to_no_http_is_refused(session, registry, target):
    registry.respond = lambda _: redirect(target)

    with pytest.raises(RegistryError, match="senseless address"):
        session.send("GET", "/file")


@pytest.mark.parametrize("status", [307, 308])
def test_a_body_is_sent_again_where_it_is_redirected(session, registry, status):
    registry.respond = lambda got: (
        redirect("/there", status) if got.path == "/here" else Reply()
    )

    session.send("POST", "/here", body=Body.of(b"all of it", "text/plain"))

    assert [got.body for got in registry.requests] == [b"all of it"] * 2


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_post_never_becomes_a_get(session, registry, status):
    registry.respond = lambda _: redirect("/there", status)

    with pytest.raises(RegistryError, match=str(status)):
        session.send("POST", "/here", body=Body.of(b"x", "text/plain"))

    assert len(registry.requests) == 1
