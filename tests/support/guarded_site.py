"""A registry and what keeps its blobs, both behind networks that can stall.

Bytes of blobs pass through the registry, or between clients and an object store: it
depends on the kind of backend, and tests of interruptions need not know.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from safegene_registry.services import open_store
from safegene_registry.settings import Settings
from safegene_registry.storage import BlobStore
from support.backends import Parts, environment_of
from support.gated_proxy import GatedProxy, gated_proxy
from support.registry_server import RunningRegistry, running_registry
from support.stores import keys_of


@dataclass(frozen=True)
class Network:
    """The way between one client and a site."""

    url: str
    """What the client takes for the registry."""
    proxies: list[GatedProxy]
    """The last is the one that bytes of blobs pass."""

    def wait(self, seconds: float) -> bool:
        """Until bytes of a blob wait at the gate; False when none came."""
        return self.proxies[-1].reached.wait(seconds)

    def freeze(self) -> None:
        """Forward nothing any more."""
        for proxy in self.proxies:
            proxy.frozen.set()


@dataclass(frozen=True)
class GuardedSite:
    """A running registry, its store, and the proxy before that if clients go there."""

    registry: RunningRegistry
    store: BlobStore
    store_proxy: GatedProxy | None

    @contextmanager
    def network(self, **limits: int) -> Iterator[Network]:
        """A way that stalls once so many bytes of a blob have passed.

        Args:
            limits: `upward` or `downward`, as of a `GatedProxy`.
        """
        if self.store_proxy is None:
            with gated_proxy(self.registry.url, **limits) as proxy:
                yield Network(proxy.url, [proxy])
            return
        with gated_proxy(self.registry.url) as proxy:
            self.store_proxy.arm(**limits)
            self.store_proxy.received = 0
            yield Network(proxy.url, [proxy, self.store_proxy])
        self.store_proxy.disarm()

    def staged(self) -> set[PurePosixPath]:
        """What is in the staging area, whole or not."""
        return set(keys_of(self.store, "staging/"))


@contextmanager
def guarded_site(directory: Path, parts: Parts) -> Iterator[GuardedSite]:
    """Start a registry on these parts.

    Args:
        directory: an existing one, for its data.
        parts: where it keeps them, empty.
    """
    environment, proxy = environment_of(parts), None
    with ExitStack() as stack:
        if "s3_endpoint_url" in parts:
            proxy = stack.enter_context(gated_proxy(parts["s3_endpoint_url"]))
            environment["SAFEGENE_REGISTRY_S3_PUBLIC_ENDPOINT_URL"] = proxy.url
        registry = stack.enter_context(
            running_registry(directory, environment=environment)
        )
        store = open_store(Settings(data=registry.data, **parts))
        yield GuardedSite(registry, store, proxy)
