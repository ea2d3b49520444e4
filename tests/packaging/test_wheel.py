"""What a user gets: everything that is needed, nothing else, and it runs."""

import subprocess
import sys
import zipfile
from email import message_from_string
from importlib.metadata import EntryPoint

import pytest
from packaging.requirements import Requirement
from support.sources import PACKAGES, ROOT

from safegene import __version__

FOLDERS = {
    "safegene": "safegene",
    "client/safegene_client": "safegene_client",
    "registry/safegene_registry": "safegene_registry",
    "migrations": "safegene_registry/migrations",
}
"""Directories of the checkout and where they go in the wheel."""


def metadata_of(wheel_path):
    with zipfile.ZipFile(wheel_path) as wheel:
        name = f"safegene-{__version__}.dist-info/METADATA"
        return message_from_string(wheel.read(name).decode())


def entry_points_of(wheel_path):
    with zipfile.ZipFile(wheel_path) as wheel:
        name = f"safegene-{__version__}.dist-info/entry_points.txt"
        lines = wheel.read(name).decode().splitlines()
    return {
        name.strip(): EntryPoint(name.strip(), value.strip(), "console_scripts")
        for name, found, value in (line.partition("=") for line in lines)
        if found
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_marked_as_typed(wheel_names, package):
    assert f"{package}/py.typed" in wheel_names


def test_the_migrations_come_with_the_registry(wheel_names):
    scripts = {path.name for path in (ROOT / "migrations/versions").glob("*.py")}

    assert "safegene_registry/migrations/env.py" in wheel_names
    assert "safegene_registry/migrations/script.py.mako" in wheel_names
    assert scripts
    for name in scripts:
        assert f"safegene_registry/migrations/versions/{name}" in wheel_names


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_of_the_sources_is_left_out(wheel_names, folder):
    expected = {
        f"{FOLDERS[folder]}/{path.relative_to(ROOT / folder).as_posix()}"
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert expected
    assert expected <= wheel_names


def test_nothing_else_is_in_it(wheel_names):
    roots = {name.partition("/")[0] for name in wheel_names}

    assert roots == {*PACKAGES, f"safegene-{__version__}.dist-info"}
    parts = {part for name in wheel_names for part in name.split("/")}
    assert parts.isdisjoint({"tests", "examples", "benchmarks", "__pycache__"})
    assert not [part for part in parts if part.startswith("test_")]


def test_the_licence_comes_with_it(wheel_names, wheel_path):
    with zipfile.ZipFile(wheel_path) as wheel:
        (name,) = (name for name in wheel_names if name.endswith("/LICENSE"))
        text = wheel.read(name).decode()

    assert metadata_of(wheel_path)["License-Expression"] == "Apache-2.0"
    assert "Apache License" in text


def test_the_base_install_is_the_client_alone(wheel_path):
    requirements = metadata_of(wheel_path).get_all("Requires-Dist")

    base = {r.name for r in map(Requirement, requirements) if r.marker is None}

    assert {"click", "httpx", "pydantic"} <= base
    assert base.isdisjoint({"torch", "transformers", "numpy", "fastapi", "sqlalchemy"})


def test_both_commands_point_at_something_callable(wheel_path):
    commands = entry_points_of(wheel_path)

    assert set(commands) == {"safegene", "safegene-registry"}
    assert all(callable(command.load()) for command in commands.values())


def test_a_registry_out_of_the_wheel_can_migrate(wheel_path, tmp_path):
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(wheel_path) as wheel:
        wheel.extractall(unpacked)
    program = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r})\n"
        "from safegene_registry.migrate import script_directory\n"
        "from safegene_registry.__main__ import cli\n"
        "print(script_directory())\n"
        f"cli(['migrate', '--data', {str(tmp_path / 'data')!r}])\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == str(unpacked / "safegene_registry/migrations")
    assert (tmp_path / "data/registry.sqlite3").is_file()
