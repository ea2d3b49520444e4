"""The data files of the families: whole, and each with all that a family needs."""

import json
from importlib import resources
from pathlib import Path

import pytest
import transformers as hf
from pydantic import ValidationError
from support.models import ALL_FAMILIES
from support.published import PUBLISHED
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from safegene.artifact.family import (
    FOLDER,
    known_families,
    read_family,
    supported_types,
)

ROOT = Path(__file__).parents[3]
PLACE = resources.files("safegene.artifact") / FOLDER
LLAMA = json.loads((PLACE / "llama.json").read_text())
LEAST_PUBLISHED = 2


def lacks(model_type):
    """What is missing of a family, as docs/compatibility.md lists it."""
    family = known_families()[model_type]
    published = [c for c in PUBLISHED.values() if c["model_type"] == model_type]
    compatibility = (ROOT / "docs/compatibility.md").read_text()
    method = (ROOT / "docs/method.md").read_text()
    facts = {
        "its real class under causal_lm": family.causal_lm
        == MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type),
        "a tiny config in tests/support/models.py": model_type in ALL_FAMILIES,
        f"{LEAST_PUBLISHED} published models in tests/support/published.py": len(
            published
        )
        >= LEAST_PUBLISHED,
        "its row in docs/compatibility.md": f"| `{model_type}` |" in compatibility,
        "its name in docs/method.md, Models": f"`{model_type}`" in method,
    }
    return [what for what, there in facts.items() if not there]


@pytest.mark.parametrize("model_type", supported_types())
def test_a_family_has_all_that_belongs_to_it(model_type):
    assert lacks(model_type) == []


def test_every_data_file_is_a_family():
    files = {file.name for file in PLACE.iterdir()}

    assert files == {f"{model_type}.json" for model_type in supported_types()}
    assert list(supported_types()) == sorted(supported_types())


@pytest.mark.parametrize("model_type", supported_types())
def test_every_field_of_a_data_file_is_one_of_the_real_config(model_type):
    family = known_families()[model_type]
    real = hf.AutoConfig.for_model(model_type)
    # Some classes take a head size of their own without declaring it.
    optional = {"head_dim"}
    fields = {rule.field for rule in family.sizes.values()} - {None}

    asked = fields | set(family.switches) | set(family.must_be_false)
    assert {field for field in asked - optional if not hasattr(real, field)} == set()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "../llama"}, "model_type"),
        ({"layer_prefix": "model.layers"}, "layer_prefix: no {layer}"),
        ({"modules": []}, "modules"),
        (
            {"modules": [*LLAMA["modules"], LLAMA["modules"][0]]},
            "q_proj is there twice",
        ),
        ({"switches": {}}, "switches: attention_bias, mlp_bias: not both used and set"),
        ({"switches": {**LLAMA["switches"], "x": True}}, "switches: x: not both"),
        ({"sizes": {}}, "sizes: ffn, head_size, heads, hidden, kv_heads, layers"),
        ({"sizes": {**LLAMA["sizes"], "ffn": {}}}, "ffn: neither a field nor what to"),
        (
            {"sizes": {**LLAMA["sizes"], "kv_heads": {"absent": "heads / 2"}}},
            "sizes.kv_heads.absent",
        ),
        ({"experts": 8}, "experts"),
    ],
)
def test_a_data_file_that_is_not_whole_is_refused_by_entry(change, said):
    with pytest.raises(ValidationError) as caught:
        read_family(json.dumps({**LLAMA, **change}))

    assert said in str(caught.value)
