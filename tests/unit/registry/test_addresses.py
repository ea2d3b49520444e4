"""Addresses: who is counted together, and where keys may come from."""

import pytest
from safegene_registry.addresses import address_key, is_acceptable


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:0:1::7", "20010db800000001/64"),
        ("2001:db8:0:1:ffff::", "20010db800000001/64"),
        ("2001:db8:0:2::7", "20010db800000002/64"),
        ("testclient", "testclient"),
        (None, "unknown"),
    ],
)
def test_an_address_is_counted_with_its_neighbours(host, key):
    assert address_key(host) == key


@pytest.mark.parametrize(
    ("url", "with_loopback", "without"),
    [
        ("https://issuer.example", True, True),
        ("https://issuer.example:8443/realm/a", True, True),
        ("http://127.0.0.1:8000", True, False),
        ("http://localhost/x", True, False),
        ("http://[::1]:80", True, False),
        ("http://issuer.example", False, False),
        ("http://127.0.0.1.evil.example", False, False),
        ("http://localhost@evil.example", False, False),
        ("https://user:secret@issuer.example", False, False),
        ("https://issuer.example#x", False, False),
        ("https://", False, False),
        ("https://issuer.example:99999", False, False),
        ("ftp://127.0.0.1", False, False),
        ("issuer.example", False, False),
    ],
)
def test_addresses_keys_may_come_from(url, with_loopback, without):
    assert is_acceptable(url, allow_loopback=True) is with_loopback
    assert is_acceptable(url, allow_loopback=False) is without
