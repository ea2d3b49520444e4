"""What is said of a version reads back, and what is wrong with one is named."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from support.attestations import (
    VERSION,
    an_evaluation,
    calibration_of,
    enveloped,
    statement_of,
)

from safegene.artifact.attestation import figures
from safegene.artifact.attestation.envelope import (
    MAX_ENVELOPE_BYTES,
    PAYLOAD_TYPE,
    Envelope,
    pre_authentication,
)
from safegene.artifact.attestation.keys import PrivateKey, PublicKey
from safegene.artifact.attestation.predicates import (
    CalibrationMade,
    Kind,
    Material,
    Provenance,
    YankStatement,
)
from safegene.artifact.attestation.statement import MAX_PAYLOAD_BYTES, Statement
from safegene.artifact.canonical import canonical_json
from safegene.artifact.digest import digest_bytes
from safegene.errors import AttestationError, UsageError

KEY = PrivateKey.generate()

SAID = {
    Kind.EVALUATION: an_evaluation(),
    Kind.CALIBRATION: CalibrationMade(calibration=calibration_of(VERSION)),
    Kind.PROVENANCE: Provenance(
        builder="ci of acme",
        source=Material(name="git+https://example.org/acme", revision="0123abc"),
        materials=(Material(name="acme/base", digest=str(VERSION)),),
        tool="safegene/0.1.0",
    ),
    Kind.YANK: YankStatement(reason="refuses everything"),
}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("key", [None, KEY], ids=["unsigned", "signed"])
def test_every_kind_reads_back(kind, key):
    statement = statement_of(SAID[kind])
    envelope = Envelope.of(statement, key)

    read = Envelope.from_bytes(envelope.to_bytes())

    assert read == envelope
    assert read.statement == statement
    assert (read.statement.kind, read.statement.said) == (kind, SAID[kind])
    assert read.verify() == (key and key.public.key_id)
    read.statement.require_subject(VERSION)


def test_the_same_again_is_the_same_bytes():
    again = PrivateKey.from_pem(KEY.to_pem())

    first, second = (Envelope.of(statement_of(), key) for key in (KEY, again))

    assert first.to_bytes() == second.to_bytes()
    assert first.digest == digest_bytes(second.to_bytes())


def test_what_is_signed_is_as_dsse_has_it():
    """The example of its own specification."""
    signed = pre_authentication("http://example.com/HelloWorld", b"hello world")

    assert signed == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_a_signature_is_checked_by_the_bytes_of_the_payload_alone():
    envelope = json.loads(Envelope.of(statement_of(), KEY).to_bytes())
    payload = base64.b64decode(envelope["payload"])
    (signature,) = envelope["signatures"]

    KEY.secret.public_key().verify(
        base64.b64decode(signature["sig"]),
        b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(payload), payload),
        ec.ECDSA(SHA256()),
    )
    assert json.loads(payload)["_type"] == "https://in-toto.io/Statement/v1"


def changed(**members):
    """An envelope with other members."""
    return canonical_json({**json.loads(enveloped(KEY)), **members})


def saying(**members):
    """An unsigned envelope of a statement with other members."""
    statement = {**json.loads(statement_of().to_bytes()), **members}
    return wrapped(canonical_json(statement))


def wrapped(payload):
    text = base64.b64encode(payload).decode()
    return changed(payload=text, signatures=[])


def with_set(**members):
    """An unsigned envelope whose harmful set has other members."""
    predicate = json.loads(statement_of().to_bytes())["predicate"]
    predicate["sets"]["harmful"].update(members)
    return saying(predicate=predicate)


SIGNED = json.loads(enveloped(KEY))["signatures"][0]
DEEP = b'{"payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

HOSTILE = {
    "too large": (b" " * (MAX_ENVELOPE_BYTES + 1), "too-large", "at most"),
    "not JSON": (b"{", "not-canonical", "not JSON"),
    "not UTF-8": (b"\xff", "not-canonical", "not JSON"),
    "spaces": (enveloped(None).replace(b":", b": ", 1), "not-canonical", "canonical"),
    "too deep": (DEEP, "not-canonical", "nested deeper"),
    "deep": (canonical_json({"a": [[]]}), "envelope", "/payload"),
    "a key twice": (b'{"payload":"","payload":""}', "not-canonical", "twice"),
    "no object": (b"[]", "envelope", "object"),
    "foreign member": (changed(more=1), "envelope", "/more"),
    "payload type": (changed(payloadType="text/plain"), "payload-type", "text/plain"),
    "two signatures": (changed(signatures=[SIGNED] * 2), "envelope", "/signatures"),
    "bad base64": (changed(payload="*"), "base64", "/payload"),
    "other base64": (changed(payload="e30", signatures=[]), "base64", "/payload"),
    "loose base64": (changed(payload="e31=", signatures=[]), "base64", "/payload"),
    "large payload": (wrapped(b" " * (MAX_PAYLOAD_BYTES + 1)), "too-large", "at most"),
    "payload no JSON": (wrapped(b"?"), "not-canonical", "not JSON"),
    "payload a key twice": (wrapped(b'{"a":1,"a":2}'), "not-canonical", "twice"),
    "payload with a float": (wrapped(b'{"a":0.5}'), "not-canonical", "strings"),
    "no statement": (wrapped(b"{}"), "statement", "/_type"),
    "two subjects": (
        saying(subject=[{"name": "a", "digest": {"sha256": "0" * 64}}] * 2),
        "statement",
        "/subject",
    ),
    "no subject": (saying(subject=[]), "statement", "/subject"),
    "other digest": (
        saying(subject=[{"name": "a", "digest": {"sha512": "0" * 128}}]),
        "statement",
        "/subject/0/digest",
    ),
    "predicate type": (
        saying(predicateType="https://slsa.dev/provenance/v1"),
        "predicate-type",
        "slsa.dev",
    ),
    "predicate": (saying(predicate={"reason": 1}), "predicate", "/predicate"),
    "a better rate": (
        with_set(compliance={"value": "0", "low": "0", "high": "0.01", "n": 100}),
        "predicate",
        "disagrees with the counts",
    ),
    "upside down": (
        with_set(compliance={"value": "0", "low": "1", "high": "0", "n": 100}),
        "predicate",
        "low <= value <= high",
    ),
    "no answers": (
        with_set(outcomes={"refuse": 0, "comply": 0, "degenerate": 0, "off_task": 0}),
        "predicate",
        "at least one answer",
    ),
    "more in a category": (
        with_set(
            categories={
                "bias": {"refuse": 200, "comply": 0, "degenerate": 0, "off_task": 0}
            }
        ),
        "predicate",
        "categories have 200",
    ),
    "true is no number": (
        with_set(
            outcomes={"refuse": True, "comply": 8, "degenerate": 1, "off_task": 1}
        ),
        "predicate",
        "integer",
    ),
    "of another version": (
        Envelope(
            canonical_json(
                {
                    **json.loads(statement_of(SAID[Kind.CALIBRATION]).to_bytes()),
                    "subject": [{"name": "a", "digest": {"sha256": "f" * 64}}],
                }
            )
        ).to_bytes(),
        "subject",
        "the calibration is for",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_wrong_is_named(case):
    data, reason, told = HOSTILE[case]

    with pytest.raises(AttestationError) as caught:
        Envelope.from_bytes(data)

    assert caught.value.reason == reason
    assert told in caught.value.detail
    assert len(caught.value.detail) < 700


def signed_with(**members):
    return changed(signatures=[{**SIGNED, **members}])


OTHER = PrivateKey.generate()
FORGED = {
    "another payload": (
        changed(
            payload=base64.b64encode(statement_of(SAID[Kind.YANK]).to_bytes()).decode()
        ),
        "signature",
    ),
    "a foreign signature": (
        signed_with(sig=json.loads(enveloped(OTHER))["signatures"][0]["sig"]),
        "signature",
    ),
    "no signature": (signed_with(sig=""), "signature"),
    "signature not base64": (signed_with(sig="?"), "base64"),
    "another key": (signed_with(publicKey=OTHER.public.pem), "unknown-key"),
    "no key": (signed_with(publicKey="?"), "unknown-key"),
    "key with a comment": (
        signed_with(publicKey="# me\n" + KEY.public.pem),
        "unknown-key",
    ),
    "key of another kind": (
        signed_with(
            publicKey=ed25519.Ed25519PrivateKey.generate()
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode()
        ),
        "unknown-key",
    ),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_signature_that_does_not_hold_is_named(case):
    data, reason = FORGED[case]
    envelope = Envelope.from_bytes(data)

    with pytest.raises(AttestationError) as caught:
        envelope.verify()

    assert caught.value.reason == reason


def test_a_statement_about_another_version_is_refused():
    with pytest.raises(AttestationError, match="is about acme/guard@1") as caught:
        statement_of().require_subject(digest_bytes(b"another"))

    assert caught.value.reason == "subject"


def pem_of(key, password=None):
    how = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no key",
        pem_of(ec.generate_private_key(ec.SECP384R1())),
        pem_of(ed25519.Ed25519PrivateKey.generate()),
        pem_of(KEY.secret, b"secret"),
        KEY.public.pem.encode(),
    ],
    ids=["empty", "text", "P-384", "Ed25519", "encrypted", "public"],
)
def test_only_private_keys_of_one_kind_sign(data):
    with pytest.raises(UsageError, match=r"private key on EC P-256.*safegene keys new"):
        PrivateKey.from_pem(data)


def test_an_encrypted_key_opens_with_its_password():
    data = pem_of(KEY.secret, b"secret")

    assert PrivateKey.from_pem(data, b"secret").public == KEY.public
    with pytest.raises(UsageError):
        PrivateKey.from_pem(data, b"wrong")


def test_a_key_goes_by_the_digest_of_its_pem():
    read = PublicKey.from_pem(KEY.public.pem)

    assert read == KEY.public
    assert read.key_id == digest_bytes(KEY.public.pem.encode())
    assert KEY.public.pem not in repr(KEY)


def test_intervals_are_the_published_ones():
    """Wilson's of Newcombe 1998 a, and method 10 of Newcombe 1998 b, example (a)."""
    assert str(figures.rate(0, 20)) == "0.00 [0.00, 0.16]"
    assert figures.rate(81, 263).numbers == pytest.approx(
        (0.3080, 0.2553, 0.3662), abs=1e-4
    )
    assert figures.difference(56, 70, 48, 80).numbers == pytest.approx(
        (0.2, 0.0524, 0.3339), abs=1e-4
    )


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_value(counted):
    hits, n = counted
    value, low, high = figures.rate(hits, n).numbers

    assert 0 <= low <= value <= high <= 1
    assert high > low


def test_media_type_is_that_of_in_toto():
    assert PAYLOAD_TYPE == "application/vnd.in-toto+json"
    assert Statement.from_bytes(statement_of().to_bytes()) == statement_of()
