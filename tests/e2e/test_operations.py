"""The operator's guide: every command in it is run as it stands, but Docker's.

In a copy of the checkout, on the arrangement that the guide itself starts.
"""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from support.registry_app import app_registry
from support.safegene_command import command_for
from support.sources import ROOT
from support.versions import write_version
from support.waiting import wait_until

from scripts.deployment.arrangement import PROXY, REPLICAS, Arrangement
from scripts.deployment.compose import read_services
from scripts.services import manage
from scripts.services.service import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)

COPIED = ("scripts", "deployment", "requirements", "Makefile", "docker-compose.yml")
SECONDS = 300

STAND_INS = {
    # An environment with the package in it, which `tests/packaging` installs for real.
    "python3 -m venv venv": 'ln -s "$ENVIRONMENT" venv',
    "venv/bin/pip install --constraint requirements/constraints.txt '.[registry]'": ":",
    # The machine may have something there.
    "--port 8080": '--port "$PORT"',
}
"""What is run in the place of something of the page."""

RUN = {
    "secrets": "(\n    set -o noclobber",
    "start": "make deploy-up",
    "stop": "make deploy-down",
    "own servers": "python3 -m venv",
    "upgrade": "safegene-registry migrate",
    "back up": "safegene-registry backup",
    "restore": "psql",
    "dump": "pg_dump",
    "clear": "safegene-registry gc",
    "check": "safegene-registry fsck",
    "mirror": "safegene-registry mirror",
    "measure": "curl",
}
"""How the blocks begin that are run below."""


def block(name):
    """The one block that begins so."""
    found = [each for each in BLOCKS if each.startswith(RUN[name])]
    assert len(found) == 1, f"{len(found)} blocks of operations.md begin {RUN[name]!r}"
    text = found[0]
    for original, stand_in in STAND_INS.items():
        text = text.replace(original, stand_in)
    return text


def test_all_that_is_not_run_is_dockers():
    left = [each for each in BLOCKS if not each.startswith(tuple(RUN.values()))]

    lines = [line for each in left for line in each.splitlines()]
    assert lines
    assert all(line.startswith("docker compose ") for line in lines)
    assert all(sum(old in each for each in BLOCKS) == 1 for old in STAND_INS)


def run(script, place, environment):
    """Run a block; what it says."""
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, f"{script}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A checkout of its own, as far as the commands look at it."""
    place = tmp_path_factory.mktemp("operations")
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, place / name)
    (place / ".venv").symlink_to(sys.prefix)
    return place


@pytest.fixture(scope="module")
def environment(place):
    """Of an operator's shell; everything is installed already."""
    binaries = [str(Path(sys.prefix) / "bin"), os.environ["PATH"]]
    return {
        **os.environ,
        "PATH": os.pathsep.join(binaries),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "MAKEFLAGS": "STAMP=docker-compose.yml",
        "ENVIRONMENT": sys.prefix,
    }


@pytest.fixture(scope="module")
def arrangement(place, environment):
    """What `make deploy-up` starts, stopped by `make deploy-down`."""
    arranged = Arrangement(place / "build" / "deployment")
    try:
        told = run(block("start"), place, environment)
        assert re.search(r"^sgt_\S+$", told, re.MULTILINE)
        assert '"status":"ready"' in told
        yield arranged
        run(block("stop"), place, environment)
        assert not arranged.answers()
    finally:
        arranged.stop(kill=True)
        arranged.clear()


@pytest.fixture(scope="module")
def operated(arrangement, environment):
    """The shell once `env` was read, with the programs of PostgreSQL."""
    server = manage.service("postgres", arrangement.servers)
    server.install()
    path = os.pathsep.join([str(server.binaries), environment["PATH"]])
    for program in ("pg_dump", "pg_restore", "psql"):
        assert shutil.which(program, path=path), f"PostgreSQL's {program} is missing"
    return {
        **environment,
        **arrangement.environment(),
        "PATH": path,
    }


def database_url(environment, name):
    parts = urlsplit(environment["SAFEGENE_REGISTRY_DATABASE_URL"])
    return parts._replace(path=f"/{name}").geturl()


def publish(place, url, token, version):
    safegene = command_for(place / "work", url, token)
    directory = safegene.directory / f"version-{version}"
    write_version(directory, version=version)
    safegene.must("push", directory)


@contextmanager
def served(script, place, environment):
    """A block that ends in a registry which goes on; its address."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=place,
        env={**environment, "PORT": port},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: answers(url, process), seconds=SECONDS, pause=0.1)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=SECONDS)


def answers(url, process):
    """Whether it does, once its process has begun and for as long as it runs."""
    assert process.poll() is None, f"it has ended:\n{process.args[-1]}"
    try:
        return httpx.get(f"{url}/readyz", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def test_secrets_are_made_as_compose_wants_them(place, environment):
    run(block("secrets"), place, environment)

    file = place / ".env"
    again = subprocess.run(
        ["bash", "-c", block("secrets")],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode != 0
    assert "cannot overwrite existing file" in again.stderr
    lines = file.read_text(encoding="utf-8").split()
    secrets = dict(line.split("=") for line in lines)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(set(secrets.values())) == 4
    assert all(re.fullmatch("[0-9a-f]{40}", secret) for secret in secrets.values())
    read_services(secrets)


def test_servers_of_ones_own_will_do(place, operated):
    with served(block("own servers"), place, operated) as url:
        assert httpx.get(f"{url}/v1/vectors").status_code == 200


def test_a_backup_is_restored(place, operated, arrangement):
    """What was published before it is there again, what came after is not."""
    create = "safegene-registry token create --name backup"
    token = run(create, place, operated).strip()
    publish(place, arrangement.url, token, "1.0.0")

    run(block("back up"), place, operated)
    run(block("upgrade"), place, operated)
    publish(place, arrangement.url, token, "2.0.0")
    servers = manage.service("postgres", arrangement.servers).environment()
    admin = servers["SAFEGENE_TEST_DATABASE_URL"]
    restored = {
        **operated,
        "ADMIN_URL": admin,
        "RESTORED_URL": database_url(operated, "restored"),
    }
    listed = run(block("restore"), place, restored)

    assert re.search(r"^acme\tpublic\t", listed, re.MULTILINE)
    restored["SAFEGENE_REGISTRY_DATABASE_URL"] = restored["RESTORED_URL"]
    # Links would lead to the registry that was backed up.
    del restored["SAFEGENE_REGISTRY_PUBLIC_URL"]
    serve = 'safegene-registry serve --port "$PORT"'
    with served(serve, place, restored) as url:
        safegene = command_for(place / "restored", url, token)
        safegene.must("pull", "acme/refusal@1.0.0", "--out", "pulled")
        gone = safegene.run("pull", "acme/refusal@2.0.0")
    assert gone.code == 3


def test_a_dump_is_a_backup_of_the_database(place, operated):
    run(block("dump"), place, operated)

    listed = run("pg_restore --list registry.dump", place, operated)
    assert "TABLE DATA public versions" in listed


def test_an_embedded_registry_is_backed_up(tmp_path, environment):
    """The copy is whole while the original goes on."""
    manifest = write_version(tmp_path / "v")
    with app_registry(tmp_path / "safegene-registry-data") as registry:
        assert registry.publish(manifest, tmp_path / "v").status_code == 201
        run(block("back up"), tmp_path, environment)
        token = registry.token
    run("safegene-registry restore backups --data restored", tmp_path, environment)

    with app_registry(tmp_path / "restored") as registry:
        registry.token = token
        url = "/v1/vectors/acme/refusal/versions/1.0.0"
        found = registry.client.get(url, headers=registry.auth)
        files = [
            registry.client.get(f"{url}/files/{entry.path}") for entry in manifest.files
        ]
    assert found.json()["digest"] == str(manifest.digest)
    assert [len(file.content) for file in files] == [
        entry.size for entry in manifest.files
    ]


def test_a_registry_is_mirrored(tmp_path, place, environment, operated, arrangement):
    create = "safegene-registry token create --name backup"
    publish(place, arrangement.url, run(create, place, operated).strip(), "8.0.0")
    upstream = {**environment, "UPSTREAM_URL": arrangement.url}

    run(block("mirror"), tmp_path, upstream)

    assert run("safegene-registry fsck", tmp_path, environment) == ""
    with app_registry(tmp_path / "safegene-registry-data") as registry:
        url = "/v1/vectors/acme/refusal/versions/8.0.0"
        assert registry.client.get(url).status_code == 200


def test_leftovers_are_cleared_while_replicas_run(place, operated):
    run(block("clear"), place, operated)


def test_nothing_is_found_while_replicas_run(place, operated, arrangement):
    create = "safegene-registry token create --name backup"
    token = run(create, place, operated).strip()
    publish(place, arrangement.url, token, "7.0.0")

    assert run(block("check"), place, operated) == ""


def test_metrics_are_asked_of_a_replica(place, operated, arrangement):
    port = arrangement.state[f"{REPLICAS[0]} port"]
    replica = {"REPLICA": f"http://127.0.0.1:{port}"}

    told = run(block("measure"), place, {**operated, **replica})

    assert "safegene_registry_requests_total" in told


def test_the_health_check_of_the_proxy_sees_whether_it_answers(arrangement):
    """As docker-compose.yml has it, at this machine's port."""
    check = arrangement.services()[PROXY]["healthcheck"]["test"]
    assert check[:3] == ["CMD", "bash", "-c"]
    assert "/127.0.0.1/8080;" in check[3]

    codes = [
        subprocess.run(
            ["bash", "-c", check[3].replace("/8080;", f"/{port};")],
            capture_output=True,
            timeout=SECONDS,
            check=False,
        ).returncode
        for port in (arrangement.state[f"{PROXY} port"], *free_ports(1))
    ]

    assert codes[0] == 0
    assert codes[1] != 0
