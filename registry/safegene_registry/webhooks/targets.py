"""Which addresses a webhook may have, and which ones are really asked.

The registry stands inside a network where it may reach what strangers may not: cloud
metadata, databases, itself. So an owner's address is refused unless it lies on the open
internet. A name is looked up once for each attempt, every address that it has is looked
at, and the connection goes to the very address that was looked at: an answer that is
another one the next time ("DNS rebinding") is never asked for.
"""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

MAX_URL = 1024
HTTPS_PORT = 443
HTTP_PORT = 80
MAX_PORT = 65535

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

CLOSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8"),
        *("169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
"""Not on the open internet (IANA's registry of special-purpose addresses)."""

OPEN_V6 = IPv6Network("2000::/3")
"""All that is given out; what embeds an IPv4 address (mapped, NAT64) lies outside."""

CLOSED_V6 = tuple(
    IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
"""Within that: Teredo and other protocols, documentation, 6to4."""

PRINTABLE = range(0x21, 0x7F)


class TargetError(Exception):
    """An address that nothing is sent to; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a webhook sends to."""

    is_tls: bool
    host: str
    port: int
    path: str
    """With the query."""

    @property
    def authority(self) -> str:
        """For the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = HTTPS_PORT if self.is_tls else HTTP_PORT
        return host if self.port == default else f"{host}:{self.port}"


def parse_target(url: str, *, allow_http: bool) -> Target:
    """Read an address.

    Args:
        url: as the owner gave it.
        allow_http: whether it may do without TLS.

    Raises:
        TargetError: it is none that a webhook may have.
    """
    if len(url) > MAX_URL:
        message = f"expected at most {MAX_URL} characters, got {len(url)}"
        raise TargetError(message)
    # Programs differ in what they make of these: some hosts would have two readings.
    if any(ord(mark) not in PRINTABLE for mark in url) or "\\" in url:
        message = "expected printable ASCII without spaces and backslashes"
        raise TargetError(message)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise TargetError(str(error)) from error
    schemes = ("https", "http") if allow_http else ("https",)
    if parts.scheme not in schemes:
        message = f"expected {' or '.join(schemes)}, got {parts.scheme or 'no scheme'}"
        raise TargetError(message)
    if "@" in parts.netloc:
        message = "expected no user and no password; deliveries are signed"
        raise TargetError(message)
    if not parts.hostname or "%" in parts.netloc:
        message = "expected a host"
        raise TargetError(message)
    if parts.fragment:
        message = "expected no fragment"
        raise TargetError(message)
    is_tls = parts.scheme == "https"
    if port is None:
        port = HTTPS_PORT if is_tls else HTTP_PORT
    if not 0 < port <= MAX_PORT:
        message = f"expected a port up to {MAX_PORT}, got {port}"
        raise TargetError(message)
    path = parts.path or "/"
    return Target(
        is_tls,
        parts.hostname,
        port,
        f"{path}?{parts.query}" if parts.query else path,
    )


def parse_networks(text: str) -> tuple[Network, ...]:
    """Networks as settings list them, with commas.

    Raises:
        ValueError: one is none.
    """
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def is_open(address: Address, allowed: Sequence[Network] = ()) -> bool:
    """Whether something may be sent to an address.

    Args:
        address: that a name has.
        allowed: networks that the operator allows although they are not open.
    """
    if any(
        address.version == network.version and address in network for network in allowed
    ):
        return True
    if isinstance(address, IPv4Address):
        return not any(address in network for network in CLOSED_V4)
    return address in OPEN_V6 and not any(address in net for net in CLOSED_V6)


def check_literal(host: str, allowed: Sequence[Network]) -> None:
    """Tell owners at once where an address needs no look-up to be refused.

    Raises:
        TargetError: the host is an address that nothing is sent to.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return
    if not is_open(address, allowed):
        raise not_open(host, address)


def not_open(host: str, address: Address) -> TargetError:
    """The refusal."""
    return TargetError(f"{host} has {address}, which is not on the open internet")


def look_up(host: str, port: int) -> list[str]:
    """Every address that a name has now.

    Raises:
        TargetError: it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"{host} cannot be looked up: {error}"
        raise TargetError(message) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def open_addresses(
    target: Target,
    allowed: Sequence[Network],
    look_up: Callable[[str, int], list[str]] = look_up,
) -> list[Address]:
    """The addresses of a target, all of which may be asked.

    Raises:
        TargetError: one may not, or there is none.
    """
    found: list[Address] = []
    for text in look_up(target.host, target.port):
        try:
            address = ip_address(text)
        except ValueError as error:
            message = f"{target.host} has {text!r}, which is no address"
            raise TargetError(message) from error
        if not is_open(address, allowed):
            raise not_open(target.host, address)
        found.append(address)
    if not found:
        message = f"{target.host} has no address"
        raise TargetError(message)
    return found
