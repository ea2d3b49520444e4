"""Every test that the security page names as showing something is there."""

import ast
import re
from pathlib import Path

import pytest
from support.sources import ROOT

PAGE = ROOT / "docs" / "security.md"
NAMED = re.compile(r"\[`([^`]+)`\]\(([^)]+)\)")
ROWS = re.compile(r"^\| (?!holds \||---)", re.MULTILINE)
THREATS = (
    "Stolen token",
    "Malicious publisher",
    "Malicious registry",
    "Tampered store",
    "Rollback",
    "Confused client",
)


def missing(text: str, home: Path) -> list[str]:
    """What a page names in vain: `test (file)`, as it stands in the text."""
    found = []
    for name, target in NAMED.findall(text):
        path = home / target
        if not path.is_file() or name not in collected(path):
            found.append(f"{name} ({target})")
    return found


def collected(path: Path) -> set[str]:
    """Names of the tests in a file that pytest collects."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and path.name.startswith("test_")
    }


def test_every_test_that_the_page_names_is_there():
    assert missing(PAGE.read_text(encoding="utf-8"), PAGE.parent) == []


def test_every_row_names_a_test():
    text = PAGE.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if ROWS.match(line)]

    assert [row for row in rows if not NAMED.search(row)] == []
    assert len(rows) == len(ROWS.findall(text)) > 50


def test_every_threat_says_what_does_not_hold():
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    titles = [section.partition("\n")[0] for section in sections]

    assert titles[: len(THREATS)] == list(THREATS)
    assert [s for s in sections if "**Does not hold.**" not in s] == []


@pytest.mark.parametrize(
    ("link", "is_there"),
    [
        ("[`test_it`](test_a.py)", True),
        ("[`test_other`](test_a.py)", False),
        ("[`helper`](test_a.py)", False),
        ("[`test_it`](test_b.py)", False),
        ("[`test_it`](a.py)", False),
    ],
)
def test_what_is_named_in_vain_is_found(tmp_path, link, is_there):
    for name in ("test_a.py", "a.py"):
        (tmp_path / name).write_text("def test_it(): ...\ndef helper(): ...\n")

    assert missing(link, tmp_path) == ([] if is_there else [link_of(link)])


def link_of(link: str) -> str:
    """A link as `missing` tells it."""
    name, target = NAMED.findall(link)[0]
    return f"{name} ({target})"
