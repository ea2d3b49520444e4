"""Every benchmark has a page, a line in the list of pages, and a command."""

import ast
import subprocess
import sys

import pytest
from support.sources import ROOT

PAGES = ROOT / "docs" / "benchmarks"


def has_main(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(n, ast.FunctionDef) and n.name == "main" for n in tree.body)


def source_of(module):
    """A benchmark is a module, or a package with a `__main__`."""
    package = ROOT / "benchmarks" / module / "__main__.py"
    return package if package.is_file() else ROOT / "benchmarks" / f"{module}.py"


SINGLE = (path.stem for path in (ROOT / "benchmarks").glob("*.py") if has_main(path))
PACKAGES = (path.parent.name for path in (ROOT / "benchmarks").glob("*/__main__.py"))
MODULES = sorted([*SINGLE, *PACKAGES])
NAMES = {module: module.replace("_", "-") for module in MODULES}


def test_the_benchmarks_are_found():
    assert {"merge", "method"} <= NAMES.keys()


@pytest.mark.parametrize("module", MODULES)
def test_a_benchmark_has_a_page_that_the_list_links(module):
    name = NAMES[module]
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    listed = (PAGES / "README.md").read_text(encoding="utf-8")

    assert page.startswith(f"# {name}\n")
    assert f"[{name}]({name}.md)" in listed


def test_every_page_is_about_a_benchmark():
    pages = {path.stem for path in PAGES.glob("*.md")} - {"README"}

    assert pages == set(NAMES.values())


@pytest.mark.parametrize("module", MODULES)
def test_a_benchmark_writes_under_its_name(module):
    """The name is the first argument of its `Benchmark`."""
    text = source_of(module).read_text(encoding="utf-8")
    calls = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Benchmark"
    ]

    assert [ast.literal_eval(call.args[0]) for call in calls] == [NAMES[module]]


@pytest.mark.parametrize("module", MODULES)
def test_a_benchmark_runs_as_a_module_and_names_its_command(module):
    """As make runs it, asked for nothing but its help."""
    ended = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", "--help"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 0, ended.stderr
    assert f"make bench-{NAMES[module]}" in ended.stdout
