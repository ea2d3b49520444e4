"""What docker-compose.yml arranges, as processes of this machine.

PostgreSQL and the S3 server are those of `scripts.services`. Commands and environments
of all else are the file's own; only hosts and ports become this machine's.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from scripts.deployment.compose import read_services
from scripts.services import manage
from scripts.services.install import ROOT
from scripts.services.nginx import configure_nginx, install_nginx
from scripts.services.processes import ServiceError, last_lines, stop
from scripts.services.service import (
    Service,
    answers_http,
    free_ports,
    random_key,
    write_privately,
)

SERVERS = {"postgres": "postgres", "s3": "seaweedfs"}
"""Services of the file, and what stands for them here."""

STEPS = ("migrate", "bucket")
"""Run to their end, in this order, before a replica starts."""

REPLICAS = ("registry-1", "registry-2")
PROXY = "proxy"

REGISTRY_PORT = "8080"
STEP_SECONDS = 300


class Arrangement(Service):
    """Two replicas behind nginx, on servers of their own.

    Args:
        directory: made if need be; the servers' data is below it, too.
    """

    name = "deployment"
    # More than the drain delay and the shutdown time-out together.
    patience = 45

    @property
    def servers(self) -> Path:
        """Where PostgreSQL and the S3 server are."""
        return self.directory.with_name(f"{self.directory.name}-servers")

    def install(self) -> None:
        """Find nginx, or install it, which takes root and Debian."""
        install_nginx()

    def make(self) -> dict[str, str]:
        """Choose ports and secrets."""
        names = [*REPLICAS, PROXY, "proxy s3"]
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        secrets = {"password": random_key(24), "metrics": random_key(32)}
        return {**{f"{name} port": port for name, port in ports.items()}, **secrets}

    def launch(self) -> None:
        """Start the servers, run the steps, then start replicas and proxy."""
        manage.up(list(SERVERS.values()), self.servers)
        self._make_database()
        services = self.services()
        for name in STEPS:
            self._run_step(name, services[name])
        for name in REPLICAS:
            self.start_replica(name)
        self._start_proxy(services[PROXY])

    def complete(self) -> None:
        """Wait until every replica is ready and the proxy answers."""
        self.wait_until_it_answers()

    def answers(self) -> bool:
        """Whether each replica is ready, and the proxy reaches one."""
        return all(
            answers_http(self.state[f"{name} port"], "/readyz", below=300)
            for name in (*REPLICAS, PROXY)
        )

    def environment(self) -> dict[str, str]:
        """The replicas' own environment, as for `safegene-registry token create`."""
        environment = self._environment_of(self.services()[REPLICAS[0]])
        own = "SAFEGENE_REGISTRY_"
        return {key: value for key, value in environment.items() if key.startswith(own)}

    @property
    def url(self) -> str:
        """Where clients find the registry."""
        return f"http://127.0.0.1:{self.state[f'{PROXY} port']}"

    def services(self) -> dict[str, dict[str, Any]]:
        """The services of docker-compose.yml, at this machine's addresses.

        Raises:
            ServiceError: the file has services that nothing here stands for.
        """
        services = read_services(self._variables())
        known = {*SERVERS, *STEPS, *REPLICAS, PROXY}
        if set(services) != known:
            odd = ", ".join(sorted(set(services) ^ known))
            raise ServiceError(f"docker-compose.yml and this script differ in: {odd}")
        return services

    def start_replica(self, name: str) -> None:
        """Start one replica; it need not answer yet."""
        settings = self.services()[name]
        options = {"0.0.0.0": "127.0.0.1", REGISTRY_PORT: self.state[f"{name} port"]}  # noqa: S104
        command = [options.get(part, part) for part in settings["command"]]
        environment = self._environment_of(settings)
        self.spawn(name, [*_registry_command(), *command], **environment)

    def stop(self, *, kill: bool = False) -> None:
        """Stop all, the proxy first: killed, it would leave its workers behind."""
        process = self.processes.get(self.place / "nginx.log")
        if process is not None:
            stop([process], first=signal.SIGTERM, patience=10)
        super().stop(kill=kill)
        manage.down(list(SERVERS.values()), self.servers)

    def clear(self) -> None:
        """Remove all, the servers' data as well."""
        manage.down(list(SERVERS.values()), self.servers, wipe=True)
        shutil.rmtree(self.servers, ignore_errors=True)
        super().clear()

    def _variables(self) -> dict[str, str]:
        """What an operator's .env says."""
        s3 = manage.service("seaweedfs", self.servers).state
        return {
            "POSTGRES_PASSWORD": self.state["password"],
            "S3_ACCESS_KEY_ID": s3["access"],
            "S3_SECRET_ACCESS_KEY": s3["secret"],
            "METRICS_TOKEN": self.state["metrics"],
            "SAFEGENE_PUBLIC_URL": self.url,
            "SAFEGENE_S3_PUBLIC_URL": f"http://127.0.0.1:{self.state['proxy s3 port']}",
        }

    def _places(self) -> dict[str, str]:
        """Hosts and ports inside the file's network, and where they are here."""
        postgres = manage.service("postgres", self.servers).state["port"]
        s3 = manage.service("seaweedfs", self.servers).state["s3.port port"]
        places = {"postgres:5432": postgres, "s3:8333": s3}
        for name in REPLICAS:
            places[f"{name}:{REGISTRY_PORT}"] = self.state[f"{name} port"]
        return {place: f"127.0.0.1:{port}" for place, port in places.items()}

    def _environment_of(self, settings: dict[str, Any]) -> dict[str, str]:
        """What a service sees of the environment."""
        places = self._places()
        hosts = re.compile("|".join(rf"\b{re.escape(place)}\b" for place in places))
        return {
            name: hosts.sub(lambda found: places[found[0]], value)
            for name, value in settings["environment"].items()
        }

    def _make_database(self) -> None:
        """What the image of PostgreSQL does at its first start."""
        server = manage.service("postgres", self.servers)
        with psycopg.connect(
            server.environment()["SAFEGENE_TEST_DATABASE_URL"], autocommit=True
        ) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = 'safegene'"
            if connection.execute(query).fetchone():
                return
            role = sql.SQL("CREATE ROLE safegene LOGIN PASSWORD {}")
            connection.execute(role.format(self.state["password"]))
            connection.execute("CREATE DATABASE safegene OWNER safegene")

    def _run_step(self, name: str, settings: dict[str, Any]) -> None:
        """Run one step to its end."""
        if "entrypoint" in settings:
            # The program that the file mounts into the container.
            script = ROOT / "deployment" / Path(settings["entrypoint"][-1]).name
            command = [sys.executable, str(script)]
        else:
            command = [*_registry_command(), *settings["command"]]
        log = self.place / f"{name}.log"
        with log.open("ab") as stream:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=self.place,
                env={**self.small_environment(), **self._environment_of(settings)},
                timeout=STEP_SECONDS,
                check=False,
            )
        if ended.returncode != 0:
            raise ServiceError(f"the step {name} failed ({log}):\n{last_lines(log)}")

    def small_environment(self) -> dict[str, str]:
        """With the packages that this program sees: they need not be installed."""
        return {
            **super().small_environment(),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }

    def _start_proxy(self, settings: dict[str, Any]) -> None:
        values = self._environment_of(settings)
        for name, port in (("REGISTRY", PROXY), ("S3", "proxy s3")):
            values[f"LISTEN_{name}"] = f"127.0.0.1:{self.state[f'{port} port']}"
        # Here are numbers instead of names, and maybe an nginx that cannot do this.
        values["RESOLVE"] = ""
        file = ROOT / "deployment" / "nginx.conf.template"
        text = file.read_text(encoding="utf-8")
        # As the image does: those in braces are the environment's, others nginx's own.
        servers = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text)
        write_privately(self.place / "nginx-servers.conf", servers)
        http = f"    include {self.place}/nginx-servers.conf;\n"
        self.spawn("nginx", configure_nginx(self.place, http, workers=2))


def _registry_command() -> list[str]:
    """The image's entry point."""
    return [sys.executable, "-m", "safegene_registry"]
