"""nginx as a part of services: finding it, installing it, its configuration."""

import os
import shutil
from pathlib import Path

from scripts.services.install import can_install_packages, install_packages
from scripts.services.processes import ServiceError
from scripts.services.service import write_privately

CONFIG = """\
{user}daemon off;
worker_processes {workers};
pid {place}/nginx.own;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {place}/nginx-body;
    proxy_temp_path {place}/nginx-proxy;
    fastcgi_temp_path {place}/nginx-fastcgi;
    uwsgi_temp_path {place}/nginx-uwsgi;
    scgi_temp_path {place}/nginx-scgi;
{http}}}
"""
"""nginx writes nowhere else, and runs as whoever starts it."""


def install_nginx() -> None:
    """Find nginx, or install it, which takes root and Debian.

    Raises:
        ServiceError: it is not there and cannot be installed.
    """
    if find_nginx():
        return
    if not can_install_packages():
        raise ServiceError("nginx is not installed; as root: apt-get install nginx")
    install_packages("nginx-light")


def find_nginx() -> str:
    """The program; Debian has it where only root looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin") or ""


def configure_nginx(place: Path, http: str, *, workers: int) -> list[str]:
    """Write a configuration; the command that runs nginx with it.

    Args:
        place: gets it, and all that nginx writes.
        http: lines of its `http` block.
        workers: processes that answer.
    """
    user = "user root;\n" if os.geteuid() == 0 else ""
    config = place / "nginx.conf"
    text = CONFIG.format(user=user, workers=workers, place=place, http=http)
    write_privately(config, text)
    return [find_nginx(), "-p", str(place), "-c", str(config)]
