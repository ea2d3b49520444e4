"""Writes the golden files of format 1; run it only when a new format is released.

Files that stand under `tests/golden/v1` are never rewritten: every later release must
read them and find the pinned digest.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "unit" / "artifact"))

from conftest import CONFIG, write_version  # noqa: E402
from test_golden import (  # noqa: E402
    CALIBRATION,
    CALIBRATION_PATH,
    SECOND,
    SECOND_PATH,
)

from safegene.artifact.architecture import architecture_from_config  # noqa: E402

if __name__ == "__main__":
    (HERE / "v1").mkdir()
    write_version(HERE / "v1" / "refusal", architecture_from_config(CONFIG))
    CALIBRATION_PATH.write_bytes(CALIBRATION.to_bytes())
    SECOND_PATH.write_bytes(SECOND.to_bytes())
