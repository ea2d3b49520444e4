"""Each package imports what its extra declares, and nothing is declared in vain."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from safegene_client.extras import TORCH_MODULES
from support.sources import PACKAGES, ROOT, package_sources

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]

DISTRIBUTIONS = packages_distributions()
REASONS = ROOT / "docs/adr/0009-dependencies.md"


def declared(*extras):
    texts = list(PROJECT["dependencies"])
    for extra in extras:
        texts += PROJECT["optional-dependencies"][extra]
    return names_of(texts)


def names_of(requirements):
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def explained():
    """Packages of the ADR's table, by where it says they are declared."""
    found = {}
    for line in REASONS.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            packages, place, reason = (part.strip() for part in line.split("|")[1:4])
            assert reason
            found.setdefault(place, []).extend(re.findall("`([^`]+)`", packages))
    return found


def imported(*packages):
    """Distributions that the packages import anywhere, also inside functions."""
    names = set()
    for source in package_sources():
        if source.path.parts[0] not in packages:
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add((node.module or "").partition(".")[0])
    foreign = names - set(sys.stdlib_module_names) - set(PACKAGES)
    return {canonicalize_name(DISTRIBUTIONS[name][0]) for name in foreign}


@pytest.mark.parametrize(
    ("packages", "extras"),
    [
        pytest.param(("safegene", "safegene_client"), ("torch",), id="client"),
        pytest.param(("safegene_registry", "migrations"), ("registry",), id="registry"),
    ],
)
def test_what_is_imported_is_declared(packages, extras):
    assert imported(*packages) <= declared(*extras)


def test_what_is_declared_is_imported():
    used = imported(*PACKAGES, "migrations")

    assert declared("torch", "registry") - used == set()


def test_the_client_knows_every_module_of_the_torch_extra():
    """Else its absence would be told as a bug instead of as a missing extra."""
    extra = declared("torch") - declared()

    assert {name.replace("-", "_") for name in extra} <= TORCH_MODULES


def test_every_dependency_has_a_row_with_its_reason():
    places = {"base": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}

    rows = explained()

    assert {place: sorted(packages) for place, packages in rows.items()} == {
        place: sorted(names_of(texts)) for place, texts in places.items()
    }
