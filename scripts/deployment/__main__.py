"""The arrangement of docker-compose.yml without containers: `up`, `down`."""

import argparse
import signal
import sys
from pathlib import Path

from scripts.deployment.arrangement import Arrangement
from scripts.services.install import ROOT, say
from scripts.services.processes import ServiceError

DIRECTORY = ROOT / "build" / "deployment"


def main() -> int:
    """Do what the command line says; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.deployment", description=__doc__
    )
    parser.add_argument("action", choices=("up", "down"))
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    parser.add_argument(
        "--wipe", action="store_true", help="down: remove the data, too"
    )
    chosen = parser.parse_args()
    # So that a start that is asked to end takes back what it began.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    arrangement = Arrangement(chosen.directory.absolute())
    try:
        if chosen.action == "down":
            arrangement.stop()
            if chosen.wipe:
                arrangement.clear()
        else:
            start(arrangement)
            print(f"The registry answers at {arrangement.url}")
            print(f"Its environment, secrets included: {arrangement.directory / 'env'}")
    except ServiceError as error:
        say(f"error: {error}")
        return 1
    return 0


def start(arrangement: Arrangement) -> None:
    """Start it, unless it runs; whole, or not at all.

    Raises:
        ServiceError: says what failed.
    """
    if arrangement.running():
        return
    arrangement.install()
    try:
        arrangement.begin()
        arrangement.finish()
    except BaseException:
        arrangement.stop()
        raise


if __name__ == "__main__":
    sys.exit(main())
