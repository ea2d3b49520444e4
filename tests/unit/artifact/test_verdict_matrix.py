"""Every family against models that a loader would take for it: some 300 pairs."""

from itertools import permutations

import pytest

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.compatibility import Level, compare
from safegene.artifact.family import known_families, supported_types
from safegene.artifact.lineage import LineageScore

SIZES = {
    "hidden": 64,
    "ffn": 96,
    "layers": 4,
    "heads": 4,
    "kv_heads": 2,
    "head_size": 16,
}
SAME = LineageScore(1.0, bit_equal=True)
TUNED = LineageScore(0.97, bit_equal=False)
STRANGER = LineageScore(0.03, bit_equal=False)
FIELD_DIFFERS = "architecture-field-differs"


def config_of(model_type, **changes):
    """A config of a family: the same numbers in each, as far as it has them."""
    rules = known_families()[model_type].sizes
    fields = {
        rule.field: {**SIZES, **changes}[name]
        for name, rule in rules.items()
        if rule.field
    }
    return {"model_type": model_type, "vocab_size": 99, **fields}


def verdict(model_type, target, lineage=SAME):
    return compare(architecture_from_config(config_of(model_type)), target, lineage)


@pytest.mark.parametrize("model_type", supported_types())
@pytest.mark.parametrize(
    ("lineage", "level", "codes"),
    [
        pytest.param(SAME, Level.EXACT, [], id="the base itself"),
        pytest.param(TUNED, Level.COMPATIBLE, [], id="fine-tuned"),
        pytest.param(None, Level.STRUCTURAL, ["lineage-not-checked"], id="a config"),
        pytest.param(
            STRANGER, Level.INCOMPATIBLE, ["lineage-differs"], id="another's weights"
        ),
    ],
)
def test_one_structure_is_told_apart_by_its_weights(model_type, lineage, level, codes):
    tokens = {"vocab_size": 107, "tie_word_embeddings": True, "rope_theta": 5e5}

    found = verdict(model_type, {**config_of(model_type), **tokens}, lineage)

    assert found.level is level
    assert [reason.code for reason in found.reasons] == codes


@pytest.mark.parametrize(
    ("model_type", "other"), list(permutations(supported_types(), 2))
)
def test_another_family_of_the_same_sizes_does_not_fit(model_type, other):
    found = verdict(model_type, config_of(other))

    first = found.reasons[0]
    assert found.level is Level.INCOMPATIBLE
    assert (first.code, first.module) == (FIELD_DIFFERS, "model_type")
    assert (first.expected, first.actual) == (model_type, other)
    assert not found.applicable_with_override


@pytest.mark.parametrize("model_type", supported_types())
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"layers": 2}, "layers", id="half the layers"),
        pytest.param({"layers": 8}, "layers", id="twice the layers"),
        pytest.param({"hidden": 128}, "hidden_size", id="twice as wide"),
        pytest.param({"heads": 8}, "heads", id="twice the heads"),
    ],
)
def test_another_size_of_the_family_does_not_fit(model_type, changes, field):
    found = verdict(model_type, config_of(model_type, **changes))

    assert found.level is Level.INCOMPATIBLE
    assert {reason.module for reason in found.reasons} >= {field}
    assert not found.applicable_with_override


@pytest.mark.parametrize("model_type", supported_types())
def test_a_wider_mlp_is_named_by_module_with_both_shapes(model_type):
    found = verdict(model_type, config_of(model_type, ffn=160))

    first = found.reasons[0]
    assert found.level is Level.INCOMPATIBLE
    assert first.code == "shape-differs"
    assert ".0." in first.module
    assert "mlp" in first.module
    assert first.expected != first.actual


GROUPED = [t for t in supported_types() if known_families()[t].sizes["kv_heads"].field]
SWITCHES = [
    (model_type, switch)
    for model_type in supported_types()
    for switch in known_families()[model_type].switches
]


@pytest.mark.parametrize("model_type", GROUPED)
def test_other_key_value_heads_do_not_fit(model_type):
    found = verdict(model_type, config_of(model_type, kv_heads=4))

    first = found.reasons[0]
    assert (first.code, first.module) == (FIELD_DIFFERS, "kv_heads")
    assert (first.expected, first.actual) == ("2", "4")


@pytest.mark.parametrize(("model_type", "switch"), SWITCHES)
def test_biases_where_the_base_has_none_do_not_fit(model_type, switch):
    other = not known_families()[model_type].switches[switch]

    found = verdict(model_type, {**config_of(model_type), switch: other})

    assert found.level is Level.INCOMPATIBLE
    assert found.reasons[0].code == "bias-differs"


@pytest.mark.parametrize(
    ("target", "code"),
    [
        pytest.param(
            {"model_type": "gemma3", "text_config": config_of("gemma3_text")},
            "unknown-architecture",
            id="the same language model under another prefix",
        ),
        pytest.param(
            {**config_of("qwen3"), "model_type": "qwen3_moe", "num_experts": 8},
            "unsupported-experts",
            id="the family's variant with experts",
        ),
        pytest.param({"model": "gpt-4.1-mini"}, "closed-weights", id="closed weights"),
        pytest.param(
            {**config_of("llama"), "num_hidden_layers": None},
            "invalid-config",
            id="a config with a hole",
        ),
    ],
)
@pytest.mark.parametrize("model_type", ["gemma3_text", "llama", "qwen3"])
def test_what_has_no_known_structure_fits_nothing(model_type, target, code):
    found = verdict(model_type, target)

    assert found.level is Level.INCOMPATIBLE
    assert [reason.code for reason in found.reasons] == [code]
    assert not found.applicable_with_override
