"""What every test gets: one thread, no network, shapes checked at run time."""

import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

# Read when torch, tokenizers and huggingface_hub are imported, hence before any import
# of ours; tests share few cores and must not depend on a network.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

from jaxtyping import install_import_hook

SHAPE_CHECKED = (
    *("attach", "chat", "checkpoint", "compression", "extract", "factors", "merge"),
    *("import_lora", "lora_adapter", "pair", "peft_format", "randomized", "select"),
    *("targets", "update", "vector"),
)
"""Modules whose annotations, shapes included, are checked in every call."""

# In this order: the second uses the first, and pytest rewrites what it loads itself.
pytest_plugins = ["support.services", "support.backends"]

install_import_hook(
    [f"safegene.vectors.{name}" for name in SHAPE_CHECKED], "beartype.beartype"
)


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """Refuse connections that leave the machine, so that a test cannot need them.

    A server that the environment names for the tests is let through.
    """
    from support.services import named_addresses

    connect = socket.socket.connect
    named = named_addresses()

    def guarded(self: socket.socket, address: object) -> None:
        inet = self.family in (socket.AF_INET, socket.AF_INET6)
        if inet and not _is_local(address) and _host(address) not in named:
            message = f"a test tried to reach {address}; only loopback is allowed"
            raise ConnectionRefusedError(message)
        connect(self, address)

    socket.socket.connect = guarded
    yield
    socket.socket.connect = connect


def _host(address: object) -> str:
    return str(address[0]) if isinstance(address, tuple) else ""


def _is_local(address: object) -> bool:
    host = _host(address)
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
