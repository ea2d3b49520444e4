"""A database that keeps throwing everybody out: 503 or the right answer, no loss."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safegene_registry.db import Database
from safegene_registry.migrate import upgrade
from safegene_registry.postgresql import postgresql_url
from sqlalchemy import text
from support.registry_app import MANIFEST_MEDIA_TYPE, AppRegistry, app_registry
from support.services import new_database
from support.versions import write_version

from safegene.artifact.digest import digest_bytes
from scripts.services.manage import down, service, up

PUBLISHERS = 4
VERSIONS = 3
"""Published by each of them."""

THROW_OUT = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class Caller:
    """Sends each request again as long as it is told to, and remembers the answers."""

    def __init__(self, registry: AppRegistry) -> None:
        self.registry = registry
        self.seen: Counter[int] = Counter()

    def __call__(self, method: str, url: str, **options: Any) -> Any:
        headers = {**self.registry.auth, **options.pop("headers", {})}
        while True:
            answer = self.registry.client.request(
                method, url, headers=headers, **options
            )
            self.seen[answer.status_code] += 1
            if answer.status_code != 503:
                return answer
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.json()["type"].endswith("/problems/storage-unavailable")
            time.sleep(0.02)

    def publish(self, manifest, directory) -> Any:
        opened = self(
            "POST",
            "/v1/uploads",
            content=manifest.to_bytes(),
            headers={"Content-Type": MANIFEST_MEDIA_TYPE},
        )
        assert opened.status_code == 201, opened.text
        names = {entry.digest: entry.path for entry in manifest.files}
        for blob in opened.json()["blobs"]:
            if blob["state"] == "missing":
                data = (directory / names[blob["digest"]]).read_bytes()
                assert self("PUT", blob["url"], content=data).status_code == 204
        return self("POST", f"/v1/uploads/{opened.json()['id']}/complete")


class ThrowOut:
    """Closes every connection again and again, as if the server restarted at once."""

    def __init__(self, url: str) -> None:
        self.database = Database(postgresql_url(url))

    def __call__(self) -> None:
        """Once."""
        with self.database.writing() as session:
            session.execute(THROW_OUT)
        time.sleep(0.15)


class Restart:
    """Stops a server, leaves it stopped for a while, and starts it again."""

    def __init__(self, directory: Path, *, kill: bool) -> None:
        self.directory = directory
        self.kill = kill

    def __call__(self) -> None:
        """Once."""
        service("postgres", self.directory).stop(kill=self.kill)
        time.sleep(1)
        up(["postgres"], self.directory)
        time.sleep(2)


@contextmanager
def again_and_again(trouble: Callable[[], None], *, times: int) -> Iterator[None]:
    """Makes trouble from now on, so often; less often if the context ends before.

    Not for ever: on a busy machine nobody would get anything done in between.
    """
    ended = threading.Event()

    def make() -> None:
        for _ in range(times):
            trouble()
            if ended.is_set():
                return

    thread = threading.Thread(target=make)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def publish_and_read(registry: AppRegistry, directory: Path) -> Counter[int]:
    """Many publishers and a reader at once; the status codes they saw.

    Whatever happens to the database meanwhile, each of them gets the right answer in
    the end, and everything that was published is there.
    """
    versions = {
        (number, minor): write_version(
            directory / f"{number}-{minor}",
            vector=f"acme/p{number}",
            version=f"1.{minor}.0",
            seed=10 * number + minor,
        )
        for number in range(PUBLISHERS)
        for minor in range(VERSIONS)
    }
    call, answers, ended = Caller(registry), {}, threading.Event()

    def publish(number: int) -> None:
        for minor in range(VERSIONS):
            place = directory / f"{number}-{minor}"
            answers[number, minor] = call.publish(versions[number, minor], place)

    def read() -> None:
        while not ended.is_set():
            answer = call("GET", "/v1/vectors/acme/p0/resolve")
            assert answer.status_code in (200, 404)

    publishers = [
        threading.Thread(target=publish, args=(n,)) for n in range(PUBLISHERS)
    ]
    reader = threading.Thread(target=read)
    for thread in (*publishers, reader):
        thread.start()
    for thread in publishers:
        thread.join()
    ended.set()
    reader.join()

    assert answers.keys() == versions.keys()
    for which, manifest in versions.items():
        assert answers[which].status_code in (200, 201)
        assert answers[which].json()["digest"] == str(manifest.digest)
        for file in answers[which].json()["files"]:
            content = call("GET", file["url"]).content
            assert str(digest_bytes(content)) == file["digest"]
    listed = call("GET", "/v1/vectors").json()["items"]
    assert [item["version_count"] for item in listed] == [VERSIONS] * PUBLISHERS
    return call.seen


def test_nothing_is_lost_while_everybody_is_thrown_out(
    postgres_server, migrated_database, tmp_path
):
    """As if the server restarted six times a second."""
    template = migrated_database.rpartition("/")[2]
    with (
        new_database(postgres_server, template=template) as url,
        app_registry(tmp_path / "data", database_url=url) as registry,
    ):
        trouble = ThrowOut(url)
        with again_and_again(trouble, times=40):
            seen = publish_and_read(registry, tmp_path)
        trouble.database.dispose()

    assert set(seen) <= {200, 201, 204, 404, 503}


@pytest.mark.parametrize("kill", [False, True], ids=["restarted", "killed"])
def test_nothing_is_lost_while_the_server_is(tmp_path, kill):
    """It is away for a second or two each time; requests recover by themselves."""
    directory = tmp_path / "services"
    up(["postgres"], directory)
    try:
        environment = service("postgres", directory).environment()
        url = environment["SAFEGENE_TEST_DATABASE_URL"]
        database = Database(postgresql_url(url))
        upgrade(database)
        database.dispose()
        with app_registry(tmp_path / "data", database_url=url) as registry:
            with again_and_again(Restart(directory, kill=kill), times=3):
                seen = publish_and_read(registry, tmp_path)
            assert registry.client.get("/v1/vectors").status_code == 200
    finally:
        down(["postgres"], directory, wipe=True)

    assert seen[503] > 0
    assert set(seen) <= {200, 201, 204, 404, 503}
