"""A PEFT adapter as a vector: PEFT's own output is the oracle; the rest is refused."""

import copy
import json

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.models import FAMILIES, logits_of, random_ids, save_checkpoint, tiny_model

from safegene.artifact.digest import digest_file
from safegene.errors import (
    CompatibilityError,
    InvalidDataError,
    NonFiniteTensorError,
    RankError,
    ShapeMismatchError,
    UsageError,
)
from safegene.vectors.attach import attach
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.import_lora import import_lora
from safegene.vectors.peft_format import load_vector, save_vector

SAME = 1e-4
"""Absolute, on logits of order one: float32 sums in another order."""
TENSORS = "adapter_model.safetensors"


def _adapter(directory, model, **options):
    """A random LoRA adapter as PEFT saves it; returns the adapted model."""
    options = {"target_modules": "all-linear", "r": 4, "lora_alpha": 6} | options
    config = peft.LoraConfig(**options, task_type="CAUSAL_LM", init_lora_weights=False)
    with torch.random.fork_rng():
        torch.manual_seed(17)
        adapted = peft.get_peft_model(copy.deepcopy(model), config).eval()
    adapted.save_pretrained(directory, save_embedding_layers=False)
    return adapted


def _edit(directory, **fields):
    path = directory / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture
def base(tmp_path):
    return Checkpoint.open(
        save_checkpoint(tiny_model(), tmp_path / "base"), model_id="acme/base"
    )


VARIANTS = [
    pytest.param({}, id="all-linear"),
    pytest.param({"use_rslora": True}, id="rslora"),
    pytest.param({"target_modules": r".*\.1\.mlp\.(up|down)_proj"}, id="regex"),
    pytest.param(
        {"target_modules": ["q_proj", "down_proj"], "layers_to_transform": [1]},
        id="one-layer",
    ),
    pytest.param(
        {"rank_pattern": {"q_proj": 2, "up_proj": 9}, "alpha_pattern": {"q_proj": 5}},
        id="patterns",
    ),
]


@pytest.mark.parametrize("options", VARIANTS)
def test_imported_vector_does_what_peft_does(tmp_path, base, options):
    adapted = _adapter(tmp_path / "adapter", tiny_model(), **options)
    ids = random_ids(tiny_model())

    vector = import_lora(tmp_path / "adapter", base)
    save_vector(
        vector, tmp_path / "vector", namespace="acme", name="lora", version="1.0"
    )

    for found in (vector, load_vector(tmp_path / "vector")):
        model = tiny_model()
        attach(model, found)
        assert torch.allclose(logits_of(model, ids), logits_of(adapted, ids), atol=SAME)
    untouched = logits_of(tiny_model(), ids)
    assert not torch.allclose(untouched, logits_of(adapted, ids), atol=10 * SAME)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_imported(tmp_path, family):
    base = Checkpoint.open(save_checkpoint(tiny_model(family), tmp_path / "base"))
    adapted = _adapter(tmp_path / "adapter", tiny_model(family))
    ids = random_ids(tiny_model(family))
    model = tiny_model(family)

    attach(model, import_lora(tmp_path / "adapter", base))

    assert torch.allclose(logits_of(model, ids), logits_of(adapted, ids), atol=SAME)


def test_written_vector_is_loaded_by_peft_and_does_the_same(tmp_path, base):
    adapted = _adapter(tmp_path / "adapter", tiny_model(), rank_pattern={"q_proj": 9})
    ids = random_ids(tiny_model())

    save_vector(
        import_lora(tmp_path / "adapter", base),
        tmp_path / "vector",
        namespace="acme",
        name="lora",
        version="1.0",
    )

    found = peft.PeftModel.from_pretrained(tiny_model(), tmp_path / "vector").eval()
    assert torch.allclose(logits_of(found, ids), logits_of(adapted, ids), atol=SAME)


def test_factors_are_canonical_and_keep_their_ranks(tmp_path, base):
    _adapter(tmp_path / "adapter", tiny_model(), rank_pattern={"q_proj": 2})

    vector = import_lora(tmp_path / "adapter", base)

    order = [module.path for module in base.architecture.modules]
    assert list(vector.factors) == order
    for path, factors in vector.factors.items():
        assert factors.rank == (2 if path.endswith("q_proj") else 4)
        strength = factors.a_RI.norm(dim=1)
        largest = factors.a_RI.gather(1, factors.a_RI.abs().argmax(1, keepdim=True))
        assert torch.all(strength[:-1] >= strength[1:])
        assert torch.all(largest > 0)
        assert torch.allclose(strength, factors.b_OR.norm(dim=0), rtol=1e-4)


def test_recipe_says_where_it_comes_from(tmp_path, base):
    _adapter(tmp_path / "adapter", tiny_model())

    vector = import_lora(tmp_path / "adapter", base)

    recipe = vector.recipe
    assert (recipe.method, recipe.rank) == ("import", 4)
    assert recipe.parameters["adapter"] == "adapter"
    digest, _ = digest_file(tmp_path / "adapter" / TENSORS)
    assert recipe.parameters["adapter_model"] == str(digest)
    assert vector.base_model == base.ref == recipe.degraded_model


def test_base_that_the_adapter_names_is_taken(tmp_path, base):
    _adapter(tmp_path / "adapter", tiny_model())
    _edit(tmp_path / "adapter", base_model_name_or_path=str(base.directory))

    vector = import_lora(tmp_path / "adapter")

    assert vector.base_model.revision == base.ref.revision


def test_adapter_that_names_no_base_needs_one(tmp_path):
    _adapter(tmp_path / "adapter", tiny_model())
    _edit(tmp_path / "adapter", base_model_name_or_path=None)

    with pytest.raises(UsageError, match="names no base model; give the one"):
        import_lora(tmp_path / "adapter")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        pytest.param({"use_dora": True}, "use_dora", id="dora"),
        pytest.param({"bias": "lora_only"}, "bias 'lora_only'", id="bias"),
        pytest.param({"modules_to_save": ["lm_head"]}, "modules_to_save", id="saved"),
        pytest.param(
            {"target_modules": ["embed_tokens"]}, "lora_embedding", id="embedding"
        ),
        pytest.param({"target_modules": ["lm_head"]}, "no head", id="head"),
    ],
)
def test_adapter_that_is_more_than_linear_changes_is_refused(
    tmp_path, base, options, named
):
    _adapter(tmp_path / "adapter", tiny_model(), **options)

    with pytest.raises(InvalidDataError, match=named):
        import_lora(tmp_path / "adapter", base)


def test_adapter_of_another_model_is_refused(tmp_path, base):
    _adapter(tmp_path / "deeper", tiny_model(num_hidden_layers=3))
    _adapter(tmp_path / "wider", tiny_model(intermediate_size=56))

    with pytest.raises(CompatibilityError, match=r"layers\.2\..*acme/base does not"):
        import_lora(tmp_path / "deeper", base)
    with pytest.raises(ShapeMismatchError, match=r"expected factors of \(32, 48\)"):
        import_lora(tmp_path / "wider", base)


def test_adapter_that_was_never_trained_is_refused(tmp_path, base):
    _adapter(tmp_path / "adapter", tiny_model())
    path = tmp_path / "adapter" / TENSORS
    tensors = load_file(path)
    zeroed = {
        key: torch.zeros_like(part) if "lora_B" in key else part
        for key, part in tensors.items()
    }
    save_file(zeroed, path)

    with pytest.raises(UsageError, match="changes no weight; was it trained"):
        import_lora(tmp_path / "adapter", base)


def test_adapter_that_is_not_finite_is_refused(tmp_path, base):
    _adapter(tmp_path / "adapter", tiny_model())
    path = tmp_path / "adapter" / TENSORS
    tensors = load_file(path)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, path)

    with pytest.raises(NonFiniteTensorError, match="NaN or infinity"):
        import_lora(tmp_path / "adapter", base)


def test_rank_above_what_is_served_is_refused(tmp_path, base):
    _adapter(tmp_path / "adapter", tiny_model(), target_modules=["q_proj"], r=513)

    with pytest.raises(RankError, match="rank 513 is above 512"):
        import_lora(tmp_path / "adapter", base)


def test_place_without_an_adapter_is_refused(tmp_path, base):
    with pytest.raises(UsageError, match="no adapter at "):
        import_lora(tmp_path / "missing", base)
    with pytest.raises(UsageError, match="no PEFT adapter at"):
        import_lora(base.directory, base)
    with pytest.raises(UsageError, match="no revision main"):
        import_lora(base.directory, base, revision="main")
