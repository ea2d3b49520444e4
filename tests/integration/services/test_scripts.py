"""`scripts.services` starts one server, keeps its data, and cleans up after itself."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from support.services import S3Server
from support.sources import ROOT

from scripts.services.install import unpack_packages
from scripts.services.manage import KINDS, service
from scripts.services.processes import ServiceError

SECONDS = 120


@pytest.fixture
def directory(tmp_path):
    """Where the servers of one test are; they go with it."""
    yield tmp_path / "services"
    assert run("down", "--wipe", directory=tmp_path / "services").returncode == 0


def begin(*arguments, directory, **environment):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "scripts.services", *arguments),
            *("--directory", directory),
        ],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments, directory, **environment):
    process = begin(*arguments, directory=directory, **environment)
    out, err = process.communicate(timeout=SECONDS)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def start(*names, directory):
    ended = run("up", *names, directory=directory)
    assert ended.returncode == 0, ended.stderr
    return ended


def processes(directory):
    return {
        process
        for name in KINDS
        for process in service(name, directory).processes.values()
    }


def database(directory):
    return service("postgres", directory).environment()["SAFEGENE_TEST_DATABASE_URL"]


def sql(directory, statement):
    with psycopg.connect(database(directory)) as connection:
        found = connection.execute(statement)
        return found.fetchall() if found.description else None


def s3_client(directory):
    found = service("seaweedfs", directory).environment()
    keys = ("SAFEGENE_TEST_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return S3Server(*(found[key] for key in keys)).client()


@contextmanager
def listener(port):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield


def test_a_start_says_where_the_servers_are_and_tells_no_secret(directory):
    ended = start("postgres", directory=directory)

    state = service("postgres", directory).state
    file = directory / "env"
    assert f"127.0.0.1:{state['port']}/postgres" in ended.stdout
    assert state["password"] not in ended.stdout + ended.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == (
        f"export SAFEGENE_TEST_DATABASE_URL={database(directory)}\n"
    )


def test_a_second_start_changes_nothing(directory):
    start("postgres", directory=directory)
    before = processes(directory), (directory / "env").read_bytes()

    start("postgres", directory=directory)

    assert (processes(directory), (directory / "env").read_bytes()) == before
    assert len(before[0]) == 1


def test_both_servers_keep_their_data_over_stop_and_start(directory):
    start(directory=directory)
    addresses = (directory / "env").read_bytes()
    sql(directory, "CREATE TABLE words AS SELECT 'alias' AS word")
    client = s3_client(directory)
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key="a/b", Body=b"blob")
    running = processes(directory)

    assert run("down", directory=directory).returncode == 0
    stopped = [process for process in running if not process.alive()]
    env_was_there = (directory / "env").exists()
    start(directory=directory)

    assert len(stopped) == len(running) == 2
    assert not env_was_there
    assert (directory / "env").read_bytes() == addresses
    assert sql(directory, "SELECT word FROM words") == [("alias",)]
    body = client.get_object(Bucket="bucket", Key="a/b")["Body"]
    assert body.read() == b"blob"
    client.close()


def test_they_listen_on_this_machine_only(directory):
    start(directory=directory)

    places = [place for each in processes(directory) for place in listening(each.pid)]

    assert len(places) >= 9
    assert {host for host, _ in places} == {"127.0.0.1"}


def listening(pid):
    """Where a process listens, as the kernel says."""
    place = Path(f"/proc/{pid}")
    links = {str(file.readlink()) for file in place.glob("fd/*") if file.is_symlink()}
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        lines = (place / "net" / table).read_text(encoding="ascii").splitlines()
        for row in [line.split() for line in lines[1:]]:
            if row[3] == "0A" and f"socket:[{row[9]}]" in links:
                address, port = row[1].split(":")
                # Words of four bytes, each in the machine's order.
                words = [address[at : at + 8] for at in range(0, len(address), 8)]
                packed = b"".join(bytes.fromhex(word)[::-1] for word in words)
                yield socket.inet_ntop(family, packed), int(port, 16)


def test_two_starts_at_once_give_one_server(directory):
    both = [begin("up", "postgres", directory=directory) for _ in range(2)]

    said = [process.communicate(timeout=SECONDS) for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert sorted("answers after" in err for _, err in said) == [False, True]
    assert len(processes(directory)) == 1


def test_after_a_kill_the_next_start_finds_the_data(directory):
    start("postgres", directory=directory)
    sql(directory, "CREATE TABLE words AS SELECT 'alias' AS word")
    (killed,) = processes(directory)
    os.kill(killed.pid, signal.SIGKILL)
    await_end(killed)

    start("postgres", directory=directory)

    assert sql(directory, "SELECT word FROM words") == [("alias",)]


def await_end(process):
    deadline = time.monotonic() + SECONDS
    while process.alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not process.alive()


def test_a_start_that_fails_stops_what_it_began(directory):
    start("postgres", directory=directory)
    assert run("down", directory=directory).returncode == 0
    port = service("postgres", directory).state["port"]

    with listener(int(port)):
        ended = run("up", "seaweedfs", "postgres", directory=directory)

    assert ended.returncode == 1
    assert f"postgres: port {port} is taken by another program" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert service("seaweedfs", directory).state  # it was begun
    assert processes(directory) == set()
    assert not (directory / "env").exists()


def test_what_ran_before_a_failed_start_goes_on(directory):
    start("postgres", "seaweedfs", directory=directory)
    assert run("down", "seaweedfs", directory=directory).returncode == 0
    port = service("seaweedfs", directory).state["s3.port port"]

    with listener(int(port)):
        ended = run("up", "postgres", "seaweedfs", directory=directory)

    assert ended.returncode == 1
    assert sql(directory, "SELECT 1") == [(1,)]


def test_a_server_that_ends_at_once_is_told_with_its_log(directory):
    start("postgres", directory=directory)
    assert run("down", directory=directory).returncode == 0
    (service("postgres", directory).place / "data" / "PG_VERSION").write_text("8.4\n")

    ended = run("up", "postgres", directory=directory)

    assert ended.returncode == 1
    assert "postgres ended" in ended.stderr
    assert "incompatible" in ended.stderr
    assert processes(directory) == set()


def test_a_start_that_is_asked_to_end_takes_back_what_it_began(directory):
    process = begin("up", "seaweedfs", directory=directory)
    deadline = time.monotonic() + SECONDS
    while not processes(directory) and time.monotonic() < deadline:
        time.sleep(0.01)
    (weed,) = processes(directory)

    process.terminate()
    process.communicate(timeout=SECONDS)

    assert process.returncode == 128 + signal.SIGTERM
    assert not weed.alive()
    assert processes(directory) == set()


def test_a_stop_never_ends_a_process_that_it_did_not_start(directory):
    """A pid of ours that was used again belongs to somebody else."""
    start("postgres", directory=directory)
    (ours,) = processes(directory)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (file,) = service("postgres", directory).place.glob("*.pid")
    file.write_text(f"{stranger.pid} {ours.started}\n")
    try:
        ended = run("down", directory=directory)

        assert ended.returncode == 0, ended.stderr
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
        file.write_text(f"{ours.pid} {ours.started}\n")


def test_a_wipe_removes_data_and_keys(directory):
    start("postgres", directory=directory)
    place = service("postgres", directory).place
    password = service("postgres", directory).state["password"]

    ended = run("down", "--wipe", directory=directory)
    start("postgres", directory=directory)

    assert ended.returncode == 0
    assert not place.exists() or place == service("postgres", directory).place
    assert service("postgres", directory).state["password"] != password


def test_the_password_is_asked_for(directory):
    start("postgres", directory=directory)
    state = service("postgres", directory).state
    wrong = database(directory).replace(state["password"], "wrong")

    with pytest.raises(psycopg.OperationalError, match="password authentication"):
        psycopg.connect(wrong)


def test_to_stop_what_never_ran_is_no_error(tmp_path):
    ended = run("down", "--wipe", directory=tmp_path / "nothing")

    assert ended.returncode == 0
    assert not (tmp_path / "nothing").exists()


def test_an_unknown_service_is_named(tmp_path):
    ended = run("up", "mongodb", directory=tmp_path)

    assert ended.returncode == 2
    assert "no such service: mongodb" in ended.stderr


def test_a_named_server_that_is_not_there_fails_the_tests():
    """It is neither skipped nor replaced by another."""
    named = {
        "SAFEGENE_TEST_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "SAFEGENE_TEST_S3_ENDPOINT": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
    }
    tests = str(ROOT / "tests/integration/services/test_fixtures.py")
    chosen = "takes_tables or keeps_objects"

    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:randomly",
            tests,
            "-k",
            chosen,
        ],
        cwd=ROOT,
        env={**os.environ, **named},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert "2 errors" in ended.stdout
    assert "OperationalError" in ended.stdout
    assert "EndpointConnectionError" in ended.stdout


@pytest.mark.slow
def test_packages_can_be_had_without_being_installed(tmp_path):
    """By anybody, with all they need that the machine lacks, and nothing half done."""
    unpack_packages("hello", root=tmp_path / "places" / "hello")

    program = tmp_path / "places" / "hello" / "usr" / "bin" / "hello"
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    with pytest.raises(ServiceError, match="no-such-package-of-ours"):
        unpack_packages("no-such-package-of-ours", root=tmp_path / "places" / "none")

    assert said == "Hello, world!\n"
    assert [path.name for path in (tmp_path / "places").iterdir()] == ["hello"]
