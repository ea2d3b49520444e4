import subprocess
import sys
import zipfile

import pytest
from support.sources import ROOT


@pytest.fixture(scope="session")
def wheel_path(tmp_path_factory):
    """The wheel, built as a release is: from the source distribution."""
    out = tmp_path_factory.mktemp("dist")
    # Without isolation: the build backend is installed and no network is needed.
    command = ["-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    ended = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def wheel_names(wheel_path):
    """Names of the files in the wheel."""
    with zipfile.ZipFile(wheel_path) as wheel:
        return frozenset(wheel.namelist())
