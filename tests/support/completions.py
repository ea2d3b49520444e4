"""Versions that are verified in the background, halted and watched."""

import dataclasses
import threading
from typing import Any

from safegene_registry.storage import BlobStore
from support.registry_app import AppRegistry
from support.stores import Faulty
from support.waiting import SECONDS, wait_until

from safegene.artifact.digest import Digest


class GatedStore(Faulty):
    """Reads of final blobs wait until they may go on."""

    def __init__(self, store: BlobStore) -> None:
        super().__init__(store)
        self.reading, self.gate = threading.Event(), threading.Event()

    def open(self, digest: Digest, *, start: int = 0) -> Any:
        """Read a little later."""
        self.reading.set()
        self.gate.wait(SECONDS)
        return self.inner.open(digest, start=start)


def with_store(registry: AppRegistry, store: Any) -> None:
    """Have the registry use another store from now on."""
    services = dataclasses.replace(registry.services, store=store)
    registry.app.state.services = services


def look(registry: AppRegistry, upload: dict[str, Any]) -> dict[str, Any]:
    """What an upload has become."""
    url = f"/v1/uploads/{upload['id']}"
    told: dict[str, Any] = registry.client.get(url, headers=registry.auth).json()
    return told


def wait(registry: AppRegistry, upload: dict[str, Any]) -> dict[str, Any]:
    """Look until the verification has ended; the upload then."""
    wait_until(lambda: look(registry, upload)["state"] != "completing")
    return look(registry, upload)
