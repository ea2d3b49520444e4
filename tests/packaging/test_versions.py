"""Things that are written down twice agree."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from support.sources import ROOT

from safegene import __version__

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
DECLARED = [
    Requirement(text)
    for texts in (
        PROJECT["dependencies"],
        *PROJECT["optional-dependencies"].values(),
    )
    for text in texts
]


def pins():
    """Pinned version of every distribution that make installs, by canonical name."""
    lines = (ROOT / "requirements/constraints.txt").read_text("utf-8").splitlines()
    texts = [line for line in lines if line and not line.startswith("#")]
    texts += re.findall(r"[\w-]+==[\d.]+", MAKEFILE)
    found = [text.split("==") for text in texts]
    assert all(len(parts) == 2 for parts in found), "a pin is name==version"
    return {canonicalize_name(name): Version(version) for name, version in found}


def changelog_headings():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return re.findall(r"^## \[([^\]]+)\]", text, flags=re.MULTILINE)


def test_the_changelog_begins_with_the_current_version():
    newest = changelog_headings()[0]

    assert newest == __version__


def test_the_changelog_lists_versions_from_new_to_old():
    versions = [Version(heading) for heading in changelog_headings()]

    assert versions == sorted(set(versions), reverse=True)


@pytest.mark.parametrize("requirement", DECLARED, ids=lambda found: found.name)
def test_every_dependency_has_a_pin_inside_its_range(requirement):
    pinned = pins()[canonicalize_name(requirement.name)]

    assert requirement.specifier.contains(pinned)


def test_torch_goes_in_before_everything_else():
    """A range would bring another, much larger build."""
    recipe = MAKEFILE.partition("$(STAMP):\n")[2]
    installs = [line for line in recipe.splitlines() if "$(PIP)" in line]

    assert "torch==" in installs[0]
    assert "-e '.[torch,registry,bench,dev]'" in installs[1]


def test_the_image_of_the_registry_uses_the_same_pins():
    dockerfile = (ROOT / "registry/Dockerfile").read_text(encoding="utf-8")

    assert "requirements/constraints.txt" in dockerfile
    # Pins do not reach an isolated build, so the backend is installed with them before.
    assert "-c requirements/constraints.txt hatchling" in dockerfile
    assert "--no-build-isolation" in dockerfile
    assert "torch" not in re.sub(r"^#.*$", "", dockerfile, flags=re.MULTILINE)
