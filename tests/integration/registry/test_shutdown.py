"""A replica stops in good order: a real process, real sockets, slow transfers."""

import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest
from safegene_registry.routes.media import MANIFEST_MEDIA_TYPE
from support.registry_app import app_registry
from support.registry_server import running_registry
from support.versions import llama_config, write_version
from support.waiting import wait_until

from safegene.artifact.manifest import TENSORS_NAME

FILE_URL = f"/v1/vectors/acme/refusal/versions/1.0.0/files/{TENSORS_NAME}"
LARGE = {"config": llama_config(layers=6, hidden=2048), "rank": 64}
"""Some megabytes, more than sockets hold while nobody reads."""


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A data directory with a version in it, and its tensor file's size."""
    root = tmp_path_factory.mktemp("published")
    manifest = write_version(root / "v", **LARGE)
    with app_registry(root / "data") as registry:
        registry.publish(manifest, root / "v")
    return root, manifest.file(TENSORS_NAME).size


@contextmanager
def replica(published, **settings):
    root, _ = published
    named = {f"SAFEGENE_REGISTRY_{name.upper()}": v for name, v in settings.items()}
    with running_registry(root, environment=named) as registry:
        yield registry


class SlowDownload:
    """A download that stands still after the headers until it is read on."""

    def __init__(self, url):
        where = urlsplit(url)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect((where.hostname, where.port))
        self.socket.settimeout(60)
        request = f"GET {FILE_URL} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n"
        self.socket.sendall(request.encode())
        self.stream = self.socket.makefile("rb")
        assert b" 200 " in self.stream.readline()
        while self.stream.readline() != b"\r\n":
            pass

    def rest(self):
        """How many bytes come before the end of the connection."""
        read = 0
        try:
            while chunk := self.stream.read(1 << 20):
                read += len(chunk)
        except ConnectionError:
            pass
        finally:
            self.stream.close()
            self.socket.close()
        return read


def is_refused(url):
    try:
        httpx.get(f"{url}/healthz", timeout=5)
    except httpx.ConnectError:
        return True
    return False


def test_readiness_turns_first_and_requests_are_still_served(published):
    """In the drain delay `/readyz` says 503 on a replica that answers everything."""
    with replica(published, drain_delay="PT3S") as registry:
        registry.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        wait_until(lambda: httpx.get(f"{registry.url}/readyz").status_code == 503)
        problem = httpx.get(f"{registry.url}/readyz").json()
        served = httpx.get(f"{registry.url}{FILE_URL}").status_code

        assert registry.process.wait(60) == 0

    assert time.monotonic() - begin > 2.5
    assert problem["errors"][0]["pointer"] == "/parts/process"
    assert served == 200
    assert "server_draining" in registry.log.read_text(encoding="utf-8")


def test_a_download_under_way_is_ended_and_nothing_new_is_accepted(published):
    """After SIGTERM a client that reads slowly still gets every byte."""
    _, size = published
    with replica(published) as registry:
        download = SlowDownload(registry.url)
        registry.process.send_signal(signal.SIGTERM)
        wait_until(lambda: is_refused(registry.url))
        assert registry.process.poll() is None

        received = download.rest()

        assert registry.process.wait(60) == 0
    assert received == size


class SlowUpload:
    """A blob of a new version that is being sent, and stands still before its end."""

    def __init__(self, registry, directory):
        manifest = write_version(directory, version="2.0.0", seed=2, **LARGE)
        auth = {"Authorization": f"Bearer {registry.token}"}
        uploads = f"{registry.url}/v1/uploads"
        opened = httpx.post(
            uploads,
            content=manifest.to_bytes(),
            headers={**auth, "Content-Type": MANIFEST_MEDIA_TYPE},
        )
        self.url = f"{uploads}/{opened.json()['id']}"
        self.headers, self.digest = auth, manifest.file(TENSORS_NAME).digest
        self.hex = self.digest.removeprefix("sha256:")
        self.data = (directory / TENSORS_NAME).read_bytes()
        self.may_end = threading.Event()

    def send(self):
        """Send it; the status."""
        url = f"{self.url}/blobs/{self.digest}"
        headers = {**self.headers, "Content-Length": str(len(self.data))}
        return httpx.put(url, content=self.chunks(), headers=headers, timeout=300)

    def chunks(self):
        middle = len(self.data) // 2
        yield self.data[:middle]
        assert self.may_end.wait(120)
        yield self.data[middle:]

    def is_present(self, url):
        """Whether another process knows the blob as received."""
        path = urlsplit(self.url).path
        found = httpx.get(f"{url}{path}", headers=self.headers).json()
        blob = next(b for b in found["blobs"] if b["digest"] == self.digest)
        return blob["state"] == "present"


def test_an_upload_under_way_is_ended_and_not_lost(published, tmp_path):
    """After SIGTERM the rest of a blob is taken, and the next process has it."""
    with replica(published) as registry, ThreadPoolExecutor(1) as sender:
        upload = SlowUpload(registry, tmp_path / "v2")
        sending = sender.submit(upload.send)
        wait_until(lambda: any(registry.data.glob(f"staging/*/{upload.hex}*")))
        registry.process.send_signal(signal.SIGTERM)
        wait_until(lambda: is_refused(registry.url))
        assert registry.process.poll() is None

        upload.may_end.set()

        assert sending.result().status_code == 204
        assert registry.process.wait(60) == 0
    with replica(published) as registry:
        assert upload.is_present(registry.url)


def test_a_download_that_takes_too_long_is_cut_off(published):
    """A client that never reads on holds the process no longer than the time-out."""
    _, size = published
    with replica(published, shutdown_timeout="PT2S") as registry:
        download = SlowDownload(registry.url)
        registry.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()

        assert registry.process.wait(60) == 0

        assert 1.5 < time.monotonic() - begin < 20
        assert download.rest() < size


def test_a_second_signal_ends_the_drain_delay(published):
    with replica(published, drain_delay="PT10M") as registry:
        registry.process.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{registry.url}/readyz").status_code == 503)

        registry.process.send_signal(signal.SIGTERM)

        assert registry.process.wait(60) == 0
