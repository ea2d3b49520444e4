"""A webhook reaches the open internet only, whatever its owner tries."""

import base64
import hashlib
import hmac
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from safegene_registry.webhooks import sending
from safegene_registry.webhooks.sending import (
    Delivery,
    ReceiverError,
    new_secret,
    send,
    signature,
)
from safegene_registry.webhooks.targets import (
    Target,
    TargetError,
    is_open,
    look_up,
    open_addresses,
    parse_networks,
    parse_target,
)
from support.receiver import running_receiver

LOCAL = parse_networks("127.0.0.0/8")
DELIVERY = Delivery("id.1", b'{"kind":"version.yanked"}')

URLS = {
    "no TLS": "http://example.org/",
    "another protocol": "gopher://example.org/",
    "a file": "file:///etc/passwd",
    "no protocol": "//example.org/",
    "no host": "https:///path",
    "a user": "https://user@example.org/",
    "a password": "https://user:secret@example.org/",
    "a host before an at sign": "https://example.org@127.0.0.1/",
    "a backslash before an at sign": "https://example.org\\@127.0.0.1/",
    "a space": "https://example.org /",
    "a line break": "https://example.org/\r\nHost: localhost",
    "a tab in the host": "https://exam\tple.org/",
    "a dot that is none": "https://127\u30020\u30020\u30021/",
    "digits in circles": "https://\u2460\u2461\u2466.0.0.1/",
    "an escaped host": "https://%31%32%37.0.0.1/",
    "a zone": "https://[fe80::1%25eth0]/",
    "port 0": "https://example.org:0/",
    "a port too far": "https://example.org:65536/",
    "no number for a port": "https://example.org:https/",
    "brackets that do not close": "https://[::1/",
    "a fragment": "https://example.org/#@127.0.0.1",
    "too long": "https://example.org/" + "x" * 1024,
}

ADDRESSES = {
    "this machine": "127.0.0.1",
    "this machine, elsewhere": "127.255.255.254",
    "all of this machine": "0.0.0.0",
    "within 0/8": "0.1.2.3",
    "private, 10": "10.1.2.3",
    "private, 172.16": "172.31.255.255",
    "private, 192.168": "192.168.1.1",
    "carrier's": "100.64.0.1",
    "cloud metadata": "169.254.169.254",
    "container metadata": "169.254.170.2",
    "Alibaba's metadata": "100.100.100.200",
    "protocol assignments": "192.0.0.192",
    "benchmarks": "198.18.0.1",
    "documentation": "203.0.113.9",
    "6to4 relays": "192.88.99.1",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "v6 loopback": "::1",
    "v6 unspecified": "::",
    "v6 link-local": "fe80::1",
    "v6 link-local with a zone": "fe80::1%1",
    "v6 site-local": "fec0::1",
    "v6 private": "fd00:ec2::254",
    "v6 multicast": "ff02::1",
    "v6 documentation": "2001:db8::1",
    "v6 documentation, new": "3fff::1",
    "IPv4-mapped": "::ffff:127.0.0.1",
    "IPv4-mapped, open": "::ffff:8.8.8.8",
    "IPv4-translated": "::ffff:0:127.0.0.1",
    "IPv4-compatible": "::127.0.0.1",
    "NAT64": "64:ff9b::7f00:1",
    "NAT64, local": "64:ff9b:1::7f00:1",
    "6to4": "2002:7f00:1::",
    "Teredo": "2001:0:7f00:1::",
    "discarded": "100::1",
}

SPELLINGS = {
    "name": "localhost",
    "in capitals": "LOCALHOST",
    "decimal": "2130706433",
    "hexadecimal": "0x7f000001",
    "octal": "0177.0.0.1",
    "short": "127.1",
    "mixed": "0x7f.1",
    "metadata in decimal": "2852039166",
}


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_addresses_that_are_refused_as_they_stand(url):
    with pytest.raises(TargetError):
        parse_target(url, allow_http=False)


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_a_name_with_such_an_address_is_refused(address):
    target = parse_target("https://hook.example.org/", allow_http=False)

    for found in ([address], ["93.184.215.14", address], [address, "2600::1"]):
        with pytest.raises(TargetError, match="is not on the open internet"):
            open_addresses(target, (), lambda *_, found=found: found)


@pytest.mark.parametrize("host", SPELLINGS.values(), ids=SPELLINGS)
def test_other_spellings_are_looked_up_before_they_are_judged(host):
    target = parse_target(f"https://{host}/", allow_http=False)

    with pytest.raises(TargetError, match="is not on the open internet"):
        open_addresses(target, (), look_up)


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2600::1", "2a00::1"])
def test_what_is_open_is_open(address):
    assert is_open(ip_address(address))


def test_an_operator_may_allow_networks():
    allowed = parse_networks("10.0.0.0/8, fd00::/8,")

    assert is_open(ip_address("10.1.2.3"), allowed)
    assert is_open(ip_address("fd00::1"), allowed)
    assert not is_open(ip_address("127.0.0.1"), allowed)
    assert not is_open(ip_address("::ffff:10.1.2.3"), allowed)
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        parse_networks("10.0.0.1/8")


def test_a_plain_address_is_read_whole():
    target = parse_target("https://Hook.example.org:8443/a/b?c=d", allow_http=False)

    assert target == Target(
        is_tls=True, host="hook.example.org", port=8443, path="/a/b?c=d"
    )
    assert target.authority == "hook.example.org:8443"
    assert parse_target("http://h.example/", allow_http=True).authority == "h.example"
    six = parse_target("https://[2600::1]/", allow_http=False)
    assert (six.host, six.authority, six.path) == ("2600::1", "[2600::1]", "/")


def sent(url, delivery=DELIVERY, secret=None, *, context=None, **options):
    target = parse_target(url, allow_http=True)
    options = {"allowed": LOCAL, **options}
    send(target, secret or new_secret(), delivery, context=context, **options)


def test_what_is_sent_is_signed_the_way_the_standard_says():
    secret = new_secret()
    with running_receiver() as receiver:
        sent(receiver.url, secret=secret)

    ((headers, body),) = receiver.came
    named = {name.lower(): value for name, value in headers.items()}
    assert body == DELIVERY.body
    assert named["host"] == f"127.0.0.1:{receiver.port}"
    assert named["webhook-id"] == "id.1"
    timestamp = int(named["webhook-timestamp"])
    assert abs(timestamp - datetime.now(UTC).timestamp()) < 600
    assert named["webhook-signature"] == signature(secret, DELIVERY, timestamp)


def test_the_signature_is_that_of_other_programs():
    """The worked example of the Standard Webhooks specification's libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    delivery = Delivery("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')

    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}'
    digest = hmac.new(key, content, hashlib.sha256).digest()

    found = signature(secret, delivery, 1614265330)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert found == "v1," + base64.b64encode(digest).decode()


def test_a_name_is_looked_up_once_and_that_address_is_asked():
    """The second answer of a name that is rebound is never asked for."""
    asked = []

    def rebinding(host, port):
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.9"]

    with running_receiver() as receiver:
        url = f"http://rebound.example:{receiver.port}/"
        sent(url, look_up=rebinding)

    assert asked == [("rebound.example", receiver.port)]
    assert len(receiver.came) == 1


def test_redirects_are_not_followed():
    with running_receiver() as inner, running_receiver() as receiver:
        receiver.status = 307
        receiver.headers = {"Location": inner.url}
        with pytest.raises(ReceiverError, match="307; redirects are not followed"):
            sent(receiver.url)

    assert inner.came == []


def test_proxies_of_the_environment_are_not_asked(monkeypatch):
    with running_receiver() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        sent(receiver.url)

    assert len(receiver.came) == 1


@pytest.mark.parametrize("status", [400, 404, 410, 500, 503])
def test_what_is_not_taken_is_told(status):
    with running_receiver() as receiver:
        receiver.status = status
        with pytest.raises(ReceiverError, match=f"answered with status {status}"):
            sent(receiver.url)


def answering(data, *, forever=False):
    """A server that answers one connection with some bytes, and its URL."""
    server = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve():
        connection, _ = server.accept()
        with connection:
            connection.settimeout(60)
            connection.recv(65536)
            try:
                while True:
                    connection.sendall(data)
                    if not forever or ended.wait(0.02):
                        break
            except OSError:
                pass

    thread = threading.Thread(target=serve)
    thread.start()

    def end():
        ended.set()
        thread.join()
        server.close()

    return f"http://127.0.0.1:{server.getsockname()[1]}/", end


@pytest.mark.parametrize("data", [b"SSH-2.0-x\r\n", b"HTTP/1.1 xyz\r\n", b"x" * 9999])
def test_what_is_no_answer_is_not_taken(data):
    url, end = answering(data)
    try:
        with pytest.raises(ReceiverError, match=r"no HTTP/1\.1"):
            sent(url)
    finally:
        end()


def test_one_that_drips_does_not_get_more_time():
    url, end = answering(b"H", forever=True)
    try:
        with pytest.raises(ReceiverError, match=r"took too long|timed out"):
            sent(url, total_seconds=0.3)
    finally:
        end()


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(ReceiverError, match=r"127\.0\.0\.1: .*refused"):
        sent(f"http://127.0.0.1:{port}/")


def certificate(tmp_path, name):
    """Files of a certificate for a name, which signs itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, private = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain, private


@pytest.mark.parametrize("host", ["hook.example", "other.example"])
def test_the_certificate_is_held_against_the_name(tmp_path, host):
    chain, private = certificate(tmp_path, "hook.example")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(chain, private)
    trusting = ssl.create_default_context(cafile=str(chain))
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        plain, _ = server.accept()
        plain.settimeout(60)
        try:
            with serving.wrap_socket(plain, server_side=True) as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        except OSError:
            plain.close()

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"https://{host}:{server.getsockname()[1]}/"
    options = {"context": trusting, "look_up": lambda *_: ["127.0.0.1"]}
    try:
        if host == "hook.example":
            sent(url, **options)
        else:
            with pytest.raises(ReceiverError, match="certificate verify failed"):
                sent(url, **options)
    finally:
        thread.join()
        server.close()


def test_no_setting_is_needed_to_be_safe():
    with (
        running_receiver() as receiver,
        pytest.raises(TargetError, match=r"127\.0\.0\.1"),
    ):
        sent(receiver.url, allowed=())

    assert receiver.came == []
    assert sending.TOTAL_SECONDS <= 15
