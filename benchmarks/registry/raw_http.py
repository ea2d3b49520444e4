"""A client that costs next to nothing, so that what is measured is the server."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader
from threading import Thread
from typing import Self, cast
from urllib.parse import urlsplit

BUFFER_BYTES = 1 << 20


class AnswerError(Exception):
    """A server answered something else than was asked for."""


@dataclass(frozen=True)
class Answer:
    """What came: the status and the body, or only how long that was."""

    status: int
    size: int
    body: bytes


class Connection:
    """One connection that is kept.

    Args:
        url: any address of the server.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host = parts.netloc
        self.socket = socket.create_connection((parts.hostname, parts.port), 60)
        made = self.socket.makefile("rb", BUFFER_BYTES)
        self.stream = cast("BufferedReader", made)
        self.buffer = memoryview(bytearray(BUFFER_BYTES))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stream.close()
        self.socket.close()

    def get(
        self, target: str, *, span: tuple[int, int] | None = None, keep: bool = False
    ) -> Answer:
        """GET a path with its query.

        Args:
            target: path and query.
            span: first byte and the one after the last, where not all is wanted.
            keep: the body, too, and not only its length.

        Raises:
            AnswerError: the answer is none of 200 and 206.
        """
        lines = [f"GET {target} HTTP/1.1", f"Host: {self.host}"]
        if span is not None:
            lines.append(f"Range: bytes={span[0]}-{span[1] - 1}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        status, size = self._head()
        if status not in (200, 206):
            message = f"{self.host}{target}: {status} {self.stream.read(size)!r}"
            raise AnswerError(message)
        return Answer(status, size, self._body(size, keep=keep))

    def _head(self) -> tuple[int, int]:
        status = int(self.stream.readline().split()[1])
        size = 0
        while (line := self.stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                size = int(value)
        return status, size

    def _body(self, size: int, *, keep: bool) -> bytes:
        if keep:
            return self.stream.read(size)
        left = size
        while left:
            count = self.stream.readinto(self.buffer[:left])
            if not count:
                message = f"{self.host}: the connection ended {left} bytes early"
                raise AnswerError(message)
            left -= count
        return b""


def get_many(url: str, targets: Sequence[str], *, connections: int) -> None:
    """GET each target once, some at a time, each of them over kept connections.

    Raises:
        AnswerError: an answer is none of 200.
    """
    faults: list[BaseException] = []

    def work(mine: Sequence[str]) -> None:
        try:
            with Connection(url) as connection:
                for target in mine:
                    connection.get(target)
        except BaseException as fault:  # noqa: BLE001 - raised below
            faults.append(fault)

    threads = [
        Thread(target=work, args=(targets[number::connections],))
        for number in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
