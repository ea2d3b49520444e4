"""The database restarts and the S3 server is down, under two replicas with work to do.

Every answer is the right one, or 503 with a time to wait; nothing is lost, and the
replicas recover by themselves. Real processes, and servers of the test's own.
"""

import random
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from safegene_client import Registry
from safegene_registry.db import Database
from safegene_registry.migrate import upgrade
from safegene_registry.postgresql import postgresql_url
from support.backends import environment_of
from support.registry_server import RunningRegistry, running_registry
from support.replicas import TIMEOUT, Patient, Publisher, client_of, shared_settings
from support.services import S3Server, new_bucket
from support.versions import write_version

from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import Manifest
from scripts.services.manage import down, service, up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SERVERS = ("postgres", "seaweedfs")
PUBLISHERS = 4
READERS = 2

PAUSE_SECONDS = 1
"""Between two versions of a publisher; the test looks at all of them at its end."""

DOWN_SECONDS = 20
"""How long the S3 server is away: longer than any client waits without being told."""


@dataclass
class Load:
    """Publishers and readers that go on until they are told to stop."""

    replicas: list[RunningRegistry]
    directory: Path
    published: list[tuple[Manifest, Path]] = field(default_factory=list)
    """What a replica has said to be published."""
    failures: list[BaseException] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    transports: list[Patient] = field(default_factory=list)

    def client(self, number: int) -> httpx.Client:
        """Of the replica whose turn it is."""
        replica = self.replicas[number % len(self.replicas)]
        transport = Patient(replica.url)
        self.transports.append(transport)
        return client_of(replica.url, replica.token, transport)

    def delays(self) -> int:
        """How often somebody was told to come back later."""
        return sum(transport.seen[503] for transport in self.transports)

    def publish(self, number: int) -> None:
        """Publish one version after the other, through either replica in turn."""
        with self.client(number) as one, self.client(number + 1) as other:
            version = 0
            while not self.over.is_set():
                place = self.directory / f"{number}-{version}"
                manifest = write_version(
                    place,
                    vector=f"acme/p{number}",
                    version=f"1.{version}.0",
                    seed=1000 * number + version,
                )
                client = one if version % 2 else other
                answer = Publisher(client, manifest, place).publish()
                assert answer.status_code in (200, 201), answer.text
                check_right(client, answer.json(), manifest, place)
                self.published.append((manifest, place))
                version += 1
                self.over.wait(PAUSE_SECONDS)

    def read(self, number: int) -> None:
        """Ask for what is there, and for what is not."""
        draw = random.Random(number)
        with self.client(number) as client:
            while not self.over.is_set():
                absent = client.get("/v1/vectors/acme/nothing/versions/1.0.0")
                assert absent.status_code == 404, absent.text
                stranger = client.get(
                    "/v1/whoami", headers={"Authorization": "Bearer sgt_nobody"}
                )
                assert stranger.status_code == 401, stranger.text
                if self.published:
                    check_published(client, *draw.choice(self.published))

    def must_go_on(self) -> None:
        """Wait until every publisher has published something more."""
        before = len(self.published)
        wanted = {f"p{number}" for number in range(PUBLISHERS)}
        deadline = time.monotonic() + TIMEOUT
        while wanted - {m.name for m, _ in self.published[before:]}:
            assert self.failures == []
            assert time.monotonic() < deadline, "the registry does not recover"
            time.sleep(0.1)


def check_right(client, told, manifest, place):
    """An answer about a version tells the truth, and its files are there."""
    assert told["digest"] == str(manifest.digest)
    assert len(told["files"]) == len(manifest.files)
    for file in told["files"]:
        data = client.get(file["url"]).content
        assert str(digest_bytes(data)) == file["digest"]
        assert data == (place / file["path"]).read_bytes()


def check_published(client, manifest, place):
    """What was published once is there, whole."""
    url = f"/v1/vectors/{manifest.vector}/versions/{manifest.version}"
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    check_right(client, answer.json(), manifest, place)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Where they are, which may be stopped and started."""
    directory = tmp_path_factory.mktemp("servers")
    up(SERVERS, directory)
    yield directory
    down(SERVERS, directory, wipe=True)


@pytest.fixture(scope="module")
def replicas(servers, tmp_path_factory):
    url = service("postgres", servers).environment()["SAFEGENE_TEST_DATABASE_URL"]
    found = service("seaweedfs", servers).environment()
    server = S3Server(
        found["SAFEGENE_TEST_S3_ENDPOINT"],
        found["AWS_ACCESS_KEY_ID"],
        found["AWS_SECRET_ACCESS_KEY"],
    )
    database = Database(postgresql_url(url))
    upgrade(database)
    database.dispose()
    with ExitStack() as stack:
        bucket = stack.enter_context(new_bucket(server))
        environment = environment_of(shared_settings(url, bucket))
        yield [
            stack.enter_context(
                running_registry(
                    tmp_path_factory.mktemp("replica"), environment=environment
                )
            )
            for _ in range(2)
        ]


@contextmanager
def working(replicas, directory):
    """Publishers and readers, for the length of the block."""
    load = Load(replicas, directory)

    def unless_it_fails(work, number):
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - told by the test
            load.failures.append(error)

    threads = [
        threading.Thread(target=unless_it_fails, args=(work, number))
        for work, count in ((load.publish, PUBLISHERS), (load.read, READERS))
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.over.set()
        for thread in threads:
            thread.join()


def unready_parts(replica):
    """What a replica says that is wrong with its parts."""
    answer = httpx.get(f"{replica.url}/readyz", timeout=TIMEOUT)
    assert answer.status_code in (200, 503)
    return [fault["pointer"] for fault in answer.json().get("errors", [])]


def check_everything(replicas, load):
    """Nothing is lost, and both replicas are the processes that they were."""
    assert load.failures == []
    for number, replica in enumerate(replicas):
        assert replica.process.poll() is None
        assert unready_parts(replica) == []
        with Registry(replica.url, cache=load.directory / "cache") as registry:
            for at in range(PUBLISHERS):
                mine = [m for m, _ in load.published if m.name == f"p{at}"]
                found = registry.describe(f"acme/p{at}")
                assert found.version_count == len(mine)
                told = {each.version: each.digest for each in found.versions}
                assert told == {m.version: str(m.digest) for m in mine}
        with client_of(replica.url, replica.token) as client:
            for manifest, place in load.published[number::2]:
                check_published(client, manifest, place)


def test_outages_under_load_lose_nothing(servers, replicas, tmp_path):
    """A restart of the database, its death, and the S3 server away for a while."""
    with working(replicas, tmp_path) as load:
        load.must_go_on()
        for kill in (False, True):
            service("postgres", servers).stop(kill=kill)
            time.sleep(2)
            assert [unready_parts(each) for each in replicas] == [
                ["/parts/database"]
            ] * 2
            up(["postgres"], servers)
            load.must_go_on()
        without_database = load.delays()

        service("seaweedfs", servers).stop(kill=True)
        time.sleep(DOWN_SECONDS)
        for each in replicas:
            assert unready_parts(each) == ["/parts/store"]
        up(["seaweedfs"], servers)
        load.must_go_on()

    assert 0 < without_database < load.delays()
    check_everything(replicas, load)
