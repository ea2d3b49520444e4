"""Runs the tests against the built wheel: `make test-wheel`.

In a checkout `import safegene` finds the sources, so a file that the wheel lacks goes
unnoticed. Here the wheel is installed into an empty environment, which borrows the
dependencies of the one that runs this, and the tests run from a copy beside which there
are no sources. What is about the checkout itself (`tests/packaging`, its rules, the
benchmarks, the example, the scripts and files that start servers) stays out, and so do
random lives of a vector and what computes with models, which take long and need no file
that others do not; that no module is left out is seen by `test_wheel.py`. What runs on
several backends runs on the embedded one: a file that is missing is missing on each.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("tests", "examples", "benchmarks", "docs", "scripts", "deployment")
IGNORED = (
    *("packaging", "integration/services/test_scripts.py"),
    *("e2e/test_operations.py", "architecture", "unit/benchmarks"),
    *("unit/examples", "unit/deployment", "unit/vectors"),
    "integration/registry/test_lifecycle_model.py",
)
COPIED_FILES = ("pyproject.toml", "README.md", "CHANGELOG.md", "docker-compose.yml")
PROBE = "import safegene, safegene_client, safegene_registry as r; print(r.__file__)"


def main() -> int:
    """Build, install, run; return pytest's exit code."""
    # Handed to pytest in their order: a parser of ours would part options and values.
    given = sys.argv[1:] or ["-n", os.environ.get("WORKERS", "2")]
    with tempfile.TemporaryDirectory(prefix="safegene-wheel-") as place:
        work = Path(place).resolve()
        python = make_environment(work / "venv", build_wheel(work / "dist"))
        check_isolation(python, work)
        checks = copy_checks(work / "checks")
        ignored = [f"--ignore=tests/{name}" for name in IGNORED]
        command = [python, "-m", "pytest", *ignored, *given]
        # The servers of the tests are programs beside the Python that runs this.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        backends = {"SAFEGENE_TEST_BACKENDS": "embedded"}
        environment = {**backends, **os.environ, "PATH": path}
        ended = subprocess.run(command, cwd=checks, env=environment, check=False)
        return ended.returncode


def build_wheel(out: Path) -> Path:
    """Build through the source distribution, as a release is."""
    command = ["-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    (wheel,) = out.glob("*.whl")
    return wheel


def make_environment(directory: Path, wheel: Path) -> str:
    """An environment with the wheel, and everything else from the running one.

    A line in a `.pth` file adds a directory at the end of the search path and does not
    run the `.pth` files in it, so the editable install there stays out of sight.
    """
    venv.create(directory, with_pip=False, symlinks=True)
    python = str(directory / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--quiet", "install"]
    offline = ["--disable-pip-version-check", "--no-index", "--no-deps", str(wheel)]
    subprocess.run([*pip, *offline], check=True)
    scheme = {"base": str(directory), "platbase": str(directory)}
    packages = Path(sysconfig.get_path("purelib", vars=scheme))
    line = sysconfig.get_path("purelib") + "\n"
    (packages / "borrowed.pth").write_text(line, encoding="utf-8")
    return python


def check_isolation(python: str, work: Path) -> None:
    """Fail unless the packages come out of the wheel and the sources are not found."""
    command = [python, "-c", PROBE]
    ended = subprocess.run(
        command, cwd=work, check=True, capture_output=True, text=True
    )
    found = Path(ended.stdout.strip())
    if not found.is_relative_to(work):
        sys.exit(f"the tests would run on {found}, not on the wheel")
    sys.stdout.write(f"testing {found.parent.parent}\n")
    sys.stdout.flush()


def copy_checks(directory: Path) -> Path:
    """Copy the tests and what they read, without the sources."""
    directory.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        shutil.copytree(ROOT / name, directory / name, ignore=ignored)
    for name in COPIED_FILES:
        shutil.copy(ROOT / name, directory / name)
    return directory


if __name__ == "__main__":
    sys.exit(main())
