"""The registry's image, as far as its recipe tells: no torch, no root."""

import re
from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.sources import ROOT

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
