"""Files that go past the program: over real connections, in ranges, cut off."""

import os
import select
import socket
from contextlib import closing, contextmanager
from threading import Event, Thread

import httpx
import pytest
import uvicorn
from safegene_registry.file_response import EXTENSION, FileResponse
from safegene_registry.metrics import Metrics
from safegene_registry.middleware import RequestMiddleware
from safegene_registry.zero_copy import PIECE_BYTES, ZeroCopyProtocol

SIZE = PIECE_BYTES + 12345
"""More than one piece."""


class Application:
    """Serves `start` to `stop` of a file, and remembers what became of it."""

    def __init__(self, path):
        self.path = path
        self.span = (0, SIZE)
        self.promised = None
        self.ended = Event()
        self.offered = None
        self.open_first = False
        self.error = None

    @contextmanager
    def opened(self):
        with self.path.open("rb") as file:
            yield file
        self.ended.set()

    async def __call__(self, scope, receive, send):
        self.offered = EXTENSION in scope.get("extensions", {})
        start, stop = self.span
        headers = {"Content-Length": str(self.promised or stop - start)}
        try:
            answer = FileResponse(
                self.opened(),
                start,
                stop,
                status_code=200,
                headers=headers,
                media_type="application/octet-stream",
            )
            if self.open_first:
                answer.open()
            await answer(scope, receive, send)
        except BaseException as error:
            self.error = error
            raise


@contextmanager
def served(app, protocol=ZeroCopyProtocol):
    """The address of an application that a real server runs."""
    config = uvicorn.Config(
        app, http=protocol, lifespan="off", ws="none", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def connected(url):
    """A connection, for what no client would send."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        yield connection


@pytest.fixture
def data():
    return os.urandom(SIZE)


@pytest.fixture
def app(tmp_path, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    return Application(path)


@pytest.fixture
def client():
    with httpx.Client(trust_env=False, timeout=120) as client:
        yield client


@pytest.mark.parametrize("protocol", [ZeroCopyProtocol, "httptools", "h11"])
def test_whole_files_and_ranges_come_over_one_connection(app, data, client, protocol):
    spans = [(0, SIZE), (0, 1), (5, PIECE_BYTES + 9), (SIZE - 1, SIZE), (7, 7)]
    found = []

    with served(app, protocol) as url:
        for app.span in spans:
            found.append(client.get(url))

    assert [answer.content for answer in found] == [data[a:b] for a, b in spans]
    assert app.offered is (protocol is ZeroCopyProtocol)
    streams = {id(answer.extensions["network_stream"]) for answer in found}
    assert len(streams) == 1


def test_a_file_that_is_not_in_memory_is_read_first(app, data, client):
    with app.path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, SIZE, os.POSIX_FADV_DONTNEED)

    with served(app) as url:
        assert client.get(url).content == data


def test_a_file_that_is_too_short_breaks_the_connection(app, client):
    os.truncate(app.path, SIZE - 3)

    with served(app) as url, pytest.raises(httpx.RemoteProtocolError):
        client.get(url)

    assert isinstance(app.error, EOFError)


def test_who_leaves_in_the_middle_disturbs_nobody(app, data, client):
    with served(app) as url:
        with connected(url) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: any\r\n\r\n")
            connection.recv(1000)
        assert app.ended.wait(120)

        assert client.get(url).content == data
    assert app.error is None


def test_a_file_may_have_been_opened_before(app, data, client):
    """By who is in a thread already; it is closed as ever."""
    app.open_first = True

    with served(app) as url:
        assert client.get(url).content == data

    assert app.ended.is_set()


def test_what_cannot_be_opened_is_no_half_answer(app, client):
    app.path.unlink()

    with served(app) as url:
        assert client.get(url).status_code == 500


def test_more_than_was_promised_is_not_sent(app, client):
    app.promised = 5

    with served(app) as url, pytest.raises(httpx.RemoteProtocolError):
        client.get(url)

    assert "expected 5 bytes by Content-Length" in str(app.error)


def test_requests_in_a_row_get_their_answers_in_a_row(app, data):
    """The second one is there before the first is answered."""
    request = b"GET / HTTP/1.1\r\nHost: any\r\n"

    with served(app) as url, connected(url) as connection:
        connection.sendall(request + b"\r\n" + request + b"Connection: close\r\n\r\n")
        with connection.makefile("rb") as stream:
            received = stream.read()

    first, second = received.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert first.endswith(b"\r\n\r\n" + data)
    assert second.endswith(b"\r\n\r\n" + data)


@pytest.mark.parametrize(("size", "status"), [(60_000, 200), (70_000, 400)])
def test_a_head_may_have_64_kib(app, client, size, status):
    with served(app) as url:
        assert client.get(url, headers={"X": "a" * size}).status_code == status


ENDLESS = {
    "header": (b"GET / HTTP/1.1\r\nX: ", b"a"),
    "target": (b"GET /", b"a"),
    "headers": (b"GET / HTTP/1.1\r\n", b"a: b\r\n"),
    "nothing": (b"", b"\r\n"),
    "trailer": (
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
        b"a",
    ),
}
"""What would fill the memory: how it begins, and how it goes on."""
ROUNDS = 400


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_head_ends_or_the_connection_does(app, kind):
    app.span = (0, 1)
    start, more = ENDLESS[kind]
    rounds = 0

    with served(app) as url, connected(url) as connection:
        connection.sendall(start)
        try:
            while rounds < ROUNDS:
                connection.sendall(more * 10_000)
                rounds += 1
                # What is answered to a request before its trailers does not end it.
                readable, _, _ = select.select([connection], [], [], 0)
                if readable and not connection.recv(10_000):
                    break
        except ConnectionError:
            pass

    assert rounds < ROUNDS


def test_bytes_that_go_past_the_program_are_counted(app, client):
    metrics = Metrics()

    with served(RequestMiddleware(app, metrics)) as url:
        client.get(url)

    labels = {"route": "unmatched", "method": "GET"}
    name = "safegene_registry_sent_bytes_total"
    assert metrics.registry.get_sample_value(name, labels) == SIZE
