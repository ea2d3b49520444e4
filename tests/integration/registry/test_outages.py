"""A database that keeps throwing everybody out: 503 or the right answer, no loss."""

import threading
import time
from collections import Counter
from typing import Any

from safegene_registry.db import Database
from safegene_registry.postgresql import postgresql_url
from sqlalchemy import text
from support.registry_app import MANIFEST_MEDIA_TYPE, AppRegistry, app_registry
from support.services import new_database
from support.versions import write_version

from safegene.artifact.digest import digest_bytes

PUBLISHERS = 4
VERSIONS = 3
"""Published by each of them."""

PAUSE = 0.15
"""Between two times that everybody is thrown out, in seconds."""

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


def throw_out_again_and_again(url: str, ended: threading.Event, times: list) -> None:
    database = Database(postgresql_url(url))
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        while not ended.wait(PAUSE):
            times.append(connection.scalar(THROW_OUT))
    database.dispose()


def test_nothing_is_lost_while_everybody_is_thrown_out(
    postgres_server, migrated_database, tmp_path
):
    """As if the server restarted six times a second."""
    template = migrated_database.rpartition("/")[2]
    versions = {
        (number, minor): write_version(
            tmp_path / f"{number}-{minor}",
            vector=f"acme/p{number}",
            version=f"1.{minor}.0",
            seed=10 * number + minor,
        )
        for number in range(PUBLISHERS)
        for minor in range(VERSIONS)
    }
    with (
        new_database(postgres_server, template=template) as url,
        app_registry(tmp_path / "data", database_url=url) as registry,
    ):
        call, answers, times = Caller(registry), {}, []
        ended = threading.Event()

        def publish(number: int) -> None:
            for minor in range(VERSIONS):
                place = tmp_path / f"{number}-{minor}"
                answers[number, minor] = call.publish(versions[number, minor], place)

        def read() -> None:
            while not ended.is_set():
                assert call("GET", "/v1/vectors").status_code == 200
                answer = call("GET", "/v1/vectors/acme/p0/resolve")
                assert answer.status_code in (200, 404)

        publishers = [
            threading.Thread(target=publish, args=(n,)) for n in range(PUBLISHERS)
        ]
        others = [
            threading.Thread(target=read),
            threading.Thread(
                target=throw_out_again_and_again, args=(url, ended, times)
            ),
        ]
        for thread in publishers + others:
            thread.start()
        for thread in publishers:
            thread.join()
        ended.set()
        for thread in others:
            thread.join()

        assert set(call.seen) <= {200, 201, 204, 404, 503}
        assert sum(times) > 0
        assert answers.keys() == versions.keys()
        for which, manifest in versions.items():
            assert answers[which].status_code in (200, 201)
            assert answers[which].json()["digest"] == str(manifest.digest)
            for file in answers[which].json()["files"]:
                content = registry.client.get(file["url"]).content
                assert str(digest_bytes(content)) == file["digest"]
        listed = registry.client.get("/v1/vectors").json()["items"]
        assert [item["version_count"] for item in listed] == [VERSIONS] * PUBLISHERS
