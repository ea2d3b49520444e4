"""What docker-compose.yml arranges, as processes: nginx, two replicas, servers."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
from safegene_registry.services import open_store
from safegene_registry.settings import Settings
from support.safegene_command import command_for
from support.versions import write_version
from support.waiting import wait_until

from safegene.artifact.bundle import verify_directory
from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import FILE_NAMES, TENSORS_NAME
from scripts.deployment.__main__ import start
from scripts.deployment.arrangement import REPLICAS, Arrangement
from scripts.services.service import free_ports

VECTOR = "deployed/refusal"
SECONDS = 60

LEFT_ALONE_SECONDS = 5.5
"""The proxy sends nothing to a replica that did not answer for five seconds."""


@pytest.fixture(scope="module")
def arrangement(tmp_path_factory):
    made = Arrangement(tmp_path_factory.mktemp("deployment") / "d")
    try:
        start(made)
        yield made
    finally:
        made.stop(kill=True)
        made.clear()


@pytest.fixture(scope="module")
def safegene(arrangement, tmp_path_factory):
    """The command, with a token that an operator has made."""
    create = ["token", "create", "--name", "e2e"]
    made = subprocess.run(
        [sys.executable, "-m", "safegene_registry", *create],
        env={**os.environ, **arrangement.environment()},
        capture_output=True,
        check=True,
        text=True,
    )
    work = tmp_path_factory.mktemp("work")
    return command_for(work / "w", arrangement.url, made.stdout.strip())


def publish(safegene, version):
    directory = safegene.directory / f"version-{version}"
    write_version(directory, vector=VECTOR, version=version, seed=len(version))
    safegene.must("push", directory)
    return directory


@pytest.fixture(scope="module")
def published(safegene):
    return publish(safegene, "1.0.0")


def replica_url(arrangement, name):
    return f"http://127.0.0.1:{arrangement.state[f'{name} port']}"


def process_of(arrangement, name):
    return arrangement.processes[arrangement.place / f"{name}.log"]


@contextmanager
def requests_going_on(arrangement):
    """Ask for a version again and again, from four threads; the statuses."""
    url = f"{arrangement.url}/v1/vectors/{VECTOR}/versions/1.0.0"
    statuses, done = [], threading.Event()

    def ask():
        with httpx.Client(timeout=30) as client:
            while not done.is_set():
                statuses.append(client.get(url).status_code)
                time.sleep(0.01)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        done.set()
        for thread in threads:
            thread.join()


def more(statuses, count=40):
    """Wait for so many further answers."""
    enough = len(statuses) + count
    wait_until(lambda: len(statuses) >= enough)


def restart(arrangement, name):
    """Start a replica again; the next one may be taken away after that."""
    arrangement.start_replica(name)
    wait_until(arrangement.answers)
    time.sleep(LEFT_ALONE_SECONDS)


def test_what_is_published_through_the_proxy_is_pulled_through_it(
    arrangement, safegene, published
):
    """Both replicas know it, and its blobs come from the S3 server, whole."""
    safegene.must("pull", f"{VECTOR}@1.0.0", "--out", "pulled")

    manifest = verify_directory(safegene.directory / "pulled")
    assert str(manifest.vector) == VECTOR
    for name in FILE_NAMES:
        pulled = (safegene.directory / "pulled" / name).read_bytes()
        assert pulled == (published / name).read_bytes()
    for name in REPLICAS:
        path = f"/v1/vectors/{VECTOR}/versions/1.0.0"
        assert httpx.get(replica_url(arrangement, name) + path).status_code == 200


def test_signed_addresses_work_through_the_proxy(arrangement, published):
    """Clients reach the S3 server behind it, under the name that is signed."""
    environment = arrangement.environment().items()
    store = open_store(
        Settings(
            **{k.removeprefix("SAFEGENE_REGISTRY_").lower(): v for k, v in environment}
        )
    )
    data = (published / TENSORS_NAME).read_bytes()
    name = {
        "name": TENSORS_NAME,
        "media_type": "application/octet-stream",
        "cache_control": "no-store",
    }
    url = store.direct.download(digest_bytes(data), **name)

    answer = httpx.get(url)

    port = arrangement.state["proxy s3 port"]
    assert url.startswith(f"http://127.0.0.1:{port}/")
    assert answer.content == data
    assert httpx.get(url.replace("Signature=", "Signature=0")).status_code == 403


def test_metrics_are_each_replicas_own(arrangement):
    token = arrangement.environment()["SAFEGENE_REGISTRY_METRICS_TOKEN"]
    headers = {"Authorization": f"Bearer {token}"}

    through = httpx.get(f"{arrangement.url}/metrics", headers=headers)
    own = [
        httpx.get(f"{replica_url(arrangement, name)}/metrics", headers=headers)
        for name in REPLICAS
    ]

    assert through.status_code == 404
    assert all("safegene_registry_requests_total" in each.text for each in own)


def test_limits_count_whom_a_trusted_proxy_names(arrangement):
    """What ends TLS before the proxy is trusted; its own address is nobody's."""
    wanted = {"namespace": "deployed", "jwt": "no JWT"}

    with httpx.Client(base_url=arrangement.url, timeout=SECONDS) as client:

        def status(caller):
            named = {"X-Forwarded-For": f"198.51.100.1, {caller}"}
            return client.post("/v1/oidc/token", json=wanted, headers=named).status_code

        first = status("203.0.113.7")
        wait_until(lambda: status("203.0.113.7") == 429, pause=0)
        another = status("203.0.113.8")

    assert first == another == 401


def test_the_health_check_of_a_replica_asks_whether_it_is_ready(arrangement):
    """As docker-compose.yml has it, at this machine's port."""
    check = arrangement.services()[REPLICAS[0]]["healthcheck"]["test"]
    assert check[:3] == ["CMD", "python", "-c"]
    assert "127.0.0.1:8080/readyz" in check[3]

    codes = [
        subprocess.run(
            [sys.executable, "-c", check[3].replace(":8080/", f":{port}/")],
            capture_output=True,
            timeout=SECONDS,
            check=False,
        ).returncode
        for port in (arrangement.state[f"{REPLICAS[0]} port"], *free_ports(1))
    ]

    assert codes[0] == 0
    assert codes[1] != 0


def test_a_killed_replica_is_not_noticed(arrangement, safegene, published):
    """SIGKILL while requests go on: all of them are answered, and publishing works."""
    name = REPLICAS[0]
    with requests_going_on(arrangement) as statuses:
        more(statuses)
        os.kill(process_of(arrangement, name).pid, signal.SIGKILL)
        wait_until(lambda: not process_of(arrangement, name).alive())
        more(statuses)
        publish(safegene, "1.1.0")
        restart(arrangement, name)
        more(statuses)

    assert set(statuses) == {200}
    path = f"/v1/vectors/{VECTOR}/versions/1.1.0"
    assert httpx.get(replica_url(arrangement, name) + path).status_code == 200


def test_a_replica_that_is_stopped_drains(arrangement, published):
    """SIGTERM while requests go on: it turns not ready, and none is lost."""
    name = REPLICAS[1]
    process = process_of(arrangement, name)
    with requests_going_on(arrangement) as statuses:
        more(statuses)
        os.kill(process.pid, signal.SIGTERM)
        url = f"{replica_url(arrangement, name)}/readyz"
        wait_until(lambda: httpx.get(url).status_code == 503)
        wait_until(lambda: not process.alive())
        more(statuses)
        restart(arrangement, name)

    assert set(statuses) == {200}


def test_without_any_replica_the_proxy_answers_a_problem(arrangement, published):
    """No page of the proxy's own, and clients are told to wait."""
    for name in REPLICAS:
        process = process_of(arrangement, name)
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda process=process: not process.alive())

    answer = httpx.get(f"{arrangement.url}/v1/vectors/{VECTOR}")

    for name in REPLICAS:
        arrangement.start_replica(name)
    wait_until(arrangement.answers)
    assert answer.status_code == answer.json()["status"] == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "5"


def test_starting_again_changes_nothing_and_migrating_again_does_no_harm(
    arrangement, published
):
    """`up` on what runs does nothing; stopped and started, the data is there."""
    before = process_of(arrangement, REPLICAS[0])
    start(arrangement)
    assert process_of(arrangement, REPLICAS[0]) == before

    arrangement.stop(kill=True)
    start(arrangement)

    path = f"/v1/vectors/{VECTOR}/versions/1.0.0"
    assert httpx.get(arrangement.url + path).status_code == 200
