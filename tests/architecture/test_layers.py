"""Who may import whom, by the contracts of pyproject.toml and by what really loads."""

import pkgutil
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.sources import PACKAGES, ROOT, package_directory

HEAVY = ("torch", "transformers", "peft", "safetensors", "numpy")
SERVER = ("fastapi", "sqlalchemy", "alembic", "uvicorn")
REPORT = "import sys; print(*sorted(set({names!r}) & set(sys.modules)))"

EVERY_MODULE = """
import importlib, pkgutil, {package} as root
for module in pkgutil.walk_packages(root.__path__, root.__name__ + "."):
    if ".migrations" not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
HELP = """
import sys
from {module} import main
sys.argv = {arguments!r}
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
COMMANDS = (
    *("", "extract", "import", "inspect", "push", "search", "compatible"),
    *("pull", "select", "recalibrate", "apply", "merge", "evaluate"),
    *("frontier", "exchange"),
)


def loaded(program: str, names: tuple[str, ...]) -> list[str]:
    """Which of the named modules a fresh process has loaded after the program."""
    ended = subprocess.run(
        [sys.executable, "-c", program + "\n" + REPORT.format(names=names)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1].split()


def check_contracts(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages in `root` with the project's contracts."""
    # grimp sees the packages of the working directory before installed ones; scripts
    # are never installed.
    program = (
        f"import sys; sys.path[:0] = ['.']; sys.path.append({str(ROOT)!r});"
        "from importlinter.cli import lint_imports;"
        f"sys.exit(lint_imports({str(ROOT / 'pyproject.toml')!r}, no_cache=True))"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copied_packages(tmp_path):
    for name in PACKAGES:
        shutil.copytree(
            package_directory(name),
            tmp_path / name,
            ignore=shutil.ignore_patterns("__pycache__", "migrations"),
        )
    return tmp_path


def test_the_import_contracts_hold(copied_packages):
    ended = check_contracts(copied_packages)

    assert ended.returncode == 0, ended.stdout
    assert "4 kept, 0 broken" in ended.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        pytest.param(
            "safegene/artifact/digest.py",
            "import safegene_client",
            "The core knows neither client nor registry",
            id="core-imports-client",
        ),
        pytest.param(
            "safegene_client/settings.py",
            "import safegene_registry.settings",
            "Client and registry never import each other",
            id="client-imports-registry",
        ),
        pytest.param(
            "safegene_registry/settings.py",
            "def later():\n    from safegene.vectors import factors",
            "The registry and the artifact format never reach torch",
            id="registry-reaches-torch-lazily",
        ),
        pytest.param(
            "safegene_registry/catalog.py",
            "def later():\n    from safegene import files",
            "The registry reaches only the artifact format and the errors",
            id="registry-reaches-files-lazily",
        ),
        pytest.param(
            "safegene/artifact/digest.py",
            "import safegene.evaluation.rows",
            "The registry reaches only the artifact format and the errors",
            id="registry-reaches-evaluation-through-the-format",
        ),
    ],
)
def test_a_forbidden_import_breaks_its_contract(copied_packages, module, line, broken):
    with (copied_packages / module).open("a", encoding="utf-8") as source:
        source.write(f"\n\n{line}\n")

    ended = check_contracts(copied_packages)

    assert ended.returncode == 1
    assert f"{broken} BROKEN" in ended.stdout


def test_the_registry_is_kept_from_every_other_part_of_the_core():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = pyproject["tool"]["importlinter"]["contracts"]
    forbidden = {
        module
        for contract in contracts
        if contract["type"] == "forbidden"
        and "safegene_registry" in contract["source_modules"]
        for module in contract["forbidden_modules"]
    }
    parts = {
        f"safegene.{module.name}"
        for module in pkgutil.iter_modules([str(package_directory("safegene"))])
    }

    assert parts - forbidden == {"safegene.artifact", "safegene.errors"}


def test_importing_core_and_client_loads_neither_torch_nor_the_server():
    assert loaded("import safegene, safegene_client", HEAVY + SERVER) == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda name: name or "top")
def test_help_loads_no_torch(command):
    arguments = ["safegene", *command.split(), "--help"]
    program = HELP.format(module="safegene_client.cli", arguments=arguments)

    assert loaded(program, HEAVY) == []


def test_the_artifact_format_loads_no_torch():
    program = EVERY_MODULE.format(package="safegene.artifact")

    assert loaded(program, (*HEAVY, *SERVER, "httpx")) == []


def test_no_module_of_the_registry_loads_torch():
    program = EVERY_MODULE.format(package="safegene_registry")

    assert loaded(program, HEAVY) == []


def test_a_built_application_has_loaded_no_torch(tmp_path):
    program = (
        "from pathlib import Path\n"
        "from safegene_registry.app import create_app\n"
        "from safegene_registry.settings import Settings\n"
        f"create_app(Settings(data=Path({str(tmp_path)!r}))).openapi()\n"
    )

    assert loaded(program, HEAVY) == []


def test_the_registry_answers_help_without_torch():
    program = HELP.format(
        module="safegene_registry.__main__",
        arguments=["safegene-registry", "serve", "--help"],
    )

    assert loaded(program, HEAVY) == []
