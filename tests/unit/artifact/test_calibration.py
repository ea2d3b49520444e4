import pytest
from hypothesis import given
from hypothesis import strategies as st

from safegene.artifact.calibration import (
    Calibration,
    Interval,
    decimal_text,
    refuse_negative,
)
from safegene.artifact.canonical import canonical_json, parse_canonical
from safegene.errors import ManifestError, UsageError

DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def calibration():
    return Calibration(
        vector="acme/refusal@1.0.0",
        digest=DIGEST,
        target_fingerprint=DIGEST,
        coefficients={"0": "0.5", "10": "1.25"},
        budget="0.02",
        predicted_kl="0.018",
        realised_kl="0.0191",
        objective_before="1.2",
        objective_after="0.6",
        objective_uniform="0.7",
        uniform_coefficient="0.9",
        gain=Interval(value="0.6", low="0.4", high="0.8"),
        samples={"harmful": 100, "lookalike": 64, "task": 64},
        data=(),
        solver="natural-gradient",
        forward_equivalents=900,
        warnings=(),
        tool="safegene/0.1.0",
    )


def test_a_calibration_reads_back(calibration):
    assert Calibration.from_bytes(calibration.to_bytes()) == calibration


def test_negative_coefficient_is_refused_by_layer_with_what_to_do():
    refuse_negative({0: 0.0, 1: -0.0, 2: 2.0})

    with pytest.raises(UsageError) as caught:
        refuse_negative({0: 0.5, 3: -2.0})

    for part in ("layer 3", "at least 0, got -2", "recalibrate", "--allow-negative"):
        assert part in caught.value.detail


def test_layers_without_a_coefficient_count_zero(calibration):
    assert calibration.coefficient(10) == 1.25
    assert calibration.coefficient(3) == 0.0


@pytest.mark.parametrize(
    "change",
    [
        {"coefficients": {"x": "1"}},
        {"coefficients": {"0": "nan"}},
        {"budget": "much"},
        {"digest": "sha256:0"},
        {"more": 1},
    ],
)
def test_a_calibration_that_breaks_the_format_is_refused(calibration, change):
    document = {**parse_canonical(calibration.to_bytes()), **change}

    with pytest.raises(ManifestError, match="calibration"):
        Calibration.from_bytes(canonical_json(document))


@given(st.floats(-1e30, 1e30))
def test_decimals_read_back_within_six_digits(value):
    text = decimal_text(value)

    assert float(text) == pytest.approx(value, rel=1e-5, abs=1e-30)
    assert Interval(value=text, low=text, high=text).value == text
