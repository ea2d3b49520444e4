"""Ceph RADOS Gateway: a second S3 server, with other quirks than the first.

One monitor, one object store in memory, one gateway, set up by hand. For who may not
install Debian's packages they are unpacked below `build`.
"""

import shutil
import subprocess
import uuid
from pathlib import Path

from scripts.services.install import (
    ROOT,
    can_install_packages,
    can_unpack_packages,
    install_packages,
    unpack_packages,
)
from scripts.services.processes import ServiceError, last_lines
from scripts.services.service import Service, answers_http, free_ports, random_key

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
PACKAGES = ("ceph-common", "ceph-mon", "ceph-osd", "radosgw")
UNPACKED = ROOT / "build" / "debian" / "ceph"
TOOL_SECONDS = 60

CONFIG = """\
[global]
fsid = {fsid}
mon initial members = a
mon host = v1:127.0.0.1:{monitor_port}
ms bind msgr2 = false
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
# One machine and loopback only; S3 keys are checked by the gateway all the same.
auth cluster required = none
auth service required = none
auth client required = none
# One store holds the only copy, and no manager runs whose statistics could be awaited.
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd crush chooseleaf type = 0
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
mon max pg per osd = 2000
mon pg warn min per osd = 0
mon data avail warn = 1
mon data avail crit = 1
admin socket =
pid file =
run dir = {place}
crash dir = {place}
log to stderr = true
err to stderr = true
log file =
mon cluster log file =
debug ms = 0/0
debug rocksdb = 0/0
{plugins}
[mon]
mon data = {place}/monitor
# It gathers changes for a second before it proposes them; alone it need not.
paxos propose interval = 0.02
paxos min wait = 0.01
[osd]
osd data = {place}/store
osd objectstore = memstore
memstore device bytes = 4G
osd op num shards = 2
osd class update on start = false
osd crush update on start = false
[client.rgw]
# Without tcp_nodelay a small GET takes ten times as long.
rgw frontends = beast endpoint=127.0.0.1:{gateway_port} tcp_nodelay=1
rgw data = {place}/gateway
rgw thread pool size = 64
rgw enable usage log = false
rgw enable ops log = false
rgw run sync thread = false
"""


PLUGINS = """\
osd class dir = {libraries}/rados-classes
erasure code dir = {libraries}/ceph/erasure-code
plugin dir = {libraries}/ceph"""
"""Where those of unpacked programs are."""


def is_installed() -> bool:
    """Whether all programs are in the usual places."""
    return all(map(shutil.which, PROGRAMS))


def libraries() -> list[Path]:
    """Where unpacked libraries are; Ceph's own in the first."""
    return [*UNPACKED.glob("usr/lib/*-linux-gnu*"), *UNPACKED.glob("lib/*-linux-gnu*")]


class Ceph(Service):
    """One Ceph cluster with an S3 gateway; its objects go when it stops."""

    name = "ceph"

    def install(self) -> None:
        """Find the programs, or install them, or unpack them; all from Debian."""
        if is_installed() or UNPACKED.exists():
            return
        if can_install_packages():
            install_packages(*PACKAGES)
        elif can_unpack_packages():
            unpack_packages(*PACKAGES, root=UNPACKED)
        else:
            raise ServiceError(
                "Ceph is not installed, and this is not Debian, which has packages of "
                "it; install ceph-mon, ceph-osd, radosgw, and ceph of the command line"
            )

    def begin(self) -> None:
        """Start afresh: the monitor would remember objects that are gone."""
        self.stop()
        self.clear()
        super().begin()

    def make(self) -> dict[str, str]:
        """Write the configuration and the monitor's first map."""
        monitor_port, gateway_port = free_ports(2)
        state = {"fsid": str(uuid.uuid4()), "store": str(uuid.uuid4())}
        state |= {"monitor_port": monitor_port, "gateway_port": gateway_port}
        for name in ("monitor", "store"):
            (self.directory / name).mkdir()
        plugins = "" if is_installed() else PLUGINS.format(libraries=libraries()[0])
        config = CONFIG.format(place=self.directory, plugins=plugins, **state)
        (self.directory / "ceph.conf").write_text(config, encoding="utf-8")
        fsid, file = state["fsid"], str(self.directory / "monmap")
        address = f"[v1:127.0.0.1:{monitor_port}]"
        monitor = ["--create", "--clobber", "--fsid", fsid, "--addv", "a", address]
        self._tool(["monmaptool", *monitor, file])
        self._tool(["ceph-mon", "--mkfs", "-i", "a", "--monmap", file])
        access, secret = "TEST" + random_key(16).upper(), random_key(40)
        return {**state, "access": access, "secret": secret}

    def launch(self) -> None:
        """Start the monitor."""
        self._daemon("ceph-mon", "-i", "a")

    def complete(self) -> None:
        """Start store and gateway, each when what it needs is there."""
        store = ["--mkfs", "-i", "0", "--osd-uuid", self.state["store"]]
        self._tool(["ceph-osd", *store])  # asks the monitor
        client = ["--connect-timeout", str(TOOL_SECONDS), "osd"]
        self._tool(["ceph", *client, "new", self.state["store"], "0"])
        place = ["root=default", "host=localhost"]
        self._tool(["ceph", *client, "crush", "add", "osd.0", "1.0", *place])
        self._daemon("ceph-osd", "-i", "0")
        user = ["user", "create", "--uid=test", "--display-name=test"]
        keys = ["--access-key", self.state["access"]]
        keys += ["--secret-key", self.state["secret"]]
        self._tool(["radosgw-admin", "-n", "client.rgw", *user, *keys])
        self._daemon("radosgw", "-n", "client.rgw")
        self.wait_until_it_answers()

    def answers(self) -> bool:
        """Whether the gateway answers."""
        return answers_http(self.state["gateway_port"], "/", below=500)

    def environment(self) -> dict[str, str]:
        """Endpoint and keys, under names other than the first S3 server's."""
        port = self.state["gateway_port"]
        return {
            "SAFEGENE_TEST_CEPH_ENDPOINT": f"http://127.0.0.1:{port}",
            "SAFEGENE_TEST_CEPH_ACCESS_KEY_ID": self.state["access"],
            "SAFEGENE_TEST_CEPH_SECRET_ACCESS_KEY": self.state["secret"],
        }

    def small_environment(self) -> dict[str, str]:
        """With what is unpacked, if nothing is installed."""
        environment = super().small_environment()
        if is_installed():
            return environment
        system = UNPACKED / "usr"
        places = [place for each in libraries() for place in (each, each / "ceph")]
        return {
            **environment,
            "PATH": f"{system / 'bin'}:{environment['PATH']}",
            "LD_LIBRARY_PATH": ":".join(map(str, places)),
            "PYTHONPATH": str(system / "lib" / "python3" / "dist-packages"),
        }

    def _daemon(self, program: str, *options: str) -> None:
        config = str(self.directory / "ceph.conf")
        self.spawn(program, [program, "-f", "-c", config, *options])

    def _tool(self, command: list[str]) -> None:
        """Run one program to its end."""
        log = self.directory / "tools.log"
        program, *options = command
        configured = [program, "-c", str(self.directory / "ceph.conf"), *options]
        if program == "ceph" and not is_installed():
            # A script of the Python that Debian has, unpacked as well if need be.
            python = shutil.which("python3", path=f"/usr/bin:{UNPACKED / 'usr/bin'}")
            configured[:1] = [str(python), str(UNPACKED / "usr" / "bin" / "ceph")]
        with log.open("ab") as stream:
            try:
                subprocess.run(
                    configured,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    cwd=self.directory,
                    env=self.small_environment(),
                    timeout=TOOL_SECONDS,
                    check=True,
                )
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                message = f"{program} failed ({log}):\n{last_lines(log)}"
                raise ServiceError(message) from error
