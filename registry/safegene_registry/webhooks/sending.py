"""Sending one delivery: a signed POST to an address that was looked at.

By hand and not with an HTTP client: those look names up by themselves, follow
redirects, ask the environment for proxies and wait anew for every byte. Nothing of the
answer is read but its first line.
"""

import base64
import hmac
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from safegene import __version__
from safegene_registry.webhooks.targets import (
    Address,
    Network,
    Target,
    look_up,
    open_addresses,
)

SECRET_PREFIX = "whsec_"  # noqa: S105 - a public prefix
SECRET_BYTES = 32

TOTAL_SECONDS = 15.0
"""All that a receiver gets, from the look-up to the first line of its answer."""

MAX_LINE = 1024
"""Of the answer."""

SUCCESS, REDIRECTS = range(200, 300), range(300, 400)


class ReceiverError(Exception):
    """A delivery that was not taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is sent."""

    id: str
    """The same whenever it is sent again."""
    body: bytes


def new_secret() -> str:
    """A secret that two sides share."""
    key = base64.b64encode(secrets.token_bytes(SECRET_BYTES))
    return SECRET_PREFIX + key.decode()


def signature(secret: str, delivery: Delivery, timestamp: int) -> str:
    """What proves that the registry has sent a delivery, as Standard Webhooks has it.

    Args:
        secret: of `new_secret`.
        delivery: what is sent.
        timestamp: when, in whole seconds.
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{delivery.id}.{timestamp}.".encode() + delivery.body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def request_bytes(target: Target, secret: str, delivery: Delivery, now: int) -> bytes:
    """The request as it goes over the wire."""
    head = (
        f"POST {target.path} HTTP/1.1",
        f"Host: {target.authority}",
        f"User-Agent: safegene-registry/{__version__}",
        "Content-Type: application/json",
        f"Content-Length: {len(delivery.body)}",
        f"webhook-id: {delivery.id}",
        f"webhook-timestamp: {now}",
        f"webhook-signature: {signature(secret, delivery, now)}",
        "Connection: close",
    )
    return "\r\n".join((*head, "", "")).encode() + delivery.body


def send(
    target: Target,
    secret: str,
    delivery: Delivery,
    *,
    allowed: Sequence[Network],
    context: ssl.SSLContext | None = None,
    total_seconds: float = TOTAL_SECONDS,
    look_up: Callable[[str, int], list[str]] = look_up,
) -> None:
    """Send a delivery and have it taken.

    Args:
        target: where to.
        secret: to sign with.
        delivery: what.
        allowed: networks beside the open internet.
        context: of TLS; None: as the operating system trusts.
        total_seconds: all that there is.
        look_up: finds the addresses of a name.

    Raises:
        ReceiverError: it was not taken.
        TargetError: there is nothing that may be asked.
    """
    deadline = time.monotonic() + total_seconds
    addresses = open_addresses(target, allowed, look_up)
    request = request_bytes(target, secret, delivery, int(time.time()))
    try:
        with connected(target, addresses, context, deadline) as connection:
            connection.settimeout(left(deadline))
            connection.sendall(request)
            line = first_line(connection, deadline)
    except (OSError, ValueError) as error:
        message = f"{target.host}: {error or type(error).__name__}"
        raise ReceiverError(message) from error
    status = status_of(line)
    if status not in SUCCESS:
        told = f"status {status}" if status else "no HTTP/1.1"
        moved = "; redirects are not followed" if status in REDIRECTS else ""
        message = f"{target.host} answered with {told}{moved}"
        raise ReceiverError(message)


def connected(
    target: Target,
    addresses: Sequence[Address],
    context: ssl.SSLContext | None,
    deadline: float,
) -> socket.socket:
    """A connection to the first of the addresses that answers; the last one's error."""
    for number, address in enumerate(addresses, start=1):
        try:
            plain = socket.create_connection(
                (str(address), target.port), timeout=left(deadline)
            )
        except OSError:
            if number == len(addresses):
                raise
        else:
            break
    if not target.is_tls:
        return plain
    try:
        plain.settimeout(left(deadline))
        secure = context or ssl.create_default_context()
        # The certificate is held against the name, whatever address it had.
        return secure.wrap_socket(plain, server_hostname=target.host)
    except BaseException:
        plain.close()
        raise


def first_line(connection: socket.socket, deadline: float) -> bytes:
    """The first line of an answer, or what comes of it."""
    got = b""
    while b"\n" not in got and len(got) < MAX_LINE:
        connection.settimeout(left(deadline))
        piece = connection.recv(MAX_LINE)
        if not piece:
            break
        got += piece
    return got.partition(b"\n")[0]


def status_of(line: bytes) -> int:
    """The status that an answer's first line tells; 0: it tells none."""
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    return int(code) if version.startswith(b"HTTP/1.") and code.isdigit() else 0


def left(deadline: float) -> float:
    """Seconds that are left.

    Raises:
        TimeoutError: none.
    """
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        message = "took too long"
        raise TimeoutError(message)
    return seconds
