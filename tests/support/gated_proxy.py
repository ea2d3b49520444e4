"""A TCP proxy that stops in the middle: a network that stalls, with real sockets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

CHUNK = 16 << 10


class GatedProxy:
    """Forwards connections; those that carry much wait at the gate.

    Args:
        upstream: URL of the real server.
        upward: bytes a connection may send to the server before it waits.
        downward: bytes it may receive before it waits.
    """

    def __init__(
        self, upstream: str, *, upward: int | None = None, downward: int | None = None
    ) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.frozen = threading.Event()
        """While set, nothing at all is forwarded."""
        self.received = 0
        """Bytes that came back from the server."""
        self.arm(upward=upward, downward=downward)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def arm(self, *, upward: int | None = None, downward: int | None = None) -> None:
        """Set the limits of connections that come from now on."""
        self._limits = {"up": upward, "down": downward}
        self._gate = threading.Event()
        self.reached = threading.Event()
        """Set when a connection waits at the gate."""

    def disarm(self) -> None:
        """Cut every connection, and let pass those that come from now on."""
        sockets, self._sockets = self._sockets, []
        close(sockets)
        self.frozen.clear()
        self._gate.set()
        self.arm()

    def run(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._upstream)
                self._sockets += [near, far]
                for source, target, way in ((near, far, "up"), (far, near, "down")):
                    threading.Thread(
                        target=self._forward, args=(source, target, way), daemon=True
                    ).start()

    def stop(self) -> None:
        close([self._listener])
        self.disarm()

    def _forward(self, source: socket.socket, target: socket.socket, way: str) -> None:
        limit, passed, gate = self._limits[way], 0, self._gate
        with suppress(OSError):
            while chunk := source.recv(CHUNK):
                while self.frozen.is_set():
                    gate.wait(0.01)
                passed += len(chunk)
                if limit is not None and passed > limit:
                    self.reached.set()
                    gate.wait()
                if way == "down":
                    self.received += len(chunk)
                target.sendall(chunk)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def close(sockets: list[socket.socket]) -> None:
    """Close them; only a shutdown wakes a thread that waits in accept or recv."""
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextmanager
def gated_proxy(upstream: str, **limits: int) -> Iterator[GatedProxy]:
    """Run a proxy for the length of the block."""
    proxy = GatedProxy(upstream, **limits)
    thread = threading.Thread(target=proxy.run, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join()
