"""Laws of reading configs: hostile ones, and those that the real classes take."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.odd_configs import odd_configs
from support.real_classes import derived_modules, real_modules

from safegene.artifact.architecture import (
    Architecture,
    architecture_from_config,
    check_architecture,
)
from safegene.artifact.compatibility import Level, compare
from safegene.artifact.family import known_families, supported_types
from safegene.artifact.shown import shown
from safegene.errors import UnsupportedFamilyError

KNOWN = architecture_from_config(
    {
        "model_type": "llama",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
)
LONGEST = 1000
"""Characters of an error, whatever came."""


# Also on a busy machine: no deadline of one example.
@settings(max_examples=80, deadline=None)
@given(config=odd_configs())
def test_whatever_comes_is_answered_in_few_printable_words(config):
    verdict = compare(KNOWN, config)

    assert verdict.level is Level.INCOMPATIBLE
    for text in (verdict.reasons[0].detail, *verdict.notes):
        assert len(text) < LONGEST
        assert text.isprintable()
    assert json.loads(verdict.model_dump_json())["level"] == "incompatible"


def test_a_hundred_megabytes_are_refused_as_fast_as_a_few():
    config = {
        "model_type": "x" * 100_000_000,
        "vocab_size": "y" * 100_000_000,
        "rope_scaling": {"factors": [1.5] * 1_000_000},
    }

    verdict = compare(KNOWN, config)

    assert verdict.reasons[0].code == "unknown-architecture"
    assert len(verdict.model_dump_json()) < 2 * LONGEST


def test_a_value_nested_deeper_than_python_counts_is_shown_all_the_same():
    deep = []
    for _ in range(10_000):
        deep = [deep]

    assert shown(deep) == "[[[...]]]"


SMALL = st.integers(min_value=1, max_value=40)
MAYBE = st.none() | SMALL


@st.composite
def loadable_configs(draw):
    """Small configs of known families, with fields left out, null, and at odds."""
    model_type = draw(st.sampled_from(supported_types()))
    family = known_families()[model_type]
    heads = draw(st.sampled_from([1, 2, 3, 4, 6]))
    sizes = {
        "hidden": draw(st.sampled_from([4, 12, 24, 26, 48])),
        "ffn": draw(SMALL),
        "layers": draw(st.integers(min_value=1, max_value=3)),
        "heads": heads,
        "kv_heads": draw(st.sampled_from([1, 2, 3, heads, None])),
        "head_size": draw(st.sampled_from([2, 4, 8, None])),
    }
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = {"model_type": model_type, "vocab_size": 7, **ends}
    for name, rule in family.sizes.items():
        left_out = rule.absent is not None and draw(st.booleans())
        if rule.field and not left_out:
            config[rule.field] = sizes[name]
        if rule.other_name and draw(st.integers(0, 9)) == 0:
            config[rule.other_name] = draw(st.just(sizes[name]) | SMALL)
    for switch in family.switches:
        if draw(st.booleans()):
            config[switch] = draw(st.booleans())
    return config


REFUSED_THOUGH_BUILT = {"hidden_size", "num_key_value_heads", "head_dim", "n_embd"} | {
    *("num_hidden_layers", "num_attention_heads"),
}
"""Fields that we are stricter about: heads that do not divide, two names at odds."""


def built(config):
    """What the real class makes of a config; None where it refuses."""
    try:
        return real_modules(config)
    except Exception:  # noqa: BLE001 - the classes refuse in many ways
        return None


def derived(config):
    """What we make of it; else why not."""
    try:
        return architecture_from_config(config), None
    except UnsupportedFamilyError as error:
        return None, error


# The first model of a class costs seconds.
@settings(max_examples=60, deadline=None)
@given(config=loadable_configs())
def test_what_we_derive_is_what_the_real_class_builds_or_nothing(config):
    real = built(config)

    architecture, refusal = derived(config)

    if refusal is not None:
        assert refusal.reason == "invalid-config"
        assert real is None or refusal.field in REFUSED_THOUGH_BUILT
        return
    check_architecture(architecture)
    assert real is None or derived_modules(architecture) == real


@settings(max_examples=60, deadline=None)
@given(first=loadable_configs(), second=loadable_configs(), asked=st.booleans())
def test_structures_are_equal_where_their_fingerprints_are(first, second, asked):
    one, other = derived(first)[0], derived(second)[0]
    again = derived({**first, "vocab_size": 9})[0]
    if one is None or other is None:
        return
    if asked:
        # What was computed before is kept in the object, and must not count.
        assert one.fingerprint

    assert (one == other) == (one.fingerprint == other.fingerprint)
    assert one == again
    assert one == Architecture.model_validate_json(one.model_dump_json())


@pytest.mark.parametrize("model_type", supported_types())
def test_plain_configs_are_never_refused(model_type):
    family = known_families()[model_type]
    numbers = {"hidden": 24, "ffn": 40, "layers": 2, "heads": 4, "kv_heads": 2}
    config = {"model_type": model_type, "vocab_size": 7} | {
        rule.field: numbers[name]
        for name, rule in family.sizes.items()
        if rule.field and name in numbers
    }
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}

    assert derived_modules(architecture_from_config(config)) == real_modules(
        {**config, **ends}
    )
