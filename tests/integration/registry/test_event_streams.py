"""Events of one replica reach those who listen at another, and stopping loses nothing.

Real processes on one PostgreSQL database, real sockets.
"""

import threading
import time
from contextlib import ExitStack

import httpx
import pytest
from support.registry_app import app_registry
from support.registry_server import running_registry, stop
from support.replicas import client_of
from support.services import new_database
from support.versions import write_version

TIMEOUT = 120.0
EVENTS = "/v1/namespaces/acme/events"
YANK = "/v1/vectors/acme/refusal/versions/1.0.0/yank"
FIRST = 2
"""Events before the first that a test makes: the namespace and its version."""

TIMES = 5
"""How often each of two replicas yanks, and takes it back."""

STOP_SECONDS = 60
"""Much less than the replicas would wait for requests that go on."""


class Listener(threading.Thread):
    """Follows a stream until it has seen an event, wherever it may be answered.

    Args:
        urls: of replicas, asked in turn.
        until: position of the last event that is waited for.
    """

    def __init__(self, urls, until):
        super().__init__()
        self.urls = urls
        self.until = until
        self.ids = []
        self.streams = 0
        self.opened = threading.Event()
        self.error = None

    def run(self):
        deadline = time.monotonic() + TIMEOUT
        try:
            while not self.ids or self.ids[-1] < self.until:
                assert time.monotonic() < deadline, self.ids
                self.listen(self.urls[self.streams % len(self.urls)])
                self.streams += 1
        except Exception as error:  # noqa: BLE001 - told by the test
            self.error = error

    def listen(self, url):
        last = self.ids[-1] if self.ids else FIRST
        try:
            with httpx.stream(
                "GET",
                f"{url}{EVENTS}/stream",
                headers={"Last-Event-ID": str(last)},
                timeout=TIMEOUT,
                trust_env=False,
            ) as answer:
                assert answer.status_code == 200
                for line in answer.iter_lines():
                    self.opened.set()
                    if line.startswith("id:"):
                        self.ids.append(int(line[3:]))
                        if self.ids[-1] == self.until:
                            return
        except httpx.TransportError:
            time.sleep(0.1)


@pytest.fixture
def migrated_url(postgres_server, migrated_database):
    template = migrated_database.rpartition("/")[2]
    with new_database(postgres_server, template=template) as url:
        yield url


@pytest.fixture
def replicas(tmp_path, migrated_url):
    """Two replicas with one version, and a token that may yank it."""
    data = tmp_path / "data"
    with app_registry(data, database_url=migrated_url) as registry:
        published = registry.publish(write_version(tmp_path / "v"), tmp_path / "v")
        assert published.status_code == 201, published.text
        token = registry.token
    environment = {
        "SAFEGENE_REGISTRY_DATABASE_URL": migrated_url,
        "SAFEGENE_REGISTRY_SHUTDOWN_TIMEOUT": "PT10M",
    }
    with ExitStack() as stack:
        found = []
        for number in range(2):
            place = tmp_path / f"replica-{number}"
            place.mkdir()
            running = running_registry(place, data=data, environment=environment)
            found.append(stack.enter_context(running))
        yield found, token


def yank(replica, token):
    """Yank and take it back, some times: two events each."""
    with client_of(replica.url, token) as client:
        for _ in range(TIMES):
            hidden = client.put(YANK, json={"reason": "bad"})
            shown = client.delete(YANK)
            assert [hidden.status_code, shown.status_code] == [200, 200]


def finish(listeners):
    for listener in listeners:
        listener.join(TIMEOUT)
        assert not listener.is_alive()
        assert listener.error is None


def test_all_hear_of_everything_once_although_a_replica_stops(replicas):
    (first, second), token = replicas
    urls = [first.url, second.url]
    until = FIRST + 4 * TIMES
    listeners = [Listener(order, until) for order in (urls, urls[::-1]) * 3]
    for listener in listeners:
        listener.start()
    for listener in listeners:
        assert listener.opened.wait(TIMEOUT)

    yank(first, token)
    began = time.monotonic()
    code = stop(first.process)
    seconds = time.monotonic() - began
    yank(second, token)
    finish(listeners)

    assert code == 0
    assert seconds < STOP_SECONDS
    everything = list(range(FIRST + 1, until + 1))
    assert [listener.ids for listener in listeners] == [everything] * 6
    late = Listener([second.url], until)
    late.start()
    finish([late])
    assert late.ids == everything
    assert "Traceback" not in first.log.read_text(encoding="utf-8")
