"""Keys of issuers: how they are found, how long they are believed, what is refused."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from safegene_registry import issuers as module
from safegene_registry.issuers import Issuers
from safegene_registry.jwts import JwtError, verify_jwt
from safegene_registry.problems import ProblemError
from support.oidc_issuer import DISCOVERY, KEYS, oidc_issuer, plain_key
from support.scripted_server import Reply


class Seconds:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer():
    with oidc_issuer() as issuer:
        yield issuer


@pytest.fixture
def clock():
    return Seconds()


@pytest.fixture
def issuers(issuer, clock):
    return Issuers([issuer.url], allow_loopback=True, clock=clock)


def unavailable(issuers, issuer) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        issuers.find_key(issuer.url, "one")
    assert caught.value.kind.slug == "issuer-unavailable"
    assert int(caught.value.headers["Retry-After"]) > 0
    return caught.value


def test_keys_are_fetched_once_and_kept(issuer, issuers):
    for _ in range(3):
        assert issuers.find_key(issuer.url, "one")["kid"] == "one"

    assert issuer.server.paths() == [DISCOVERY, KEYS]


def test_a_new_key_is_found_when_a_jwt_names_it(issuer, issuers, clock):
    """Issuers change keys without notice; the old ones stop to count with their end."""
    signed_before = issuer.sign()
    verify_jwt(signed_before, issuers)
    issuer.keys = [plain_key("two")]
    clock.now += module.COOL_DOWN_SECONDS

    verify_jwt(issuer.sign(), issuers)

    with pytest.raises(JwtError, match="has no key 'one'"):
        verify_jwt(signed_before, issuers)
    assert issuer.server.paths() == [DISCOVERY, KEYS] * 2


def test_unknown_keys_do_not_make_the_registry_hammer_an_issuer(issuer, issuers, clock):
    for number in range(50):
        assert issuers.find_key(issuer.url, f"made-up-{number}") is None
    clock.now += module.COOL_DOWN_SECONDS
    for number in range(50):
        assert issuers.find_key(issuer.url, f"made-up-{number}") is None

    assert issuer.server.paths() == [DISCOVERY, KEYS] * 2


def test_a_withdrawn_key_is_believed_no_longer_than_keys_live(issuer, issuers, clock):
    signed = issuer.sign()
    verify_jwt(signed, issuers)
    issuer.keys = [plain_key("two")]

    clock.now += module.KEYS_LIFETIME_SECONDS + 1

    with pytest.raises(JwtError, match="has no key 'one'"):
        verify_jwt(signed, issuers)


def test_old_keys_of_a_silent_issuer_are_not_used(issuer, issuers, clock):
    issuers.find_key(issuer.url, "one")
    issuer.silent = True
    clock.now += module.KEYS_LIFETIME_SECONDS + 1

    unavailable(issuers, issuer)
    unavailable(issuers, issuer)
    asked_in_vain = len(issuer.server.paths())
    issuer.silent = False
    clock.now += module.COOL_DOWN_SECONDS
    found = issuers.find_key(issuer.url, "one")

    assert found["kid"] == "one"
    assert asked_in_vain == 3


def test_young_keys_of_a_silent_issuer_still_serve(issuer, issuers, clock):
    issuers.find_key(issuer.url, "one")
    issuer.silent = True
    clock.now += module.COOL_DOWN_SECONDS

    assert issuers.find_key(issuer.url, "unknown") is None
    assert issuers.find_key(issuer.url, "one") is not None


def test_many_at_once_make_one_fetch(issuer, issuers):
    barrier = threading.Barrier(8)

    def find(_number):
        barrier.wait()
        return issuers.find_key(issuer.url, "one")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(find, range(8)))

    assert all(key["kid"] == "one" for key in found)
    assert issuer.server.paths() == [DISCOVERY, KEYS]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"issuer": "https://other.test"}, id="calls-itself-otherwise"),
        pytest.param({"issuer": None}, id="does-not-say-who-it-is"),
        pytest.param({"jwks_uri": None}, id="no-keys"),
        pytest.param({"jwks_uri": "http://keys.test/"}, id="keys-without-tls"),
        pytest.param({"jwks_uri": "file:///etc/passwd"}, id="keys-in-a-file"),
        pytest.param({"jwks_uri": "http://169.254.169.254/"}, id="keys-of-the-cloud"),
    ],
)
def test_a_discovery_document_that_cannot_be_right_is_not_followed(
    issuer, issuers, changed
):
    issuer.discovery = changed

    unavailable(issuers, issuer)

    assert issuer.server.paths() == [DISCOVERY]


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(200, b"[]"), id="no-object"),
        pytest.param(Reply(200, b"{"), id="no-json"),
        pytest.param(Reply(200, b"[" * 100_000), id="deep"),
        pytest.param(Reply(200, b" " * (module.MAX_BYTES + 1)), id="huge"),
        pytest.param(Reply(200, b"{}", cut_after=1), id="cut"),
        pytest.param(Reply(404), id="missing"),
        pytest.param(
            Reply(302, b"", {"Location": "http://169.254.169.254/"}), id="redirect"
        ),
    ],
)
def test_a_broken_answer_is_no_answer(issuer, issuers, reply):
    issuer.server.respond = lambda _got: reply

    unavailable(issuers, issuer)

    assert issuer.server.paths() == [DISCOVERY]


def test_keys_that_are_not_for_signatures_are_left_out(issuer, issuers):
    encryption = plain_key("enc")
    encryption.members["use"] = "enc"
    issuer.keys.append(encryption)

    assert issuers.find_key(issuer.url, "enc") is None
    assert issuers.find_key(issuer.url, "one") is not None


def test_plain_http_on_this_machine_must_be_allowed(issuer):
    """Settings refuse such an issuer already; the keys' address is checked as well."""
    issuers = Issuers([issuer.url], allow_loopback=False)

    unavailable(issuers, issuer)
