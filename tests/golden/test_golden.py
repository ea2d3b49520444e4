from pathlib import Path

import pytest

from safegene.artifact.bundle import verify_directory
from safegene.artifact.calibration import Calibration, Interval, ObjectiveEntry
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


SECOND_PATH = HERE / "v1" / "calibration-2.json"
SECOND_DIGEST = (
    "sha256:e1184c0b3e3258d538d6fd1ea920574dd099fe6d781b064380b6ec90ecfe8228"
)
SECOND = Calibration(
    format=2,
    vector="acme/refusal@1.0.0",
    digest=PINNED["v1/refusal"],
    target_fingerprint="sha256:" + "5a" * 32,
    granularity="module",
    coefficients={
        "model.layers.0.mlp.down_proj": "0",
        "model.layers.10.self_attn.o_proj": "0.75",
    },
    budget="0.02",
    realised_kl="0.0191",
    objective=ObjectiveEntry(
        threshold="0",
        sharpness="1",
        focus="0.5",
        lookalike_weight="2",
        ordinary_weight="0.25",
    ),
    objective_before="1.2",
    objective_after="0.6",
    gain=Interval(value="0.6", low="0.4", high="0.8"),
    samples={"harmful": 100, "lookalike": 64, "task": 64},
    data=(DataEntry(name="harmful", rows=100, digest="sha256:" + "d1" * 32),),
    solver="adam-1",
    forward_equivalents=900,
    warnings=(),
    tool="safegene 0.1.0",
)
"""The same of format 2, by module and by a solver that predicts nothing."""


@pytest.mark.parametrize(
    ("calibration", "path", "digest", "values"),
    [
        pytest.param(
            *(CALIBRATION, CALIBRATION_PATH, CALIBRATION_DIGEST),
            {0: 0.0, 2: 0.75, 10: 1.25e-05},
            id="format-1",
        ),
        pytest.param(
            *(SECOND, SECOND_PATH, SECOND_DIGEST),
            {
                "model.layers.0.mlp.down_proj": 0.0,
                "model.layers.10.self_attn.o_proj": 0.75,
            },
            id="format-2",
        ),
    ],
)
def test_a_released_calibration_still_loads_and_is_written_the_same(
    calibration, path, digest, values
):
    golden = path.read_bytes()

    loaded = Calibration.from_bytes(golden)

    assert loaded == calibration
    assert loaded.values == values
    assert calibration.to_bytes() == golden
    assert str(digest_bytes(golden)) == digest
