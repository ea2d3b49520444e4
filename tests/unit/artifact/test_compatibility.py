import pytest

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.compatibility import (
    Level,
    compare,
    read_target,
    require,
    structural_reasons,
)
from safegene.artifact.lineage import LineageScore
from safegene.errors import CompatibilityError

NEAR = LineageScore(0.98, bit_equal=False)
SAME = LineageScore(1.0, bit_equal=True)
STRANGER = LineageScore(0.02, bit_equal=False)


@pytest.mark.parametrize(
    ("lineage", "level"),
    [
        (None, Level.STRUCTURAL),
        (SAME, Level.EXACT),
        (NEAR, Level.COMPATIBLE),
        (STRANGER, Level.INCOMPATIBLE),
    ],
)
def test_lineage_decides_between_models_of_one_structure(
    architecture, config, lineage, level
):
    verdict = compare(architecture, config, lineage)

    assert verdict.level is level
    assert verdict.fits == (level in (Level.EXACT, Level.COMPATIBLE))


@pytest.mark.parametrize(
    ("change", "field", "expected", "actual"),
    [
        ({"num_hidden_layers": 5}, "layers", "11", "5"),
        ({"model_type": "qwen2"}, "model_type", "llama", "qwen2"),
        ({"model_type": "mistral"}, "model_type", "llama", "mistral"),
        ({"model_type": "gpt_neox"}, "model_type", "llama", "gpt_neox"),
        ({"hidden_size": 64}, "hidden_size", "32", "64"),
        ({"num_key_value_heads": 4}, "kv_heads", "2", "4"),
    ],
)
def test_another_structure_is_incompatible_with_the_first_reason(
    architecture, config, change, field, expected, actual
):
    verdict = compare(architecture, {**config, **change}, SAME)

    first = verdict.reasons[0]
    assert verdict.level is Level.INCOMPATIBLE
    assert (first.code, first.module) == ("architecture-field-differs", field)
    assert (first.expected, first.actual) == (expected, actual)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"intermediate_size": 64}, "shape-differs"),
        ({"mlp_bias": True}, "bias-differs"),
    ],
)
def test_modules_that_differ_are_named_and_the_rest_counted(
    architecture, config, change, code
):
    verdict = compare(architecture, {**config, **change})

    assert [reason.code for reason in verdict.reasons] == [code] * 3 + [
        "modules-differ"
    ]
    assert verdict.reasons[0].module.startswith("model.layers.0.mlp.")
    assert "30 more" in verdict.reasons[-1].detail


def test_modules_missing_and_unexpected_are_told_apart(architecture, config):
    deeper = architecture_from_config({**config, "num_hidden_layers": 12})

    missing = {reason.code for reason in structural_reasons(deeper, architecture)}
    unexpected = {reason.code for reason in structural_reasons(architecture, deeper)}

    assert "module-missing" in missing
    assert "module-unexpected" in unexpected


def test_a_model_is_read_once_for_any_number_of_vectors(architecture, config):
    deeper = architecture_from_config({**config, "num_hidden_layers": 12})
    target = read_target({**config, "vocab_size": 5})

    assert compare(architecture, target) == compare(
        architecture, {**config, "vocab_size": 5}
    )
    assert compare(architecture, target, NEAR).level is Level.COMPATIBLE
    assert compare(deeper, target, NEAR).level is Level.INCOMPATIBLE
    assert target.architecture == architecture
    assert (target.reasons, target.notes) == ((), ("vocab_size: 5",))


def test_a_model_of_no_known_structure_is_read_with_its_reason():
    target = read_target({"model_type": "bert", "vocab_size": 5})

    assert target.architecture is None
    assert [reason.code for reason in target.reasons] == ["unknown-architecture"]
    assert target.notes == ("vocab_size: 5",)


def test_an_unknown_architecture_never_raises(architecture):
    verdict = compare(architecture, {"model_type": "bert"})

    assert verdict.reasons[0].code == "unknown-architecture"
    assert "bert" in verdict.reasons[0].detail


@pytest.mark.parametrize(
    "config",
    [
        {"model": "gpt-4.1-mini"},
        {"_name_or_path": "openai/gpt-4o"},
        {"model_type": "claude-sonnet"},
    ],
)
def test_closed_weights_get_advice(architecture, config):
    verdict = compare(architecture, config)

    assert verdict.reasons[0].code == "closed-weights"
    assert "guard model" in verdict.reasons[0].detail


def test_what_is_no_structure_is_a_note(architecture, config):
    verdict = compare(architecture, {**config, "vocab_size": 5, "dtype": "bfloat16"})

    assert verdict.level is Level.STRUCTURAL
    assert verdict.notes == ("vocab_size: 5", "dtype: bfloat16")


def test_a_fitting_vector_is_let_through(architecture, config):
    require(compare(architecture, config, NEAR))


@pytest.mark.parametrize("lineage", [None, STRANGER])
def test_lineage_can_be_overridden_and_only_explicitly(architecture, config, lineage):
    verdict = compare(architecture, config, lineage)

    require(verdict, allow_unverified_lineage=True)
    with pytest.raises(CompatibilityError) as caught:
        require(verdict)
    assert caught.value.reasons == verdict.reasons


def test_structure_has_no_override(architecture, config):
    verdict = compare(architecture, {**config, "num_hidden_layers": 5}, SAME)

    with pytest.raises(CompatibilityError, match="layers: the vector is for 11"):
        require(verdict, allow_unverified_lineage=True)
