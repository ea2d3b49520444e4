"""JWTs of a real issuer: what is believed, and every forgery that is not."""

import base64
import hashlib
import hmac
import time

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from safegene_registry.issuers import Issuers
from safegene_registry.jwts import (
    JwtError,
    audiences,
    has_claims,
    once_id,
    verify_jwt,
)
from support.oidc_issuer import (
    SigningKey,
    ec_key,
    oidc_issuer,
    plain_key,
    rsa_key,
    unsigned,
)


@pytest.fixture(scope="module")
def issuer():
    with oidc_issuer(
        plain_key(), SigningKey("curve", ec_key("curve"), "ES256")
    ) as issuer:
        yield issuer


@pytest.fixture(scope="module")
def stranger():
    """An issuer that nobody has named, with a key of the same id."""
    with oidc_issuer(SigningKey("one", rsa_key("other"))) as issuer:
        yield issuer


@pytest.fixture
def issuers(issuer):
    return Issuers([issuer.url], allow_loopback=True)


@pytest.mark.parametrize("number", [0, 1], ids=["RS256", "ES256"])
def test_a_good_jwt_is_believed(issuer, issuers, number):
    claims = issuer.claims()

    verified = verify_jwt(issuer.sign(claims, key=issuer.keys[number]), issuers)

    assert verified == claims


def public_pem(issuer) -> bytes:
    key = issuer.keys[0].private.public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signed_with_public_key(issuer) -> str:
    """HS256 with the issuer's public key as the secret, which everybody knows."""
    text = unsigned({"alg": "HS256", "kid": "one"}, issuer.claims()).rstrip(".")
    mac = hmac.new(public_pem(issuer), text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def with_other_claims(issuer) -> str:
    """A good signature under claims that it was not made for."""
    head, _, tail = issuer.sign().split(".")
    claims = issuer.claims(repository="evil/vectors")
    body = unsigned({}, claims).split(".")[1]
    return f"{head}.{body}.{tail}"


def signed_by_bringing_the_key(issuer) -> str:
    """The forger's key in the header, where some libraries look for it."""
    forger = SigningKey("one", rsa_key("forger"))
    return issuer.sign(key=forger, headers={"jwk": forger.public()})


def now(seconds: int) -> int:
    return int(time.time()) + seconds


FORGERIES = [
    pytest.param(
        lambda issuer, _: unsigned({"alg": "none", "kid": "one"}, issuer.claims()),
        "algorithm 'none' is not allowed",
        id="no-signature",
    ),
    pytest.param(
        lambda issuer, _: unsigned({"alg": "nOnE", "kid": "one"}, issuer.claims()),
        "algorithm 'nOnE' is not allowed",
        id="no-signature-oddly-spelled",
    ),
    pytest.param(
        lambda issuer, _: unsigned({"alg": "RS256", "kid": "one"}, issuer.claims()),
        "signature verification failed",
        id="empty-signature",
    ),
    pytest.param(
        lambda issuer, _: signed_with_public_key(issuer),
        "algorithm 'HS256' is not allowed",
        id="public-key-as-secret",
    ),
    pytest.param(
        lambda issuer, _: with_other_claims(issuer),
        "signature verification failed",
        id="claims-changed",
    ),
    pytest.param(
        lambda issuer, _: signed_by_bringing_the_key(issuer),
        "signature verification failed",
        id="key-in-the-header",
    ),
    pytest.param(
        lambda issuer, stranger: stranger.sign(
            headers={"jku": stranger.url + "/keys", "x5u": stranger.url}
        ),
        "does not know its issuer",
        id="other-issuer",
    ),
    pytest.param(
        lambda issuer, stranger: stranger.sign(stranger.claims(iss=issuer.url)),
        "signature verification failed",
        id="other-issuers-key-of-the-same-id",
    ),
    pytest.param(
        lambda issuer, _: issuer.sign(issuer.claims(iss=issuer.url + "/")),
        "does not know its issuer",
        id="issuer-spelled-otherwise",
    ),
    pytest.param(
        lambda issuer, _: unsigned(
            {"alg": "RS256", "kid": "one"}, issuer.claims(iss=[issuer.url])
        ),
        None,
        id="issuer-as-a-list",
    ),
    pytest.param(
        lambda issuer, _: issuer.sign(headers={"kid": "two"}),
        "has no key 'two'",
        id="unknown-key",
    ),
    pytest.param(
        lambda issuer, _: issuer.sign(headers={"kid": None}),
        "names no key",
        id="no-key-named",
    ),
    pytest.param(
        lambda issuer, _: issuer.sign(headers={"kid": "curve"}),
        "the key 'curve' is not for RS256",
        id="key-of-another-kind",
    ),
    pytest.param(
        lambda issuer, _: issuer.sign(
            key=SigningKey("one", issuer.keys[0].private, "RS512")
        ),
        "the key 'one' is not for RS512",
        id="another-algorithm-than-the-keys",
    ),
    pytest.param(
        lambda issuer, _: issuer.sign(headers={"crit": ["exp2"], "exp2": 1}),
        "unsupported critical extension",
        id="unknown-critical-extension",
    ),
    pytest.param(
        lambda issuer, _: issuer.sign(issuer.claims(exp=now(-60), iat=now(-600))),
        "signature has expired",
        id="expired",
    ),
    pytest.param(
        lambda issuer, _: issuer.sign(issuer.claims(nbf=now(300))),
        "not yet valid",
        id="not-yet",
    ),
    pytest.param(
        lambda issuer, _: issuer.sign(issuer.claims(iat=now(300))),
        "not yet valid",
        id="issued-in-the-future",
    ),
    *(
        pytest.param(
            lambda issuer, _, claim=claim: issuer.sign(issuer.claims(**{claim: None})),
            None if claim == "iss" else f'missing the "{claim}" claim',
            id=f"without-{claim}",
        )
        for claim in ("iss", "sub", "aud", "exp", "iat")
    ),
    pytest.param(
        lambda issuer, _: issuer.sign(issuer.claims(exp="soon")), None, id="exp-text"
    ),
    pytest.param(
        lambda issuer, _: issuer.sign(issuer.claims(exp=float("inf"))),
        None,
        id="exp-infinite",
    ),
    pytest.param(
        lambda issuer, _: issuer.sign(issuer.claims(sub=7)), None, id="sub-number"
    ),
    pytest.param(lambda issuer, _: "", None, id="empty"),
    pytest.param(lambda issuer, _: "sgt_abc", None, id="one-of-our-own-tokens"),
    pytest.param(lambda issuer, _: "a" * 20_000, "more than 16384", id="huge"),
    pytest.param(lambda issuer, _: "é.\ud800.ü", None, id="not-ascii"),
]


@pytest.mark.parametrize(("forge", "reason"), FORGERIES)
def test_a_forgery_is_not_believed(issuer, stranger, issuers, forge, reason):
    forged = forge(issuer, stranger)

    with pytest.raises(JwtError, match=reason and reason.replace("(", r"\(")):
        verify_jwt(forged, issuers)

    assert stranger.server.requests == []


def test_a_key_that_is_too_short_is_not_used():
    with oidc_issuer(SigningKey("short", rsa_key("short", bits=1024))) as issuer:
        issuers = Issuers([issuer.url], allow_loopback=True)
        with pytest.warns(jwt.InsecureKeyLengthWarning):
            signed = issuer.sign()

        with pytest.raises(JwtError, match="2048"):
            verify_jwt(signed, issuers)


def test_a_shared_secret_among_the_keys_is_not_used(issuer, issuers):
    """An issuer that publishes a secret by mistake lets nobody in."""
    secret = base64.urlsafe_b64encode(b"k" * 32).decode()
    issuers.known[issuer.url].keys = {"one": {"kty": "oct", "k": secret, "kid": "one"}}
    issuers.known[issuer.url].fetched_at = issuers.clock()

    with pytest.raises(JwtError):
        verify_jwt(issuer.sign(), issuers)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=200) | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*"))
def test_no_text_does_more_than_being_refused(text):
    with pytest.raises(JwtError):
        verify_jwt(text, Issuers(["https://issuer.test"]))


@pytest.mark.parametrize(
    ("claims", "wanted", "fits"),
    [
        ({"repository": "a/b", "ref": "x"}, {"repository": "a/b"}, True),
        ({"repository": "a/b"}, {"repository": "a/b", "ref": "x"}, False),
        ({"repository": "a/B"}, {"repository": "a/b"}, False),
        ({"repository": ["a/b"]}, {"repository": "a/b"}, False),
        ({"repository": None}, {"repository": "a/b"}, False),
        ({"protected": 1}, {"protected": True}, False),
        ({"protected": "true"}, {"protected": True}, False),
        ({"id": 1.0}, {"id": 1}, False),
    ],
)
def test_claims_must_have_the_very_values(claims, wanted, fits):
    assert has_claims(claims, wanted) is fits


@pytest.mark.parametrize(
    ("aud", "found"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), ([], []), ({"a": 1}, []), ([1], [])],
)
def test_audiences_are_one_or_several(aud, found):
    assert audiences({"aud": aud}) == found


def test_once_ids_differ_by_issuer_and_jti_and_by_nothing_else():
    one = once_id({"iss": "https://a", "jti": "1", "exp": 5})

    assert one == once_id({"iss": "https://a", "jti": "1", "exp": 6})
    assert one != once_id({"iss": "https://b", "jti": "1"})
    assert one != once_id({"iss": "https://a", "jti": "2"})
    assert once_id({"iss": "https://a"}) is None
    assert once_id({"iss": "https://a", "jti": "\ud800"}) is not None
