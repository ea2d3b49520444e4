import pytest
from hypothesis import given
from hypothesis import strategies as st

from safegene.artifact.calibration import (
    Calibration,
    Interval,
    ObjectiveEntry,
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


OBJECTIVE = ObjectiveEntry(
    threshold="0",
    sharpness="1",
    focus="0.5",
    lookalike_weight="2",
    ordinary_weight="0.25",
)
MODULES = {"model.layers.0.mlp.down_proj": "0.5", "model.layers.3.mlp.up_proj": "0"}


@pytest.fixture
def by_module(calibration):
    return calibration.model_copy(
        update={
            "format": 2,
            "granularity": "module",
            "coefficients": MODULES,
            "objective": OBJECTIVE,
            "predicted_kl": None,
        }
    )


def test_coefficients_by_module_read_back_and_have_none_by_layer(by_module):
    read = Calibration.from_bytes(by_module.to_bytes())

    assert read == by_module
    assert read.values == {path: float(text) for path, text in MODULES.items()}
    assert read.objective.lookalike_weight == "2"
    assert b"predicted_kl" not in by_module.to_bytes()
    with pytest.raises(UsageError, match="one coefficient a module"):
        _ = read.by_layer


def test_coefficients_by_layer_are_what_a_vector_takes(calibration):
    assert calibration.values == calibration.by_layer == {0: 0.5, 10: 1.25}
    assert calibration.by_module == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"format": 1}, "format 1 has no granularity", id="fields"),
        pytest.param({"granularity": "layer"}, "one coefficient a layer", id="layer"),
        pytest.param({"coefficients": {"3": "1"}}, "got one for 3", id="module"),
        pytest.param({"objective": None}, "format 2 needs granularity", id="objective"),
        pytest.param({"format": 3}, "1 or 2", id="later"),
    ],
)
def test_each_format_has_its_own_fields(by_module, change, told):
    document = {**parse_canonical(by_module.to_bytes()), **change}

    with pytest.raises(ManifestError, match=told):
        Calibration.from_bytes(canonical_json(document))


def test_format_1_needs_what_it_always_had(calibration):
    document = parse_canonical(calibration.to_bytes())
    del document["objective_uniform"]

    with pytest.raises(ManifestError, match="format 1"):
        Calibration.from_bytes(canonical_json(document))


def test_negative_coefficient_is_refused_by_module(by_module):
    with pytest.raises(UsageError, match=r"module model\.x: expected .* got -1"):
        refuse_negative({"model.x": -1.0})


@given(st.floats(-1e30, 1e30))
def test_decimals_read_back_within_six_digits(value):
    text = decimal_text(value)

    assert float(text) == pytest.approx(value, rel=1e-5, abs=1e-30)
    assert Interval(value=text, low=text, high=text).value == text
