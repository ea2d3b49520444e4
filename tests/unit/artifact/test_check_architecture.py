"""Structures that somebody wrote down, and that no model of the family has."""

import pytest
from support.versions import llama_config, neox_config

from safegene.artifact.architecture import (
    Architecture,
    ModuleShape,
    architecture_from_config,
    check_architecture,
)
from safegene.errors import ManifestError

PHI = {
    "model_type": "phi3",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def refused(config, *, module=None, **fields):
    """Check a structure with other fields; what is said, and where."""
    known = architecture_from_config(config).model_dump()
    if module is not None:
        at, change = module
        known["modules"] = list(known["modules"])
        known["modules"][at] = {**known["modules"][at], **change}
    with pytest.raises(ManifestError) as caught:
        check_architecture(Architecture.model_validate({**known, **fields}))
    return caught.value.detail, caught.value.pointer


@pytest.mark.parametrize("config", [llama_config(), neox_config(), PHI])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"path": "model.layers.0.evil"}, id="path"),
        pytest.param({"path": "\x00" * 100_000}, id="hostile path"),
        pytest.param({"out_features": 999}, id="out features"),
        pytest.param({"in_features": 999}, id="in features"),
    ],
)
def test_a_module_that_the_family_has_not_is_named(config, change):
    last = len(architecture_from_config(config).modules) - 1

    detail, pointer = refused(config, module=(last, change))

    assert pointer == f"/architecture/modules/{last}"
    assert "expected" in detail
    assert "got" in detail
    assert "safegene extract" in detail
    assert len(detail) < 1000
    assert detail.isprintable()


@pytest.mark.parametrize(
    ("config", "at"),
    [
        pytest.param(PHI, 0, id="one that the family never has"),
        pytest.param(llama_config(), 7, id="one in the second layer only"),
        pytest.param(llama_config(), 3, id="one on one module of four only"),
    ],
)
def test_a_bias_that_no_config_leads_to_is_refused(config, at):
    detail, pointer = refused(config, module=(at, {"bias": True}))

    assert pointer == f"/architecture/modules/{at}"
    assert "without bias, as in every" in detail


@pytest.mark.parametrize(
    ("config", "fields", "pointer"),
    [
        pytest.param(llama_config(), {"layers": 3}, "/modules", id="a layer too few"),
        pytest.param(llama_config(), {"modules": []}, "/modules", id="no modules"),
        pytest.param(llama_config(), {"hidden_size": 31}, "/modules/0", id="width"),
        pytest.param(llama_config(), {"kv_heads": 4}, "/modules/1", id="kv heads"),
        pytest.param(neox_config(), {"kv_heads": 2}, "/kv_heads", id="implied heads"),
        pytest.param(llama_config(), {"kv_heads": 3}, "/kv_heads", id="no divisor"),
        pytest.param(neox_config(), {"head_size": 9}, "/head_size", id="implied size"),
        pytest.param(
            PHI,
            {"modules": architecture_from_config(llama_config()).modules},
            "/modules",
            id="another family's modules",
        ),
        pytest.param(llama_config(), {"model_type": "x"}, "/model_type", id="unknown"),
    ],
)
def test_numbers_that_do_not_go_together_are_refused(config, fields, pointer):
    detail, found = refused(config, **fields)

    assert found == f"/architecture{pointer}"
    assert "expected" in detail


def test_a_fused_module_of_odd_width_is_refused():
    known = architecture_from_config(PHI)
    at = next(n for n, m in enumerate(known.modules) if "gate_up" in m.path)
    odd = known.modules[at].out_features + 1

    _, pointer = refused(PHI, module=(at, {"out_features": odd}))

    assert pointer.startswith("/architecture/modules/")


def test_an_mlp_of_any_width_is_possible_if_all_layers_have_it():
    wide = {**llama_config(), "intermediate_size": 1000}

    check_architecture(architecture_from_config(wide))
    with pytest.raises(ManifestError, match="modules/11"):
        check_architecture(
            architecture_from_config(wide).model_copy(
                update={
                    "modules": tuple(
                        ModuleShape(**{**module.model_dump(), "out_features": 48})
                        if at == 11
                        else module
                        for at, module in enumerate(
                            architecture_from_config(wide).modules
                        )
                    )
                }
            )
        )
