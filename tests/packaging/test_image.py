"""The registry's image: no torch, no root; its steps are run without Docker."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from importlib.metadata import distribution

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.sources import ROOT

from scripts.deployment.compose import FILE
from scripts.services.service import free_ports

DOCKERFILE = ROOT / "registry" / "Dockerfile"
INSTRUCTIONS = re.sub(r"\\\n", " ", DOCKERFILE.read_text(encoding="utf-8"))


def test_the_image_installs_the_registry_and_nothing_of_torch():
    asked = re.findall(r'"safegene\[([^\]]*)\]', INSTRUCTIONS)

    assert asked == ["registry"]
    assert "torch" not in re.sub("#.*", "", INSTRUCTIONS)
    found, wanted = set(), ["safegene[registry]"]
    while wanted:
        requirement = Requirement(wanted.pop())
        if str(requirement) in found:
            continue
        found.add(str(requirement))
        for text in distribution(requirement.name).requires or ():
            needed = Requirement(text)
            extras = requirement.extras or {""}
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in extras
            ):
                wanted.append(f"{needed.name}[{','.join(needed.extras)}]")
    names = {canonicalize_name(Requirement(text).name) for text in found}
    assert {"fastapi", "sqlalchemy", "boto3", "psycopg"} <= names
    assert not names & {"torch", "transformers", "safetensors", "peft", "numpy"}


def test_compose_builds_this_image():
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))

    build = document["services"]["migrate"]["build"]

    assert ROOT / build["context"] / build["dockerfile"] == DOCKERFILE


def test_the_image_copies_what_is_there_and_does_not_run_as_root():
    copied = [
        name
        for line in re.findall(r"^COPY (?!--from)(.*)$", INSTRUCTIONS, re.MULTILINE)
        for name in line.split()[:-1]
    ]

    assert copied
    assert all((ROOT / name).exists() for name in copied)
    users = re.findall(r"^USER (\S+)$", INSTRUCTIONS, re.MULTILINE)
    assert users == ["safegene"]
    assert re.search(r"^HEALTHCHECK ", INSTRUCTIONS, re.MULTILINE)


PORT = "8080"
SECONDS = 300


def instructions(name, stage):
    """What a stage says under a name, in order."""
    part = INSTRUCTIONS.split("\nFROM ")[stage]
    return re.findall(rf"^{name} (.*)$", part, re.MULTILINE)


def copy_sources(source):
    """Copy what is copied, as `.dockerignore` lets it through."""
    for line in instructions("COPY", 1):
        *names, target = line.split()
        for name in names:
            if (ROOT / name).is_dir():
                caches = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, source / target, ignore=caches)
            else:
                (source / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, source / target)


def below(place, text):
    """The same with another root and this Python."""
    moved = re.sub(r"(?<![\w.])/(opt|wheels|data)\b", rf"{place}/\1", text)
    return re.sub(r"\bpython -m venv", f"{sys.executable} -m venv", moved)


def environment_of_image(place):
    """The image's own, which here finds packages that are installed already."""
    pairs = " ".join(instructions("ENV", 2)).split()
    own = dict(pair.split("=", 1) for pair in pairs)
    own["PATH"] = f"{place}/opt/safegene/bin:{os.environ['PATH']}"
    borrowed = {"PYTHONPATH": sysconfig.get_path("purelib"), "PIP_NO_INDEX": "1"}
    return {**os.environ, **{k: below(place, v) for k, v in own.items()}, **borrowed}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_builds_the_image_makes_a_registry_that_is_healthy(tmp_path):
    source, environment = tmp_path / "source", environment_of_image(tmp_path)
    source.mkdir()
    copy_sources(source)
    for step in instructions("RUN", 1):
        built = subprocess.run(
            ["sh", "-c", below(tmp_path, step)],
            cwd=source,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert built.returncode == 0, built.stdout + built.stderr
    (entry,), (arguments,) = instructions("ENTRYPOINT", 2), instructions("CMD", 2)
    (health,) = re.findall(r"^HEALTHCHECK .* CMD (.*)$", INSTRUCTIONS, re.MULTILINE)
    (port,) = free_ports(1)
    command, check = (
        json.loads(text.replace(PORT, port))
        for text in (entry.replace("]", ", ") + arguments.lstrip("["), health)
    )

    with (tmp_path / "log").open("wb") as log:
        serving = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + SECONDS
        while subprocess.run(
            check, env=environment, capture_output=True, check=False
        ).returncode:
            assert serving.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.5)
    finally:
        serving.terminate()
        assert serving.wait(SECONDS) == 0

    assert (tmp_path / "data" / "registry.sqlite3").is_file()
    program = "import safegene_registry as r; print(r.__file__)"
    found = subprocess.check_output(["python", "-c", program], env=environment)
    assert found.decode().startswith(f"{tmp_path}/opt/safegene/lib/")
