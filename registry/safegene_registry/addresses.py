"""Network addresses: whose they are, and whether they may be asked."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})

NETWORK_BITS = 64
"""One subscriber has a whole network of IPv6 addresses of this prefix to ask from."""


def is_acceptable(url: str, *, allow_loopback: bool) -> bool:
    """Whether keys may come from there: HTTPS, or this very machine if allowed."""
    try:
        parts = urlsplit(url)
        # Reading the port is what checks it.
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username or parts.password or parts.fragment:
        return False
    if parts.scheme == "https":
        return True
    return parts.scheme == "http" and allow_loopback and host in LOOPBACK_HOSTS


@lru_cache(maxsize=1024)
def address_key(host: str | None) -> str:
    """What an address is counted under."""
    try:
        address = ip_address(host or "")
    except ValueError:
        return host or "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    network = int(address) >> (address.max_prefixlen - NETWORK_BITS)
    return f"{network:x}/{NETWORK_BITS}"
