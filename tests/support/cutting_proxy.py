"""A TCP proxy that cuts connections in the middle of an answer, with real sockets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

CHUNK = 16 << 10


class CuttingProxy:
    """Forwards connections; the first ones only until much has come back.

    Args:
        upstream: URL of the real server.
        cuts: how many connections are cut.
        after: bytes of the answers of one after which it is.
    """

    def __init__(self, upstream: str, *, cuts: int, after: int) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._left = cuts
        self._after = after
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.cut = 0
        """Connections that were cut so far."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def run(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._upstream)
                for work in (self._up, self._down):
                    threading.Thread(target=work, args=(near, far), daemon=True).start()

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while chunk := near.recv(CHUNK):
                far.sendall(chunk)
        with suppress(OSError):
            far.shutdown(socket.SHUT_WR)

    def _down(self, near: socket.socket, far: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while chunk := far.recv(CHUNK):
                passed += len(chunk)
                if passed > self._after and self._may_cut():
                    break
                near.sendall(chunk)
        for each in (near, far):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _may_cut(self) -> bool:
        with self._lock:
            if self._left == 0:
                return False
            self._left -= 1
            self.cut += 1
            return True


@contextmanager
def cutting_proxy(upstream: str, *, cuts: int, after: int) -> Iterator[CuttingProxy]:
    """Run a proxy for the length of the block."""
    proxy = CuttingProxy(upstream, cuts=cuts, after=after)
    thread = threading.Thread(target=proxy.run, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join()
