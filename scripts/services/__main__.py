"""Real servers for tests: `make services-up`, `make services-down`."""

import argparse
import signal
import sys
from pathlib import Path

from scripts.services.install import say
from scripts.services.manage import DIRECTORY, KINDS, down, up
from scripts.services.processes import ServiceError

DEFAULT = ("postgres", "seaweedfs")


def main() -> int:
    """Do what the command line says; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.services", description=__doc__
    )
    parser.add_argument("action", choices=("up", "down"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(KINDS))
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    parser.add_argument(
        "--wipe", action="store_true", help="down: remove the data, too"
    )
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(KINDS)
    if unknown:
        parser.error(f"no such service: {', '.join(sorted(unknown))}")
    # So that a start that is asked to end takes back what it began.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    directory = chosen.directory.absolute()
    try:
        if chosen.action == "down":
            down(chosen.names or list(KINDS), directory, wipe=chosen.wipe)
        else:
            names = chosen.names or list(DEFAULT)
            up(names, directory)
            tell(directory)
    except ServiceError as error:
        say(f"error: {error}")
        return 1
    return 0


def tell(directory: Path) -> None:
    """Say what runs where, without the secrets."""
    file = directory / "env"
    for line in file.read_text(encoding="utf-8").splitlines():
        key, _, value = line.removeprefix("export ").partition("=")
        if value.startswith(("http:", "postgresql:")):
            print(f"{key} at {value.rpartition('@')[2].removeprefix('http://')}")
    print(f"The tests find them by themselves; for other programs: . {file}")
    print("Stop them with `make services-down`; WIPE=1 removes their data, too.")


if __name__ == "__main__":
    sys.exit(main())
