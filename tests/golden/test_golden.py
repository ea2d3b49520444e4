from pathlib import Path

import pytest

from safegene.artifact.bundle import verify_directory
from safegene.artifact.calibration import Calibration, Interval
from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import DataEntry

HERE = Path(__file__).resolve().parent
PINNED = {
    "v1/refusal": (
        "sha256:4ba7e2b16049a11181a423496b7891eb14b8752aa66328c4c283fb4dd5885d7c"
    ),
}


@pytest.mark.parametrize("name", sorted(PINNED))
def test_a_released_format_still_loads_with_its_digest(name):
    manifest = verify_directory(HERE / name)

    assert str(manifest.digest) == PINNED[name]
    assert manifest.to_bytes() == (HERE / name / "safegene.json").read_bytes()


def test_every_golden_vector_is_pinned():
    found = {
        str(path.parent.relative_to(HERE)) for path in HERE.glob("v*/*/safegene.json")
    }

    assert found == set(PINNED)


CALIBRATION_PATH = HERE / "v1" / "calibration.json"
CALIBRATION_DIGEST = (
    "sha256:2d1fac7708d8f95559d78f92a4671921bbee6cbaccddd1951b16298e1c3d6757"
)
CALIBRATION = Calibration(
    vector="acme/refusal@1.0.0",
    digest=PINNED["v1/refusal"],
    target_fingerprint="sha256:" + "5a" * 32,
    coefficients={"0": "0", "2": "0.75", "10": "1.25e-5"},
    budget="0.02",
    predicted_kl="0.0181234",
    realised_kl="0.0191",
    objective_before="1.2",
    objective_after="-0.6",
    objective_uniform="0.7",
    uniform_coefficient="0.9",
    gain=Interval(value="1.8", low="1.4", high="2.25"),
    samples={"harmful": 100, "lookalike": 64, "task": 64},
    data=(DataEntry(name="harmful", rows=100, digest="sha256:" + "d1" * 32),),
    solver="natural-gradient",
    forward_equivalents=900,
    warnings=("the budget was not used up: „große“ Ziele",),
    tool="safegene/0.1.0",
)
"""What the golden calibration says."""


def test_a_calibration_is_still_written_with_the_same_bytes():
    golden = CALIBRATION_PATH.read_bytes()

    assert CALIBRATION.to_bytes() == golden
    assert str(digest_bytes(golden)) == CALIBRATION_DIGEST


def test_a_released_calibration_still_loads():
    loaded = Calibration.from_bytes(CALIBRATION_PATH.read_bytes())

    assert loaded == CALIBRATION
    assert loaded.by_layer == {0: 0.0, 2: 0.75, 10: 1.25e-05}
    assert loaded.gain.low == "1.4"
