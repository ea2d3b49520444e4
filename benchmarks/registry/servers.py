"""The servers that are compared, each a process of its own on 127.0.0.1."""

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from benchmarks.harness import OUT, tell
from scripts.services.nginx import configure_nginx, install_nginx
from scripts.services.service import Service, answers_http, free_ports

MLFLOW = "3.17.2"
PSYCOPG = "3.3.9"
"""The driver that the registry uses, too."""

START_SECONDS = 120

FILES_OF = """\
    sendfile on;
    tcp_nopush on;
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
"""
"""nginx's configuration for the files of one directory."""


class LocalServer(Service):
    """A server that is asked whether it answers at `path`."""

    path: ClassVar[str]

    def make(self) -> dict[str, str]:
        """Choose a port."""
        return {"port": free_ports(1)[0]}

    def complete(self) -> None:
        """Wait until it answers."""
        self.wait_until_it_answers(START_SECONDS)

    def answers(self) -> bool:
        """Whether it does."""
        return answers_http(self.state["port"], self.path, below=400)

    def environment(self) -> dict[str, str]:
        """Its address."""
        return {"URL": self.url}

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.state['port']}"

    def start(self) -> None:
        """Install and start it, and wait."""
        self.install()
        self.begin()
        self.finish()


class Registry(LocalServer):
    """`safegene-registry serve`, as an operator starts it.

    Args:
        directory: made if need be; the embedded data is below it.
        settings: environment variables of the registry.
        command: that serves, where it is not the registry's own.
    """

    name = "registry"
    path = "/readyz"

    def __init__(
        self,
        directory: Path,
        settings: dict[str, str] | None = None,
        command: list[str] | None = None,
    ) -> None:
        super().__init__(directory)
        self.settings = {"SAFEGENE_REGISTRY_LOG_LEVEL": "INFO", **(settings or {})}
        self.command = command
        self.token = ""

    @property
    def data(self) -> Path:
        """Where the embedded registry keeps everything."""
        return self.directory / "data"

    def install(self) -> None:
        """Nothing: it runs from the checkout."""

    def launch(self) -> None:
        """Make the schema and a token, then start it."""
        for action in (["migrate"], ["token", "create", "--name", "bench"]):
            self.token = self.say(*action).strip()
        serve = self.command or self.own("serve", "--port", self.state["port"])
        self.spawn("registry", serve, **self.settings)

    def own(self, *arguments: str) -> list[str]:
        """A command of the registry's."""
        command = [sys.executable, "-m", "safegene_registry", *arguments]
        return [*command, "--data", str(self.data)]

    def say(self, *arguments: str) -> str:
        """What a command of the registry's prints."""
        environment = {**self.small_environment(), **self.settings}
        ended = subprocess.run(
            self.own(*arguments),
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return ended.stdout

    def small_environment(self) -> dict[str, str]:
        """With the packages that this program sees: they need not be installed."""
        path = os.pathsep.join(part for part in sys.path if part)
        return {**super().small_environment(), "PYTHONPATH": path}


class Nginx(LocalServer):
    """nginx with one worker, which sends files of one directory.

    Args:
        directory: made if need be.
        root: the directory of the files.
    """

    name = "nginx"
    path = "/"

    def __init__(self, directory: Path, root: Path) -> None:
        super().__init__(directory)
        self.root = root

    def install(self) -> None:
        """Find nginx, or install it, which takes root and Debian."""
        install_nginx()

    def launch(self) -> None:
        """Start it."""
        http = FILES_OF.format(port=self.state["port"], root=self.root)
        self.spawn("nginx", configure_nginx(self.place, http, workers=1))

    def answers(self) -> bool:
        """Whether it refuses to list the directory."""
        return answers_http(self.state["port"], self.path, below=500)


class Mlflow(LocalServer):
    """MLflow's tracking server with its model registry.

    Args:
        directory: made if need be.
        database: URL of its database.
        workers: processes that answer.
    """

    name = "mlflow"
    path = "/health"

    def __init__(self, directory: Path, database: str, workers: int = 1) -> None:
        super().__init__(directory)
        self.database = database
        self.workers = workers
        self.home = OUT / "mlflow"

    def install(self) -> None:
        """Into an environment of its own, once."""
        done = self.home / f"safegene-{MLFLOW}"
        if done.exists():
            return
        tell(f"installing MLflow {MLFLOW} into {self.home}; 1 GB")
        venv.create(self.home, with_pip=True, clear=True)
        packages = [f"mlflow=={MLFLOW}", f"psycopg[binary]=={PSYCOPG}"]
        pip = [str(self.home / "bin" / "pip"), "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", *packages], check=True)
        done.touch()

    def launch(self) -> None:
        """Start it; it makes its tables first."""
        self.spawn(
            "mlflow",
            [
                *(str(self.home / "bin" / "mlflow"), "server"),
                *("--backend-store-uri", self.database),
                *("--default-artifact-root", str(self.place / "artifacts")),
                *("--host", "127.0.0.1", "--port", self.state["port"]),
                *("--workers", str(self.workers)),
            ],
            PATH=f"{self.home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
            MLFLOW_DISABLE_TELEMETRY="true",
        )


@contextmanager
def running(*servers: LocalServer) -> Iterator[None]:
    """Start servers, and stop them."""
    try:
        for server in servers:
            server.start()
        yield
    finally:
        for server in servers:
            server.stop(kill=False)
